"""Rules of what puts arrays side by side: concatenate and pad."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcnn.analysis.combine import blend, conform, one_position, union
from jaxcnn.analysis.moves import continued, dropped, enclosing, lone, moved, pad, single
from jaxcnn.analysis.products import factors, told
from jaxcnn.analysis.rules import rule, shape_of
from jaxcnn.analysis.units import SEEN, Axis, Units, Unknown, reduced
from jaxcnn.analysis.world import World


@rule("concatenate")
def concatenate(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    return [joined(world, operands, equation.params["dimension"])]


@rule("stack")
def stack(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    place = equation.params["axis"]
    parts = []
    for array in operands:
        shape = (*array.shape[:place], 1, *array.shape[place:])
        parts.append(array.replace(shape=shape, axes=(*array.axes[:place], (), *array.axes[place:])))
    return [joined(world, parts, place)]


def joined(world: World, arrays: Sequence[Units], place: int) -> Units:
    """Concatenate arrays.

    Args:
        world: Of the arrays.
        arrays: Equal but for the size of one axis.
        place: That axis.

    Returns:
        The array. Its field is that of the longest part, if the others are its borders; else what holds all of them.

    Raises:
        Unknown: Parts that follow different data-dependent rolls, or positions along different axes.
    """
    arrays = [array for array in arrays if array.shape[place]] or list(arrays[:1])
    if len(arrays) == 1:
        return arrays[0]
    moving = [array for array in arrays if array.depends]
    longest = max(moving or arrays, key=lambda array: array.shape[place])
    shape = list(longest.shape)
    shape[place] = sum(array.shape[place] for array in arrays)
    one_position(world, moving)
    kept = _index(arrays, longest)
    arrays = conform(world, arrays, [other for other in range(len(longest.shape)) if other != place])
    longest, moving = arrays[kept], [array for array in arrays if array.depends]
    axes = [_shared(world, arrays, other) if other != place else () for other in range(len(shape))]
    labels, ats, periods, pads, hulls = [], [], [], [], []
    main, wide = single(world, longest, place)
    carried = [main.carries(i) for i in range(world.rank)]
    for array in arrays:
        axis, _ = single(world, array, place)
        n = axis.size
        labels.append(_names(world, array, axis, place))
        periods.append(np.gcd(axis.period, array.base.period))
        hulls.append(axis.hull + array.base.hull)
        ats.append(reduced(axis.at + array.base.at, periods[-1]))
        filled = any(was and along for was, along in zip(array.hidden, carried, strict=True))  # a border, repeated
        pads.append(np.full(n, SEEN) if filled or (moving and not array.depends) else axis.padded)
    before = sum(array.shape[place] for array in arrays[:kept])
    hull, one_map = _hull(world, hulls, main, kept)
    fields = []
    for i in range(world.rank):
        pace = main.step[i]
        if not any(axis.step[i] != 0 for array in moving for axis in array.axes[place]):  # as channels
            products = [[axis for n, axes in enumerate(a.axes) if n != place for axis in axes] for a in moving]
            fields.append(union(world, i, list(zip((a.field[i] for a in moving), products, strict=True))))
        elif pace and one_map[i] and _alike(world, moving, place, i):
            fields.append(moved(wide[i], -pace * before))
        else:
            fields.append(enclosing(hull[:, i], pace) if pace else None)
    whole = Axis(
        np.concatenate([np.array(part, np.int64) for part in labels]),
        np.concatenate(ats, 1),
        np.concatenate(periods, 1),
        np.concatenate(pads).astype(np.int8),
        main.step,
        hull,
    )
    axes[place] = (whole,)
    hidden = tuple(any(array.hidden[i] for array in arrays) and not carried[i] for i in range(world.rank))
    base = world.base(constant=not moving)
    frames = {array.frame for array in moving}
    if len(frames) > 1:
        raise Unknown("parts that follow different data-dependent rolls")
    frame = frames.pop() if frames else longest.frame
    return Units(tuple(shape), tuple(axes), base, tuple(fields), world.family(), hidden, frame)


def _hull(world: World, hulls: list[np.ndarray], main: Axis, longest: int) -> tuple[np.ndarray, list[bool]]:
    """Join hulls, and say for which axes of the input the parts are one map and its borders.

    A border that repeats or mirrors positions of the map, or is a whole circle away, counts as its continuation; not
    where borders are as long as the map, as of a window that goes round it.
    """
    whole = np.concatenate(hulls, -1)
    before = sum(part.shape[-1] for part in hulls[:longest])
    beyond = continued(hulls[longest], main.step, before, whole.shape[-1] - before - hulls[longest].shape[-1])
    one_map = []
    for i, size in enumerate(world.sizes):
        first, last = whole[:, i]
        away = np.isfinite(first) & np.isfinite(beyond[0, i])
        circle = away & ((np.where(away, first - np.where(away, beyond[0, i], 0), 0) % size) == 0)
        within = (first >= hulls[longest][0, i].min()) & (last <= hulls[longest][1, i].max())
        short = whole.shape[-1] < 2 * hulls[longest].shape[-1]
        border = (within & short) | circle | ~np.isfinite(first)
        one_map.append(bool(border.all()))
        if main.step[i]:
            whole[:, i] = np.where(border, beyond[:, i], whole[:, i])
    return whole, one_map


def _names(world: World, array: Units, axis: Axis, place: int) -> list[int]:
    """Return names for the labels along an axis that tell them from those of any other array.

    Parts of one array have equal names where they are the same units, whether an axis is still there or is gone; they
    are compared with the other axes as they are, so that those must be the same ones, in the same order.
    """
    if array.value is not None:
        return [world.name(row.tobytes()) for row in np.moveaxis(array.value, place, 0)]
    others = [product for other, product in enumerate(array.axes) if other != place]
    rest = tuple(tuple(told(part) for part in factors(product) if part.name is not None) for product in others)
    base = int(array.base.label[0])
    return [world.name(array.family, rest, world.without(base, axis, label)) for label in axis.label.tolist()]


def _index(arrays: Sequence[Units], wanted: Units) -> int:
    return next(n for n, array in enumerate(arrays) if array is wanted)


def _alike(world: World, arrays: Sequence[Units], place: int, i: int) -> bool:
    """Whether fields are as wide and move as far, forward or back: parts of one map, turned round perhaps."""
    widths, steps = set(), set()
    for array in arrays:
        axis, field = single(world, array, place)
        interval, step = field[i], axis.step[i]
        if interval is None or step is None:
            return False
        widths.add(interval[1] - interval[0])
        steps |= {abs(step)} if axis.size > 1 and step else set()  # a border may be repeated
    return len(widths) <= 1 and len(steps) <= 1


def _shared(world: World, arrays: Sequence[Units], other: int) -> tuple[Axis, ...]:
    """Return an axis along which nothing is concatenated: its positions see a position of each part."""
    parts = [array.axes[other] for array in arrays]
    if len({id(axis) for axes in parts for axis in axes}) == len(parts[0]):
        return parts[0]
    same = [all(alike(axes[0], axis) for axis in axes[1:]) for axes in zip(*parts, strict=True)]
    if all(same):
        return parts[0]
    bases = [array.base.period[:, 0] for array in arrays]
    return tuple(blend(world, axes, bases) for axes in zip(*parts, strict=True))


def alike(one: Axis, other: Axis) -> bool:
    """Whether two axes of parts of one array say the same."""
    names = ("label", "at", "period", "padded", "hull")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


@rule("pad")
def pad_(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    array, value = operands
    if value.depends:
        raise Unknown("padding that depends on the input")
    field, axes = list(array.field), list(array.axes)
    for place, (low, high, interior) in enumerate(equation.params["padding_config"]):
        if not (low or high or interior):
            continue
        if low > 0 or high > 0:
            array = dataclasses.replace(array, hidden=lone(world, array, place))
        axis, field = single(world, dataclasses.replace(array, axes=tuple(axes), field=tuple(field)), place)
        if axis.size == 0:
            axes[place] = world.uniform(max(low + high, 0))
            continue
        wide = pad(world, axis, low, high, interior)
        field = [moved(f, None if s is None else -low * s) for f, s in zip(field, wide.step, strict=True)]
        axes[place] = (wide,)
    moved_to = array.replace(shape=shape_of(equation), axes=tuple(axes), field=tuple(field), family=world.family())
    return [dropped(world, moved_to)]
