"""Padding that is written out: how a map was extended by slices, reversals and concatenations, and in which mode."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcnn.analysis.equations import Equation, Value

CONSTANT = -1
"""Index of a position that holds a constant."""
PASSING = {"convert_element_type", "copy", "copy_p", "reduce_precision", "optimization_barrier", "stop_gradient"}


@dataclasses.dataclass(frozen=True)
class Border:
    """How an axis of a map was extended.

    Example:
        >>> Border(32, (2, 2), "circular").padding
        (2, 2)
    """

    size: int
    """Positions before."""
    padding: tuple[int, int] = (0, 0)
    """Positions added before and after."""
    mode: str = "zeros"
    """What they hold: `zeros` (any constant), `circular`, `reflect`, `symmetric`, `replicate`, or `other`."""


@dataclasses.dataclass(frozen=True)
class _Axis:
    """Which positions of an axis of a root array stand along an axis; no axis where it was broadcast."""

    root: int | None
    index: np.ndarray


_Origin = tuple[Value | None, list[_Axis]]


def border(value: Value, axis: int, equations: Sequence[Equation]) -> Border:
    """Read off how an axis was padded before a window.

    Args:
        value: The window's input.
        axis: One of its axes.
        equations: Those to look back through, a layer's.

    Returns:
        The `Border`; without padding where the axis holds no whole axis of an earlier array.

    Example:
        >>> import jax
        >>> from jaxcnn.analysis.equations import flatten
        >>> closed = jax.make_jaxpr(lambda x: jax.numpy.pad(x, (1, 2), mode="reflect"))(jax.numpy.ones(5))
        >>> equations, _, (y,) = flatten(closed)
        >>> border(y, 0, equations)
        Border(size=5, padding=(1, 2), mode='reflect')
    """
    length = value.shape[axis]
    root, axes = _origin(value, {id(e) for e in equations})
    place = axes[axis]
    if root is None or place.root is None:
        return Border(length)
    size = root.shape[place.root]
    whole = np.arange(size)
    starts = [i for i in range(length - size + 1) if (place.index[i : i + size] == whole).all()]
    if not starts:
        return Border(length)
    low = min(starts, key=lambda i: abs(2 * i + size - length))  # a wrapped map may hold several of itself
    return Border(size, (low, length - size - low), _mode(place.index, low, size))


def _mode(index: np.ndarray, low: int, size: int) -> str:
    """Name what stands beyond the map."""
    at = np.arange(len(index)) - low
    outside = (at < 0) | (at >= size)
    period = max(2 * (size - 1), 1)
    modes = {
        "zeros": np.full_like(at, CONSTANT),
        "circular": at % size,
        "reflect": (size - 1) - np.abs(at % period - (size - 1)),
        "replicate": np.clip(at, 0, size - 1),
        "symmetric": np.minimum(at % (2 * size), 2 * size - 1 - at % (2 * size)),
    }
    if not outside.any():
        return "zeros"
    return next((name for name, wanted in modes.items() if (wanted == index)[outside].all()), "other")


def _origin(value: Value, inside: set[int]) -> _Origin:
    """Follow a value back to the array that its elements were taken from."""
    here: _Origin = (value, [_Axis(i, np.arange(n)) for i, n in enumerate(value.shape)])
    equation = value.maker
    if not value.depends:
        return None, [_Axis(None, np.full(n, CONSTANT)) for n in value.shape]
    if equation is None or id(equation) not in inside:
        return here
    follow = _STEPS.get(equation.primitive)
    return here if follow is None else follow(equation, [_origin(v, inside) for v in equation.inputs]) or here


def _pass(equation: Equation, origins: list[_Origin]) -> _Origin | None:
    return origins[0]


def _transpose(equation: Equation, origins: list[_Origin]) -> _Origin | None:
    root, axes = origins[0]
    return root, [axes[i] for i in equation.params["permutation"]]


def _slice(equation: Equation, origins: list[_Origin]) -> _Origin | None:
    root, axes = origins[0]
    starts, limits = equation.params["start_indices"], equation.params["limit_indices"]
    steps = equation.params["strides"] or (1,) * len(axes)
    cut = zip(axes, starts, limits, steps, strict=True)
    return root, [_Axis(a.root, a.index[start:limit:step]) for a, start, limit, step in cut]


def _rev(equation: Equation, origins: list[_Origin]) -> _Origin | None:
    root, axes = origins[0]
    turned = equation.params["dimensions"]
    return root, [_Axis(a.root, a.index[::-1]) if i in turned else a for i, a in enumerate(axes)]


def _pad(equation: Equation, origins: list[_Origin]) -> _Origin | None:
    root, axes = origins[0]
    padded = []
    for a, (low, high, interior) in zip(axes, equation.params["padding_config"], strict=True):
        if interior:
            return None
        index = a.index[max(-low, 0) : len(a.index) - max(-high, 0)]
        ends = [np.full(max(n, 0), CONSTANT) for n in (low, high)]
        padded.append(_Axis(a.root, np.concatenate([ends[0], index, ends[1]])))
    return root, padded


def _concatenate(equation: Equation, origins: list[_Origin]) -> _Origin | None:
    axis = equation.params["dimension"]
    parts = [(root, axes) for root, axes in origins if len(axes[axis].index)]
    known = [(root, axes) for root, axes in parts if root is not None]
    if not known or any(root is not known[0][0] for root, _ in known):
        return None
    root, first = known[0]
    others = [axes[:axis] + axes[axis + 1 :] for _, axes in known]
    if any(not _same(a, b) for other in others for a, b in zip(other, others[0], strict=True)):
        return None
    roots = {axes[axis].root for _, axes in known}
    if len(roots) > 1:
        return None
    joined = _Axis(roots.pop(), np.concatenate([axes[axis].index for _, axes in parts]))
    return root, [joined if i == axis else a for i, a in enumerate(first)]


def _same(a: _Axis, b: _Axis) -> bool:
    return np.array_equal(a.index, b.index) and (a.root == b.root or len(a.index) == 1)


def _broadcast(equation: Equation, origins: list[_Origin]) -> _Origin | None:
    root, axes = origins[0]
    made = [_Axis(None, np.zeros(n, int)) for n in equation.output.shape]
    for a, i in zip(axes, equation.params["broadcast_dimensions"], strict=True):
        made[i] = a if len(a.index) == len(made[i].index) else _Axis(a.root, np.repeat(a.index, len(made[i].index)))
    return root, made


def _reshape(equation: Equation, origins: list[_Origin]) -> _Origin | None:
    """Merge axes of which one is a map's and the others were broadcast; add and drop axes of size 1."""
    root, axes = origins[0]
    made: list[_Axis] = []
    for before, after in _factors([len(a.index) for a in axes], equation.output.shape):
        group = [axes[i] for i in before]
        real = [a for a in group if a.root is not None and not (len(a.index) == 1 == _size(root, a.root))]
        long = [n for n in after if n != 1]
        if len(real) > 1 or len(long) > 1:
            return None
        index = np.zeros((), int)
        for a in group:
            index = np.add.outer(index, a.index if real and a is real[0] else np.zeros_like(a.index))
        merged = _Axis(real[0].root if real else None, index.ravel())
        placed = False
        for n in after:
            takes = not placed and n == len(merged.index) and (n != 1 or not long)
            made.append(merged if takes else _Axis(None, np.zeros(1, int)))
            placed |= takes
        if real and not placed:
            return None
    return root, made


def _size(root: Value | None, axis: int) -> int:
    return 0 if root is None else root.shape[axis]


def _factors(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Pair axes before a reshape with the sizes after it that have the same product."""
    pairs: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        ins, outs = list(range(i, min(i + 1, len(before)))), list(after[j : j + 1])
        i, j = i + 1, j + 1
        while math.prod(before[k] for k in ins) != math.prod(outs):
            if (math.prod(before[k] for k in ins) < math.prod(outs) or j >= len(after)) and i < len(before):
                ins.append(i)
                i += 1
            elif j < len(after):
                outs.append(after[j])
                j += 1
            else:
                break
        pairs.append((ins, outs))
    return pairs


_STEPS: dict[str, Any] = {
    **dict.fromkeys(PASSING, _pass),
    **dict.fromkeys(("reshape", "squeeze", "expand_dims"), _reshape),
    "transpose": _transpose,
    "slice": _slice,
    "rev": _rev,
    "pad": _pad,
    "concatenate": _concatenate,
    "broadcast_in_dim": _broadcast,
}
"""What each primitive does to the positions it is given."""
