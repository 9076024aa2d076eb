"""An axis as the product of several, and several as one: what a reshape does to positions."""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from jaxcnn.analysis.units import (
    MAYBE,
    SEEN,
    UNSEEN,
    Axis,
    Interval,
    Units,
    either,
    lowest_common,
    number,
    reduced,
    widen,
)


def merge(
    axes: Sequence[Axis], field: Sequence[Interval | None], modulus: np.ndarray
) -> tuple[Axis, list[Interval | None]]:
    """Write a product of axes as one axis.

    Args:
        axes: Outermost first, at least one.
        field: The array's.
        modulus: `World.modulus`.

    Returns:
        The axis; and the field, widened where an inner axis repeats what it sees.

    Example:
        >>> from jaxcnn.analysis.world import World
        >>> world = World([2], circular=True)
        >>> (rows,) = world.input((2, 1), [0]).axes[0]
        >>> merged, field = merge([rows, *world.uniform(2)], [(Fraction(0), Fraction(0))], world.modulus)
        >>> merged.at.tolist(), [str(merged.step[0])], [str(end) for end in field[0]]
        ([[0, 0, 1, 1]], ['1/2'], ['-1/2', '0'])
    """
    whole, field = axes[0], list(field)
    for inner in axes[1:]:
        n = inner.size
        if inner.whole is not None and inner.whole[0] is whole:
            whole = inner.whole[1]
            continue
        outer, within = np.repeat(np.arange(whole.size), n), np.tile(np.arange(n), whole.size)
        step: list[Fraction | None] = []
        for i, (coarse, fine) in enumerate(zip(whole.step, inner.step, strict=True)):
            if coarse is None or fine is None:
                step.append(None)
            elif n == 1 or whole.size == 1:
                step.append(coarse if n == 1 else fine)
            elif coarse == n * fine:
                step.append(fine)
            elif fine == 0:  # a position n times over: nearest-neighbour up-sampling
                step.append(coarse / n)
                field[i] = widen(field[i], -coarse / n * (n - 1))
            else:
                step.append(None)
        names = [axis.name for axis in (whole, inner) if axis.name is not None] or [None]
        both = number(np.stack([whole.label[outer], inner.label[within]], 1))
        whole = Axis(
            whole.label[outer] if inner.name is None else inner.label[within] if whole.name is None else both,
            reduced(whole.at[:, outer] + inner.at[:, within], modulus[:, None]),
            np.gcd(whole.period[:, outer], inner.period[:, within]),
            either(whole.padded[outer], inner.padded[within]),
            tuple(step),
            whole.hull[..., outer] + inner.hull[..., within],
            name=names[0] if len(names) < 2 else ("merged", told(whole), told(inner)),
        )
    return whole, field


