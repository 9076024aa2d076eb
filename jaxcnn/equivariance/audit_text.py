"""An audit as text, as wide as asked for."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxcnn.equivariance.findings import Audit, AuditedLayer

TITLES = ("Layer", "Operation", "Output", "Verdict", "Error", "Cause")
RIGHT = {"Output", "Error"}
NARROWEST = 8
"""Columns that are left of a layer's name, at least."""
SHIFTS = {
    "circular": "circular shifts",
    "interior": "shifts that bring in new content",
    "fractional": "shifts by half a pixel",
}
TURNED = ("sort", "transposed axes", "mirrored axis")
"""Causes that lose no shift: the map moves along another axis, the other way, or no more."""


def table(audit: "Audit", width: int = 120, *, what: str = "") -> str:
    """Draw an audit.

    Args:
        audit: Any.
        width: Columns there are: where the table is wider, causes stand on lines of their own, and long names are cut
            in the middle.
        what: Says what the input was.

    Returns:
        Lines.

    Example:
        >>> from jaxcnn.equivariance import Audit, AuditedLayer, Cause
        >>> layer = AuditedLayer("conv1", "conv", (8, 8, 1), "exact-interior", ("exact-interior",), ("",), (1,),
        ...                      ((1, 1),), 0.82, causes=(Cause("zero padding", "zero padding 1 and 1", "conv", 0.8),))
        >>> print(table(Audit((layer,), "exact-interior", "circular", (8, 8, 1), 15), 50, what="random numbers"))
        Layer  Operation  Output  Verdict        Error
        ----------------------------------------------
        input              8x8x1
        conv1  conv        8x8x1  interior 1..1   82 %
               zero padding 1 and 1
        ----------------------------------------------
        input: random numbers
        result: interior 1..1 under circular shifts (15
          tried)
        first lost at conv1: zero padding 1 and 1
    """
    rows = [("input", "", "x".join(map(str, audit.input)), "", "", ""), *map(_row, audit.layers)]
    widths = [max(map(len, column)) for column in zip(TITLES, *rows, strict=True)]
    if not any(row[-1] for row in rows):
        widths = widths[:-1]
    inside = sum(widths) + 2 * (len(widths) - 1) <= width
    if not inside:
        widths = widths[: len(TITLES) - 1]
        over = sum(widths) + 2 * (len(widths) - 1) - width
        widths[0] = max(widths[0] - max(over, 0), min(widths[0], NARROWEST))
    lines = [_line(TITLES, widths)]
    for row in rows:
        lines.append(_line(row, widths))
        if row[-1] and not inside:
            indent = " " * min(widths[0] + 2, width // 3)
            lines += textwrap.wrap(row[-1], max(width, 40), initial_indent=indent, subsequent_indent=indent + "  ")
    rule = "-" * max(map(len, lines))
    end = [*([f"input: {what}"] if what else []), *ending(audit)]
    end = [part for line in end for part in textwrap.wrap(line, max(width, 40), subsequent_indent="  ")]
    return "\n".join([lines[0], rule, *lines[1:], rule, *end])


def _row(layer: "AuditedLayer") -> tuple[str, ...]:
    sizes = "x".join(map(str, layer.shape)) or "1"
    causes = "; ".join(cause.text for cause in layer.causes)
    return (layer.name, layer.op, sizes, verdict_text(layer), share(layer.error), causes)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [(_cut(cell, width), width, title) for cell, width, title in zip(row, widths, TITLES, strict=False)]
    return "  ".join(f"{c:>{w}}" if title in RIGHT else f"{c:<{w}}" for c, w, title in cells).rstrip()


def _cut(text: str, width: int) -> str:
    """Leave the middle of a long text out."""
    if len(text) <= width:
        return text
    end = (width - 1) * 2 // 3
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"


def ending(audit: "Audit") -> list[str]:
    """Say what is to be said of the whole.

    Args:
        audit: The audit.

    Returns:
        Lines: the result's verdict, where something was lost first, and contracts that were refuted.

    Example:
        >>> from jaxcnn.equivariance import Audit
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


def verdict_text(layer: "AuditedLayer") -> str:
    """Say a verdict, with its lattice or its margins.

    Args:
        layer: Of an audit.

    Returns:
        A few words.

    Example:
        >>> from jaxcnn.equivariance import AuditedLayer
        >>> verdict_text(AuditedLayer("pool1", "max pool", (4, 4, 1), "exact-lattice", ("exact-lattice",), ("",), (2,)))
        'exact on 2Z'
    """
    seen = "" if layer.proven else " (seen)"
    partly = layer.verdict == "orbit" and any(lattice > 1 for lattice in layer.lattice)
    if layer.verdict not in layer.verdicts or not (partly or layer.verdict in ("exact-lattice", "exact-interior")):
        return layer.verdict + seen
    parts = []
    for verdict, lattice, margin in zip(layer.verdicts, layer.lattice, layer.margin or (None,) * 9, strict=False):
        text = "exact" if verdict == "exact-lattice" else "interior" if verdict == "exact-interior" else verdict
        text += f" {margin[0]}..{margin[1]}" if margin is not None else ""
        parts.append(text + (f" on {lattice}Z" if lattice > 1 else ""))
    return ", ".join(dict.fromkeys(parts)) + seen


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
