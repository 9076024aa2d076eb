"""A summary as text: a table as wide as asked for, and Markdown."""

import textwrap
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxcnn.analysis.rows import Layer, Summary

TITLES = ("Layer", "Operation", "Size", "Output", "Parameters", "MACs", "Field", "Jump", "Contract")
SIZE, CONTRACT = TITLES.index("Size"), TITLES.index("Contract")
RIGHT = {"Output", "Parameters", "MACs", "Field", "Jump"}
"""Columns that are set to the right."""
UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


def table(summary: "Summary", width: int = 120, *, dense: bool = False) -> str:
    """Draw a summary.

    Args:
        summary: Any.
        width: Columns there are: where the table is wider, worked sizes and contracts stand on lines of their own, and
            long names are cut in the middle.
        dense: Compare convolutions with dense layers between the same arrays.

    Returns:
        Lines.

    Example:
        >>> from jaxcnn.analysis.rows import Layer, Summary
        >>> layer = Layer("conv1", "conv", (28, 28, 6), 156, macs=117_600, worked="(32 - 5)/1 + 1 = 28")
        >>> print(table(Summary((32, 32, 1), (layer,), {"parameters": 156, "macs": 117_600}), 60))
        Layer  Operation   Output  Parameters   MACs  Field  Jump
        ---------------------------------------------------------
        input             32x32x1                         1     1
        conv1  conv       28x28x6         156  118 k      -     -
               (32 - 5)/1 + 1 = 28
        ---------------------------------------------------------
        total                             156  118 k
    """
    rows = [("input", "", "", size(summary.input), "", "", "1", "1", "")]
    rows += [_row(layer) for layer in summary.layers]
    rows += [
        ("total", "", "", "", f"{summary.totals['parameters']:,}", count(summary.totals.get("macs", 0)), "", "", "")
    ]
    own: list[int] = []  # columns whose cells stand on lines of their own
    kept = [i for i, _ in enumerate(TITLES) if any(row[i] for row in rows)]
    for column in (SIZE, CONTRACT):
        if column in kept and sum(_widths(rows, kept)) + 2 * (len(kept) - 1) > width:
            kept.remove(column)
            own.append(column)
    widths = _widths(rows, kept)
    over = sum(widths) + 2 * (len(kept) - 1) - width
    widths[0] = max(widths[0] - max(over, 0), min(widths[0], 8))
    lines = [_line(TITLES, kept, widths)]
    for row in rows:
        lines.append(_line(row, kept, widths))
        if apart := "  ".join(row[i] for i in own if row[i]):
            indent = min(widths[0] + 2, max(width - len(apart), 2))
            lines.append(" " * indent + apart)
    rule = "-" * max(map(len, lines[:-1]))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], *_footer(summary, width, dense)])


def markdown(summary: "Summary", *, dense: bool = False) -> str:
    """Write a summary as a Markdown table, with all that is known.

    Args:
        summary: Any.
        dense: Compare convolutions with dense layers between the same arrays.

    Returns:
        Lines.

    Example:
        >>> from jaxcnn.analysis.rows import Layer, Summary
        >>> lines = markdown(Summary((4,), (Layer("head", "dense", (2,), 10, macs=8),), {"parameters": 10, "macs": 8}))
        >>> print(lines.splitlines()[2])
        | input |  |  | 4 |  |  | 1 | 1 |  |
    """
    rows = [("input", "", "", size(summary.input), "", "", "1", "1", ""), *map(_row, summary.layers)]
    rows += [
        ("**total**", "", "", "", f"{summary.totals['parameters']:,}", count(summary.totals.get("macs", 0)), "", "", "")
    ]
    marks = ["---:" if title in RIGHT else "---" for title in TITLES]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (TITLES, marks, *rows)]
    told = [line for line in _footer(summary, 10_000, dense) if line]
    return "\n".join([*lines, *(["", *(f"- {line.strip()}" for line in told)] if told else [])])


def count(number: float) -> str:
    """Write a large number with three digits: 118 k, 4.09 G.

    Args:
        number: Not negative.

    Returns:
        Text.

    Example:
        >>> count(9_408), count(117_600), count(4_089_184_256), count(12.5)
        ('9,408', '118 k', '4.09 G', '12.5')
    """
    for unit, name in UNITS:
        if number >= max(unit, 10_000):
            value = number / unit
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {name}"
    return f"{number:,}" if isinstance(number, int) else f"{number:.3g}"


