"""Why a layer loses equivariance: each cause is established by a change that brings it back, none is guessed."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcnn.equivariance.local import ROUNDING, Local
from jaxcnn.equivariance.program import Operation
from jaxcnn.equivariance.units import BORDERS
from jaxcnn.equivariance.windows import Window, rewindowed, window_of

MOST_STRIDE = 8
"""Lattices that are tried where no window tells its stride."""
CUMULATIVE = ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "associative_scan")
WHAT = {
    "mul": "a scale",
    "div": "a scale",
    "pow": "an exponent",
    "select_n": "a mask",
    "concatenate": "constant channels",
}


OUTSIDE = ("zero padding", "mirrored padding", "incomplete padding", "no padding", "remainder", "crop")
"""What does no harm where borders are left out."""
Change = Callable[[dict[int, Any]], dict[int, Any]]


@dataclasses.dataclass(frozen=True)
class Cause:
    """Why a layer promises less than what it is made of.

    Attributes:
        kind: In a word or two, such as `zero padding`, `stride`, `remainder`; the list is in `audit`'s docstring.
        text: With its numbers.
        operation: Name of the primitive.
        error: How far the operation is from moving with its operands, relative to its largest magnitude.
        restored: The same once the cause is taken away; None where no change was found that helps.

    Example:
        >>> str(Cause("stride", "stride 2", "slice", 1.2, 0.0))
        'stride 2'
    """

    kind: str
    text: str
    operation: str
    error: float
    restored: float | None = None

    def __str__(self) -> str:
        return self.text


def explain(local: Local, *, norm: bool, mode: str) -> tuple[Cause, ...]:
    """Find out why a unit loses equivariance along an axis.

    Args:
        local: The unit, with its operands.
        norm: Whether it is part of a normalisation.
        mode: Of the audit.

    Returns:
        Causes, all of which have to go; one of kind `operation` where nothing that was tried helps.
    """
    last = local.unit.operations[-1]
    try:
        as_it_is = local.error()
    except (TypeError, ValueError) as error:
        return (Cause("operation", f"{last.name}: {error}", last.name, float("nan")),)
    if as_it_is < ROUNDING:
        return (_inherited(local, norm, mode),)
    for search in (_window, _wrapped, _strided, _one_operand, _constant, _several, _lattice):
        found = tuple(cause for cause in search(local, as_it_is) if mode == "circular" or cause.kind not in OUTSIDE)
        if found:
            return found
    names = ", ".join(dict.fromkeys(operation.name for operation in local.unit.operations))
    return (Cause("operation", f"{names}: no change that was tried brings it back", last.name, as_it_is),)


def _cause(local: Local, kind: str, text: str, error: float, instead: Any = None, **options: Any) -> Cause:
    name = local.unit.operations[-1].name
    return Cause(kind, text, name, error, local.error(instead, **options))


def _inherited(local: Local, norm: bool, mode: str) -> Cause:
    """The unit itself moves with its operands: what it takes in does not, near the borders or from outside."""
    last, before = local.unit.operations[-1], local.unit.before
    if mode == "interior" and (last.name == "sort" or last.name in CUMULATIVE):
        kind = "sort" if last.name == "sort" else "cumulative operation"
        return Cause(kind, f"{last.name} along positions: content that comes in changes it", last.name, 0.0, 0.0)
    if mode == "interior" and any(window_of(last, axis) for axis in range(len(last.avals[0].shape))):
        return Cause(
            "border", f"the windows of {last.name} reach beyond the interior that is left", last.name, 0.0, 0.0
        )
    if mode == "interior":
        kind = "batch statistics" if norm else "global reduction"
        text = f"{last.name} over positions: content that comes in changes it"
        return Cause(kind, text, last.name, 0.0, 0.0)
    if sum(local.relation(n).verdict == "orbit" for n in local.unit.inputs) > 1:
        return Cause("operands move apart", "its operands follow different choices by the data", last.name, 0.0)
    text = f"{last.name} takes in the borders of a map that keeps its promise in the interior alone"
    if before.verdict != "exact-interior":
        text = f"{last.name} mixes arrays that promise different things"
    return Cause("border", text, last.name, 0.0, 0.0)


def _source(local: Local) -> tuple[int, int] | None:
    """Return the operand that moves, and along which of its axes."""
    moving = [(n, r.axis) for n in local.unit.inputs if (r := local.relation(n)).axis is not None and r.moves]
    return (moving[0][0], int(moving[0][1] or 0)) if moving else None


def _fed(local: Local, number: int, axis: int) -> tuple[Change, int] | None:
    """Give the last operation the map itself, without what was put around it; also return where the map's axis is."""
    operand, shape = local.unit.operations[-1].inputs[0], local.program.avals[number].shape
    if operand == number:
        return (lambda given: given), axis
    wanted = local.program.avals[operand].shape
    kept, places = ([n for n, size in enumerate(sizes) if size > 1] for sizes in (shape, wanted))
    if len(kept) != len(places) or axis not in kept:
        return None

    def fed(given: dict[int, Any]) -> dict[int, Any]:
        sizes = [1] * len(wanted)
        for n, place in zip(kept, places, strict=True):
            sizes[place] = given[number].shape[n]
        return {**given, operand: given[number].reshape(sizes)}

    return fed, places[kept.index(axis)]


