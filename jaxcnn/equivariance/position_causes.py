"""Operations that tell positions apart: constants, orders, operands that move differently."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcnn.equivariance.cause import Cause, established, moving_operand
from jaxcnn.equivariance.local import Local
from jaxcnn.equivariance.operation import Operation, apply
from jaxcnn.equivariance.window_causes import MOST_STRIDE

CUMULATIVE = ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")
READS = ("slice", "dynamic_slice", "gather")
"""What reads some of the positions."""
SHUFFLES = 4
"""Orders of the operands' positions in which a lattice must hold as well."""
WHAT = {
    "mul": "a scale",
    "div": "a scale",
    "pow": "an exponent",
    "select_n": "a mask",
    "concatenate": "constant channels",
}
"""What a constant does in an operation; in all others it is a bias."""


def _one_operand(local: Local, error: float) -> Iterator[Cause]:
    """An operation that keeps the shape: without it the map moves as before."""
    last = local.unit.operations[-1]
    if len(local.unit.operations) > 1 or last.avals[0].shape != local.program.avals[last.outputs[0]].shape:
        if last.name == "reshape" and local.holds(instead := {last.outputs[0]: lambda x, *_: [x]}):
            if any(_lattice(local, error)):
                return
            yield established(local, "flatten", "flatten: positions become features", error, instead)
        return
    dependent = [number for number in last.inputs if number in local.program.depends]
    written = last.name.startswith("scatter") or last.name == "dynamic_update_slice"
    if len(dependent) > 1 or (len(last.inputs) > 1 and not written):
        return
    instead = {last.outputs[0]: lambda x, *_: [x] * len(last.outputs)}
    if local.holds(instead):
        if last.name in CUMULATIVE:
            yield established(local, "cumulative operation", f"{last.name} along positions", error, instead)
        elif last.name == "sort":
            yield established(local, "sort", "a sort along positions", error, instead)
        elif written:
            yield established(local, "fixed position", "a fixed position is written", error, instead)
        else:
            yield established(local, "operation", f"{last.name} treats positions differently", error, instead)


def _constant(local: Local, error: float) -> Iterator[Cause]:
    """A constant that differs from position to position: its mean in its place."""
    source, last = moving_operand(local), local.unit.operations[-1]
    fixed = [k for k, number in enumerate(last.inputs) if number not in local.program.depends]
    if source is None or not fixed:
        return
    for k in fixed:
        if last.name == "dot_general":
            contracted = last.params["dimension_numbers"][0][k]
            axes, kind = tuple(contracted), "flatten"
            text = "flatten: every position has weights of its own"
            if (
                len(local.program.avals[last.inputs[1 - k]].shape) > 1
                and len(contracted) == 1
                and _is_map(local, last, k)
            ):
                kind, text = "position-dependent constant", "a product with a matrix over positions"
        else:
            shape, value = local.values[source[0]].shape, local.program.avals[last.inputs[k]]
            if len(value.shape) != len(shape):
                continue
            axes, kind = (source[1],), "position-dependent constant"
            text = f"{WHAT.get(last.name, 'a bias')}, not the same at all positions"

        def even(*taken: Any, k: int = k, axes: tuple[int, ...] = axes) -> Sequence[Any]:
            taken_ = list(taken)
            mean = jnp.asarray(taken[k], float).mean(axes, keepdims=True)
            if taken[k].dtype == bool:
                mean = mean >= 0.5
            taken_[k] = jnp.broadcast_to(mean, taken[k].shape)
            return apply(last, taken_, double=True)

        if local.holds({last.outputs[0]: even}):
            yield established(local, kind, text, error, {last.outputs[0]: even})
            return


def _is_map(local: Local, last: Operation, k: int) -> bool:
    """Whether a product leaves an axis of positions where it was: a matrix from positions to positions."""
    other = last.inputs[1 - k]
    r = local.known[other][local.unit.axis]
    size = local.program.avals[other].shape[r.axis] if r.axis is not None else 0
    return size == local.program.avals[last.inputs[k]].shape[last.params["dimension_numbers"][0][k][0]]


def _read(local: Local, error: float) -> Iterator[Cause]:
    """Positions that are read on the way and decide something: the mean of all of them in their place."""
    instead: dict[int, Callable[..., Sequence[Any]]] = {}
    for operation in local.unit.operations:
        taken, made = operation.avals[0], local.program.avals[operation.outputs[0]]
        if operation.name in READS and operation.inputs[0] in local.program.depends and made.size < taken.size:
            instead[operation.outputs[0]] = lambda x, *_, shape=made.shape: [jnp.full(shape, x.mean(), x.dtype)]
    if instead and local.holds(instead):
        yield established(local, "fixed position", "one fixed position is read", error, instead)


def _several(local: Local, error: float) -> Iterator[Cause]:
    """Operands that move by different amounts, or along different axes: each alone would do."""
    moving = [n for n in local.unit.inputs if local.relation(n).moves or local.relation(n).axis is not None]
    if len(local.unit.inputs) < 2 or len(moving) < 1:
        return

    def alone(kept: int) -> Callable[[dict[int, Any]], dict[int, Any]]:
        return lambda given: {n: v if n == kept else jnp.full_like(v, v.mean()) for n, v in given.items()}

    if all(local.holds(change=alone(n)) for n in local.unit.inputs):
        told = []
        for n in local.unit.inputs:
            r = local.relation(n)
            told.append(f"by {r.step} along its axis {r.axis}" if r.moves else "not at all")
        text = f"its operands move differently: {', '.join(told)}, under a shift by {local.lattice}"
        yield Cause("operands move apart", text, local.unit.operations[-1].name, error, 0.0)


def _lattice(local: Local, error: float) -> Iterator[Cause]:
    """What holds for every second or third shift alone: tiles."""
    source = moving_operand(local)
    size = 0 if source is None else local.values[source[0]].shape[source[1]]
    for times in range(2, min(MOST_STRIDE, size // 2) + 1):
        if local.holds(times=times) and all(_shuffled(local, seed).holds(times=times) for seed in range(SHUFFLES)):
            yield established(local, "stride", f"stride {times}: positions are taken in groups", error, times=times)
            return


def _shuffled(local: Local, seed: int) -> Local:
    """Return the unit with the positions of its operands in another order: what holds of these alone is chance."""
    values = {}
    for number, value in local.values.items():
        axis = local.relation(number).axis
        order = np.random.default_rng(seed).permutation(1 if axis is None else value.shape[axis])
        values[number] = value if axis is None else jnp.take(value, order, axis)
    return dataclasses.replace(local, values=values)


SEARCHES = (_one_operand, _constant, _read, _several, _lattice)
"""In the order in which they are tried."""
