"""What is computed of all units along some axes."""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from jaxcnn.analysis.gathering import gather
from jaxcnn.analysis.products import merge
from jaxcnn.analysis.units import UNSEEN, Axis, Interval, Units, reduced, widen
from jaxcnn.analysis.world import World


def reduce(world: World, array: Units, axes: Sequence[int], *, symmetric: bool, idempotent: bool = False) -> Units:
    """Return what is computed of all units along some axes.

    Args:
        world: Of the array.
        array: The array.
        axes: Positions of the axes that go.
        symmetric: Their order does not matter, as in a sum.
        idempotent: Nor does it matter how often a unit is there, as in a maximum.

    Returns:
        The array without these axes.
    """
    kept: list[list[Axis]] = []
    gone: list[Axis] = []
    base, field, hidden = array.base, list(array.field), list(array.hidden)
    previous: tuple[Axis, list[Axis]] | None = None  # the axis before, and the list that it lies in
    for place, product in enumerate(array.axes):
        target: list[Axis] = gone if place in axes else []
        for axis in product:
            whole = axis.whole
            if whole and previous and whole[0] is previous[0] and (previous[1] is gone) != (target is gone):
                outer, fine = previous[0], axis
                index = np.arange(outer.size * fine.size).reshape(outer.size, fine.size)
                stays = outer if target is gone else fine
                index = index if target is gone else index.T
                across = fine.step if target is gone else outer.step
                periods = base.period[:, 0]
                seen = gather(
                    world, whole[1], index, periods, symmetric=symmetric, step=stays.step, idempotent=idempotent
                )
                for i, step in enumerate(across):
                    field[i] = widen(field[i], None if step is None else step * (index.shape[1] - 1))
                previous[1].pop()
                previous[1].append(seen) if target is gone else target.append(seen)
                previous = None
                continue
            target.append(axis)
            previous = (axis, target)
        if place not in axes:
            kept.append(target)
    for axis in _together(world, gone, field, hidden):
        base = _into_base(world, axis, base, symmetric=symmetric, idempotent=idempotent)
    shape = tuple(size for place, size in enumerate(array.shape) if place not in axes)
    products = tuple(tuple(product) for product in kept)
    return Units(shape, products, base, tuple(field), world.family(), tuple(hidden), array.frame)


def _together(world: World, axes: Sequence[Axis], field: list[Interval | None], hidden: list[bool]) -> list[Axis]:
    """Merge those axes that carry the same axis of the input."""
    alone = [axis for axis in axes if sum(axis.carries(i) for i in range(world.rank)) == 0]
    result, moving = alone, [axis for axis in axes if axis not in alone]
    while moving:
        first = moving.pop(0)
        carried = [i for i in range(world.rank) if first.carries(i)]
        mates = [axis for axis in moving if any(axis.carries(i) for i in carried)]
        moving = [axis for axis in moving if axis not in mates]
        for axis in (first, *mates):
            for i, step in enumerate(axis.step):
                field[i] = widen(field[i], None if step is None else step * (axis.size - 1))
                hidden[i] |= axis.carries(i) and bool((axis.padded != UNSEEN).any())
        whole = first
        if mates:
            whole, _ = merge([first, *mates], [None] * world.rank, world.modulus)
        result.append(dataclasses.replace(whole, step=(Fraction(0),) * world.rank, whole=None))
    return result


def _into_base(world: World, axis: Axis, base: Axis, *, symmetric: bool, idempotent: bool) -> Axis:
    steps = (Fraction(0),) * world.rank
    index = np.arange(axis.size)[None]
    periods = base.period[:, 0]
    seen = gather(world, axis, index, periods, symmetric=symmetric, step=steps, idempotent=idempotent)
    period = np.gcd(base.period, seen.period) if axis.size else np.ones_like(base.period)
    at = reduced(base.at + seen.at, period)
    return Axis(base.label, at, period, np.array([UNSEEN], np.int8), steps, base.hull + seen.hull)
