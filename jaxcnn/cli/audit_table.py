"""An audit as text, as wide as asked for."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxcnn.equivariance import Audit, AuditedLayer

TITLES = ("Layer", "Operation", "Output", "Verdict", "Error", "Cause")
RIGHT = {"Output", "Error"}
NARROWEST = 8
"""Columns that are left of a layer's name, at least."""


def table(audit: "Audit", what: str, width: int) -> str:
    """Draw an audit.

    Args:
        audit: Any.
        what: Says what the input was.
        width: Columns there are: where the table is wider, causes stand on lines of their own, and long names are cut
            in the middle.

    Returns:
        Lines.

    Example:
        >>> from jaxcnn.equivariance import Audit, AuditedLayer, Cause
        >>> layer = AuditedLayer("conv1", "conv", (8, 8, 1), "exact-interior", ("exact-interior",), ("",), (1,),
        ...                      ((1, 1),), 0.82, causes=(Cause("zero padding", "zero padding 1 and 1", "conv", 0.8),))
        >>> print(table(Audit((layer,), "exact-interior", "circular", (8, 8, 1), 15), "random numbers", 50))
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
    inside = sum(widths) + 2 * (len(widths) - 1) <= width
    if not inside:
        widths = widths[:-1]
        over = sum(widths) + 2 * (len(widths) - 1) - width
        widths[0] = max(widths[0] - max(over, 0), min(widths[0], NARROWEST))
    lines = [_line(TITLES, widths)]
    for row in rows:
        lines.append(_line(row, widths))
        if row[-1] and not inside:
            indent = " " * min(widths[0] + 2, width // 3)
            lines += textwrap.wrap(row[-1], max(width, 40), initial_indent=indent, subsequent_indent=indent + "  ")
    rule = "-" * max(map(len, lines))
    end = [part for line in _end(audit, what) for part in textwrap.wrap(line, max(width, 40), subsequent_indent="  ")]
    return "\n".join([lines[0], rule, *lines[1:], rule, *end])


def _row(layer: "AuditedLayer") -> tuple[str, ...]:
    from jaxcnn.equivariance.findings import share, verdict_text

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


def _end(audit: "Audit", what: str) -> list[str]:
    from jaxcnn.equivariance.findings import ending

    return [f"input: {what}", *ending(audit)]
