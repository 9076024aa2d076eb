"""What `jaxcnn bench` prints: what was measured, and what became of it between two files."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxcnn.cli.output import console, emit_json, show_table

if TYPE_CHECKING:
    from jaxcnn.cli.bench import Arguments


def show(records: list[dict[str, Any]]) -> None:
    """Print a table of what was measured, and what is to be told of it."""
    from jaxcnn.benchmark import interval_text, time_text, title

    rows = []
    for record in records:
        seconds = record["seconds"]
        rates = [f"{rate['median']:,.0f} {name.removesuffix('_per_s')}/s" for name, rate in record["rates"].items()]
        stages, place = record["stages"], record["roofline"]
        rows.append(
            (
                title(record),
                f"{time_text(seconds['median'])} ({time_text(seconds['q1'])} to {time_text(seconds['q3'])})",
                seconds["n"],
                ", ".join(rates),
                _speed(record),
                f"{place['fraction']:.0%} of {place['bound']}" if place else "",
                f"{stages['compile_s']:.2f} s" if stages else "",
                "; ".join(f"{name} {interval_text(value)}" for name, value in record["ratios"].items()),
            )
        )
    titles = ("Work", "Time (quartiles)", "n", "Rate", "Speed", "Roof", "Compile", "Others take, times this one's")
    kept = [column for column in range(len(titles)) if any(row[column] not in ("", None) for row in rows)]
    show_table([titles[k] for k in kept], [[row[k] for k in kept] for row in rows], right=[kept.index(2)])
    for record in records:
        for note in record["notes"]:
            console().print(f"note: {title(record)}: {note}", style="yellow")


def show_peers(folder: Path, *, json: bool) -> int:
    """Tell which peers have an environment, and how to make one."""
    from jaxcnn import benchmark

    found = []
    for name, peer in benchmark.PEERS.items():
        try:
            python = benchmark.find_python(name, folder)
            told = {"python": str(python), "versions": _versions(python, peer.packages), "make": None}
        except benchmark.PeerError as error:
            told = {"python": None, "versions": None, "make": str(error).partition(": ")[2]}
        found.append({"peer": name, "title": peer.title, **told})
    if json:
        emit_json({"environments": str(folder), "peers": found})
        return 0
    rows = [
        (row["peer"], row["title"], row["versions"] or "", row["python"] or f"none: {row['make']}") for row in found
    ]
    show_table(("Peer", "Library", "Versions", "Environment"), rows)
    return 0


def _versions(python: Path, packages: Sequence[str]) -> str:
    """Ask an environment what it holds of the packages that a peer needs."""
    told = "print(*(f'{p} {version(p)}' for p in sys.argv[1:]), sep=', ')"
    argv = [str(python), "-c", f"import sys; from importlib.metadata import version; {told}", *packages]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"cannot be run: {getattr(error, 'strerror', None) or error}"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return lines[-1] if lines else "cannot be run"


def _speed(record: dict[str, Any]) -> str:
    """Return FLOPs in a second; bytes, of a work that moves memory and computes next to nothing."""
    costs, seconds = record["costs"], record["seconds"]["median"]
    flops, moved = costs.get("flops"), costs.get("bytes")
    if not flops:
        return ""
    if moved and not costs.get("macs"):
        return f"{moved / seconds / 1e9:,.1f} GB/s"
    return f"{flops / seconds / 1e9:,.1f} GFLOP/s"


def show_comparison(arguments: "Arguments") -> int:
    """Print what became of every work that both files hold."""
    from jaxcnn import benchmark

    assert arguments.compare is not None
    one, other = map(benchmark.read, arguments.compare)
    rows, left = benchmark.compare(one, other)
    if not rows:
        raise ValueError(
            f"the files have no work in common that can be compared: {'; '.join(left) or 'both are empty'}"
        )
    if arguments.json:
        found = [{"work": row.name, **_interval_of(row), "verdict": row.ratio.verdict} for row in rows]
        emit_json({"works": found, "left": left})
        return 0
    cells = [
        (row.name, f"{row.ratio.median:.3f} ({row.ratio.low:.3f} to {row.ratio.high:.3f})", row.ratio.verdict)
        for row in rows
    ]
    show_table(("Work", "Time in B over time in A", "B is"), cells)
    for line in left:
        console().print(f"not compared: {line}", style="yellow")
    return 0


def _interval_of(row: Any) -> dict[str, float]:
    return {"ratio": row.ratio.median, "low": row.ratio.low, "high": row.ratio.high}
