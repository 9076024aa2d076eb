"""What a window, its padding and its stride do to equivariance, and slices, which do as much."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcnn.equivariance.cause import Cause, established, moving_operand
from jaxcnn.equivariance.local import Local
from jaxcnn.equivariance.operation import Operation, apply
from jaxcnn.equivariance.units import BORDERS
from jaxcnn.equivariance.windows import Window, rewindowed, window_of

MOST_STRIDE = 8
"""Lattices that are tried where no window tells its stride."""
Change = Callable[[dict[int, Any]], dict[int, Any]]


def _window(local: Local, error: float) -> Iterator[Cause]:
    """A convolution or a pool, with the padding before it: its padding, its stride, what the stride leaves."""
    source, last = moving_operand(local), local.unit.operations[-1]
    found = None if source is None else fed(local, *source)
    if source is None or found is None:
        return
    (number, along), (feed, axis) = source, found
    window = window_of(last, axis)
    if window is None:
        return
    place, strides = last.outputs[0], window.strides
    positions = local.values[number].shape[along] * window.holes
    rest = positions % strides
    whole = {place: rewindowed(last, axis, circular=True, dense=True)}
    round_ = {place: rewindowed(last, axis, circular=True, dense=False)}
    kind, text = named_padding(local, window, positions, last.avals[0].shape[axis] * window.holes)
    if strides > 1 and rest:
        small = dict(local.values)
        small[number] = _cut(small[number], along, positions // window.holes - rest)
        cropped = dataclasses.replace(local, values=small)
        if cropped.holds(round_, times=strides, change=feed):
            told = f"stride {strides} leaves a remainder of {rest} on {positions} positions"
            yield Cause("remainder", told, last.name, error, cropped.error(round_, times=strides, change=feed))
        guilty = kind in ("zero padding", "mirrored padding")
    else:
        guilty = strides == 1 or not local.holds(times=strides)
    if not local.holds(whole, change=feed):
        return
    if guilty:
        yield established(local, kind, text, error, whole, change=feed)
    if strides > 1:
        yield established(local, "stride", f"stride {strides}", error, whole, change=feed)


def fed(local: Local, number: int, axis: int) -> tuple[Change, int] | None:
    """Give the last operation the map itself, without what was put around it.

    Args:
        local: The unit.
        number: The operand that moves.
        axis: Along which of its axes.

    Returns:
        A change of the operands, and the axis of what the last operation takes; None where the two do not fit.
    """
    operand, shape = local.unit.operations[-1].inputs[0], local.program.avals[number].shape
    if operand == number:
        return (lambda given: given), axis
    wanted = local.program.avals[operand].shape
    kept, places = ([n for n, size in enumerate(sizes) if size > 1] for sizes in (shape, wanted))
    if len(kept) != len(places) or axis not in kept:
        return None

    def with_map(given: dict[int, Any]) -> dict[int, Any]:
        sizes = [1] * len(wanted)
        for n, place in zip(kept, places, strict=True):
            sizes[place] = given[number].shape[n]
        return {**given, operand: given[number].reshape(sizes)}

    return with_map, places[kept.index(axis)]


def named_padding(local: Local, window: Window, n: int, size: int) -> tuple[str, str]:
    """Name what lies beyond the border of a map.

    Args:
        local: The unit.
        window: That slides over it.
        n: Positions of the map.
        size: Positions that operations before the window made of them.

    Returns:
        The cause's kind and text.
    """
    before = local.unit.operations[:-1]
    around, low, high = window.span - 1, *window.padding
    constant = [op for op in before if op.name == "pad" or (op.name == "concatenate" and _mixed(local, op))]
    if low or high or constant:
        amounts = f" {low} and {high}" if low or high else ""
        return "zero padding", f"zero padding{amounts} before a window of {window.span}"
    if any(op.name in ("rev", "gather", "broadcast_in_dim") for op in before):
        return "mirrored padding", f"mirrored or repeated padding before a window of {window.span}"
    if size > n:
        return "incomplete padding", f"circular padding of {size - n} where a window of {window.span} needs {around}"
    return "no padding", f"no padding: a window of {window.span} makes {n} positions {n - around}"


def _mixed(local: Local, operation: Operation) -> bool:
    """Whether constants stand beside what depends on the input."""
    return any(number not in local.program.depends for number in operation.inputs)


def _wrapped(local: Local, error: float) -> Iterator[Cause]:
    """Borders before windows that are written out, as slices and sums: the same borders, of what comes round."""
    source, operations = moving_operand(local), local.unit.operations
    if source is None or operations[0].name not in BORDERS:
        return
    axis, instead, mixed = source[1], {}, False
    for operation in operations:
        sizes = [aval.shape[axis] for aval in operation.avals if len(getattr(aval, "shape", ())) > axis]
        if operation.name == "pad" and min(operation.params["padding_config"][axis][:2]) >= 0:
            low, high, _ = operation.params["padding_config"][axis]
            main, mixed = 0, True
        elif operation.name == "concatenate" and operation.params["dimension"] == axis:
            main = int(np.argmax(sizes))
            low, high, mixed = sum(sizes[:main]), sum(sizes[main + 1 :]), mixed or _mixed(local, operation)
        else:
            continue
        amounts = [(low, high) if a == axis else (0, 0) for a in range(len(operation.avals[main].shape))]
        instead[operation.outputs[0]] = lambda *taken, main=main, amounts=amounts: [
            jnp.pad(taken[main], amounts, mode="wrap")
        ]
    for times in range(1, MOST_STRIDE + 1) if instead else ():
        if local.holds(instead, times=times):
            if not local.holds(times=times):
                kind, what = (
                    ("zero padding", "constants") if mixed else ("mirrored padding", "mirrored or repeated rows")
                )
                yield established(local, kind, f"{what} beyond the borders", error, instead, times=times)
            if times > 1:
                yield established(
                    local, "stride", f"stride {times}: positions are taken in groups", error, instead, times=times
                )
            return


def _strided(local: Local, error: float) -> Iterator[Cause]:
    """A slice: of every other position, of a part, of one position."""
    source, (first, *_) = moving_operand(local), local.unit.operations
    if source is None or first.name not in ("slice", "dynamic_slice", "gather", "pad"):
        return
    number, axis = source
    x, place = local.values[number], first.outputs[0]
    before, after = x.shape[axis], local.program.avals[place].shape
    strides = (first.params.get("strides") or [1] * x.ndim)[axis] if first.name == "slice" else 1
    if strides > 1:
        if before % strides:
            text = f"stride {strides} leaves a remainder of {before % strides} on {before} positions"
            yield established(local, "remainder", text, error, {place: lambda x, *_: [x]}, target=place)
        yield established(local, "stride", f"stride {strides}", error, {place: lambda x, *_: [x]}, target=place)
        return
    table = first.name == "gather" and first.inputs[1] not in local.program.depends
    if len(after) == x.ndim and (1 < after[axis] < before or (table and after[axis] == before)):
        if local.holds({place: lambda x, *_: [x]}, target=place):
            kind, text = "crop", f"{before} positions are cut to {after[axis]}"
            if first.name == "gather":
                kind, text = "position-dependent constant", "positions are taken from a table, not evenly"
            yield established(local, kind, text, error, {place: lambda x, *_: [x]}, target=place)
        return
    kept = after[axis] if len(after) == x.ndim else None

    def mean(x: Any, *others: Any) -> Sequence[Any]:
        even = jnp.broadcast_to(x.mean(axis, keepdims=True), x.shape)
        return apply(first, [even, *others], double=True)

    if kept in (None, 1) and local.holds({place: mean}, target=place):
        yield established(local, "fixed position", "one fixed position is read", error, {place: mean}, target=place)


def _cut(value: Any, axis: int, size: int) -> Any:
    return jnp.take(value, jnp.arange(size), axis)


SEARCHES = (_window, _wrapped, _strided)
"""In the order in which they are tried."""
