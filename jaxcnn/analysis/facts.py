"""What is known of one array: its receptive field, its jump, who saw padding, and what shifts do to it."""

import dataclasses
import math
from fractions import Fraction

import numpy as np

from jaxcnn.analysis.moves import NO_HULL, enclosing, single
from jaxcnn.analysis.units import NOTHING, SEEN, Axis, Interval, Units, lowest_common, reduced, widen
from jaxcnn.analysis.world import World

MOST_STEPS = 8
"""Output shifts that are tried under shifts that bring in new content, of each kind."""


@dataclasses.dataclass(frozen=True)
class Contract:
    """What shifts of the input along one axis do to an array.

    Attributes:
        kind: `equivariant` (the array shifts too), `invariant` (it stays as it is), `orbit` (it shifts by an amount
            that the data choose), `position-dependent` (no relation is known: positions are treated differently), or
            `unknown` (an operation without a rule is on the way).
        lattice: The shifts that it speaks of are the multiples of this; 0 where it guarantees nothing.
        step: By how many positions the array shifts when the input shifts by `lattice`; negative where it is turned.
        margin: Under shifts that bring in new content: how many positions at either border are left out. None under
            circular shifts.

    Example:
        >>> str(Contract("equivariant", 2, 1)), str(Contract("equivariant", 1, 1, (3, 3)))
        ('equivariant on 2Z', 'interior 3..3')
    """

    kind: str
    lattice: int = 0
    step: int = 0
    margin: tuple[int, int] | None = None

    @property
    def guarantees(self) -> bool:
        """Whether it says anything of shifts."""
        return self.lattice > 0

    def __str__(self) -> str:
        text = self.kind
        if self.kind == "equivariant" and self.margin is not None:
            text = f"interior {self.margin[0]}..{self.margin[1]}"
        return text + (f" on {self.lattice}Z" if self.lattice > 1 else "")