def split(axis: Axis, outer: int) -> tuple[Axis, Axis]:
    """Write an axis as a product of `outer` positions and the rest.

    Args:
        axis: Its size is divisible by `outer`.
        outer: Size of the first.

    Returns:
        Both axes; the inner one remembers the whole, which `merge` gives back.

    Example:
        >>> from jaxcnn.analysis.world import World
        >>> coarse, fine = split(World([4], circular=True).input((4, 1), [0]).axes[0][0], 2)
        >>> coarse.at.tolist(), fine.at.tolist()
        ([[0, 2]], [[0, 1]])
    """
    shape = (outer, axis.size // outer)
    label, padded = axis.label.reshape(shape), axis.padded.reshape(shape)
    at, period = axis.at.reshape(-1, *shape), axis.period.reshape(-1, *shape)
    sums = [_summands(at[i], period[i]) for i in range(len(at))]
    coarse_at = np.array([coarse for coarse, _ in sums], np.int64).reshape(at.shape[:2])
    fine_at = np.array([fine for _, fine in sums], np.int64).reshape(len(at), shape[1])
    off = reduced(coarse_at[:, :, None] + fine_at[:, None, :] - at, period)
    if off.any():  # units at borders, which count from elsewhere: the same function of another shift has another name
        label = number(np.stack([label.ravel(), *off.reshape(len(off), -1)], 1)).reshape(shape)
    steps = [(None, None) if step is None else (step * shape[1], step) for step in axis.step]
    hull = axis.hull.reshape(2, -1, *shape)
    with np.errstate(invalid="ignore"):
        fine_hull = (hull - hull[..., :1])[:, :, 0]
        if not (hull == hull[..., :1] + fine_hull[:, :, None]).all():  # no sum: as if all were seen
            hull = np.zeros_like(hull) + np.array([0.0, np.inf]).reshape(2, 1, 1, 1)
            fine_hull = np.zeros_like(fine_hull)
    coarse_step = tuple(step[0] for step in steps)
    names = [(part, outer, told(axis)) for part in ("outer", "inner")]
    coarse_name, fine_name = names if axis.name is not None else (None, None)
    coarse = Axis(
        number(label), coarse_at, lowest_common(period), _blurred(padded), coarse_step, hull[..., 0], name=coarse_name
    )
    fine_period = lowest_common(period.swapaxes(1, 2))
    fine_step = tuple(step[1] for step in steps)
    padded = _blurred(padded.T)
    fine = Axis(number(label.T), fine_at, fine_period, padded, fine_step, fine_hull, (coarse, axis), fine_name)
    return coarse, fine


def factors(axes: Sequence[Axis]) -> list[Axis]:
    """Put together again what was split.

    Args:
        axes: Outermost first.

    Returns:
        The axes of which these are a product, outermost first.

    Example:
        >>> from jaxcnn.analysis.world import World
        >>> (rows,) = World([4], circular=True).input((4, 1), [0]).axes[0]
        >>> factors(split(rows, 2)) == [rows]
        True
    """
    found: list[Axis] = []
    for axis in axes:
        if found and axis.whole and axis.whole[0] is found[-1]:
            found[-1] = axis.whole[1]
        else:
            found.append(axis)
    return found


def told_apart(array: Units) -> Units:
    """Give new names to axes of an array that have the same one, as of a table of all pairs of some numbers.

    Args:
        array: The array.

    Returns:
        The same array.

    Example:
        >>> from jaxcnn.analysis.world import World
        >>> numbers = World([4], circular=True).constant((2,))
        >>> pairs = dataclasses.replace(numbers, shape=(2, 2), axes=numbers.axes * 2)
        >>> first, second = (axis.name for (axis,) in told_apart(pairs).axes)
        >>> first == second
        False
    """
    names = [axis.name for product in array.axes for axis in product if axis.name is not None]
    if len(set(names)) == len(names):
        return array
    seen: set[Any] = set()
    products: list[tuple[Axis, ...]] = []
    for product in array.axes:
        new: list[Axis] = []
        for n, axis in enumerate(product):
            changes: dict[str, Any] = {"name": object()} if axis.name in seen else {}
            if n and axis.whole and axis.whole[0] is product[n - 1] is not new[-1]:
                changes["whole"] = (new[-1], dataclasses.replace(axis.whole[1], name=object()))
            seen |= {axis.name} - {None}
            new.append(dataclasses.replace(axis, **changes))
        products.append(tuple(new))
    return dataclasses.replace(array, axes=tuple(products))


def told(axis: Axis) -> tuple[Any, bytes]:
    """Return what tells an axis from others of its family, and parts of it from other parts.

    Args:
        axis: The axis.

    Returns:
        Its name and its labels.

    Example:
        >>> from jaxcnn.analysis.world import World
        >>> (axis,) = World([4], circular=True).constant((2,)).axes[0]
        >>> told(axis.take(np.array([0]))) == told(axis.take(np.array([1])))
        False
    """
    return axis.name, axis.label.tobytes()


def _summands(at: np.ndarray, period: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write a table of shifts as a sum over rows and columns that is right for as many as can be."""
    moves = period != 1  # shifts of constants say nothing
    row = int(moves.sum(1).argmax())
    column = moves.argmax(1)
    fine = at[row] - at[row, moves[row].argmax()]
    sums = [(at[np.arange(len(at)), column] - fine[column], fine)]
    places = np.flatnonzero(moves.ravel())
    if len(places) > 1:  # evenly, as in the middle, where no border is
        first, second = places[len(places) // 2 - 1], places[len(places) // 2]
        pace = (at.flat[second] - at.flat[first]) // (second - first)
        fine = pace * np.arange(at.shape[1])
        sums.append((pace * at.shape[1] * np.arange(len(at)) + at.flat[second] - pace * second, fine))
    wrong = [np.count_nonzero(reduced(coarse[:, None] + fine - at, period)) for coarse, fine in sums]
    return sums[int(np.argmin(wrong))]


def _blurred(padded: np.ndarray) -> np.ndarray:
    """Say of each row whether all of it saw padding, or none, or some: which, only the whole knows."""
    return np.where((padded == SEEN).all(1), SEEN, np.where((padded == UNSEEN).all(1), UNSEEN, MAYBE)).astype(np.int8)
