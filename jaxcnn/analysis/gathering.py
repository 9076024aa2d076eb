"""What units compute that see several units along one axis: the one step of every window, reduction and product."""

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from jaxcnn.analysis.units import Axis, Unknown, either, lowest_common, number, reduced
from jaxcnn.analysis.world import World

MOST_TAPS = 1 << 22
"""Units times taps of a window operation that is followed."""


def gather(
    world: World,
    axis: Axis,
    index: np.ndarray,
    base: np.ndarray,
    *,
    symmetric: bool,
    step: Sequence[Fraction | None],
    idempotent: bool = False,
    weight: np.ndarray | None = None,
) -> Axis:
    """Return the positions that see several positions of an axis each, in order.

    Two such units are the same function of shifted inputs where what they see is, at the same distances: distances
    are counted from a tap with the largest period, since others move with it.

    Args:
        world: Of the array.
        axis: The axis.
        index: (n, taps): positions that each new unit sees.
        base: (k,) periods that all units have.
        symmetric: The order of taps does not matter: over a whole circle nothing is left that moves.
        step: Of the new axis.
        idempotent: Nor does it matter how often a tap is seen, as in a maximum.
        weight: (n, taps) names of the numbers that each tap is multiplied by, where those differ between units.

    Returns:
        An axis of n positions.

    Raises:
        Unknown: Too many taps.
    """
    if index.size > MOST_TAPS:
        raise Unknown(f"{index.size} taps in one operation")
    carried = [i for i in range(world.rank) if axis.carries(i)]
    seen = index
    ordered = symmetric and len(carried) == 1 and 1 < index.shape[1] <= axis.size
    if ordered:
        index = _in_order(axis.at[carried[0]][index], axis.period[carried[0]][index], index)
    if ordered and idempotent:
        index = _once(axis, base, index)
    label = axis.label[index]
    rows: list[np.ndarray] = []
    at = np.zeros((world.rank, len(index)), np.int64)
    period = np.ones_like(at)
    if index.shape[1] == 0:
        nothing = np.array([np.inf, -np.inf]).reshape(2, 1, 1) + np.zeros_like(at)
        return Axis(np.zeros(len(index), np.int64), at, period, np.zeros(len(index), np.int8), tuple(step), nothing)
    for i in range(world.rank):
        periods = np.gcd(base[i], axis.period[i])[index]
        places = axis.at[i][index]
        first = largest(periods)[:, None]
        at[i] = np.take_along_axis(places, first, 1)[:, 0]
        period[i] = lowest_common(periods)
        rows += [reduced(places - at[i][:, None], periods), periods]
        pace = axis.step[i]
        if pace and pace.denominator == 1 and not ordered:
            # Count from the first tap, though it is a constant: units are evenly spaced.
            at[i] -= int(pace) * (np.take_along_axis(index, first, 1) - index[:, :1])[:, 0]
    if symmetric and world.circular:
        period = _symmetric_periods(label, rows, period, np.unique if idempotent else np.sort)
    if weight is not None:
        rows.append(weight)
    return Axis(
        number(np.concatenate([label, *rows], 1)),
        reduced(at, period),
        period,
        either(*axis.padded[seen].T),
        tuple(step),
        np.stack([axis.hull[0][:, seen].min(-1), axis.hull[1][:, seen].max(-1)]),
    )


def _once(axis: Axis, base: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Let each unit see what is the same once, in the order in which it is seen first; the last fills the row."""
    period = np.gcd(axis.period, base[:, None])
    same = number(np.stack([axis.label, *reduced(axis.at, period), *period], 1))
    index = index.copy()
    for unit in np.flatnonzero((np.diff(np.sort(same[index], 1), axis=1) == 0).any(1)):
        _, first = np.unique(same[index[unit]], return_index=True)
        taps = index[unit, np.sort(first)]
        index[unit] = taps[np.minimum(np.arange(index.shape[1]), len(taps) - 1)]
    return index


def _in_order(at: np.ndarray, period: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Order the taps of each unit as their shifts follow each other, on a circle after the largest gap."""
    whole = int(period.max())
    moving = period != 1
    order = np.argsort(np.where(moving, at % whole if whole else at, np.iinfo(np.int64).max), -1, kind="stable")
    if whole > 1:
        for unit in np.flatnonzero(moving.all(1)):
            places = at[unit, order[unit]] % whole
            gaps = np.diff(places, prepend=places[-1] - whole)
            order[unit] = np.roll(order[unit], -first_of(gaps)) if np.ptp(gaps) else np.arange(len(gaps))
    return np.take_along_axis(index, order, 1)


def first_of(gaps: np.ndarray) -> int:
    """Return where a circle of places begins: after its largest gap, of equal ones the one with larger gaps to follow.

    Args:
        gaps: Distances from the place before, in order.

    Returns:
        A position: the same place of the circle, wherever the list begins.

    Example:
        >>> first_of(np.array([2, 1, 2, 2])), first_of(np.array([2, 2, 1, 2]))
        (2, 3)
    """
    starts = np.flatnonzero(gaps == gaps.max()).tolist()
    return max(starts, key=lambda start: np.roll(gaps, -start).tolist())


def largest(periods: np.ndarray) -> np.ndarray:
    """Return the first place of the largest period in each row; 0, for none at all, is the largest."""
    return np.where(periods == 0, np.iinfo(np.int64).max, periods).argmax(-1)


def _symmetric_periods(
    label: np.ndarray, rows: list[np.ndarray], period: np.ndarray, listed: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Lower the periods of units that see places, `listed` without an order, which a shift maps onto themselves."""
    period = period.copy()
    for i, whole in enumerate(period.max(1)):
        distances, periods = rows[2 * i], rows[2 * i + 1]
        if whole < 2 or distances.max() < whole // 2:  # the places lie in less than half of the circle
            continue
        for unit in range(len(label)):
            others = [row[unit] for j, row in enumerate(rows) if j != 2 * i]
            kind = number(np.stack([label[unit], *others], 1))
            least = _least_shift(kind, distances[unit], periods[unit], int(period[i, unit]), listed)
            period[i, unit] = least
    return period


def _least_shift(
    kind: np.ndarray, place: np.ndarray, period: np.ndarray, whole: int, listed: Callable[[np.ndarray], np.ndarray]
) -> int:
    """Return the least divisor of `whole` by which a shift of all places changes nothing but their order."""
    scale = whole + 1
    before = listed(kind * scale + place % period)
    for shift in range(1, whole):
        if whole % shift == 0 and np.array_equal(listed(kind * scale + (place + shift) % period), before):
            return shift
    return whole
