"""What one sees of a training run: first lines, a bar or plain lines, last lines."""

import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

import jax
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from jaxcnn import api, lowering, training
from jaxcnn.config import Config
from jaxcnn.runs import headline

EVERY = 3.0
"""Seconds between two lines about epochs, at least; the first and the last one have theirs in any case."""
PATIENCE = 20.0
"""Seconds without a line, after which one that is no terminal tells of the running epoch."""


def watch(events: Iterable[Any], config: Config, out: Console) -> api.Finished | api.Halted:
    """Draw the events of a training run as they come.

    Args:
        events: See `jaxcnn.api.fit_events`.
        config: What the run is told.
        out: Where to draw: on a terminal with a bar, else in lines.

    Returns:
        The last event.
    """
    columns = [TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.fields[now]}"), _Left()]
    bar = Progress(*columns, console=out, transient=True, disable=not out.is_terminal, expand=True)
    task = bar.add_task("compiling", total=None, now="")
    lines = _Lines(out, config.epochs)
    steps = 0
    with bar:
        for event in events:
            match event:
                case api.Started():
                    steps = event.steps
                    _show_start(event, config, out)
                case training.Compiled():
                    _show(out, "compiling", f"{event.seconds:.1f} s")
                    bar.update(task, description="training", total=config.epochs * steps)
                case training.Chunk():
                    done = (event.epoch - 1) * steps + event.step
                    speed = f"{event.images_per_s:,.0f} images/s"
                    name = f"epoch {event.epoch}/{config.epochs}"
                    bar.update(task, completed=done, description=name, now=f"{_values(event.metrics)}  {speed}")
                    if not out.is_terminal:
                        lines.chunk(event, speed)
                case training.Epoch():
                    lines.epoch(event)
                case api.Searching():
                    _show(
                        out, "not finite", "the steps since the last checkpoint are taken again, to find where it began"
                    )
                case api.Finished() | api.Halted():
                    lines.flush()
                    return event
    raise AssertionError("the events end with Finished or Halted")


class _Left(ProgressColumn):
    """The time that is left, once there is something to tell it from."""

    def __init__(self) -> None:
        super().__init__()
        self.remaining = TimeRemainingColumn(compact=True)

    def render(self, task: Task) -> Text:
        return self.remaining.render(task).append(" left") if task.time_remaining else Text("")


class _Lines:
    """Lines about epochs, not more than one in `EVERY` seconds."""

    def __init__(self, out: Console, epochs: int):
        self.out, self.epochs = out, epochs
        self.began = time.monotonic()
        self.shown: float | None = None
        self.held: Text | None = None

    def epoch(self, event: training.Epoch) -> None:
        validation = _values(event.validation, "validation ")
        line = self._line(event.epoch, f"{_values(event.train)}  {validation}  {event.seconds:.1f} s")
        if event.best:
            line.append("  best", style="green")
        self.held = line
        if self.shown is None or time.monotonic() - self.shown >= EVERY:
            self.flush()

    def chunk(self, event: training.Chunk, speed: str) -> None:
        if time.monotonic() - (self.shown or self.began) >= PATIENCE and event.step < event.steps:
            where = f"step {event.step}/{event.steps}"
            self.held = self._line(event.epoch, f"{where}  {_values(event.metrics)}  {speed}")
            self.flush()

    def flush(self) -> None:
        if self.held is not None:
            self.out.print(self.held)
            self.held, self.shown = None, time.monotonic()

    def _line(self, epoch: int, text: str) -> Text:
        width = len(str(self.epochs))
        return Text(f"epoch {epoch:>{width}}/{self.epochs}  {text}")


def show_end(finished: api.Finished, config: Config, out: Console) -> None:
    """Print the result, the run's folder and what to do next."""
    result, path = finished.result, finished.run.path
    chosen = "the best on validation" if config.select == "best" else "the last"
    loss = "not finite" if result["loss"] is None else f"{result['loss']:.4f}"  # as result.json holds it
    out.print(
        Text.assemble(
            (f"test {headline(result)}", "bold green"),
            f", loss {loss}: epoch {result['epoch']} of {result['epochs']}, {chosen}; "
            f"{result['seconds']:.1f} s, compilation included",
        )
    )
    _show(out, "run", str(path))
    _show(out, "next", f"jaxcnn evaluate {path}")
    _show(out, "", f"jaxcnn summary {path}")


def _show_start(event: api.Started, config: Config, out: Console) -> None:
    devices, facts, in_use = jax.devices(), event.run.facts, lowering.status()
    cores = f"CPU, {os.cpu_count()} cores; convolutions: {in_use.tier} ({in_use.reason})"
    kind = f"{len(devices)} x {devices[0].device_kind}" if len(devices) > 1 else devices[0].device_kind
    counts = ", ".join(f"{count:,} {split}" for split, count in facts["counts"].items())
    shape = "x".join(map(str, facts["input_shape"]))
    _show(out, "device", cores if devices[0].platform == "cpu" else kind)
    _show(out, "data", f"{facts['name']}: {counts}; {shape}, {len(facts['classes'])} classes")
    _show(out, "model", f"{config.model.name}: {event.parameters:,} parameters")
    optim = f"{config.optim.name}, lr {config.optim.lr:g}, {config.optim.schedule}"
    _show(out, "training", f"{config.epochs} epochs of {event.steps:,} batches of {config.batch}; {optim}")
    if event.run.result is not None:
        _show(out, "finished", f"before: nothing to do; a larger --epochs (={config.epochs}) goes on")
    elif event.epoch or event.step:
        within = f" and {event.step} steps of the next one" if event.step else ""
        _show(out, "resuming", f"after epoch {event.epoch}{within} of {event.run.path}")
    for note in event.notes:
        _show(out, "note", note)


def _show(out: Console, name: str, value: str) -> None:
    out.print(Text(f"{name:<11}", style="bold").append(value, style="not bold"), soft_wrap=True)


def _values(metrics: Mapping[str, Any], prefix: str = "") -> str:
    """Write the loss and the accuracy, or what stands for it."""
    return f"{prefix}loss {metrics['loss']:.4f} {headline(metrics)}".rstrip()