@dataclasses.dataclass(frozen=True)
class AxisFacts:
    """What is known of an array along one spatial axis of the input.

    Attributes:
        axis: The array's axis along which the input's positions run; None where there is none.
        receptive_field: How many positions of the input a unit sees, padding included, so that it may be larger than
            the input; 0 for a constant, such as a window that holds padding alone; None where it is unknown.
        field: First and last position that the units at position 0 of `axis` see, perhaps fractions: those at j, if
            they are of the interior, see the whole numbers from `field[0] + j * jump` to `field[1] + j * jump`; so do
            the others, as if the map went on where it is padded, mirrored, or cut and joined; where none is of the
            interior, what is seen on either side of a cut belongs to it. None where unknown or empty.
        jump: Input positions between the fields of two neighbours; negative where they are reversed.
        padding: How many positions at the low and at the high border of `axis` saw padding.
        padded: All positions of `axis` that saw padding.
        circular: The contract under circular shifts.
        interior: The contract under shifts that bring in new content.

    Example:
        A window sum of 3 at every second position: two thirds of what neighbours see is common to them.

        >>> import jax
        >>> from jaxcnn.analysis import trace
        >>> def sums(x):
        ...     return jax.lax.reduce_window(x, 0.0, jax.lax.add, (3,), (2,), ((1, 1),))
        >>> (facts,) = trace(sums, jax.ShapeDtypeStruct((9,), "float32"), spatial_axes=(0,)).outputs[0].axes
        >>> facts.receptive_field, str(facts.jump), facts.padding, str(facts.contract)
        (3, '2', (1, 1), 'interior 1..1 on 2Z')
    """

    axis: int | None
    receptive_field: int | None
    field: Interval | None
    jump: Fraction | None
    padding: tuple[int, int]
    padded: tuple[int, ...]
    circular: Contract
    interior: Contract

    @property
    def center(self) -> Fraction | None:
        """Input position of the middle of unit 0's field."""
        return None if self.field is None else (self.field[0] + self.field[1]) / 2

    @property
    def contract(self) -> Contract:
        """The circular contract where it guarantees something, else the interior one."""
        return self.circular if self.circular.guarantees or not self.interior.guarantees else self.interior


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of an array: one entry for each spatial axis of the input.

    Attributes:
        shape: Of the array.
        axes: One for each spatial axis of the input.

    Example:
        >>> import jax
        >>> from jaxcnn.analysis import trace
        >>> trace(lambda x: x.T, jax.ShapeDtypeStruct((4, 3), "float32"), spatial_axes=(0,)).outputs[0].axes[0].axis
        1
    """

    shape: tuple[int, ...]
    axes: tuple[AxisFacts, ...]


UNKNOWN = AxisFacts(None, None, None, None, (0, 0), (), Contract("unknown"), Contract("unknown"))


def facts_of(
    shape: tuple[int, ...], circular: tuple[World, Units | None], interior: tuple[World, Units | None]
) -> Facts:
    """Say what two readings of a program tell of an array.

    Args:
        shape: Of the array.
        circular: The world of circular shifts, and the array in it.
        interior: The world of shifts that bring in new content, and the array in it.

    Returns:
        The facts.
    """
    rank = circular[0].rank
    if circular[1] is None:
        return Facts(shape, (UNKNOWN,) * rank)
    return Facts(shape, tuple(_along(i, circular[0], circular[1], *interior) for i in range(rank)))


def _along(i: int, round_world: World, around: Units, plane_world: World, plane: Units | None) -> AxisFacts:
    carriers = [
        place for place, product in enumerate(around.axes) if any(axis.carries(i) for axis in product)
    ]  # the same in both worlds
    singles = {place: single(round_world, around, place) for place in carriers}
    merged = {place: axis for place, (axis, _) in singles.items()}
    circular, axis = _circular(i, round_world, around, merged)
    within, other, lines = Contract("unknown"), None, {}
    if plane is not None:
        lines = {place: single(plane_world, plane, place)[0] for place in carriers}
        within, other = _interior(i, plane, lines)
    axis = other if axis is None else axis
    axis = carriers[0] if axis is None and len(carriers) == 1 else axis
    field = around.field[i]
    padded: tuple[int, ...] = ()
    low = high = int(around.hidden[i]) if axis is None else 0
    if axis is not None:
        seen = (merged[axis].padded == SEEN) | around.hidden[i]
        padded = tuple(np.flatnonzero(seen).tolist())
        low, high = (len(seen),) * 2 if seen.all() else (int(part.argmin()) for part in (seen, seen[::-1]))
    if field == NOTHING:
        return AxisFacts(axis, 0, None, None, (low, high), padded, circular, within)
    jump = merged[axis].step[i] if axis is not None else None
    size = _size(field, around, i)
    field = field if axis is None else singles[axis][1][i]
    for place, product in enumerate(around.axes):
        for part in product if place != axis else ():
            step = part.step[i]
            field = widen(field, None if step is None else step * (part.size - 1))
    if plane is not None and field is not None and size is not None:
        hull = _hull(i, plane, None if axis is None else lines[axis], axis)
        low_margin, high_margin = within.margin or (0, 0)
        hull[:, :low_margin] = hull[:, hull.shape[1] - high_margin :] = NO_HULL[:, 0]
        size, field = _tightened(size, field, hull, jump)
    return AxisFacts(axis, size, field, jump, (low, high), padded, circular, within)


def _hull(i: int, array: Units, axis: Axis | None, place: int | None) -> np.ndarray:
    """Return the first and last positions that units along an axis see, whatever their other positions are."""
    hull = array.base.hull[:, i] + (0 if axis is None else axis.hull[:, i])
    for other, product in enumerate(array.axes):
        for part in product if other != place else ():
            hull = hull + np.array([[part.hull[0, i].min()], [part.hull[1, i].max()]])
    return hull


def _tightened(size: int, field: Interval, hull: np.ndarray, jump: Fraction | None) -> tuple[int, Interval]:
    """Return the size of the widest unit's field, and the field, where units of different phases see less."""
    tight = enclosing(hull, jump or Fraction(0)) if jump or hull.shape[1] == 1 else None
    if tight is None:
        return size, field
    seen = hull[:, np.isfinite(hull).all(0)]
    return min(size, int((seen[1] - seen[0]).max()) + 1), (max(field[0], tight[0]), min(field[1], tight[1]))


def _size(field: Interval | None, array: Units, i: int) -> int | None:
    """Return how many positions the largest field holds: a whole number of them, whatever phase a unit is in."""
    if field is None:
        return None
    steps = [axis.step[i] for product in array.axes for axis in product]
    common = math.lcm(*(step.denominator for step in steps if step is not None), field[0].denominator)
    starts = {field[0] + Fraction(n, common) for n in range(common)} if any(steps) else {field[0]}
    on_lattice = [start for start in starts if _reachable(start - field[0], steps)]
    width = field[1] - field[0]
    return max(math.floor(start + width) - math.ceil(start) + 1 for start in on_lattice)


def _reachable(distance: Fraction, steps: list[Fraction | None]) -> bool:
    """Whether a sum of steps is `distance`, up to whole numbers."""
    common = Fraction(1)
    for step in steps:
        if step:
            top = math.gcd(common.numerator * step.denominator, step.numerator * common.denominator)
            common = Fraction(top, common.denominator * step.denominator)
    return (distance / common).denominator == 1


def _whole_period(i: int, array: Units) -> int:
    """Return a shift that changes no unit: 0 where there is none."""
    periods = [int(lowest_common(axis.period[i])) for product in array.axes for axis in product if axis.size]
    return math.gcd(int(array.base.period[i, 0]), *periods)


