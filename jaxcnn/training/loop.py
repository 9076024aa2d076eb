"""The course of a run: epochs of chunks of steps, as a generator of events."""

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

import jax

from jaxcnn.config import unknown
from jaxcnn.training.errors import NonFiniteLossError, explain_out_of_memory
from jaxcnn.training.forward import Data
from jaxcnn.training.state import TrainState
from jaxcnn.training.steps import LastBatch, TrainSteps, epoch_order, steps_per_epoch

T = TypeVar("T")

Values = dict[str, Any]
"""Metrics by name: floats, and NumPy arrays for those that are not scalars."""


class Progress(NamedTuple):
    """How far a run has come; with the state, all that is needed to resume it.

    Example:
        >>> Progress(epoch=3, best_value=0.91, best_epoch=2)._asdict()
        {'epoch': 3, 'best_value': 0.91, 'best_epoch': 2}
    """

    epoch: int = 0
    """Epochs finished."""
    best_value: float | None = None
    """Best value of the monitored metric so far; None before the first epoch's end."""
    best_epoch: int = 0
    """The epoch, from 1, that reached it."""


@dataclass(frozen=True)
class Compiled:
    """The programs are compiled: the first event.

    Example:
        >>> f"compiling took {Compiled(seconds=1.25).seconds:.1f} s"
        'compiling took 1.2 s'
    """

    seconds: float
    """Wall time that it took."""


@dataclass(frozen=True)
class Chunk:
    """Some steps are done.

    Example:
        >>> chunk = Chunk(epoch=1, step=50, steps=93, metrics={"loss": 0.5}, images_per_s=1e4)
        >>> chunk.loss, chunk.accuracy
        (0.5, None)
    """

    epoch: int
    """The running epoch, from 1."""
    step: int
    """Steps of the epoch that are done."""
    steps: int
    """Steps in the epoch."""
    metrics: Values
    """Means over the chunk: `loss`, and the metrics of `train_steps`."""
    images_per_s: float
    """Training speed over the chunk."""

    @property
    def loss(self) -> float:
        """Mean loss over the chunk."""
        return self.metrics["loss"]

    @property
    def accuracy(self) -> float | None:
        """Mean accuracy over the chunk, None where it is not measured."""
        return self.metrics.get("accuracy")


@dataclass(frozen=True)
class Epoch:
    """An epoch is done and the network is evaluated on the validation set.

    Example:
        >>> def keep_best(events):
        ...     kept = None
        ...     for event in events:
        ...         if isinstance(event, Epoch) and event.best:
        ...             kept = jax.device_get(event.state.params)
        ...     return kept
    """

    epoch: int
    """The epoch, from 1."""
    state: TrainState
    """Valid until the next event is asked for: the next step is given its memory."""
    train: Values
    """Means over the epoch's steps: `loss`, and the metrics of `train_steps`."""
    validation: Values
    """What `evaluate` returned."""
    best: bool
    """Whether this epoch is the best so far, by the monitored metric."""
    stop: bool
    """Whether early stopping ends the run here."""
    seconds: float
    """Wall time of the epoch: its steps and the evaluation."""
    progress: Progress
    """To resume from here."""


