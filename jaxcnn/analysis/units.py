"""What each unit of an array computes, relative to shifts of the input: the abstract values that a jaxpr is read with.

Every unit of an array is a function of the input x. Two units may be the same function of shifted inputs: after a
convolution, unit j computes g(x shifted by -j) for one g. A `Units` says so for all units of an array, as a product
over its axes: the unit at (j0, j1, ...) computes the function named by the labels (L0[j0], L1[j1], ...), of the input
shifted by the sum of at0[j0], at1[j1], ... along each spatial axis of x. A label is only a name: units with equal
labels compute the same function, units with others are not known to.

A `period` P says that the function does not change when the input is shifted by P: a constant has period 1, so has a
sum over a whole circle. 0 stands for none. Under circular shifts an axis of N positions has period N to begin with.

The receptive field is kept apart, as an interval that grows: unit (j0, j1, ...) sees the input's positions from
`low + step0 j0 + step1 j1 + ...` to `high + ...`. Padding counts as positions, as in the published figures, so that a
field may be larger than the input.
"""

import dataclasses
import functools
from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

Interval = tuple[Fraction, Fraction]
FAR = 1e9
"""Beyond it lies no position of an input."""
UNSEEN, SEEN, MAYBE = range(3)
"""Whether a value saw padding."""
NOTHING: Interval = (Fraction(1), Fraction(0))
"""The field of a constant."""


class Unknown(Exception):
    """Nothing can be said of an operation's result; the message says why."""


@dataclasses.dataclass(frozen=True, eq=False)
class Axis:
    """Positions along one axis of an array; with n of them and k spatial axes of the input:

    Attributes:
        label: (n,) names of functions.
        at: (k, n) shifts of the input.
        period: (k, n) periods of the functions, multiples of the true ones.
        padded: (n,) whether the value saw padding: `UNSEEN`, `SEEN`, or `MAYBE` where only `whole` knows.
        step: For each input axis, how far the field moves from one position to the next; None where it does not move
            evenly.
        hull: (2, k, n) first and last position of the input that is seen, a summand; +inf and -inf for a constant. As
            in a field, padding counts as positions; it is tighter where units see different numbers of them.
        whole: Of the inner part of a split axis: the outer part, and the axis that both were.
        name: Which axis of its family it is: labels along different ones are not compared. None where positions are
            repeated, so that labels say nothing.
    """

    label: np.ndarray
    at: np.ndarray
    period: np.ndarray
    padded: np.ndarray
    step: tuple[Fraction | None, ...]
    hull: np.ndarray
    whole: "tuple[Axis, Axis] | None" = None
    name: Any = dataclasses.field(default_factory=object)

    @property
    def size(self) -> int:
        return len(self.label)

    @cached_property
    def is_still(self) -> bool:
        """Whether no position differs from another in its shift, period or padding: channels, for example."""
        return bool(
            not any(self.step)
            and not self.padded.any()
            and (self.at == self.at[:, :1]).all()
            and (self.period == self.period[:, :1]).all()
        )

    @cached_property
    def is_uniform(self) -> bool:
        """Whether all positions are the same unit."""
        return self.is_still and bool((self.label == self.label[0]).all())

    def carries(self, i: int) -> bool:
        """Whether positions along this axis are positions along input axis i."""
        return bool(self.step[i]) or bool((self.at[i] != self.at[i, 0]).any())

    def take(self, index: np.ndarray, step: Sequence[Fraction | None] | None = None) -> "Axis":
        """Return the positions at `index`."""
        columns = (self.at[:, index], self.period[:, index], self.padded[index])
        return Axis(self.label[index], *columns, tuple(step or self.step), self.hull[..., index], name=self.name)


