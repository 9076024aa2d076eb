"""Training as one compiled program: any number of steps, on data that lie on the device."""

import operator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh
from jaxtyping import Int

from jaxcnn.training.accumulate import gradient
from jaxcnn.training.batch import Augment, Batch
from jaxcnn.training.forward import Apply, Data, Measure, Metrics, Prepare, forward, identity
from jaxcnn.training.mesh import check_batch, constrain
from jaxcnn.training.state import TrainState

LastBatch = Literal["drop", "wrap"]
Examples = tuple[Any, Any, Array | None]
"""Inputs, targets, and which training examples they are."""


@dataclass(frozen=True)
class TrainSteps:
    """What `make_train_steps` returns: call it to take steps.

    Example:
        >>> import optax
        >>> from jaxcnn import training
        >>> def apply(params, statistics, x, *, training, key):
        ...     return x * params, statistics
        >>> make_train_steps(apply, optax.sgd(0.1), training.mean_squared_error, batch=4).batch
        4
    """

    program: jax.stages.Wrapped
    """The steps without checks, `program(state, examples, order, start, count)`, for programs that hold several."""
    batch: int
    """Examples in a step."""
    ema: float | None
    """Decay of the parameters' average, None where none is kept."""

    def __call__(
        self, state: TrainState, data: Data | Examples, order: Array | None, *, start: int, count: int
    ) -> tuple[TrainState, dict[str, Array]]:
        """Take `count` steps on the batches `start`, `start + 1`, ... of `order`, or of `data` where it is None."""
        # Python's own integers, whatever the caller has: another type would compile another program.
        start, count = operator.index(start), operator.index(count)
        name, batches = ("data", len(data[0])) if order is None else ("order", order.size // self.batch)
        if min(start, count) < 0 or start + count > batches:
            raise ValueError(
                f"steps `start` (={start}) to `start` + `count` (={start + count}) must lie within the "
                f"{batches} batches of `{name}`"
            )
        if order is None and data[0].shape[1:2] != (self.batch,):
            raise ValueError(f"`data` (shape {data[0].shape}) must be batches of {self.batch} where `order` is None")
        if (self.ema is None) != (not jax.tree.leaves(state.ema)):
            kept = "must be kept by the state: make it with `create_state(..., ema=True)`"
            told = "must be given for a state that keeps one" if self.ema is None else kept
            raise ValueError(f"`ema` (={self.ema}) {told}")
        inputs, targets, *index = data
        return self.program(state, (inputs, targets, index[0] if index else None), order, start, count)


def make_train_steps(
    apply: Apply,
    optimizer: optax.GradientTransformation,
    loss: Measure,
    *,
    metrics: Metrics | None = None,
    prepare: Prepare = identity,
    augment: Augment | None = None,
    steps_per_epoch: int | None = None,
    batch: int,
    dtype: str = "float32",
    accumulate: int = 1,
    ema: float | None = None,
    mesh: Mesh | None = None,
) -> TrainSteps:
    """Build `train_steps(state, data, order, *, start, count) -> (state, metrics)`, one compiled program.

    Step i gathers the examples `order[i * batch : (i + 1) * batch]`, augments the raw inputs, prepares
    them, casts them to `dtype`, and moves the parameters against the gradient of the loss. `start` and
    `count` are traced: chunks of every size share one compilation, and `count=0` compiles and does no
    more. All randomness of a step is drawn from `fold_in(state.key, state.step)`, so that steps taken in
    chunks are bit for bit the steps taken at once.

    `train_steps` donates its state: the one that was passed in is gone. The data are its arguments, not
    constants of the program; put them on the device once (`jax.device_put`), or every call copies them.

    The metrics it returns are `loss` and each of `metrics`, means over the steps taken, and
    `first_bad_step`: the number of the first step (`state.step` before it) whose loss was not finite,
    -1 if all were.

    With an `order` of None the data are the batches, `(steps, batch, ...)`: step i takes `data[i]`. A third array
    beside inputs and targets then tells the augmentation which training examples they are.

    On a mesh every device takes its share of each batch (see `forward`), after the augmentation, which is the same on
    any number of devices; state and data are to be where `place` puts them. The steps are those of one device but
    for rounding, and for what dropout drops. A program for one device is none of this: `mesh` is None.

    Args:
        apply: The network, `apply(params, statistics, x, *, training, key) -> (outputs, statistics)`.
        optimizer: See `make_optimizer`.
        loss: `loss(outputs, targets) -> scalar`; outputs reach it in float32.
        metrics: Scalar functions of (outputs, targets) by name, measured on each training batch.
        prepare: Raw inputs to floats, such as a data set's `preprocessing`.
        augment: `augment(key, batch) -> batch`, on raw inputs and their targets; see `make_augment` and `on_inputs`.
        steps_per_epoch: Steps in an epoch, which tell the augmentation the epoch by the steps that the state has seen.
        batch: Examples in a step.
        dtype: What activations are computed in. Parameters, statistics and loss stay float32.
        accumulate: Parts that the gradient of a batch is computed in, one after another; see `gradient`.
        ema: Decay of a moving average of the parameters: after each step `ema <- decay ema + (1 - decay) params`, in
            a state of `create_state(..., ema=True)`.
        mesh: The devices that share each batch, see `make_mesh`; None is one device.

    Returns:
        `train_steps`.

    Raises:
        ValueError: A batch that is not positive or cannot be shared evenly, an epoch without steps, a decay outside
            0 to below 1, an `accumulate` that does not divide the batch, or a metric named `loss` or `first_bad_step`.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from jaxcnn import training
        >>> def apply(params, statistics, x, *, training, key):
        ...     return x @ params, statistics
        >>> train_steps = make_train_steps(apply, optax.sgd(0.1), training.mean_squared_error, batch=4)
        >>> state = training.create_state(jnp.zeros((2, 1)), {}, optax.sgd(0.1), jax.random.key(0))
        >>> data = jnp.ones((8, 2)), jnp.ones((8, 1))
        >>> order = training.epoch_order(state.key, 8, 4, epoch=0)
        >>> state, metrics = train_steps(state, data, order, start=0, count=2)
        >>> int(state.step), round(float(metrics["loss"]), 2)
        (2, 0.68)
    """
    check_batch("batch", batch, mesh)
    if steps_per_epoch is not None and steps_per_epoch < 1:
        raise ValueError(f"`steps_per_epoch` (={steps_per_epoch}) must be at least 1")
    if ema is not None and not 0 <= ema < 1:
        raise ValueError(f"`ema` (={ema}) must be from 0 to below 1, or None for no average")
    metrics = dict(metrics or {})
    if taken := metrics.keys() & {"loss", "first_bad_step"}:
        raise ValueError(f"`metrics` names {sorted(taken)}, which `train_steps` returns by itself")
    network = forward(apply, prepare=prepare, dtype=dtype, mesh=mesh)

    def objective(params, statistics, inputs, targets, key):
        outputs, statistics = network(params, statistics, inputs, training=True, key=key)
        value = loss(outputs, targets)
        measured = {name: metric(outputs, targets) for name, metric in metrics.items()}
        return value, (statistics, {"loss": value, **measured})

    backward = gradient(objective, batch=batch, parts=accumulate, mesh=mesh)

    def step(state: TrainState, examples: Examples) -> tuple[TrainState, dict[str, Array]]:
        augment_key, apply_key = jax.random.split(jax.random.fold_in(state.key, state.step))
        inputs, targets, index = examples
        if augment is not None:
            epoch = None if steps_per_epoch is None else state.step // steps_per_epoch
            with jax.named_scope("augment"):
                inputs, targets, *_ = augment(augment_key, Batch(inputs, targets, index, epoch))
            inputs, targets = constrain(mesh, (inputs, targets), "batch")
        grads, (statistics, measured) = backward(state.params, state.statistics, inputs, targets, apply_key)
        with jax.named_scope("optimizer"):
            updates, opt_state = optimizer.update(constrain(mesh, grads, "state"), state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
            average = state.ema if ema is None else jax.tree.map(partial(_moved, ema), state.ema, params)
        new = TrainState(state.step + 1, params, statistics, opt_state, state.key, average)
        return constrain(mesh, new, "state"), measured

    @partial(jax.jit, donate_argnums=0)
    def program(state: TrainState, data: Examples, order: Array | None, start: Array, count: Array):
        def examples(i: Array) -> Examples:
            if order is None:
                return jax.tree.map(lambda batches: jax.lax.dynamic_index_in_dim(batches, i, keepdims=False), data)
            index = jax.lax.dynamic_slice_in_dim(order, i * batch, batch)
            inputs, targets = (jnp.take(array, index, axis=0, mode="clip") for array in data[:2])
            return inputs, targets, index

        def body(i: Array, carry):
            state, sums, first_bad_step = carry
            new_state, measured = step(state, constrain(mesh, examples(i), "batch"))
            bad = (first_bad_step < 0) & ~jnp.isfinite(measured["loss"])
            sums = {name: sums[name] + value.astype(jnp.float32) for name, value in measured.items()}
            return new_state, sums, jnp.where(bad, state.step, first_bad_step)

        sums = dict.fromkeys(["loss", *metrics], jnp.float32(0))
        carry = state, sums, jnp.int32(-1)
        state, sums, first_bad_step = jax.lax.fori_loop(start, start + count, body, carry)
        means = jax.tree.map(lambda total: total / jnp.maximum(count, 1), sums)
        return state, {**means, "first_bad_step": first_bad_step}

    return TrainSteps(program, batch, ema)


def _moved(decay: float, average: Array, new: Array) -> Array:
    return decay * average + (1 - decay) * new


def steps_per_epoch(n: int, batch: int, last_batch: LastBatch = "drop") -> int:
    """Return the number of steps in a pass over the data: n / batch, rounded down (drop) or up (wrap).

    Args:
        n: Training examples.
        batch: Examples in a step.
        last_batch: What happens to examples that do not fill a batch: `drop` leaves them out of this
            epoch (the next one draws another order), `wrap` fills the batch up with the first of the order.

    Returns:
        The number of steps, at least 1.

    Raises:
        ValueError: Fewer examples than a batch, to be dropped; a size below 1; an unknown `last_batch`.

    Example:
        >>> steps_per_epoch(100, 32), steps_per_epoch(100, 32, "wrap")
        (3, 4)
    """
    if n < 1 or batch < 1:
        raise ValueError(f"`n` (={n}) and `batch` (={batch}) must be positive")
    if last_batch not in ("drop", "wrap"):
        raise ValueError(f"`last_batch` (={last_batch!r}) must be 'drop' or 'wrap'")
    if last_batch == "wrap":
        return -(-n // batch)
    if n < batch:
        raise ValueError(
            f"`batch` (={batch}) is larger than the {n} training examples, and `last_batch` (='drop') "
            f"would drop them all: take a batch of at most {n}, or `last_batch='wrap'`"
        )
    return n // batch


def epoch_order(
    key: Array, n: int, batch: int, *, epoch: int, last_batch: LastBatch = "drop"
) -> Int[Array, " examples"]:
    """Draw the order of the examples in one epoch.

    Args:
        key: The run's key. Steps draw from the same one: they fold in numbers that count up from 0, and
            this function numbers that count down from 2**32 - 1, so that none is used twice.
        n: Training examples.
        batch: Examples in a step.
        epoch: Which epoch, from 0.
        last_batch: See `steps_per_epoch`.

    Returns:
        Indices of examples, int32, `steps_per_epoch(n, batch, last_batch) * batch` of them.

    Raises:
        ValueError: As `steps_per_epoch`.

    Example:
        >>> import jax
        >>> order = epoch_order(jax.random.key(0), 5, 2, epoch=0, last_batch="wrap")
        >>> sorted(order[:5].tolist()), bool(order[5] == order[0])
        ([0, 1, 2, 3, 4], True)
    """
    size = steps_per_epoch(n, batch, last_batch) * batch
    return _order(key, np.uint32(2**32 - 1 - operator.index(epoch)), n, size)


@partial(jax.jit, static_argnums=(2, 3))
def _order(key: Array, stream: Any, n: int, size: int) -> Array:
    order = jax.random.permutation(jax.random.fold_in(key, stream), n)
    return order[jnp.arange(size) % n].astype(jnp.int32)
