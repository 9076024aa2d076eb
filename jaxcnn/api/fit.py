"""One straight walk from a model, data and a config to a run on disk."""

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from jaxcnn import data as datasets
from jaxcnn import nn, training
from jaxcnn.api.course import Course, lay_out
from jaxcnn.api.diagnose import locate
from jaxcnn.api.initial import load_initial
from jaxcnn.api.pictures import pictures
from jaxcnn.api.problem import Augment, Measure, chosen, measure, plain, pose, settled
from jaxcnn.api.remarks import remarks
from jaxcnn.config import Config, DataConfig
from jaxcnn.runs import Run, Saving, any_process, is_run, new_folder


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
    step: int = 0
    """Steps of the next epoch that are done already."""
    notes: tuple[str, ...] = ()
    """What is to be told: checkpoints that are damaged, and what was probably not meant."""


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


@dataclass(frozen=True)
class Searching:
    """Numbers were not finite: the steps since the newest checkpoint are taken again to see where that began.

    Example:
        >>> Searching(Run(Path("checkpoints/mine"))).run.path.name
        'mine'
    """

    run: Run
    """Where it is written."""


@dataclass(frozen=True)
class Halted:
    """The run was asked to stop and has saved what it did: the last event of `fit_events` then.

    Example:
        >>> Halted(Run(Path("checkpoints/mine")), training.Progress(epoch=2, step=50)).told
        'epoch 2 and 50 steps of the next one are saved'
    """

    run: Run
    """Where it is written; `fit_events` with the same arguments goes on."""
    progress: training.Progress
    """How far it had come."""

    @property
    def told(self) -> str:
        """How far it had come, in words."""
        epoch, step = self.progress.epoch, self.progress.step
        if not epoch and not step:
            return "before its first steps ended"
        return f"epoch {epoch}" + (f" and {step} steps of the next one are saved" if step else " is saved")


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
    stop: Callable[[], bool] = lambda: False,
) -> Generator[
    Started | training.Compiled | training.Chunk | training.Epoch | Searching | Halted | Finished, None, None
]:
    """Do what `fit` does, and yield what happens.

    A checkpoint is on disk before the next one is begun, and before this generator ends, in whatever way it ends: a
    run that is stopped goes on from its newest checkpoint, bit for bit.

    Args:
        model: See `fit`.
        data: See `fit`.
        config: See `fit`.
        out: See `fit`.
        name: See `fit`.
        loss: See `fit`.
        metrics: See `fit`.
        augment: See `fit`.
        stop: Asked after every chunk; where it says so the run is saved there, and ends with `Halted`.

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
    if out is None and jax.process_count() > 1:
        raise ValueError("a run of several processes needs `out`: one folder, that all of them see")
    problem = pose(config, dataset, model, loss, metrics)
    if config.init is not None and not any_process(_has_checkpoint(out)):
        params, statistics = load_initial(
            config.init, problem.params, problem.statistics, fresh=config.fresh, frozen=problem.frozen
        )
        problem = problem._replace(params=params, statistics=statistics)
    course = lay_out(config, dataset, problem, augment)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(problem.params))
    facts = datasets.describe(dataset)
    path = out or new_folder(name or dataset.name)
    resumed = any_process(is_run(path))
    run = Run.open(path) if resumed else Run.create(path, config, facts)
    with run.locked():
        latest, progress, notes = run.resume(config, facts) if resumed else (None, training.Progress(), ())
        yield Started(run, parameters, course.steps, progress.epoch, progress.step, (*notes, *remarks(config, dataset)))
        if run.result is not None:
            yield Finished(run, run.result)
            return
        state = course.begin() if latest is None else run.restore(latest, course.begin())
        compile_s = 0.0
        for event in _kept(run, course, state, progress, stop):
            yield event
            match event:
                case training.Compiled():
                    compile_s = event.seconds
                case Halted():
                    return
        began = time.perf_counter()
        network = chosen(run, problem, course.mesh)
        measured = measure(run, dataset, problem, "test", network, course.mesh)
        seconds = compile_s + sum(row["seconds"] for row in run.times()) + time.perf_counter() - began
        cost = {"epochs": len(run.metrics()), "parameters": parameters, "compile_s": compile_s, "seconds": seconds}
        # Of several processes none need have all of a parameter.
        shown = {} if jax.process_count() > 1 else pictures(network[1], dataset.test.inputs)
        run.finish({**measured, **cost}, shown)
    yield Finished(run, {**measured, **cost})


def _has_checkpoint(out: str | Path | None) -> bool:
    return out is not None and is_run(out) and Run.open(out).latest_step() is not None


def _kept(
    run: Run, course: Course, state: training.TrainState, progress: training.Progress, stop: Callable[[], bool]
) -> Iterator[Any]:
    """Train, and write what comes of it; the last checkpoint is on disk when this ends, in whatever way."""
    saving: Saving | None = None
    train_s, trained, clock = 0.0, 0, time.perf_counter()
    try:
        for event in course.events(state, progress, lambda: any_process(stop())):
            match event:
                case training.Compiled():
                    clock = time.perf_counter()
                case training.Chunk():
                    train_s, trained = train_s + event.images / event.images_per_s, trained + event.images
                case training.Epoch():
                    step, now = int(event.state.step), time.perf_counter()
                    row = {"epoch": event.epoch, "step": step, "lr": float(course.schedule(step - 1))}
                    row |= {"train": plain(event.train), "validation": plain(event.validation)}
                    times = {"epoch": event.epoch, "step": step, "seconds": now - clock}
                    run.record(row, times | {"images_per_s": trained / train_s})
                    train_s, trained, clock = 0.0, 0, now
                case training.Stopped():
                    if saving:
                        saving.result()
                    yield Halted(run, event.progress)
                    return
            if isinstance(event, training.Chunk | training.Epoch) and event.state is not None and event.progress:
                if saving:
                    saving.result()
                saving = run.save(event.state, event.progress, mode=course.mode)  # after its row, which it holds
            yield event
    except training.NonFiniteLossError as error:
        if jax.process_count() > 1:  # the search runs layers one by one, on arrays that no process has whole
            raise
        yield Searching(run)
        if saving:
            saving.result()
        latest = run.latest_step()
        state = course.begin() if latest is None else run.restore(latest, course.begin())
        raise error.began_at(locate(error, state, course)) from error
    finally:
        if saving:
            saving.result()
