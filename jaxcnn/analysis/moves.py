"""Taking, adding and merging positions along one axis: what the rules of layout and of windows are made of."""

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from jaxcnn.analysis.products import merge
from jaxcnn.analysis.units import FAR, NOTHING, SEEN, UNSEEN, Axis, Interval, Units, reduced
from jaxcnn.analysis.world import World

MOST_PHASES = 32
"""Different units in a row whose hulls are looked for."""
NO_HULL = np.array([np.inf, -np.inf]).reshape(2, 1, 1)
"""Of a constant."""


def single(world: World, array: Units, place: int) -> tuple[Axis, list[Interval | None]]:
    """Return an axis of an array as one `Axis`, and the array's field, which that may widen.

    Args:
        world: Of the array.
        array: The array.
        place: Position of the axis.

    Returns:
        The axis and the field.
    """
    if not array.axes[place]:
        return world.repeated(array.shape[place]), list(array.field)
    if math.prod(axis.size for axis in array.axes[place]) != array.shape[place]:
        raise AssertionError("the parts of an axis do not make it up")
    return merge(array.axes[place], array.field, world.modulus)


def along(
    world: World, array: Units, place: int, index: np.ndarray, *, start: Any, stride: Any, shape: tuple[int, ...]
) -> Units:
    """Take positions along an axis: `start + stride * j`.

    Args:
        world: Of the array.
        array: The array.
        place: Position of the axis.
        index: The positions.
        start: The first of them, for the field.
        stride: Between two of them; None where they are not evenly spaced.
        shape: Of the result.

    Returns:
        The array.
    """
    if np.array_equal(index, np.arange(array.shape[place])):
        return array.replace(shape=shape)
    if not len(index):
        return world.constant(shape)
    axis, field = single(world, array, place)
    step = [None if s is None or (stride is None and s) else s * (stride or 0) for s in axis.step]
    field = [moved(f, None if s is None else s * start) for f, s in zip(field, axis.step, strict=True)]
    axes = list(array.axes)
    axes[place] = (axis.take(index, step),)
    return dropped(world, array.replace(shape=shape, axes=tuple(axes), field=tuple(field)))


def dropped(world: World, array: Units) -> Units:
    """Move what axes of one position say into the base, unless a field moves along them.

    Args:
        world: Of the array.
        array: The array.

    Returns:
        The same array.
    """
    axes, base, hidden = [], array.base, array.hidden
    for product in array.axes:
        kept = []
        for axis in product:
            if axis.size == 1 and not any(axis.step):
                base, hidden = absorbed(world, axis, base, hidden)
            else:
                kept.append(axis)
        axes.append(tuple(kept))
    return dataclasses.replace(array, axes=tuple(axes), base=base, hidden=hidden)


def lone(world: World, array: Units, place: int) -> tuple[bool, ...]:
    """Say what padding an axis of one position hides, along which no field is known to move: of the axes that are gone.

    Args:
        world: Of the array.
        array: The array.
        place: Position of the axis that is padded.

    Returns:
        What the array hides.
    """
    if array.shape[place] != 1 or array.axes[place]:
        return array.hidden
    there = [any(axis.carries(i) for product in array.axes for axis in product) for i in range(world.rank)]
    return tuple(
        was or not (carried or field == NOTHING)
        for was, carried, field in zip(array.hidden, there, array.field, strict=True)
    )


def absorbed(world: World, axis: Axis, base: Axis, hidden: tuple[bool, ...]) -> tuple[Axis, tuple[bool, ...]]:
    """Add an axis of one position to a base.

    Args:
        world: Of the array.
        axis: Of one position.
        base: The array's.
        hidden: The array's.

    Returns:
        The base and what it hides.
    """
    period = np.gcd(base.period, axis.period)
    label = np.array([world.without(int(base.label[0]), axis, int(axis.label[0]))])
    if axis.padded[0] != UNSEEN:
        hidden = tuple(was or bool(step) for was, step in zip(hidden, axis.step, strict=True))
    at, hull = reduced(base.at + axis.at, period), base.hull + axis.hull
    return dataclasses.replace(base, label=label, at=at, period=period, hull=hull), hidden


