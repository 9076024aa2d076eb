"""What units compute that are made of units of several arrays, element by element."""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from jaxcnn.analysis.gathering import largest
from jaxcnn.analysis.moves import absorbed, single
from jaxcnn.analysis.products import split
from jaxcnn.analysis.units import (
    NOTHING,
    Axis,
    Interval,
    Units,
    Unknown,
    different,
    either,
    lowest_common,
    number,
    reduced,
)
from jaxcnn.analysis.world import World


def blend(world: World, axes: Sequence[Axis], bases: Sequence[np.ndarray]) -> Axis:
    """Return the positions that see one position of each of several axes; its steps are of the first that moves.

    Args:
        world: Of the arrays.
        axes: One an array, of equal sizes.
        bases: (k,) periods of all units, one an array.

    Returns:
        The axis.
    """
    rows, n = [axis.label for axis in axes], axes[0].size
    if n > 1 and all(axis.is_still for axis in axes) and any(axis.label is different(n) for axis in axes):
        one = blend(world, [axis.take(np.zeros(1, int)) for axis in axes], bases)  # channels: as one, but for the label
        return dataclasses.replace(one.take(np.zeros(n, int)), label=different(n))
    at, period = np.zeros((world.rank, n), np.int64), np.ones((world.rank, n), np.int64)
    for i in range(world.rank):
        order = sorted(range(len(axes)), key=lambda a: not axes[a].carries(i))
        periods = np.stack([np.gcd(bases[a][i], axes[a].period[i]) for a in order], 1)
        places = np.stack([axes[a].at[i] for a in order], 1)
        at[i] = np.take_along_axis(places, largest(periods)[:, None], 1)[:, 0]
        period[i] = lowest_common(periods)
        rows += [*reduced(places - at[i][:, None], periods).T, *periods.T]
    step = tuple(next((s for s in steps if s != 0), Fraction(0)) for steps in zip(*(a.step for a in axes), strict=True))
    hull = np.stack([np.min([axis.hull[0] for axis in axes], 0), np.max([axis.hull[1] for axis in axes], 0)])
    padded = either(*(axis.padded for axis in axes))
    return Axis(number(np.stack(rows, 1)), reduced(at, period), period, padded, step, hull)


def pair(world: World, arrays: Sequence[Units], shape: Sequence[int]) -> Units:
    """Return what is computed element by element of several arrays.

    Args:
        world: Of the arrays.
        arrays: Of one shape, or scalars.
        shape: Of the result.

    Returns:
        The array.

    Raises:
        Unknown: Arrays that follow different data-dependent rolls.
    """
    shape = tuple(shape)
    arrays = [_grown(world, array, shape) if array.shape != shape else array for array in arrays]
    moving = [array for array in arrays if array.depends]
    if len(moving) == 1 and all(axis.is_uniform for a in arrays if not a.depends for axes in a.axes for axis in axes):
        return moving[0].replace(family=world.family())
    frame = _frame(world, arrays)
    one_position(world, moving)
    arrays = _gathered(world, conform(world, arrays, range(len(shape))))
    bases = [array.base.period[:, 0] for array in arrays]
    base = blend(world, [array.base for array in arrays], bases)
    field: list[Interval | None] = [NOTHING] * world.rank
    together, axes = [], []
    for place in range(len(shape)):
        parts = [array.axes[place] for array in arrays]
        together += list(zip(*parts, strict=True))
        axes.append(tuple(_blended(world, parts, bases, constant=[not array.depends for array in arrays])))
    for i in range(world.rank):
        field[i] = union(world, i, [(a.field[i], [axes[n] for axes in together]) for n, a in enumerate(arrays)])
    hidden = tuple(any(parts) for parts in zip(*(array.hidden for array in arrays), strict=True))
    return Units(shape, tuple(axes), base, tuple(field), world.family(), hidden, frame)


def _grown(world: World, array: Units, shape: tuple[int, ...]) -> Units:
    """Repeat a scalar, or axes of size 1, as element-wise operations do."""
    if array.shape and len(array.shape) != len(shape):
        raise Unknown(f"shapes {array.shape} and {shape} in one operation")
    axes = [world.uniform(size) for size in shape]
    base, hidden = array.base, array.hidden
    for place, (mine, size) in enumerate(zip(array.shape, shape, strict=False)):
        if mine == size:
            axes[place] = array.axes[place]
        else:
            for axis in array.axes[place]:
                base, hidden = absorbed(world, axis, base, hidden)
    return array.replace(shape=shape, axes=tuple(axes), base=base, hidden=hidden)


def _gathered(world: World, arrays: list[Units]) -> list[Units]:
    """Write hulls of which a part is the array's and a part its axis's as the axis's, where there is one such axis."""
    for i in range(world.rank):
        carriers = {
            (place, part)
            for array in arrays
            for place, product in enumerate(array.axes)
            for part, axis in enumerate(product)
            if axis.carries(i)
        }
        if len(carriers) != 1 or not any(array.base.hull[:, i].any() for array in arrays):
            continue
        ((place, part),) = carriers
        for n, array in enumerate(arrays):
            axis, base = array.axes[place][part], array.base.hull.copy()
            hull = axis.hull.copy()
            hull[:, i] += base[:, i]
            base[:, i] = 0
            product = (*array.axes[place][:part], dataclasses.replace(axis, hull=hull), *array.axes[place][part + 1 :])
            axes = (*array.axes[:place], product, *array.axes[place + 1 :])
            arrays[n] = dataclasses.replace(array, axes=axes, base=dataclasses.replace(array.base, hull=base))
    return arrays


