"""The course of a run: epochs of chunks of steps, as a generator of events."""

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxcnn.config import unknown
from jaxcnn.training.errors import NonFiniteLossError, explain_out_of_memory
from jaxcnn.training.events import Chunk, Compiled, Epoch, Progress, Stopped, Values
from jaxcnn.training.feed import Fed, Feed, resident
from jaxcnn.training.forward import Data
from jaxcnn.training.state import TrainState
from jaxcnn.training.steps import LastBatch, TrainSteps, epoch_order, steps_per_epoch


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
    save_every: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    feed: Feed | None = None,
    order: Callable[[jax.Array, int], jax.Array] | None = None,
    progress: Progress | None = None,
) -> Iterator[Compiled | Chunk | Epoch | Stopped]:
    """Train epoch by epoch, and yield what happens.

    First comes a `Compiled`; then for each epoch a `Chunk` for every `chunk` steps, the metrics of one being
    fetched while the next one runs, and an `Epoch`. Every choice (the best epoch, early stopping) is made by
    the validation metric `monitor`. The same state, data and arguments give bit for bit the same parameters,
    whatever `chunk` is, and also when a run is resumed from the state and the progress of an `Epoch` or a `Chunk`.

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
        save_every: Steps of an epoch after which a `Chunk` carries the state; None is never, but where `stop` says so.
        stop: Asked after every chunk; where it says so the next `Chunk` or `Epoch` carries the state, and a `Stopped`
            is the last event.
        feed: How steps get their examples; by default all of `data` lie on the device.
        order: `order(key, epoch)` draws an epoch's order (from 0) out of the state's key; by default `epoch_order`.
        progress: Where a resumed run stands.

    Returns:
        An iterator of `Compiled`, `Chunk`, `Epoch` and `Stopped`.

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
    mode = mode or ("min" if monitor == "loss" else "max")
    _check(data, validation, epochs=epochs, chunk=chunk, patience=patience, save_every=save_every)
    if now.epoch * steps + now.step != int(state.step):
        raise ValueError(
            f"`progress` says {now.epoch} epochs of {steps} steps and {now.step} steps, `state` {int(state.step)} "
            "steps: resume with the data, the `batch` and the `last_batch` that the run began with"
        )
    feed = feed or resident(data)
    validation = jax.tree.map(lambda a: a if isinstance(a, jax.Array) else jax.device_put(a), tuple(validation))

    def draw_order() -> jax.Array:
        if order is not None:
            return order(state.key, now.epoch)
        return epoch_order(state.key, len(data[0]), batch, epoch=now.epoch, last_batch=last_batch)

    began = time.perf_counter()
    with explain_out_of_memory("eval_batch"):
        evaluation = evaluate.lower(state.evaluated, state.statistics, validation)
        if monitor not in evaluation.out_info:
            raise ValueError(unknown("validation metric", monitor, evaluation.out_info))
        evaluation.compile()
    with explain_out_of_memory("batch", batch):
        # No step is taken: the call compiles.
        (examples, drawn, _), *_ = feed(draw_order(), [(0, 1)])
        state, _ = jax.block_until_ready(train_steps(state, examples, drawn, start=0, count=0))
    yield Compiled(time.perf_counter() - began)

    while now.epoch < epochs and not now.has_given_up(patience):
        if stop():
            yield Stopped(now)
            return
        began = time.perf_counter()
        spans = _spans(now.step, steps, chunk, save_every)
        with contextlib.closing(feed(draw_order(), spans)) as fed:
            state, now = yield from _train_epoch(
                state, train_steps, fed, now, spans=spans, batch=batch, save_every=save_every, stop=stop
            )
        if now.step < steps:
            yield Stopped(now)
            return
        with explain_out_of_memory("eval_batch"):
            measured = _on_host(evaluate(state.evaluated, state.statistics, validation))
        epoch, train = now.epoch + 1, dict(now.sums or {})
        if not math.isfinite(measured.get("loss", 0.0)):
            raise NonFiniteLossError(epoch=epoch, name="validation loss")
        now = now.after_epoch(measured[monitor], mode)
        best, seconds = now.best_epoch == epoch, time.perf_counter() - began
        yield Epoch(epoch, state, train, measured, best, now.has_given_up(patience), seconds, now)


def _spans(start: int, steps: int, chunk: int, save_every: int | None) -> list[tuple[int, int]]:
    """Cut an epoch's steps into chunks, which end alike wherever they begin."""
    ends = {*range(chunk, steps, chunk), *range(save_every or steps, steps, save_every or steps), steps}
    ends = sorted(end for end in ends if end > start)
    return list(zip([start, *ends], ends, strict=False))


def _train_epoch(
    state: TrainState,
    train_steps: TrainSteps,
    fed: Fed,
    now: Progress,
    *,
    spans: Sequence[tuple[int, int]],
    batch: int,
    save_every: int | None,
    stop: Callable[[], bool],
) -> Generator[Chunk, None, tuple[TrainState, Progress]]:
    """Yield the chunks of an epoch, or of what is left of it; return the state and the progress after them."""
    epoch, steps = now.epoch + 1, spans[-1][1]
    clock = time.perf_counter()

    def report(start: int, end: int, metrics: dict[str, jax.Array], state: TrainState | None) -> Chunk:
        nonlocal now, clock
        with explain_out_of_memory("batch", batch):
            measured = _on_host(metrics)
        if (bad := measured.pop("first_bad_step")) >= 0:
            raise NonFiniteLossError(epoch=epoch, step=bad - (epoch - 1) * steps + 1)
        images = (end - start) * batch
        clock, images_per_s = time.perf_counter(), images / (time.perf_counter() - clock)
        sums = now.sums or {}
        sums = {name: sums.get(name, 0.0) + value * (end - start) / steps for name, value in measured.items()}
        now = now._replace(step=end, sums=sums, value=None)
        return Chunk(epoch, end, steps, measured, images_per_s, images, state, now if state is not None else None)

    pending = None
    for start, end in spans:
        with explain_out_of_memory("batch", batch):
            data, order, first = next(fed)
            state, metrics = train_steps(state, data, order, start=first, count=end - start)
        if pending:  # one chunk runs while the one before it is looked at
            yield report(*pending, None)
        pending = start, end, metrics
        stopping = stop()
        if end < steps and (stopping or (save_every and end % save_every == 0)):
            chunk = report(*pending, state)
            if not _is_finite(state.params):  # by the last step, whose loss was that of the parameters before it
                raise NonFiniteLossError(epoch=epoch, step=end + 1)
            yield chunk
            pending = None
        if stopping and end < steps:
            break
    if pending:
        yield report(*pending, None)
    return state, now


@jax.jit
def _is_finite(params: Any) -> jax.Array:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params)]).all()


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
