"""What all arrays of one reading have in common: the input's sizes, the kind of shift, and counters of names."""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from jaxcnn.analysis.units import NOTHING, Axis, Units, different, number


class World:
    """What all arrays of one reading have in common: the input's spatial sizes, the kind of shift, and counters.

    Args:
        sizes: Of the input's spatial axes.
        circular: Whether the shifts are circular; else content comes in that nothing is known of.
    """

    def __init__(self, sizes: Sequence[int], *, circular: bool):
        self.rank = len(sizes)
        self.sizes = tuple(sizes)
        self.circular = circular
        self.modulus = np.array(sizes if circular else [0] * self.rank, np.int64)
        self.families = 0
        self.frames: dict[Any, int] = {}
        self.lattices: dict[int, int] = {}
        self.paces: dict[int, int] = {0: 1}
        self.opened: dict[int, Any] = {}
        self.names: dict[Any, int] = {}
        self.gone: dict[int, frozenset[Any]] = {}

    def family(self) -> int:
        """Return a number for an array whose functions are new."""
        self.families += 1
        return self.families

    def frame(self, *roll: Any) -> int:
        """Return the number of a roll that the data choose: the same one for the same choice."""
        return self.frames.setdefault(roll, len(self.frames) + 1)

    def follows(self, frame: int, lattice: int, pace: int) -> None:
        """Note that a roll follows those input shifts alone that are multiples of `lattice`.

        Those by `pace` choose the same phase: they move what was chosen by one position.
        """
        self.lattices[frame], self.paces[frame] = lattice, pace

    def name(self, *parts: Any) -> int:
        """Return a label for a combination of labels: equal for equal ones."""
        return self.names.setdefault(parts, len(self.names) + 1)

    def without(self, label: int, axis: Axis, position: int) -> int:
        """Return a base's label when an axis is gone but for a label: the same in whatever order several go."""
        if axis.name is None:
            return label
        gone = self.gone.get(label, frozenset[Any]()) | {(axis.name, position)}
        number = self.name(gone)
        self.gone[number] = gone
        return number

    def axis(self, label: np.ndarray, *, at: np.ndarray | None = None, step: Sequence[Any] | None = None) -> Axis:
        """Return an axis of some labels that nothing else is known of."""
        n = len(label)
        still = np.zeros((self.rank, n), np.int64) if at is None else at
        period = np.broadcast_to(self.modulus[:, None], (self.rank, n))
        hull = np.stack([still, still]).astype(float)
        return Axis(label, still, period, np.zeros(n, np.int8), tuple(step or (Fraction(0),) * self.rank), hull)

    def distinct(self, size: int) -> tuple[Axis, ...]:
        """Return an axis whose positions have nothing in common."""
        return (self.axis(different(size)),) if size > 1 else ()

    def uniform(self, size: int) -> tuple[Axis, ...]:
        """Return an axis whose positions are the same."""
        return (self.repeated(size),) if size > 1 else ()

    def repeated(self, size: int) -> Axis:
        """Return an axis along which one position is repeated."""
        return dataclasses.replace(self.axis(np.zeros(size, np.int64)), name=None)

    def base(self, *, constant: bool = False) -> Axis:
        """Return the base of an array whose units share nothing, or of a constant."""
        base = self.axis(np.zeros(1, np.int64))
        if not constant:
            return base
        nothing = np.stack([np.full((self.rank, 1), np.inf), np.full((self.rank, 1), -np.inf)])
        return dataclasses.replace(base, period=np.ones_like(base.period), hull=nothing)

    def constant(self, shape: Sequence[int], value: np.ndarray | None = None) -> Units:
        """Return an array that does not see the input; positions are told apart by its value, where that is known."""
        shape = tuple(shape)
        axes = []
        for axis, size in enumerate(shape):
            if value is None or size < 2:
                axes.append(self.distinct(size))
            else:
                rows = np.moveaxis(value, axis, 0).reshape(size, -1)
                axes.append((self.axis(number(rows)),))
        nothing, still, frame = (NOTHING,) * self.rank, (False,) * self.rank, (0,) * self.rank
        base = self.base(constant=True)
        return Units(shape, tuple(axes), base, nothing, self.family(), still, frame, value=value)

    def input(self, shape: Sequence[int], spatial_axes: Sequence[int]) -> Units:
        """Return the input: its spatial axes carry positions, all others tell functions apart."""
        axes = []
        for axis, size in enumerate(shape):
            if axis in spatial_axes:
                i = list(spatial_axes).index(axis)
                at = np.zeros((self.rank, size), np.int64)
                at[i] = np.arange(size)
                step = [Fraction(int(i == other)) for other in range(self.rank)]
                axes.append((self.axis(np.zeros(size, np.int64), at=at, step=step),))
            else:
                axes.append(self.distinct(size))
        field = ((Fraction(0), Fraction(0)),) * self.rank
        return Units(
            tuple(shape), tuple(axes), self.base(), field, self.family(), (False,) * self.rank, (0,) * self.rank
        )