def size(shape: Sequence[int]) -> str:
    """Write a shape as 32x32x3.

    Args:
        shape: Sizes.

    Returns:
        Text; "-" for a scalar.

    Example:
        >>> size((32, 32, 3))
        '32x32x3'
    """
    return "x".join(map(str, shape)) or "-"


def _row(layer: "Layer") -> tuple[str, ...]:
    macs = count(layer.macs) if layer.macs else ""
    field, jump = _joined(layer.receptive_field), _joined(layer.jump)
    contract = layer.contract if isinstance(layer.contract, str) else "; ".join(layer.contract)
    shape = "" if layer.op == "unused" else size(layer.shape)
    return (layer.name, layer.op, layer.worked, shape, f"{layer.parameters:,}", macs, field, jump, contract)


def _joined(value: Any) -> str:
    """Write what is known of each axis, 3x5; once where they agree."""
    values = value if isinstance(value, tuple) else (value,)
    return "-" if None in values else "x".join(str(Fraction(v)) for v in values)


def _widths(rows: Sequence[Sequence[str]], kept: Sequence[int]) -> list[int]:
    return [max(len(row[i]) for row in (TITLES, *rows)) for i in kept]


def _line(row: Sequence[str], kept: Sequence[int], widths: Sequence[int]) -> str:
    cells = zip((row[i] for i in kept), kept, widths, strict=True)
    set_right = [f"{_cut(c, w):>{w}}" if TITLES[i] in RIGHT else f"{_cut(c, w):<{w}}" for c, i, w in cells]
    return "  ".join(set_right).rstrip()


def _cut(text: str, width: int) -> str:
    """Leave the middle of a long text out."""
    if len(text) <= width:
        return text
    end = (width - 1) * 2 // 3
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"


def _footer(summary: "Summary", width: int, dense: bool) -> list[str]:
    """Say what the table has no column for."""
    totals, lines = summary.totals, []
    if "flops" in totals:
        told = [
            f"FLOPs {count(totals['flops'])}, those on padding counted",
            f"activations {_bytes(totals['activation_bytes'])}",
            f"parameters {_bytes(totals['parameter_bytes'])}",
            f"arithmetic intensity {totals['arithmetic_intensity']:.3g} FLOPs a byte",
        ]
        lines.append("; ".join(told))
    if summary.examples > 1:
        lines.append(f"MACs, FLOPs and activations are those of one of {summary.examples} examples")
    if totals.get("constants"):
        lines.append(f"constants {totals['constants']:,}: running statistics and other arrays that are no parameters")
    if totals.get("xla_flops") is not None:
        lines.append(f"XLA's own count, compiled: FLOPs {count(totals['xla_flops'])}, products with padding left out")
    if totals.get("xla_peak_bytes") is not None:
        peak = _bytes(totals["xla_peak_bytes"])
        lines.append(f"XLA's own peak memory, compiled: {peak} of arguments, results and temporaries")
    if summary.unknown:
        names = ", ".join(f"{name} ({times})" for name, times in summary.unknown.items())
        lines.append(f"operations of which something is unknown: {names}")
    lines += _notes(summary.layers)
    lines += _compared(summary.layers) if dense else []
    wrapped = [part for line in lines for part in textwrap.wrap(line, max(width, 40), subsequent_indent="  ")]
    return ["", *wrapped] if wrapped else []


def _notes(layers: Sequence["Layer"]) -> list[str]:
    """List notes, each once, after the layers that it holds for."""
    holds: dict[str, list[str]] = {}
    for layer in layers:
        for note in layer.notes:
            holds.setdefault(note, []).append(layer.name)
    return [f"{_several(names)}: {note}" for note, names in holds.items()]


def _compared(layers: Sequence["Layer"]) -> list[str]:
    """Set each convolution's parameters against those of the dense layer that it is a case of."""
    return [
        f"{layer.name}: {layer.parameters:,} parameters; a dense layer between the same arrays has "
        f"{layer.dense_parameters:,}"
        for layer in layers
        if layer.dense_parameters is not None
    ]


def _several(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]}, {names[1]} and {len(names) - 2} more"


def _bytes(number: float) -> str:
    """Write bytes in units of 1000."""
    for unit, name in UNITS:
        if number >= unit:
            return f"{number / unit:.3g} {name}B"
    return f"{number} B"
