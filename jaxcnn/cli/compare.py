"""`jaxcnn compare`: runs side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from markupsafe import Markup
from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, Flag, parse
from jaxcnn.cli.output import emit_json, quiet, show_table

if TYPE_CHECKING:
    from jaxcnn.runs.compare import Comparison

SAME = "their configs are the same"
SHORT = ("state", "epochs", "parameters", "members", "seconds", "epoch_s")
"""Rows that are always shown, before what was measured."""


@dataclass(frozen=True)
class Arguments(Common):
    """Put runs side by side: what they measured, what they took, and the fields of their configs that differ."""

    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN RUN ...")]
    """Folders of the runs."""
    all: Flag = False
    """Metrics of the training set and of the last epoch too."""
    html: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Write the comparison as a page too, with the learning curves: one file, which needs no other."""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = parse(Arguments, argv, verb="compare")
    quiet(debug=arguments.debug)
    from jaxcnn.runs.compare import compare

    found = compare(arguments.runs)
    if arguments.html is not None:
        _write_page(arguments, found)
    if arguments.json:
        emit_json(found._asdict())
        return 0
    right = range(1, 1 + len(found.runs))
    show_table(["", *found.runs], _results(found, everything=arguments.all), right=right)
    if found.configs:
        show_table(["Config", *found.runs], _configs(found), right=right)
    else:
        print(SAME)
    if arguments.html is not None:
        print(f"page       {arguments.html}")
    return 0


def _results(found: "Comparison", *, everything: bool) -> list[tuple[str, ...]]:
    """Return what runs measured and took, as rows of text."""
    of = found.measured.get("of", [])
    rows, together = [], "members" in found.measured
    for name, values in found.measured.items():
        if name == "of":
            continue
        told = [_told(name, value) for value in values]
        if name == "epochs":
            told = [f"{value}/{epochs}" for value, epochs in zip(values, of, strict=True)]
        best = name.endswith(", best") and not name.startswith("train ")
        if everything or best or name in SHORT or name.startswith("test "):
            rows.append((_called(name, together), *told))
    return rows


def _configs(found: "Comparison") -> list[tuple[str, ...]]:
    return [(name, *("" if v is None else _plain(v) for v in values)) for name, values in found.configs.items()]


def _write_page(arguments: Arguments, found: "Comparison") -> None:
    from jaxcnn.report import Tab, Table, charts, fragment, page
    from jaxcnn.runs import Run

    metrics = [Run.open(path).metrics() for path in arguments.runs]
    results = fragment("table.html", table=Table("Results", ("", *found.runs), _results(found, everything=True)))
    differing = Table("Fields of the configs that differ", ("", *found.runs), _configs(found))
    configs = fragment("table.html", table=differing) if found.configs else Markup("<p>{}</p>").format(SAME)
    tabs = [
        Tab("curves", "Curves", fragment("charts.html", charts=charts(found.runs, metrics))),
        Tab("results", "Results", results),
        Tab("configs", "Configs", configs),
    ]
    Path(arguments.html or "").write_text(page(f"jaxcnn: {', '.join(found.runs)}", tabs), "utf-8")


def _called(name: str, together: bool) -> str:
    """Return what a row is called; members of one program have but the time of all of them."""
    whose = ", of all members" if together and name in ("seconds", "epoch_s") else ""
    return {"epoch_s": "seconds an epoch"}.get(name, name) + whose


def _told(name: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}" if name in ("seconds", "compile_s", "epoch_s") else f"{value:.4f}"
    return "" if value is None else f"{value:,}" if type(value) is int else str(value)


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