def pad(world: World, axis: Axis, low: int, high: int, interior: int = 0, *, padding: bool = True) -> Axis:
    """Put constants before, after and between the positions of an axis; negative numbers take positions away.

    Args:
        world: Of the array.
        axis: The axis.
        low: How many before.
        high: How many after.
        interior: How many between two positions.
        padding: Whether those at the ends count as padding.

    Returns:
        The axis; the caller moves the field by `-low` of its steps.
    """
    n = axis.size + (axis.size - 1) * interior
    total = n + low + high
    index = np.full(max(total, 0), -1)
    place = np.arange(axis.size) * (interior + 1) + low
    inside = (place >= 0) & (place < total)
    index[place[inside]] = np.arange(axis.size)[inside]
    step = tuple(None if s is None else s / (interior + 1) for s in axis.step)
    if (index >= 0).all():
        return axis.take(index, step)
    filled = axis.take(index, step)
    constant = index < 0
    ends = constant & ((np.arange(total) < low) | (np.arange(total) >= low + n))
    before, after = (max(-(-amount // (interior + 1)), 0) for amount in (low, high))
    place = np.arange(-before, axis.size + after) * (interior + 1) + low
    inside = (place >= 0) & (place < total)
    hull = np.broadcast_to(NO_HULL, (2, len(step), total)).copy()
    hull[..., place[inside]] = continued(axis.hull, axis.step, before, after)[..., inside]
    return Axis(
        np.where(constant, axis.label.max() + 1, filled.label),
        np.where(constant, 0, filled.at),
        np.where(constant, 1, filled.period),
        np.where(constant, np.where(ends & padding, SEEN, UNSEEN), filled.padded).astype(np.int8),
        step,
        hull,
    )


def unseen(world: World, array: Units, padded: Sequence[int]) -> Units:
    """Return what stands for an array of which padding alone is seen: a constant whose axes carry what they carried.

    Args:
        world: Of the array.
        array: The array.
        padded: Positions of the axes that are padded.

    Returns:
        An array that does not depend on the input.
    """
    nothing = world.constant(array.shape)
    bare = dataclasses.replace(array, hidden=nothing.hidden)
    hides = [lone(world, bare, place) for place in padded]
    axes = tuple(
        tuple(
            dataclasses.replace(
                axis,
                label=np.zeros_like(axis.label),
                period=np.ones_like(axis.period),
                padded=np.full_like(axis.padded, UNSEEN),
                hull=np.broadcast_to(NO_HULL, axis.hull.shape),
                whole=None,
            )
            for axis in product
        )
        for product in array.axes
    )
    return dataclasses.replace(nothing, axes=axes, hidden=tuple(map(any, zip(nothing.hidden, *hides, strict=True))))


def continued(hull: np.ndarray, step: Sequence[Fraction | None], before: int, after: int) -> np.ndarray:
    """Go on with what positions see beyond both ends of an axis, as far as the field moves there.

    Args:
        hull: (2, k, n) of the axis.
        step: Its steps.
        before: Positions before it.
        after: Positions after it.

    Returns:
        (2, k, before + n + after).
    """
    n = hull.shape[-1]
    places = np.arange(-before, n + after)
    result = np.broadcast_to(NO_HULL, (2, len(step), len(places))).copy()
    for i, pace in enumerate(step):
        result[:, i, before : before + n] = hull[:, i]
        first, last = (_phases(hull[:, i], pace, at_end=end) if pace else n + 1 for end in (False, True))
        for beyond, phases, source in (
            (places < 0, first, places % first),
            (places >= n, last, n - last + (places - n) % last),
        ):
            if pace and phases <= n:
                distance = (places - source) // phases * int(phases * pace)
                result[:, i, beyond] = hull[:, i, source[beyond]] + distance[beyond]
    return result


def enclosing(hull: np.ndarray, pace: Fraction | None) -> Interval | None:
    """Return a field that moves evenly and holds what all positions see.

    Args:
        hull: (2, n) first and last positions.
        pace: By how much the field moves; None where that is unknown.

    Returns:
        The field of position 0, or None.

    Example:
        >>> [str(end) for end in enclosing(np.array([[0.0, 0.0, 2.0], [1.0, 3.0, 3.0]]), Fraction(1))]
        ['-1', '2']
    """
    places = np.flatnonzero(np.isfinite(hull).all(0))
    if pace is None or not len(places) or np.abs(hull[:, places]).max() > FAR:
        return None
    first, last = hull[:, places].astype(np.int64)
    low = (first * pace.denominator - pace.numerator * places).min()
    high = (last * pace.denominator - pace.numerator * places).max()
    return Fraction(int(low), pace.denominator), Fraction(int(high), pace.denominator)


def everything(field: Interval | None, size: int, axes: Sequence[Axis], i: int) -> Interval | None:
    """Return a field that holds the whole input from every position.

    Args:
        field: What it holds besides.
        size: Of the input's axis.
        axes: Of the array, along which the field moves.
        i: Which axis of the input.

    Returns:
        The field of position 0; None where it does not move evenly.
    """
    if field is None or field == NOTHING or any(axis.step[i] is None for axis in axes):
        return None
    reach = [(axis.step[i] or Fraction(0)) * (axis.size - 1) for axis in axes]
    low = min(field[0], Fraction(0)) - sum(max(r, Fraction(0)) for r in reach)
    high = max(field[1], Fraction(size - 1)) - sum(min(r, Fraction(0)) for r in reach)
    return low, high


def _phases(hull: np.ndarray, pace: Fraction, *, at_end: bool) -> int:
    """Return after how many positions a hull repeats itself, farther on: from one end for as long as can be.

    That may be not the whole of it, where it was cut and joined.
    """
    n, best, longest = hull.shape[-1], pace.denominator, 0
    for phases in range(pace.denominator, min(n, MOST_PHASES * pace.denominator), pace.denominator):
        same = (hull[:, phases:] == hull[:, :-phases] + int(phases * pace)).all(0)
        same = same[::-1] if at_end else same
        run = len(same) if same.all() else int(same.argmin())
        if run > longest or run == longest == len(same):
            best, longest = phases, run
        if run == len(same):
            break
    return best


def moved(field: Interval | None, distance: Fraction | None) -> Interval | None:
    """Move a field.

    Args:
        field: Interval, or None.
        distance: How far, or None where it is unknown.

    Returns:
        The interval.

    Example:
        >>> [str(end) for end in moved((Fraction(0), Fraction(1)), Fraction(-2))]
        ['-2', '-1']
    """
    if field is None or field == NOTHING:
        return field
    return None if distance is None else (field[0] + distance, field[1] + distance)
