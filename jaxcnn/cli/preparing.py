"""What one sees while a data set is prepared: nothing where that is quick, else a bar on a terminal, or lines."""

import time
from collections.abc import Iterator

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from jaxcnn.cli.output import console
from jaxcnn.data import Preparing

QUIET = 2.0
"""Seconds in which nothing is shown."""
EVERY = 20.0
"""Seconds between two lines."""


def show_preparing(name: str, steps: Iterator[Preparing]) -> None:
    """Let a set be prepared, and tell how far it is, on stderr.

    Args:
        name: What the set is called.
        steps: `jaxcnn.data.preparing` or `checking`.
    """
    out = console(stderr=True)
    columns = [TextColumn("{task.description}", markup=False), BarColumn(bar_width=None), MofNCompleteColumn()]
    bar = Progress(*columns, console=out, transient=True, expand=True)
    task = bar.add_task("preparing", total=None)
    began = told = time.monotonic()
    shown = False
    try:
        for step in steps:
            now = time.monotonic()
            if now - began < QUIET:
                continue
            if out.is_terminal:
                if not shown:
                    bar.start()
                bar.update(task, description=f"{name}: {step.stage}", completed=step.done, total=step.total or None)
            elif not shown or now - told >= EVERY:
                count = f" {step.done:,} of {step.total:,} images" if step.total else ""
                out.print(Text(f"preparing  {name}: {step.stage}{count}"))
                told = now
            shown = True
    finally:
        if bar.live.is_started:  # else a line would be left
            bar.stop()
