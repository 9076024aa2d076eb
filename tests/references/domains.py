"""What shifts of an input do to an output along one axis, from the definition of what every output position reads.

A unit, one position of an output, is a set of input positions with how each is read. A circular shift of the input by t
is one of the output by q if every unit, its positions moved by t round the circle, is the unit q further on. A shift
that brings in new content is one if, for a run of units, the same holds with positions as they stand. Both are looked
for by trying all.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

MOST_TIMES = 8


@dataclasses.dataclass(frozen=True)
class Unit:
    """How an output position reads the input: by position; `whole` is what it does to all, such as a divisor."""

    reads: Mapping[int, Hashable]
    whole: Hashable = None

    def moved(self, by: int, size: int | None = None) -> "Unit":
        """Move what is read, on a circle if it has a size."""
        places = ((p + by) if size is None else (p + by) % size for p in self.reads)
        return Unit(dict(zip(places, self.reads.values(), strict=True)), self.whole)


@dataclasses.dataclass(frozen=True)
class Domain:
    """What an output does under shifts along one axis, of `size` positions, of which it has `outputs`.

    Under circular shifts by multiples of `lattice` it is `equivariant`, and each of `steps` is how far it shifts when
    the input does by the lattice; `invariant`; `orbit`, equivariant up to a roll; or `position-dependent`. Under those
    that bring in new content it is `equivariant` by `inside`, (input shift, output shift), away from one of `margins`;
    or `position-dependent`.
    """

    size: int
    outputs: int
    circular: str = "position-dependent"
    lattice: int = 0
    steps: frozenset[int] = frozenset()
    interior: str = "position-dependent"
    inside: tuple[int, int] = (0, 0)
    margins: frozenset[tuple[int, int]] = frozenset()
    units: tuple[Unit, ...] = dataclasses.field(default=(), compare=False, repr=False)

    def answers(self, shift: int, step: int, margin: tuple[int, int]) -> bool:
        """Tell whether inside of a margin every unit, moved by a shift, is the unit `step` further on."""
        inside = range(margin[0], len(self.units) - margin[1])
        pairs = [(j, j + step) for j in inside if j + step in inside]
        return bool(pairs) and all(self.units[j].moved(shift) == self.units[k] for j, k in pairs)

    @property
    def tied(self) -> bool:
        """Whether the largest distance between neighbours that a unit sees on the circle is there twice."""
        for unit in self.units:
            places = sorted(unit.reads)
            gaps = [b - a for a, b in zip(places, [*places[1:], places[0] + self.size], strict=True)] if places else []
            if gaps.count(max(gaps, default=0)) > 1:
                return True
        return False


def domain(units: Sequence[Unit], size: int, *, jump: tuple[int, int]) -> Domain:
    """Find the domain of an output whose units are known.

    Args:
        units: All positions of the output, in order.
        size: Positions of the input.
        jump: The shift of the input, and that of the output, that its interior answers, or a multiple of both.
    """
    count = len(units)
    answers = {
        t: {
            q
            for q in range(count)
            if all(unit.moved(t, size) == units[(j + q) % count] for j, unit in enumerate(units))
        }
        for t in range(size)
    }
    lattice = next(t for t in range(1, size + 1) if answers[t % size])
    kind = "invariant" if 0 in answers[lattice % size] else "equivariant"
    around: dict[str, Any] = {"units": tuple(units)}
    if lattice < size or size == 1:
        around |= {"circular": kind, "lattice": lattice, "steps": frozenset(answers[lattice % size])}
    for times in range(1, MOST_TIMES + 1):
        t, q = times * jump[0], times * jump[1]
        same = [bool(units[j].reads) and units[j].moved(t) == units[j + q] for j in range(count - q)]
        runs = _runs(same)
        if runs:
            longest = max(end - start for start, end in runs)
            margins = {(start, count - end - q) for start, end in runs if end - start == longest}
            return Domain(size, count, **around, interior="equivariant", inside=(t, q), margins=frozenset(margins))
    return Domain(size, count, **around)


def _runs(same: Sequence[bool]) -> list[tuple[int, int]]:
    """Return where runs of True begin and end."""
    edges = [j for j in range(len(same) + 1) if (j > 0 and same[j - 1]) != (j < len(same) and same[j])]
    return list(zip(edges[::2], edges[1::2], strict=True))


def pointwise(size: int) -> Domain:
    """Every position for itself, all in the same way."""
    return domain([Unit({j: 0}) for j in range(size)], size, jump=(1, 1))


def normalised(size: int) -> Domain:
    """Every position for itself, but for statistics of all: circular shifts move it, new content changes everything."""
    return dataclasses.replace(
        pointwise(size), interior="position-dependent", inside=(0, 0), margins=frozenset(), units=()
    )


def whole(size: int) -> Domain:
    """One number of all positions, in any order."""
    return Domain(size, 1, "invariant", 1, frozenset({0}))


def nothing(size: int, outputs: int) -> Domain:
    """Every position in its own way."""
    return Domain(size, outputs)


def orbit(size: int, stride: int) -> Domain:
    """Sampled where the data say: a roll of the input is some roll of the output, along an axis that is sampled."""
    return normalised(size) if stride == 1 else Domain(size, size // stride, "orbit", 1)


Reading = Callable[[Sequence[tuple[int, int]], int], Unit]
"""From pairs (input position, tap), and how many taps fell on zeros, to a unit."""


def weighted(taps: Sequence[tuple[int, int]], zeros: int) -> Unit:
    """A kernel of general numbers, each tap its own: zeros add nothing."""
    reads: dict[int, tuple[int, ...]] = {}
    for position, tap in sorted(taps):
        reads[position] = (*reads.get(position, ()), tap)
    return Unit(reads)


def extreme(taps: Sequence[tuple[int, int]], zeros: int) -> Unit:
    """A maximum or a minimum: it does not mind how often it sees a value; padded positions never win."""
    return Unit(dict.fromkeys((position for position, _ in taps), 1))


def summed(taps: Sequence[tuple[int, int]], zeros: int) -> Unit:
    """A sum of equal weights."""
    return Unit(dict(Counter(position for position, _ in taps)))


def averaged(taps: Sequence[tuple[int, int]], zeros: int) -> Unit:
    """A sum over how many values of the map it has."""
    return Unit(summed(taps, 0).reads, len(taps))


def averaged_with_zeros(taps: Sequence[tuple[int, int]], zeros: int) -> Unit:
    """A sum over how many values it has, padded zeros among them."""
    return Unit(summed(taps, 0).reads, len(taps) + zeros)


def binomial(weights: Sequence[int]) -> Reading:
    """Known weights: equal ones are equal."""

    def read(taps: Sequence[tuple[int, int]], zeros: int) -> Unit:
        reads: Counter[int] = Counter()
        for position, tap in taps:
            reads[position] += weights[tap]
        return Unit(dict(reads))

    return read


def window(
    size: int,
    *,
    window: int,
    stride: int,
    dilation: int,
    padding: tuple[int, int],
    mode: str,
    outputs: int,
    reading: Reading,
) -> Domain:
    """A window that slides: output j reads the padded map at `stride j + dilation p - low`; beyond that, nothing."""
    units = []
    for j in range(outputs):
        taps, zeros = [], 0
        for p in range(window):
            position = stride * j + dilation * p - padding[0]
            if position >= size + padding[1]:
                continue  # it hangs over: `ceil_mode`
            if 0 <= position < size or mode != "zeros":
                taps.append((_beyond(position, size, mode), p))
            else:
                zeros += 1
        units.append(reading(taps, zeros))
    return domain(units, size, jump=(stride, 1))


def _beyond(position: int, size: int, mode: str) -> int:
    """Return the position of the map that stands at a position, perhaps of its padding."""
    if mode == "circular":
        return position % size
    if mode == "reflect":
        return position if 0 <= position < size else -position if position < 0 else 2 * (size - 1) - position
    return min(max(position, 0), size - 1)


def scatter(size: int, *, window: int, stride: int, dilation: int, low: int, outputs: int) -> Domain:
    """A window that is scattered: output `stride i + dilation p - low` adds tap p times input i."""
    units = []
    for j in range(outputs):
        taps = [(i, p) for i in range(size) for p in range(window) if stride * i + dilation * p - low == j]
        units.append(weighted(taps, 0))
    return domain(units, size, jump=(1, stride))


def bins(size: int, outputs: int, reading: Reading) -> Domain:
    """Bins from `floor(j N / n)` to `ceil((j + 1) N / n)`: where n divides N they tile the axis."""
    units = []
    for j in range(outputs):
        taken = range(j * size // outputs, -(-(j + 1) * size // outputs))
        units.append(reading([(position, 0) for position in taken], 0))
    common = next(d for d in range(min(size, outputs), 0, -1) if size % d == outputs % d == 0)
    return domain(units, size, jump=(size // common, outputs // common))


def stretched(sizes: Sequence[int], channels: int) -> list[Domain]:
    """A flattened map, along each of its axes: rolling the first axis rolls the features, any other one does not."""
    places: Iterable[Any] = [()]
    for size in (*sizes, channels):
        places = [(*place, n) for place in places for n in range(size)]
    found = []
    for axis, size in enumerate(sizes):
        units = [Unit({place[axis]: (place[:axis], place[axis + 1 :])}) for place in places]
        step = channels
        for later in sizes[axis + 1 :]:
            step *= later
        found.append(domain(units, size, jump=(1, step)))
    return found
