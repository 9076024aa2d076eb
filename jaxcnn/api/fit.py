"""One straight walk from a model, data and a config to a run on disk."""

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcnn import data as datasets
from jaxcnn import nn, training
from jaxcnn.api.problem import Augment, Measure, make_evaluate, measure, plain, pose, settled
from jaxcnn.config import Config, DataConfig
from jaxcnn.runs import Run, Saving, is_run, new_folder

_ABOVE_ALL_COUNTERS = np.uint32(2**32 - 1)
"""Folded into the seed for training's key: the model's parameters are drawn from (seed, 0), (seed, 1), ..."""


@dataclass(frozen=True)
class Started:
    """Everything is ready to be compiled: the first event of `fit_events`.

    Example:
        >>> event = Started(Run(Path("checkpoints/mine")), parameters=650, steps=20, epoch=0)
        >>> event.run.path.name, event.parameters
        ('mine', 650)
    """

    run: Run
    """Where it is written."""
    parameters: int
    """Numbers that the model learns."""
    steps: int
    """Batches in an epoch."""
    epoch: int
    """Epochs done before: 0, unless the run is resumed."""


@dataclass(frozen=True)
class Finished:
    """The run has ended and the test set is measured: the last event of `fit_events`.

    Example:
        >>> Finished(Run(Path("checkpoints/mine")), {"accuracy": 0.5}).result["accuracy"]
        0.5
    """

    run: Run
    """Where it is written."""
    result: dict[str, Any]
    """What result.json holds: `loss`, `accuracy`, `epoch` (whose parameters were chosen), `seconds`, ..."""


def fit(
    model: nn.Module | str,
    data: datasets.Dataset | DataConfig | str,
    config: Config | None = None,
    *,
    out: str | Path | None = None,
    name: str | None = None,
    loss: Measure | None = None,
    metrics: dict[str, Measure] | None = None,
    augment: Augment | None = None,
) -> Run:
    """Train a network, choose an epoch by the validation set, and measure it once on the test set.

    Args:
        model: A registered name, made with the options of `config.model`, or a module of your own.
        data: A name, a `DataConfig`, or a data set of your own (`jaxcnn.data.from_arrays`).
        config: Everything else; its `model` and `data` give way to the arguments.
        out: Folder of the run; one that is a run already is resumed. By default a new `checkpoints/DATE_NAME`.
        name: What a new run is called there, by default as its data.
        loss: `loss(outputs, targets) -> scalar`; by default the cross-entropy of `config.loss`.
        metrics: Scalar functions of (outputs, targets) by name; by default the accuracy, beside a loss of your own
            none. The best epoch is that of the highest validation `accuracy`, without one that of the lowest `loss`.
        augment: `augment(key, raw_inputs) -> raw_inputs`; by default that of `config.augment`.

    Returns:
        The run: `run.result`, `run.metrics()`, `load(run)`.

    Raises:
        ValueError: A config, a folder, a model or data that do not fit together.
        TypeError: A model, data or a config that is none of these.
        NonFiniteLossError: The loss became infinite or NaN.

    Example:
        >>> import tempfile
        >>> from jaxcnn.config import Config
        >>> run = fit("linear", "synthetic", Config(epochs=1), out=tempfile.mkdtemp())
        >>> run.result["epoch"], sorted(run.metrics()[0]["train"])
        (1, ['accuracy', 'loss'])
    """
    for event in fit_events(model, data, config, out=out, name=name, loss=loss, metrics=metrics, augment=augment):
        if isinstance(event, Finished):
            return event.run
    raise AssertionError("fit_events ends with Finished")


