"""What an audit found, as JSON, and as an answer to a requirement."""

import dataclasses
import json
from typing import Any

from jaxcnn.config import unknown
from jaxcnn.equivariance import audit_text
from jaxcnn.equivariance.cause import Cause

REQUIREMENTS = {
    "exact": ("exact", "orbit"),
    "lattice": ("exact", "orbit", "exact-lattice"),
    "interior": ("exact", "orbit", "exact-lattice", "exact-interior"),
}
"""Verdicts that meet each requirement."""


@dataclasses.dataclass(frozen=True)
class AuditedLayer:
    """One layer of an audit.

    Example:
        >>> AuditedLayer("conv1", "conv", (8, 8, 1), "exact", ("exact", "exact"), ("equivariant",) * 2).is_worse
        False
    """

    name: str
    """Its name stack, or its operation and a number."""
    op: str
    """Its main operation."""
    shape: tuple[int, ...]
    """Shape of its output."""
    verdict: str
    """The worse of the spatial axes' verdicts; see `audit`."""
    verdicts: tuple[str, ...]
    """One a spatial axis, as promised."""
    contract: tuple[str, ...]
    """What `analysis` inferred, one a spatial axis."""
    lattice: tuple[int, ...] = ()
    """Shifts of the input that it speaks of are multiples of this; 0 where nothing is promised."""
    margin: tuple[tuple[int, int] | None, ...] = ()
    """Positions left out at either border, of an interior."""
    error: float = 0.0
    """Largest difference from perfect equivariance over all shifts, borders included, relative to its largest
    magnitude; NaN where nothing tells along which axis it would move."""
    kept: float | None = None
    """Largest difference from what it promises, the same way: rounding; None where it promises nothing."""
    refuted: bool = False
    """Whether measurement refutes the contract: an error of jaxcnn's, to be reported."""
    proven: bool = True
    """Whether the verdict is the contract's; else the contract promises less, and it is how the layer was seen to move
    under all shifts, on a few inputs."""
    causes: tuple[Cause, ...] = ()
    """Why it promises less than what it takes in; empty where it does not."""

    @property
    def cause(self) -> Cause | None:
        """The first of the causes."""
        return self.causes[0] if self.causes else None

    @property
    def is_worse(self) -> bool:
        """Whether it promises less than what it takes in."""
        return bool(self.causes)


@dataclasses.dataclass(frozen=True)
class Audit:
    """What an audit found; `str()` draws it.

    Example:
        >>> layer = AuditedLayer("conv1", "conv", (8, 8, 1), "exact", ("exact", "exact"), ("equivariant",) * 2)
        >>> print(Audit((layer,), "exact", "circular", (8, 8, 1), 15))
        Layer  Operation  Output  Verdict  Error
        ----------------------------------------
        input              8x8x1
        conv1  conv        8x8x1  exact        0
        ----------------------------------------
        result: exact under circular shifts (15 tried)
    """

    layers: tuple[AuditedLayer, ...]
    """In the order in which they finish."""
    verdict: str
    """Of the result: the worst of its arrays'."""
    mode: str
    """`circular`, `interior` or `fractional`."""
    input: tuple[int, ...]
    """Shape of the input."""
    shifts: int
    """How many were tried."""

    @property
    def first(self) -> AuditedLayer | None:
        """The layer where the verdict first worsens."""
        return next((layer for layer in self.layers if layer.is_worse), None)

    @property
    def refuted(self) -> tuple[AuditedLayer, ...]:
        """Layers whose contract measurement refutes."""
        return tuple(layer for layer in self.layers if layer.refuted)

    def meets(self, requirement: str) -> bool:
        """Say whether the result keeps a requirement.

        Args:
            requirement: `exact`, `lattice` (some multiples of a stride may be all that is promised) or `interior`.

        Returns:
            Whether it does, by its contract and not by what was seen alone, and no contract was refuted.

        Raises:
            ValueError: An unknown requirement.

        Example:
            >>> Audit((), "exact-lattice", "circular", (8, 8, 1), 15).meets("exact")
            False
        """
        if requirement not in REQUIREMENTS:
            raise ValueError(unknown("requirement", requirement, REQUIREMENTS))
        if not all(layer.proven for layer in self.layers[-1:]):
            return False
        partly = self.verdict == "orbit" and any(lattice > 1 for layer in self.layers[-1:] for lattice in layer.lattice)
        return ("exact-lattice" if partly else self.verdict) in REQUIREMENTS[requirement] and not self.refuted

    def to_json(self) -> str:
        """Return the audit as one JSON document.

        Returns:
            An object with `input`, `mode`, `shifts`, `verdict`, `refuted` and `layers`.

        Example:
            >>> Audit((), "exact", "circular", (8, 8, 1), 15).to_json()
            '{"input": [8, 8, 1], "mode": "circular", "shifts": 15, "verdict": "exact", "refuted": [], "layers": []}'
        """
        document = {
            "input": self.input,
            "mode": self.mode,
            "shifts": self.shifts,
            "verdict": self.verdict,
            "refuted": [layer.name for layer in self.refuted],
            "layers": [_finite(dataclasses.asdict(layer)) for layer in self.layers],
        }
        return json.dumps(document)

    def to_text(self, width: int = 120, *, what: str = "") -> str:
        """Draw the table.

        Args:
            width: Columns that it may have.
            what: Says what the input was.

        Returns:
            Lines.

        Example:
            >>> Audit((), "exact", "circular", (8, 8, 1), 15).to_text(what="an image").splitlines()[-2:]
            ['input: an image', 'result: exact under circular shifts (15 tried)']
        """
        return audit_text.table(self, width, what=what)

    def __str__(self) -> str:
        return self.to_text()


def _finite(value: Any) -> Any:
    """Replace what JSON has no number for by null."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value


def own_shape(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Leave out the batch of one that an operation may add to an input without one.

    Args:
        shape: Of an array.
        rank: Number of the input's axes.

    Returns:
        The shape.

    Example:
        >>> own_shape((1, 8, 8, 3), 3), own_shape((1, 8, 3), 3)
        ((8, 8, 3), (1, 8, 3))
    """
    return shape[1:] if len(shape) > rank and shape[:1] == (1,) else shape
