"""Whether a few operations are equivariant by themselves: their operands are rolled exactly, as they would move."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcnn.equivariance.program import Program
from jaxcnn.equivariance.relations import Relation
from jaxcnn.equivariance.units import Unit

TICKS = (1, 2, 5)
"""How often the operands are moved on, in each trial."""
ROUNDING = 1e-9
"""What float64 leaves of nothing, relative to the largest magnitude."""

Instead = Mapping[int, Callable[..., Sequence[Any]]]


@dataclasses.dataclass(frozen=True)
class Local:
    """A unit with its operands, in double precision.

    Attributes:
        program: That the unit is part of.
        unit: The unit.
        values: Its operands' numbers.
        known: Relations of all values.
    """

    program: Program
    unit: Unit
    values: dict[int, Any]
    known: Mapping[int, tuple[Relation, ...]]

    @property
    def lattice(self) -> int:
        """The least shift of the input that all operands answer."""
        return math.lcm(*(max(self.relation(n).lattice, 1) for n in self.unit.inputs))

    def relation(self, number: int) -> Relation:
        return self.known[number][self.unit.axis]

    def moves(self, number: int, shift: int) -> int:
        """By how much an operand moves when the input shifts."""
        return self.relation(number).answer(shift) or 0

    def run(self, given: Mapping[int, Any], instead: Instead | None = None, target: int | None = None) -> np.ndarray:
        """Compute the result of some operands."""
        wanted = self.unit.target if target is None else target
        given = {**self.program.constants, **given}
        (result,) = self.program.replay(given, [wanted], double=True, instead=instead)
        return np.asarray(result)

    def rolled(self, shift: int) -> dict[int, Any]:
        """Return the operands, moved as they do when the input shifts."""
        moved = {}
        for number, value in self.values.items():
            axis = self.relation(number).axis
            moved[number] = value if axis is None else jnp.roll(value, self.moves(number, shift), axis)
        return moved

    def error(
        self,
        instead: Instead | None = None,
        *,
        times: int = 1,
        target: int | None = None,
        change: Callable[[dict[int, Any]], dict[int, Any]] = lambda given: given,
    ) -> float:
        """Return how far the unit is from moving with its operands, or not at all.

        Args:
            instead: Operations that are replaced.
            times: Shift the input by multiples of this many lattices of the operands.
            target: The value to look at, where it is not the unit's result.
            change: Applied to the operands first.

        Returns:
            The largest difference relative to the largest magnitude, under the best rule of motion.
        """
        base = self.run(change(self.values), instead, target)
        size = max(
            (self.values[n].shape[r.axis] for n in self.unit.inputs if (r := self.relation(n)).axis is not None),
            default=1,
        )
        worst: dict[tuple[int, int, int], float] = {}
        scale = float(np.max(np.abs(base[np.isfinite(base)]), initial=0)) or 1.0
        for tick in TICKS:
            shift = tick * times * self.lattice
            found = self.run(change(self.rolled(shift)), instead, target)
            step = max((self.moves(n, shift) for n in self.unit.inputs), key=abs, default=0)
            for rule, amounts in _rules(base.shape, size, step).items():
                moved = (
                    base
                    if rule[0] < 0
                    else min((np.roll(base, amount, rule[0]) for amount in amounts), key=lambda b: far(b, found))
                )
                worst[rule] = max(worst.get(rule, 0.0), far(moved, found) / scale)
        return min(worst.values())

    def holds(self, instead: Instead | None = None, **options: Any) -> bool:
        """Whether the unit moves with its operands, to rounding; False where it cannot be computed at all."""
        try:
            return self.error(instead, **options) < ROUNDING
        except (TypeError, ValueError, IndexError):
            return False


def far(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference of two arrays; infinity where their shapes differ.

    Args:
        one: Array.
        other: Array.

    Returns:
        At least 0.

    Example:
        >>> far(np.array([1.0, np.inf]), np.array([3.0, np.inf]))
        2.0
    """
    if one.shape != other.shape:
        return math.inf
    if one.dtype == bool:
        return float((one != other).any())
    with np.errstate(invalid="ignore"):
        return float(np.max(np.where(one == other, 0.0, np.abs(one - other)), initial=0.0))


def _rules(shape: tuple[int, ...], size: int, step: int) -> dict[tuple[int, int, int], list[int]]:
    """List how a result may move: not at all, or along an axis, forward or back, by as much as its size asks for."""
    rules: dict[tuple[int, int, int], list[int]] = {(-1, 0, 0): [0]}
    for axis, n in enumerate(shape):
        if n > 1:
            for sign in (1, -1):
                pace = step * n / size
                rules[axis, sign, 0] = [sign * amount for amount in {math.floor(pace), math.ceil(pace)}]
                rules[axis, sign, 1] = [sign * step]
    return rules