def fit_events(
    model: nn.Module | str,
    data: datasets.Dataset | DataConfig | str,
    config: Config | None = None,
    *,
    out: str | Path | None = None,
    name: str | None = None,
    loss: Measure | None = None,
    metrics: dict[str, Measure] | None = None,
    augment: Augment | None = None,
) -> Generator[Started | training.Compiled | training.Chunk | training.Epoch | Finished, None, None]:
    """Do what `fit` does, and yield what happens.

    The checkpoint of an epoch is on disk before the next epoch's is begun, and before this generator ends, in
    whatever way it ends: a run that is stopped goes on from its last whole epoch, bit for bit.

    Args:
        model: See `fit`.
        data: See `fit`.
        config: See `fit`.
        out: See `fit`.
        name: See `fit`.
        loss: See `fit`.
        metrics: See `fit`.
        augment: See `fit`.

    Returns:
        A generator: `Started`, `Compiled`, then `Chunk` and `Epoch` as they end, and `Finished`. A run that had
        ended before yields `Started` and `Finished`.

    Raises:
        ValueError: See `fit`.
        TypeError: See `fit`.
        NonFiniteLossError: See `fit`.

    Example:
        >>> import tempfile
        >>> from jaxcnn.config import Config
        >>> events = fit_events("linear", "synthetic", Config(epochs=1, chunk=10), out=tempfile.mkdtemp())
        >>> [type(event).__name__ for event in events]
        ['Started', 'Compiled', 'Chunk', 'Chunk', 'Epoch', 'Finished']
    """
    config = settled(Config() if config is None else config, model, data)
    dataset = data if isinstance(data, datasets.Dataset) else datasets.load(config.data)
    datasets.check(dataset)
    problem = pose(config, dataset, model, loss, metrics)
    n, optim = len(dataset.train.inputs), config.optim
    steps = training.steps_per_epoch(n, config.batch, config.last_batch)
    optimizer = training.make_optimizer(optim, steps_per_epoch=steps, epochs=config.epochs)
    schedule = jax.jit(training.make_schedule(optim, steps_per_epoch=steps, epochs=config.epochs))
    train_steps = training.make_train_steps(
        problem.apply, optimizer, problem.loss, metrics=problem.metrics, prepare=dataset.preprocessing,
        augment=augment or training.make_augment(config.augment), batch=config.batch, dtype=config.dtype,
    )  # fmt: skip
    key = jax.random.fold_in(jax.random.key(config.seed), _ABOVE_ALL_COUNTERS)
    state = training.create_state(problem.params, problem.statistics, optimizer, key)

    facts = datasets.describe(dataset)
    progress = training.Progress()
    if out is not None and is_run(out):
        run = Run.open(out)
        progress = run.resume(config, facts)
        if (latest := run.latest_step()) is not None:
            state = run.restore(latest, state)
    else:
        run = Run.create(out or new_folder(name or dataset.name), config, facts)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(problem.params))
    yield Started(run, parameters, steps, progress.epoch)
    if run.result is not None:
        yield Finished(run, run.result)
        return

    events = training.epochs(
        state, train_steps, make_evaluate(config, dataset, problem, problem.metrics), dataset.train, dataset.validation,
        epochs=config.epochs, batch=config.batch, chunk=config.chunk, last_batch=config.last_batch,
        monitor=problem.monitor, patience=config.patience, progress=progress,
    )  # fmt: skip
    compile_s = train_s = 0.0
    clock = time.perf_counter()
    saving: _Saving | None = None
    try:
        for event in events:
            match event:
                case training.Compiled():
                    compile_s, clock = event.seconds, time.perf_counter()
                case training.Chunk():
                    done = event.step - (event.step - 1) // config.chunk * config.chunk
                    train_s += done * config.batch / event.images_per_s
                case training.Epoch():
                    if saving:
                        saving.settle()
                    step, best = int(event.state.step), event.progress.best_epoch * steps
                    now = time.perf_counter()
                    row = {"epoch": event.epoch, "step": step, "lr": float(schedule(step - 1))}
                    row |= {"train": plain(event.train), "validation": plain(event.validation)}
                    row |= {"seconds": now - clock, "images_per_s": steps * config.batch / train_s}
                    run.record(row)  # before the checkpoint: a row without one is forgotten, one cannot lack its row
                    saving = _Saving(run, run.save(event.state, event.progress), (step, best))
                    clock, train_s = now, 0.0
            yield event
    finally:
        if saving:
            saving.settle()

    began = time.perf_counter()
    measured = measure(run, dataset, problem, "test")
    rows = run.metrics()
    seconds = compile_s + sum(row["seconds"] for row in rows) + time.perf_counter() - began
    cost = {"epochs": len(rows), "parameters": parameters, "compile_s": compile_s, "seconds": seconds}
    run.finish({**measured, **cost})
    yield Finished(run, {**measured, **cost})


class _Saving(NamedTuple):
    """A checkpoint that is being written, and those to keep once it is."""

    run: Run
    writing: Saving
    keep: tuple[int, ...]

    def settle(self) -> None:
        self.writing.result()
        self.run.keep(self.keep)