def one_position(world: World, arrays: Sequence[Units]) -> None:
    """Raise where units see two positions that move along different axes, as a pair of pixels in attention."""
    for i in range(world.rank):
        places = [
            {place for place, product in enumerate(array.axes) if any(axis.carries(i) for axis in product)}
            for array in arrays
        ]
        if any(mine - theirs and theirs - mine for mine in places for theirs in places):
            raise Unknown("positions along two axes of one array, from the same axis of the input")


def _frame(world: World, arrays: Sequence[Units]) -> tuple[int, ...]:
    frame = []
    for i in range(world.rank):
        # A number that stays follows any roll, but for one that does not follow all shifts.
        frames = {a.frame[i] for a in arrays if a.base.period[i, 0] != 1 or world.lattices.get(a.frame[i], 1) > 1} or {
            0
        }
        if len(frames) > 1:
            raise Unknown("arrays that follow different data-dependent rolls")
        frame.append(frames.pop())
    return tuple(frame)


def conform(world: World, arrays: Sequence[Units], places: Sequence[int]) -> list[Units]:
    """Write axes of several arrays as products of the same sizes.

    Args:
        world: Of the arrays.
        arrays: Of equal sizes along these axes.
        places: Positions of the axes.

    Returns:
        The arrays.
    """
    arrays = list(arrays)
    for place in places:
        size = arrays[0].shape[place]
        products = [array.axes[place] for array in arrays]
        found = {sizes for sizes in map(_sizes, products) if sizes and (size == 1 or max(sizes) > 1)}
        if not found:
            found = {()}
        wanted = max(found, key=len)
        if any(_sizes(axes) != wanted and not _fits(axes, size) for axes in products if axes):
            wanted = (size,)
        for n, (array, axes) in enumerate(zip(arrays, products, strict=True)):
            if _sizes(axes) == wanted:
                continue
            field = array.field
            if not axes or (len(wanted) > 1 and _sizes(axes) != (size,)):
                axes = tuple(world.repeated(part) for part in wanted)
            elif len(wanted) > 1:
                axes = _split_to(axes[0], wanted)
            elif wanted:
                axis, field = single(world, array, place)
                axes = (axis,)
            every = (*array.axes[:place], axes, *array.axes[place + 1 :])
            arrays[n] = dataclasses.replace(array, axes=every, field=tuple(field))
    return arrays


def _sizes(axes: Sequence[Axis]) -> tuple[int, ...]:
    return tuple(axis.size for axis in axes)


def _fits(axes: Sequence[Axis], size: int) -> bool:
    """Whether an axis may be split as others are, and loses nothing."""
    return len(axes) == 1 and axes[0].size == size and axes[0].is_still


def _split_to(axis: Axis, sizes: Sequence[int]) -> tuple[Axis, ...]:
    parts = []
    for size in sizes[:-1]:
        outer, axis = split(axis, size)
        parts.append(outer)
    return (*parts, axis)


def _blended(
    world: World, parts: Sequence[tuple[Axis, ...]], bases: Sequence[np.ndarray], constant: Sequence[bool]
) -> list[Axis]:
    blended: list[Axis] = []
    before: tuple[Axis, ...] = ()
    for axes in zip(*parts, strict=True):
        live = [n for n, axis in enumerate(axes) if not (constant[n] and axis.is_uniform)]
        inner = [axis.whole for axis in axes]
        if len({id(axes[n]) for n in live}) == 1 and sum(not constant[n] for n in live) <= 1:
            blended.append(axes[live[0]])
        elif blended and all(whole and whole[0] is outer for whole, outer in zip(inner, before, strict=True)):
            outer = blended.pop()
            blended += split(blend(world, [whole[1] for whole in inner if whole], bases), outer.size)
        else:
            blended.append(blend(world, axes, bases))
        before = axes
    return blended


def union(world: World, i: int, parts: Sequence[tuple[Interval | None, list[Axis]]]) -> Interval | None:
    """Return the field of units that see a unit of each array; None where it does not move evenly."""
    parts = [(field, axes) for field, axes in parts if field != NOTHING]
    if not parts:
        return NOTHING
    if any(field is None for field, _ in parts):
        return None
    low, high = [], []
    steps = [max((a.step[i] or 0 for a in axes), key=abs) for axes in zip(*(axes for _, axes in parts), strict=True)]
    for field, axes in parts:
        assert field is not None
        start, end = field
        for axis, step in zip(axes, steps, strict=True):
            if axis.step[i] is None:
                return None
            if axis.step[i] != step:  # only what sees all of the input does so from everywhere
                if axis.step[i] != 0 or field[0] > 0 or field[1] < world.sizes[i] - 1:
                    return None
                reach = step * (axis.size - 1)
                start, end = start - max(reach, Fraction(0)), end - min(reach, Fraction(0))
        low.append(start)
        high.append(end)
    return min(low), max(high)