def epochs(
    state: TrainState,
    train_steps: TrainSteps,
    evaluate: jax.stages.Wrapped,
    data: Data,
    validation: Data,
    *,
    epochs: int,
    batch: int,
    chunk: int = 50,
    last_batch: LastBatch = "drop",
    monitor: str = "accuracy",
    mode: Literal["max", "min"] | None = None,
    patience: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Compiled | Chunk | Epoch]:
    """Train epoch by epoch, and yield what happens.

    First comes a `Compiled`; then for each epoch a `Chunk` for every `chunk` steps, the metrics of one being
    fetched while the next one runs, and an `Epoch`. Every choice (the best epoch, early stopping) is made by
    the validation metric `monitor`. The same state, data and arguments give bit for bit the same parameters,
    whatever `chunk` is, and also when a run is resumed from the state and the progress of an `Epoch`.

    Args:
        state: The state to go on from, which is donated. Its `step` tells how many steps are done.
        train_steps: See `make_train_steps`; made for the same `batch`.
        evaluate: See `make_evaluate`.
        data: Training inputs and targets.
        validation: Validation inputs and targets.
        epochs: Epochs of the whole run, those before a resumption included.
        batch: Examples in a step.
        chunk: Steps between two events.
        last_batch: What happens to examples that do not fill a batch, see `steps_per_epoch`.
        monitor: The validation metric to choose by.
        mode: Whether the largest or the smallest `monitor` is best; by default `min` for `loss`, else `max`.
        patience: Stop after this many epochs without a better one.
        progress: Where a resumed run stands.

    Returns:
        An iterator of `Compiled`, `Chunk` and `Epoch`.

    Raises:
        NonFiniteLossError: The loss of a step is infinite or NaN.
        OutOfMemoryError: A batch does not fit in the device's memory.
        ValueError: `monitor` is not among the validation metrics, `progress` does not fit the state, inputs
            and targets differ in number, or a size is out of range.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from jaxcnn import training
        >>> def apply(params, statistics, x, *, training, key):
        ...     return x @ params, statistics
        >>> optimizer, loss = optax.sgd(0.1), training.cross_entropy
        >>> state = training.create_state(jnp.zeros((3, 3)), {}, optimizer, jax.random.key(0))
        >>> data = jnp.eye(3), jnp.arange(3)
        >>> train_steps = training.make_train_steps(apply, optimizer, loss, batch=1)
        >>> evaluate = training.make_evaluate(apply, metrics={"accuracy": training.accuracy}, batch=3)
        >>> for event in training.epochs(state, train_steps, evaluate, data, data, epochs=2, batch=1):
        ...     if isinstance(event, training.Epoch):
        ...         print(event.epoch, event.validation["accuracy"], event.best)
        1 1.0 True
        2 1.0 False
    """
    now = progress or Progress()
    steps = steps_per_epoch(len(data[0]), batch, last_batch)
    sign = {"max": 1, "min": -1}[mode or ("min" if monitor == "loss" else "max")]
    _check(data, validation, epochs=epochs, chunk=chunk, patience=patience)
    if now.epoch * steps != int(state.step):
        raise ValueError(
            f"`progress` says {now.epoch} epochs of {steps} steps, `state` {int(state.step)} steps: "
            "resume with the data, the `batch` and the `last_batch` that the run began with"
        )
    data, validation = jax.device_put((tuple(data), tuple(validation)))

    def draw_order() -> jax.Array:
        return epoch_order(state.key, len(data[0]), batch, epoch=now.epoch, last_batch=last_batch)

    def stopped() -> bool:
        return patience is not None and now.epoch - now.best_epoch >= patience

    began = time.perf_counter()
    with explain_out_of_memory("eval_batch"):
        evaluation = evaluate.lower(state.params, state.statistics, validation)
        if monitor not in evaluation.out_info:
            raise ValueError(unknown("validation metric", monitor, evaluation.out_info))
        evaluation.compile()
    with explain_out_of_memory("batch", batch):
        # No step is taken: the call compiles.
        state, _ = jax.block_until_ready(train_steps(state, data, draw_order(), start=0, count=0))
    yield Compiled(time.perf_counter() - began)

    while now.epoch < epochs and not stopped():
        began = time.perf_counter()
        epoch = now.epoch + 1
        state, train = yield from _train_epoch(
            state, train_steps, data, draw_order(), epoch=epoch, steps=steps, batch=batch, chunk=chunk
        )
        with explain_out_of_memory("eval_batch"):
            measured = _on_host(evaluate(state.params, state.statistics, validation))
        if not math.isfinite(measured.get("loss", 0.0)):
            raise NonFiniteLossError(epoch=epoch, name="validation loss")
        value = measured[monitor]
        best = now.best_value is None or math.isnan(now.best_value) or sign * value > sign * now.best_value
        now = Progress(epoch, value, epoch) if best else now._replace(epoch=epoch)
        yield Epoch(epoch, state, train, measured, best, stopped(), time.perf_counter() - began, now)


def _train_epoch(
    state: TrainState,
    train_steps: TrainSteps,
    data: Data,
    order: jax.Array,
    *,
    epoch: int,
    steps: int,
    batch: int,
    chunk: int,
) -> Generator[Chunk, None, tuple[TrainState, Values]]:
    """Yield the chunks of an epoch; return the state after it and the means over its steps."""

    def launch() -> Iterator[tuple[int, int, dict[str, jax.Array]]]:
        nonlocal state
        for start in range(0, steps, chunk):
            count = min(chunk, steps - start)
            with explain_out_of_memory("batch", batch):
                state, metrics = train_steps(state, data, order, start=start, count=count)
            yield start, count, metrics

    means: Values = {}
    clock = time.perf_counter()
    for start, count, metrics in _one_behind(launch()):
        with explain_out_of_memory("batch", batch):
            metrics = _on_host(metrics)
        if (bad := metrics.pop("first_bad_step")) >= 0:
            raise NonFiniteLossError(epoch=epoch, step=bad - (epoch - 1) * steps + 1)
        clock, images_per_s = time.perf_counter(), count * batch / (time.perf_counter() - clock)
        for name, value in metrics.items():
            means[name] = means.get(name, 0.0) + value * count / steps
        yield Chunk(epoch, start + count, steps, metrics, images_per_s)
    return state, means


def _one_behind(items: Iterator[T]) -> Iterator[T]:
    """Yield each item after the next one is drawn, so that one runs while the one before it is looked at."""
    before = next(items)
    for item in items:
        yield before
        before = item
    yield before


def _on_host(metrics: dict[str, jax.Array]) -> Values:
    """Wait for metrics, and make Python numbers of the scalars."""
    fetched = jax.device_get(metrics)
    return {name: value.item() if value.ndim == 0 else value for name, value in fetched.items()}


def _check(data: Data, validation: Data, **sizes: int | None) -> None:
    for name, (inputs, targets) in {"data": data, "validation": validation}.items():
        if len(inputs) != len(targets):
            raise ValueError(f"`{name}` must have a target for each of its {len(inputs)} inputs, got {len(targets)}")
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ValueError(f"`{name}` (={size}) must be at least 1")