def _window(local: Local, error: float) -> Iterator[Cause]:
    """A convolution or a pool, with the padding before it: its padding, its stride, what the stride leaves."""
    source, last = _source(local), local.unit.operations[-1]
    found = None if source is None else _fed(local, *source)
    if source is None or found is None:
        return
    (number, along), (fed, axis) = source, found
    window = window_of(last, axis)
    if window is None:
        return
    place, strides = last.outputs[0], window.strides
    positions = local.values[number].shape[along] * window.holes
    rest = positions % strides
    whole = {place: rewindowed(last, axis, circular=True, dense=True)}
    round_ = {place: rewindowed(last, axis, circular=True, dense=False)}
    kind, text = _padding(local, window, positions, last.avals[0].shape[axis] * window.holes)
    if strides > 1 and rest:
        small = dict(local.values)
        small[number] = _cut(small[number], along, positions // window.holes - rest)
        cropped = dataclasses.replace(local, values=small)
        if cropped.holds(round_, times=strides, change=fed):
            told = f"stride {strides} leaves a remainder of {rest} on {positions} positions"
            yield Cause("remainder", told, last.name, error, cropped.error(round_, times=strides, change=fed))
        guilty = kind in ("zero padding", "mirrored padding")
    else:
        guilty = strides == 1 or not local.holds(times=strides)
    if not local.holds(whole, change=fed):
        return
    if guilty:
        yield _cause(local, kind, text, error, whole, change=fed)
    if strides > 1:
        yield _cause(local, "stride", f"stride {strides}", error, whole, change=fed)


def _wrapped(local: Local, error: float) -> Iterator[Cause]:
    """Borders before windows that are written out, as slices and sums: the same borders, of what comes round."""
    source, operations = _source(local), local.unit.operations
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
                yield _cause(local, kind, f"{what} beyond the borders", error, instead, times=times)
            if times > 1:
                yield _cause(local, "stride", f"positions are taken in groups of {times}", error, instead, times=times)
            return


def _cut(value: Any, axis: int, size: int) -> Any:
    return jnp.take(value, jnp.arange(size), axis)


def _padding(local: Local, window: Window, n: int, size: int) -> tuple[str, str]:
    """Name what lies beyond the border of n positions, that operations before the window made `size` ones."""
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


def _strided(local: Local, error: float) -> Iterator[Cause]:
    """A slice: of every other position, of a part, of one position."""
    source, (first, *_) = _source(local), local.unit.operations
    if source is None or first.name not in ("slice", "dynamic_slice", "gather", "pad"):
        return
    number, axis = source
    x, place = local.values[number], first.outputs[0]
    before, after = x.shape[axis], local.program.avals[place].shape
    strides = (first.params.get("strides") or [1] * x.ndim)[axis] if first.name == "slice" else 1
    if strides > 1:
        if before % strides:
            text = f"stride {strides} leaves a remainder of {before % strides} on {before} positions"
            yield _cause(local, "remainder", text, error, {place: lambda x, *_: [x]}, target=place)
        yield _cause(local, "stride", f"stride {strides}", error, {place: lambda x, *_: [x]}, target=place)
        return
    if len(after) == x.ndim and 1 < after[axis] < before:
        if local.holds({place: lambda x, *_: [x]}, target=place):
            text = f"{before} positions are cut to {after[axis]}"
            yield _cause(local, "crop", text, error, {place: lambda x, *_: [x]}, target=place)
        return
    kept = after[axis] if len(after) == x.ndim else None

    def mean(x: Any, *_: Any) -> list[Any]:
        y = x.mean(axis, keepdims=kept is not None)
        return [jnp.broadcast_to(y, after)]

    if kept in (None, 1) and local.holds({place: mean}, target=place):
        yield _cause(local, "fixed position", "one fixed position is read", error, {place: mean}, target=place)


def _one_operand(local: Local, error: float) -> Iterator[Cause]:
    """An operation that keeps the shape: without it the map moves as before."""
    last = local.unit.operations[-1]
    if len(local.unit.operations) > 1 or last.avals[0].shape != local.program.avals[last.outputs[0]].shape:
        if last.name == "reshape" and local.holds(instead := {last.outputs[0]: lambda x, *_: [x]}):
            if any(_lattice(local, error)):
                return
            yield _cause(local, "flatten", "flatten: positions become features", error, instead)
        return
    dependent = [number for number in last.inputs if number in local.program.depends]
    written = last.name.startswith("scatter") or last.name == "dynamic_update_slice"
    if len(dependent) > 1 or (len(last.inputs) > 1 and not written):
        return
    instead = {last.outputs[0]: lambda x, *_: [x] * len(last.outputs)}
    if local.holds(instead):
        if last.name in CUMULATIVE:
            yield _cause(local, "cumulative operation", f"{last.name} along positions", error, instead)
        elif last.name == "sort":
            yield _cause(local, "sort", "a sort along positions", error, instead)
        elif written:
            yield _cause(local, "fixed position", "a fixed position is written", error, instead)
        else:
            yield _cause(local, "operation", f"{last.name} treats positions differently", error, instead)


def _constant(local: Local, error: float) -> Iterator[Cause]:
    """A constant that differs from position to position: its mean in its place."""
    source, last = _source(local), local.unit.operations[-1]
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
            from jaxcnn.equivariance.program import apply

            taken_ = list(taken)
            mean = jnp.asarray(taken[k], float).mean(axes, keepdims=True)
            if taken[k].dtype == bool:
                mean = mean >= 0.5
            taken_[k] = jnp.broadcast_to(mean, taken[k].shape)
            return apply(last, taken_, double=True)

        if local.holds({last.outputs[0]: even}):
            yield _cause(local, kind, text, error, {last.outputs[0]: even})
            return


def _is_map(local: Local, last: Operation, k: int) -> bool:
    """Whether a product leaves an axis of positions where it was: a matrix from positions to positions."""
    other = last.inputs[1 - k]
    r = local.known[other][local.unit.axis]
    size = local.program.avals[other].shape[r.axis] if r.axis is not None else 0
    return size == local.program.avals[last.inputs[k]].shape[last.params["dimension_numbers"][0][k][0]]


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
    source = _source(local)
    size = 0 if source is None else local.values[source[0]].shape[source[1]]
    for times in range(2, min(MOST_STRIDE, size // 2) + 1):
        if local.holds(times=times):
            yield _cause(local, "stride", f"positions are taken in groups of {times}", error, times=times)
            return
