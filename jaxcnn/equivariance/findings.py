"""What an audit found, as a table, as JSON, and as an answer to a requirement."""

import dataclasses
import json
from typing import Any

from jaxcnn.config import unknown
from jaxcnn.equivariance.cause import Cause

SHIFTS = {
    "circular": "circular shifts",
    "interior": "shifts that bring in new content",
    "fractional": "shifts by half a pixel",
}
TURNED = ("sort", "transposed axes", "mirrored axis")
"""Causes that lose no shift: the map moves along another axis, the other way, or no more."""
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
        Layer  Operation  Output  Verdict  Error  Cause
        -----------------------------------------------
        conv1  conv        8x8x1  exact        0
        -----------------------------------------------
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
            Whether it does, and no contract was refuted.

        Raises:
            ValueError: An unknown requirement.

        Example:
            >>> Audit((), "exact-lattice", "circular", (8, 8, 1), 15).meets("exact")
            False
        """
        if requirement not in REQUIREMENTS:
            raise ValueError(unknown("requirement", requirement, REQUIREMENTS))
        return self.verdict in REQUIREMENTS[requirement] and not self.refuted

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

    def __str__(self) -> str:
        return table(self)


def _finite(value: Any) -> Any:
    """Replace what JSON has no number for by null."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value


def table(audit: Audit) -> str:
    """Draw an audit.

    Args:
        audit: The audit.

    Returns:
        Lines: one a layer, then what is to be said of the whole.

    Example:
        >>> table(Audit((), "exact", "circular", (8, 8, 1), 15)).splitlines()[-1]
        'result: exact under circular shifts (15 tried)'
    """
    rows = [("Layer", "Operation", "Output", "Verdict", "Error", "Cause")]
    for layer in audit.layers:
        causes = "; ".join(cause.text for cause in layer.causes)
        sizes = "x".join(map(str, layer.shape)) or "1"
        rows.append((layer.name, layer.op, sizes, verdict_text(layer), share(layer.error), causes))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(w) if n in (2, 4) else cell.ljust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    rule = "-" * max(map(len, lines))
    end = ending(audit)
    return "\n".join([lines[0], rule, *lines[1:], rule, *end])


def ending(audit: Audit) -> list[str]:
    """Say what is to be said of the whole.

    Args:
        audit: The audit.

    Returns:
        Lines: the result's verdict, where something was lost first, and contracts that were refuted.

    Example:
        >>> ending(Audit((), "exact", "interior", (8, 8, 1), 15))
        ['result: exact under shifts that bring in new content (15 tried)']
    """
    last = audit.layers[-1] if audit.layers else None
    verdict = verdict_text(last) if last and last.verdict == audit.verdict else audit.verdict
    lines = [f"result: {verdict} under {SHIFTS[audit.mode]} ({audit.shifts} tried)"]
    if audit.first is not None:
        word = "seen at" if audit.first.cause and audit.first.cause.kind in TURNED else "first lost at"
        lines.append(f"{word} {audit.first.name}: {audit.first.cause}")
    return lines + [
        f"{layer.name}: measurement refutes its contract ({', '.join(layer.contract)}): an error of jaxcnn's, report it"
        for layer in audit.refuted
    ]


def verdict_text(layer: AuditedLayer) -> str:
    """Say a verdict, with its lattice or its margins.

    Args:
        layer: Of an audit.

    Returns:
        A few words.

    Example:
        >>> verdict_text(AuditedLayer("pool1", "max pool", (4, 4, 1), "exact-lattice", ("exact-lattice",), ("",), (2,)))
        'exact on 2Z'
    """
    if layer.verdict not in layer.verdicts or layer.verdict not in ("exact-lattice", "exact-interior"):
        return layer.verdict
    parts = []
    for verdict, lattice, margin in zip(layer.verdicts, layer.lattice, layer.margin or (None,) * 9, strict=False):
        text = "exact" if verdict == "exact-lattice" else "interior" if verdict == "exact-interior" else verdict
        text += f" {margin[0]}..{margin[1]}" if margin is not None else ""
        parts.append(text + (f" on {lattice}Z" if lattice > 1 else ""))
    return ", ".join(dict.fromkeys(parts))


def share(error: float) -> str:
    """Write a relative error.

    Args:
        error: Of a layer.

    Returns:
        A few characters; `-` for NaN.

    Example:
        >>> [share(error) for error in (0.0, 6e-8, 0.034, 1.013, float("nan"), float("inf"))]
        ['0', '6e-08', '3.4 %', '101 %', '-', 'not finite']
    """
    if error != error:
        return "-"
    if not 1e-3 <= error < float("inf"):
        return "0" if error == 0 else f"{error:.0e}" if error < 1 else "not finite"
    return f"{100 * error:.{0 if error >= 0.0995 else 1}f} %"


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
