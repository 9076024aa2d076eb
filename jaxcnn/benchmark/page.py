"""A page of results: every measurement under the command that made it, and figures."""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxcnn.benchmark.compare import title
from jaxcnn.benchmark.figures import draw_growth, draw_peers, draw_roofline, draw_scale
from jaxcnn.benchmark.growth import growth_of
from jaxcnn.benchmark.starts import without

Record = Mapping[str, Any]
UNITS = (("s", 1.0), ("ms", 1e3), ("us", 1e6))
NAME = "results.md"


def write_page(records: Sequence[Record], folder: str | Path) -> Path:
    """Write records as Markdown, with the figures that they give: of roofs, growth, scale and peers, as PNG.

    Args:
        records: Of `read`; a work that was measured again by the same command stands there as it was last.
        folder: Which is made where there is none.

    Returns:
        The page.

    Raises:
        ValueError: No records.
        ImportError: matplotlib is not there.

    Example:
        >>> import tempfile
        >>> from jaxcnn.benchmark import Samples, make_record
        >>> nap = make_record({"name": "nap"}, Samples((0.5, 0.5), 1, 3, True))
        >>> page = write_page([nap], tempfile.mkdtemp())
        >>> "| nap | 500 ms" in page.read_text()
        True
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("figures need matplotlib: pip install 'jaxcnn[experiments]'")
    if not records:
        raise ValueError("there are no records to write a page of")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    groups = by_command(records)
    lines = ["# Results", "", *_about(records[-1])]
    for caption, name in _drawn(groups, folder):
        lines += ["", f"![{caption}]({name})"]
    for command, group in groups.items():
        lines += ["", f"## `{command}`", "", *_table(group)]
    page = folder / NAME
    page.write_text("\n".join(lines) + "\n")
    return page


def by_command(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Put records under the commands that made them, without where they were written to.

    Args:
        records: Of `read`.

    Returns:
        Records by command; of several of the same work the last.

    Example:
        >>> record = {"work": {"name": "nap"}, "environment": {"command": "jaxcnn bench nap --record a.jsonl"}}
        >>> list(by_command([record, record])), len(by_command([record, record])["jaxcnn bench nap"])
        (['jaxcnn bench nap'], 1)
    """
    found: dict[str, dict[str, Record]] = {}
    for record in records:
        found.setdefault(_command(record), {})[title(record)] = record
    return {command: list(group.values()) for command, group in found.items()}


def _command(record: Record) -> str:
    words = record["environment"].get("command", "").split()
    return " ".join(without(words, ("--record", "--page", "--environments")))


def _about(record: Record) -> list[str]:
    told = record["environment"]
    device, packages, cpu = told["device"], told["packages"], told["cpu"]
    versions = ", ".join(f"{name} {packages[name]}" for name in ("jaxcnn", "jax", "jaxlib", "flax"))
    return [
        f"{device['count']} x {device['kind']} ({cpu['model'] or told['platform']}, {told['cpus']} cores); {versions}; "
        f"Python {told['python']}; convolutions by {told['lowering']['tier']}. Times are medians with quartiles; "
        "ratios are of turns, with intervals of 95 %: over the starts where there were several (Student's), else over "
        "turns (bootstrap). A ratio whose interval holds 1 is marked by ?.",
    ]


def _drawn(groups: Mapping[str, Sequence[Record]], folder: Path) -> Iterator[tuple[str, str]]:
    """Draw what there is; yield captions and names of files."""
    records = [record for group in groups.values() for record in group]
    peers = {
        title(group[0]): group[0]["ratios"] for group in groups.values() if any(record.get("peer") for record in group)
    }
    if peers:
        draw_peers(peers, folder / "peers.png")
        yield "Time of other libraries over jaxcnn's", "peers.png"
    placed = [record for record in records if record["roofline"]]
    if placed:
        draw_roofline(placed, folder / "roofline.png")
        yield "Works under the roof of the device's two peaks", "roofline.png"
    rows = [group for group in groups.values() if len(group) > 1 and all(record.get("growth") for record in group)]
    if rows:
        draw_growth(rows, folder / "growth.png")
        yield "Time against size, and the line that FLOPs would follow", "growth.png"
    shared = [group for group in groups.values() if len(group) > 1 and all(r["work"].get("devices") for r in group)]
    if shared:
        draw_scale(shared, folder / "scale.png")
        yield "Speed on several devices that share each batch", "scale.png"


