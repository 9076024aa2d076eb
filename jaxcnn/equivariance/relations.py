"""What an array promises to do when the input shifts along one axis, in the words that an audit orders and compares."""

import dataclasses
from fractions import Fraction

from jaxcnn.analysis import AxisFacts, Facts

VERDICTS = ("exact", "orbit", "exact-lattice", "exact-interior", "approximate", "broken", "unknown")
"""From best to worst; see `audit`."""
APPROXIMATE = 0.05
"""Largest relative difference that counts as approximate equivariance."""


@dataclasses.dataclass(frozen=True)
class Relation:
    """What one array does when the input shifts along one axis.

    Attributes:
        verdict: `exact`, `orbit`, `exact-lattice`, `exact-interior`, `broken` or `unknown`.
        lattice: The input shifts it speaks of are multiples of this; 0 where it promises nothing.
        axis: The array's axis that moves; None where none does.
        step: By how many positions the array shifts when the input shifts by `lattice`.
        margin: Positions at either border that are left out, of an interior; None where none are.
        jump: Input positions between two neighbouring units, where known.
        moves: Whether the array moves, rather than staying as it is.
    """

    verdict: str
    lattice: int = 0
    axis: int | None = None
    step: int = 0
    margin: tuple[int, int] | None = None
    jump: Fraction | None = None

    @property
    def moves(self) -> bool:
        return bool(self.step)

    @property
    def rank(self) -> tuple[int, int]:
        """Larger is worse: the verdict, then the lattice; an orbit of some shifts alone is a lattice's equal."""
        verdict = "exact-lattice" if self.verdict == "orbit" and self.lattice > 1 else self.verdict
        return VERDICTS.index(verdict), self.lattice

    @property
    def promises(self) -> bool:
        return self.lattice > 0

    def answer(self, shift: int) -> int | None:
        """Return by how much the array moves when the input shifts; None where nothing is promised of that shift."""
        if not shift:
            return 0
        return None if not self.lattice or shift % self.lattice else shift // self.lattice * self.step


def relation(facts: AxisFacts, mode: str, size: int) -> Relation:
    """Say what an array does when the input shifts along one axis.

    Args:
        facts: Of the array, along that axis.
        mode: `circular`, or `interior` for shifts that bring in new content.
        size: Of the input's axis.

    Returns:
        The relation: of circular shifts the circular contract, or where it promises nothing the interior one.

    Example:
        >>> from jaxcnn.analysis import Contract
        >>> facts = AxisFacts(0, 3, None, None, (1, 1), (0, 7), Contract("position-dependent"),
        ...                   Contract("equivariant", 1, 1, (1, 1)))
        >>> relation(facts, "circular", 8).verdict, relation(facts, "circular", 8).answer(2)
        ('exact-interior', 2)
    """
    around, within = facts.circular, facts.interior
    place = {"axis": facts.axis, "jump": facts.jump}
    if around.kind == "unknown" or (mode == "interior" and within.kind == "unknown"):
        return Relation("unknown", **place)
    if around.guarantees and mode == "circular" and around.lattice < max(size, 2):
        named = "exact-lattice" if around.lattice > 1 else "exact"
        return Relation("orbit" if around.kind == "orbit" else named, around.lattice, step=around.step, **place)
    if within.kind == "invariant" and within.guarantees:
        return Relation("exact", 1, **place)
    if within.guarantees and within.lattice < max(size, 2):
        return Relation("exact-interior", within.lattice, step=within.step, margin=within.margin, **place)
    return Relation("broken", **place)


def relations(facts: Facts, mode: str, sizes: tuple[int, ...]) -> tuple[Relation, ...]:
    """Say what an array does when the input shifts, for each of the input's spatial axes.

    Args:
        facts: Of the array.
        mode: As in `relation`.
        sizes: Of the input's spatial axes.

    Returns:
        One relation an axis.
    """
    return tuple(relation(axis, mode, size) for axis, size in zip(facts.axes, sizes, strict=True))
