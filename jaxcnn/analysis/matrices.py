"""Rules of matrix products: dense layers, whose numbers are general, and those that are convolutions or resampling."""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from jaxcnn.analysis.combine import pair
from jaxcnn.analysis.gathering import first_of, gather
from jaxcnn.analysis.moves import everything, moved, pad, single
from jaxcnn.analysis.reduction import reduce
from jaxcnn.analysis.rules import rule, shape_of
from jaxcnn.analysis.units import Axis, Interval, Units, Unknown
from jaxcnn.analysis.world import World

SAME = 1e-6
"""Entries of a matrix that differ by less, of the largest, are the same number but for rounding."""

MOST_TURNED = 512
"""Positions of a circle on which a matrix is compared with its turns."""
MOST_KINDS = 8
"""Different columns that such a matrix may have."""


@rule("dot_general")
def dot(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    """A sum of products: of what is broadcast to one shape, over the axes that both have."""
    (left_summed, right_summed), (left_batch, right_batch) = equation.params["dimension_numbers"]
    left, right = operands
    shape = shape_of(equation)
    if not left.depends:
        return [_product(world, right, right_summed, right_batch, left, left_summed, left_batch, shape, last=True)]
    if not right.depends:
        return [_product(world, left, left_summed, left_batch, right, right_summed, right_batch, shape, last=False)]
    sizes = _joint_shape(left, right, left_summed, right_summed, left_batch, right_batch)
    left_front = [*left_batch, *_free(left, left_summed, left_batch)]
    right_front = [*right_batch, *_free(right, right_summed, right_batch)]
    a = _spread(world, left, left_front, left_summed, sizes, before=True)
    b = _spread(world, right, right_front, right_summed, sizes, before=False)
    both = pair(world, [a, b], a.shape)
    return [reduce(world, both, range(len(shape), len(a.shape)), symmetric=True)]


def _product(
    world: World,
    moving: Units,
    summed: Sequence[int],
    batch: Sequence[int],
    fixed: Units,
    fixed_summed: Sequence[int],
    fixed_batch: Sequence[int],
    shape: tuple[int, ...],
    *,
    last: bool,
) -> Units:
    """Return the product with a constant, whose numbers are different at every position."""
    general = bool(fixed.sources) or (fixed.value is not None and bool((fixed.value != 0).all()))
    turning = None
    if world.circular and not fixed.sources and fixed.value is not None and len(summed) == 1 and len(fixed.shape) == 2:
        full = 2 * np.count_nonzero(fixed.value) > fixed.value.size  # else it has a band, of which more is known
        turning = _turning(np.moveaxis(fixed.value, fixed_summed[0], 0)) if full else None
    if turning is not None:
        return _circulant(world, moving, summed[0], *turning, shape, last=last)
    if not general and fixed.value is not None and len(summed) == 1 and len(fixed.shape) == 2:
        return _banded(world, moving, summed[0], np.moveaxis(fixed.value, fixed_summed[0], 0), shape, last=last)
    whole = reduce(world, moving, summed, symmetric=False)
    if not general:  # its zeros are not known: the field may be smaller than all that is summed
        carried = [any(axis.carries(i) for n in summed for axis in moving.axes[n]) for i in range(world.rank)]
        field = tuple(None if carries else f for carries, f in zip(carried, whole.field, strict=True))
        whole = dataclasses.replace(whole, field=field)
    kept = [place for place in range(len(moving.shape)) if place not in summed]
    axes = dict(zip(kept, whole.axes, strict=True))
    shared = []
    for place, other in zip(batch, fixed_batch, strict=True):
        same = all(axis.is_uniform for axis in fixed.axes[other])
        shared.append(axes[place] if same else _told_apart(world, axes[place], moving, place))
    mine = [axes[place] for place in kept if place not in batch]
    told = [fixed.axes[place] for place in _free(fixed, fixed_summed, fixed_batch)]
    theirs = [tuple(world.axis(axis.label) for axis in product) for product in told]
    order = [*shared, *theirs, *mine] if last else [*shared, *mine, *theirs]
    return whole.replace(shape=shape, axes=tuple(order))


def _told_apart(world: World, product: tuple[Axis, ...], array: Units, place: int) -> tuple[Axis, ...]:
    if any(not axis.is_still for axis in product):
        raise Unknown("a matrix product with different numbers at every position of a map")
    return world.distinct(array.shape[place])


def _free(array: Units, summed: Sequence[int], batch: Sequence[int]) -> list[int]:
    return [place for place in range(len(array.shape)) if place not in (*summed, *batch)]


def _joint_shape(left: Units, right: Units, ls: Any, rs: Any, lb: Any, rb: Any) -> dict[str, list[int]]:
    return {
        "batch": [left.shape[place] for place in lb],
        "left": [left.shape[place] for place in _free(left, ls, lb)],
        "right": [right.shape[place] for place in _free(right, rs, rb)],
        "summed": [left.shape[place] for place in ls],
    }


def _spread(
    world: World,
    array: Units,
    front: Sequence[int],
    summed: Sequence[int],
    sizes: dict[str, list[int]],
    *,
    before: bool,
) -> Units:
    """Return an array as (batch, left, right, summed), repeated along the axes that it has not got."""
    count = len(sizes["batch"])
    batch = [array.axes[place] for place in front[:count]]
    mine = [array.axes[place] for place in front[count:]]
    theirs = [world.uniform(size) for size in sizes["right" if before else "left"]]
    middle = [*mine, *theirs] if before else [*theirs, *mine]
    axes = (*batch, *middle, *(array.axes[place] for place in summed))
    shape = (*sizes["batch"], *sizes["left"], *sizes["right"], *sizes["summed"])
    return array.replace(shape=shape, axes=axes)


def _banded(world: World, array: Units, place: int, matrix: np.ndarray, shape: tuple[int, ...], *, last: bool) -> Units:
    """Return the product with a matrix that is known and has zeros: each unit sees what it has numbers for.

    A convolution is such a matrix with equal numbers along its diagonals, and so are resampling and a discrete blur.
    """
    axis, field = single(world, array, place)
    outputs = matrix.shape[1]
    seen = [np.flatnonzero(matrix[:, unit]) for unit in range(outputs)]
    taps = max(1, *(len(rows) for rows in seen))
    index = np.full((outputs, taps), axis.size)  # one after the last: nothing
    weight = np.zeros((outputs, taps), np.int64)
    unit = float(np.abs(matrix).max()) * SAME or 1.0
    for output, rows in enumerate(_round(rows, axis.size) for rows in seen):
        index[output, : len(rows)] = rows
        weight[output, : len(rows)] = np.round(matrix[rows, output] / unit)
    pace, low, high = _band(seen)
    step = [Fraction(0) if s == 0 else None if s is None or pace is None else s * pace for s in axis.step]
    fields: list[Interval | None] = []
    for old, s in zip(field, axis.step, strict=True):
        ends = None if pace is None or s is None else sorted((s * low, s * high))
        start, end = (moved(old, end) for end in ends) if ends else (None, None)
        fields.append(old if s == 0 else (start[0], end[1]) if start and end else None)
    longer = pad(world, dataclasses.replace(axis, step=(Fraction(0),) * world.rank), 0, 1, padding=False)
    base = array.base.period[:, 0]
    whole = gather(world, longer, index, base, symmetric=False, step=step, weight=weight)
    rest = [product for other, product in enumerate(array.axes) if other != place]
    axes = [(whole,), *rest] if last else [*rest, (whole,)]
    return array.replace(shape=shape, axes=tuple(axes), field=tuple(fields), family=world.family())


def _turning(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Say by how much each column is turned from the first one like it, and which kind it is.

    A circulant has one kind of column; interpolation to twice as many positions of a circle has two.
    """
    size, outputs = matrix.shape
    if not 1 < size <= MOST_TURNED or outputs < 2:
        return None
    turns, kinds, models = np.zeros(outputs, np.int64), np.zeros(outputs, np.int64), []
    near = float(np.abs(matrix).max()) * 10 * SAME
    for unit, column in enumerate(matrix.T):
        for kind, model in enumerate(models):  # of which each row is one turn
            same = np.flatnonzero((np.abs(model - column) <= near).all(1))
            if len(same):
                turns[unit], kinds[unit] = same[0], kind
                break
        else:
            if len(models) == MOST_KINDS:
                return None
            kinds[unit] = len(models)
            models.append(np.stack([np.roll(column, turn) for turn in range(size)]))
    return (turns, kinds) if len(models) < outputs else None


def _circulant(
    world: World, array: Units, place: int, turns: np.ndarray, kinds: np.ndarray, shape: tuple[int, ...], *, last: bool
) -> Units:
    """Return the product with a matrix whose columns are turns of a few: a unit sees the circle from its place."""
    axis, field = single(world, array, place)
    outputs, size = len(turns), axis.size
    index = (turns[:, None] + np.arange(size)) % size
    step = [None if s is None else s * Fraction(size, outputs) for s in axis.step]
    whole = gather(
        world,
        dataclasses.replace(axis, step=(Fraction(0),) * world.rank),
        index,
        array.base.period[:, 0],
        symmetric=False,
        step=step,
        weight=np.repeat(kinds[:, None], size, 1),
    )
    fields = [
        everything(old, n, [whole], i) if pace else old
        for i, (old, n, pace) in enumerate(zip(field, world.sizes, axis.step, strict=True))
    ]
    rest = [product for other, product in enumerate(array.axes) if other != place]
    axes = [(whole,), *rest] if last else [*rest, (whole,)]
    return array.replace(shape=shape, axes=tuple(axes), field=tuple(fields), family=world.family())


def _round(rows: np.ndarray, size: int) -> np.ndarray:
    """Order rows as they follow each other on a circle, after the largest gap."""
    if len(rows) < 2:
        return rows
    gaps = np.diff(rows, prepend=rows[-1] - size)
    return np.roll(rows, -first_of(gaps))


def _band(seen: Sequence[np.ndarray]) -> tuple[Fraction | None, Fraction, Fraction]:
    """Return by how much the rows that a unit sees move from unit to unit, and which ones unit 0 sees."""
    most = max(len(rows) for rows in seen)
    inner = [n for n, rows in enumerate(seen) if len(rows) and np.ptp(rows) + 1 <= most]
    zero = Fraction(0)
    if len(inner) < 2:
        return None, zero, zero
    first, last = inner[0], inner[-1]
    paces = [Fraction(int(seen[b][0] - seen[a][0]), b - a) for a, b in ((first, last), (inner[0], inner[1]))]
    size = max(int(rows[-1]) for rows in seen if len(rows)) + 1
    for pace in (Fraction(size, len(seen)), *paces):
        low = min(int(seen[n][0]) - pace * n for n in inner)
        high = max(int(seen[n][-1]) - pace * n for n in inner)
        full = [n for n in inner if len(seen[n]) == most]
        if all(low + pace * n > seen[n][0] - 1 and high + pace * n < seen[n][-1] + 1 for n in full):
            return pace, low, high
    return None, zero, zero