def _table(group: Sequence[Record]) -> list[str]:
    """Return a table of one command's measurements, with what is to be told of them."""
    titles, *cells = table(group)
    lines = [_line(titles), "|" + "---|" * len(titles), *map(_line, cells)]
    if len(group) > 1 and all(record.get("growth") for record in group):
        lines += ["", growth_of(group).told(group[0]["growth"]) + "."]
    notes = [f"{title(record)}: {note}." for record in group for note in record["notes"]]
    return lines + [part for note in notes for part in ("", f"Note: {note}")]


def table(records: Sequence[Record]) -> list[list[str]]:
    """Return measurements as cells of text.

    Args:
        records: One or more, as `record.read` gives them.

    Returns:
        The titles, and a row for each record; a column that all leave empty is left out.

    Example:
        >>> record = {"work": {"name": "nap"}, "seconds": {"median": 1.0, "q1": 1.0, "q3": 1.0, "n": 5}, "stages": None,
        ...     "roofline": None, "costs": {}, "rates": {}, "ratios": {}}
        >>> table([record])
        [['work', 'time (quartiles)'], ['nap', '1 s (1 s to 1 s, n = 5)']]
    """
    titles = ("work", "time (quartiles)", "rate", "GFLOP/s", "of the roof", "compile", "others take, times this")
    cells = [list(titles), *map(_row, records)]
    kept = [k for k in range(len(titles)) if any(row[k] for row in cells[1:])]
    return [[row[k] for k in kept] for row in cells]


def _row(record: Record) -> list[str]:
    seconds, stages, place = record["seconds"], record["stages"], record["roofline"]
    flops = record["costs"].get("macs") and record["costs"]["flops"]
    median, q1, q3 = (time_text(seconds[name]) for name in ("median", "q1", "q3"))
    return [
        title(record),
        f"{median} ({q1} to {q3}, n = {seconds['n']})",
        ", ".join(f"{rate['median']:,.0f} {name.removesuffix('_per_s')}/s" for name, rate in record["rates"].items()),
        f"{flops / seconds['median'] / 1e9:,.1f}" if flops else "",
        f"{place['fraction']:.0%} ({place['bound']})" if place else "",
        time_text(stages["compile_s"]) if stages else "",
        "; ".join(f"{name} {interval_text(value)}" for name, value in record["ratios"].items()),
    ]


def interval_text(value: Mapping[str, float]) -> str:
    """Return a ratio with its interval; one that shows no difference is marked by ?.

    Args:
        value: `median`, `low` and `high`.

    Returns:
        Such as `1.02? (0.98 to 1.06)`.

    Example:
        >>> interval_text({"median": 2.0, "low": 1.9, "high": 2.1})
        '2.00 (1.90 to 2.10)'
    """
    unsure = "?" if value["low"] <= 1 <= value["high"] else ""
    return f"{value['median']:.2f}{unsure} ({value['low']:.2f} to {value['high']:.2f})"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def time_text(seconds: float) -> str:
    """Return a time in the unit that suits it.

    Args:
        seconds: How long.

    Returns:
        Three digits and s, ms or us.

    Example:
        >>> time_text(0.0123)
        '12.3 ms'
    """
    unit, factor = next(pair for pair in UNITS if seconds * pair[1] >= 1 or pair is UNITS[-1])
    return f"{seconds * factor:.3g} {unit}"