@dataclasses.dataclass(frozen=True, eq=False)
class Units:
    """An array. Each of its axes is a product of `Axis`, outermost first: none for size 1, several after a merge.

    Attributes:
        shape: Of the array.
        axes: One tuple an axis.
        base: What all units share: an `Axis` of one position, a summand of their shifts and a factor of their periods.
        field: For each input axis, the receptive field of the unit at 0; `NOTHING`, or None where it is unknown.
        family: Labels of two arrays may be compared where they are of the same family: parts of one array.
        hidden: For each input axis, whether padding was seen along an axis that is gone.
        frame: For each input axis, 0; or the number of the data-dependent roll that all shifts are relative to.
        winner: What an index of the largest of some units tells of shifts; see `orbit.py`.
        here: Of booleans: at which of an axis's positions such an index stands, and which axis; see `orbit.py`.
        value: The numbers themselves, of a small constant.
        sources: Of a constant: which of the other arguments' leaves it is made of.
    """

    shape: tuple[int, ...]
    axes: tuple[tuple[Axis, ...], ...]
    base: Axis
    field: tuple[Interval | None, ...]
    family: int
    hidden: tuple[bool, ...]
    frame: tuple[int, ...]
    winner: Any = None
    here: Any = None
    value: np.ndarray | None = None
    sources: frozenset[int] = frozenset()

    @property
    def depends(self) -> bool:
        """Whether the input is seen at all."""
        return any(field != NOTHING for field in self.field)

    def replace(self, **changes: Any) -> "Units":
        """Return the units with some attributes changed; the value, `winner` and `here` are kept only where given."""
        return dataclasses.replace(self, **({"winner": None, "here": None, "value": None} | changes))


@functools.cache
def different(size: int) -> np.ndarray:
    """Return labels of which no two are equal: the same array each time, so that it can be told from others.

    Args:
        size: How many.

    Returns:
        Labels.

    Example:
        >>> different(3).tolist(), different(3) is different(3)
        ([0, 1, 2], True)
    """
    return np.arange(size)


def number(rows: np.ndarray) -> np.ndarray:
    """Number the different rows of a table: (n, m) to (n,), equal numbers for equal rows.

    Args:
        rows: Any table.

    Returns:
        Numbers, from 0 in the order of first appearance.

    Example:
        >>> number(np.array([[1, 2], [3, 4], [1, 2]])).tolist()
        [0, 1, 0]
    """
    seen: dict[bytes, int] = {}
    rows = np.ascontiguousarray(rows)
    return np.array([seen.setdefault(row.tobytes(), len(seen)) for row in rows], np.int64)


def either(*padded: np.ndarray) -> np.ndarray:
    """Say whether a value saw padding that was made of values that did or did not.

    Args:
        *padded: Arrays of `UNSEEN`, `SEEN` and `MAYBE`.

    Returns:
        The same.

    Example:
        >>> either(np.array([UNSEEN, MAYBE, MAYBE]), np.array([UNSEEN, UNSEEN, SEEN])).tolist()
        [0, 2, 1]
    """
    seen = np.any([part == SEEN for part in padded], axis=0)
    maybe = np.any([part == MAYBE for part in padded], axis=0)
    return np.where(seen, SEEN, np.where(maybe, MAYBE, UNSEEN)).astype(np.int8)


def reduced(at: np.ndarray, period: np.ndarray) -> np.ndarray:
    """Return shifts modulo periods, of which 0 leaves them as they are.

    Args:
        at: Shifts.
        period: Periods, which broadcast against them.

    Returns:
        Shifts.

    Example:
        >>> reduced(np.array([5, 5]), np.array([0, 3])).tolist()
        [5, 2]
    """
    return np.where(period == 0, at, at % np.maximum(period, 1))


def widen(field: Interval | None, reach: Fraction | None) -> Interval | None:
    """Grow a field to what units from here to `reach` further on see.

    Args:
        field: Interval, or None.
        reach: Distance, of either sign, or None where it is unknown.

    Returns:
        The interval.

    Example:
        >>> [str(end) for end in widen((Fraction(0), Fraction(2)), Fraction(-3))]
        ['-3', '2']
    """
    if field is None or field == NOTHING:
        return field
    if reach is None:
        return None
    return field[0] + min(reach, Fraction(0)), field[1] + max(reach, Fraction(0))


def lowest_common(values: np.ndarray) -> np.ndarray:
    """Return the least common multiple over the last axis; 0, for no period at all, stays 0.

    Args:
        values: Periods.

    Returns:
        Periods.

    Example:
        >>> lowest_common(np.array([[2, 3], [0, 1]])).tolist()
        [6, 0]
    """
    return np.lcm.reduce(values, axis=-1) if values.shape[-1] else np.ones(values.shape[:-1], np.int64)