def _circular(i: int, world: World, array: Units, carriers: dict[int, Axis]) -> tuple[Contract, int | None]:
    period = _whole_period(i, array)
    best: tuple[int, int, int | None] = (period, 0, None)
    for place, axis in carriers.items():
        found = _least_lattice(i, axis, period)
        if found and found[0] < best[0]:
            best = (*found, place)
    lattice, step, axis_of = best
    if array.frame[i] and lattice == 1:  # positions are relative to a roll that the data chose
        followed = world.lattices[array.frame[i]]
        return Contract("orbit", followed, step) if step else Contract("invariant", followed), axis_of
    lattice *= world.paces[array.frame[i]]  # shifts that change no choice
    if step:
        return Contract("equivariant", lattice, step), axis_of
    moves = lattice == world.sizes[i] > 1
    return Contract("position-dependent") if moves else Contract("invariant", lattice), None


def _least_lattice(i: int, axis: Axis, period: int) -> tuple[int, int] | None:
    """Return the least input shift that some roll of an axis answers, and that roll.

    The rolls that are answered are the multiples of the least one, which divides the size: they are a subgroup.
    """
    n = axis.size
    for step in _divisors(n)[:-1]:
        shift = _answered(i, axis, period, np.roll(np.arange(n), -step))
        if shift:
            least = math.gcd(shift, period)
            times = next(k for k in range(1, period + 1) if k * shift % period == least)
            roll = times * step % n
            return least, roll - n if roll > n // 2 else roll
    return None


def _divisors(n: int) -> list[int]:
    small = [k for k in range(1, math.isqrt(n) + 1) if n % k == 0]
    return small + [n // k for k in reversed(small)]


def _answered(i: int, axis: Axis, period: int, to: np.ndarray) -> int:
    """Return by what shift of the input unit j becomes unit to[j], for all j; 0 where there is none."""
    if (axis.label != axis.label[to]).any():
        return 0
    for other in range(len(axis.at)):
        if other != i and reduced(axis.at[other, to] - axis.at[other], np.gcd(axis.period[other], 0)).any():
            return 0
    periods = np.gcd(axis.period[i], period)
    distance = axis.at[i, to] - axis.at[i]
    shift = int(distance[periods.argmax()] % period)
    return 0 if (reduced(distance - shift, periods) != 0).any() else shift


def _interior(i: int, array: Units, carriers: dict[int, Axis]) -> tuple[Contract, int | None]:
    if _whole_period(i, array) == 1:
        return Contract("invariant", 1), None
    for place, axis in carriers.items():
        jump = axis.step[i]
        if not jump:
            continue
        sign = 1 if jump > 0 else -1
        for step in _steps(i, axis, jump):
            lattice = abs(int(step * jump))
            run = _longest_run(i, axis, step, sign * lattice)
            if run is not None:
                return Contract("equivariant", lattice, sign * step, run), place
    for place, axis in carriers.items():  # another distance than the jump: mirrored units, of a sum or a maximum
        for step in range(1, min(axis.size, MOST_STEPS + 1)):
            for distance in np.unique(axis.at[i, step:] - axis.at[i, :-step])[:MOST_STEPS].tolist():
                run = _longest_run(i, axis, step, distance) if distance else None
                if run is not None and axis.size - sum(run) > step + 1:  # one pair alone is a coincidence of borders
                    return Contract("equivariant", abs(distance), step if distance > 0 else -step, run), place
    return Contract("position-dependent"), None


def _steps(i: int, axis: Axis, jump: Fraction) -> list[int]:
    """Return the steps to try: small ones, and those after which the unit in the middle comes again."""
    usual = [times * jump.denominator for times in range(1, MOST_STEPS + 1)]
    ahead = np.arange(1, axis.size - (middle := axis.size // 2))
    moved = axis.at[i, middle + ahead] - axis.at[i, middle]
    again = (axis.label[middle + ahead] == axis.label[middle]) & (moved * jump.denominator == ahead * jump.numerator)
    return list(dict.fromkeys([*usual, *ahead[again][:MOST_STEPS].tolist()]))


def _longest_run(i: int, axis: Axis, step: int, distance: int) -> tuple[int, int] | None:
    """Return what the longest run of units leaves out at either end, in which units `step` apart are the same one."""
    n = axis.size
    if n <= step:
        return None
    first, second = slice(0, n - step), slice(step, n)
    same = (axis.label[first] == axis.label[second]) & (axis.period[i, first] != 1)
    same &= axis.at[i, second] - axis.at[i, first] == distance
    for other in range(len(axis.at)):
        if other != i:
            same &= axis.at[other, second] == axis.at[other, first]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], same.astype(int), [0]])))
    runs = edges.reshape(-1, 2)
    if not len(runs):
        return None
    start, end = max(runs.tolist(), key=lambda run: run[1] - run[0])
    return int(start), int(n - (end + step - 1)) - 1
