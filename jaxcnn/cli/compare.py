"""`jaxcnn compare`: runs side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, Flag, parse
from jaxcnn.cli.output import emit_json, quiet, show_table

SHORT = ("state", "epochs", "parameters", "members", "seconds", "epoch_s")
"""Rows that are always shown, before what was measured."""


@dataclass(frozen=True)
class Arguments(Common):
    """Put runs side by side: what they measured, what they took, and the fields of their configs that differ."""

    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN RUN ...")]
    """Folders of the runs."""
    all: Flag = False
    """Metrics of the training set and of the last epoch too."""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = parse(Arguments, argv, verb="compare")
    quiet(debug=arguments.debug)
    from jaxcnn.runs.compare import compare

    found = compare(arguments.runs)
    if arguments.json:
        emit_json(found._asdict())
        return 0
    of = found.measured.get("of", [])
    rows, together = [], "members" in found.measured
    for name, values in found.measured.items():
        if name == "of":
            continue
        told = [_told(name, value) for value in values]
        if name == "epochs":
            told = [f"{value}/{epochs}" for value, epochs in zip(values, of, strict=True)]
        best = name.endswith(", best") and not name.startswith("train ")
        if arguments.all or best or name in SHORT or name.startswith("test "):
            rows.append((_called(name, together), *told))
    right = range(1, 1 + len(found.runs))
    show_table(["", *found.runs], rows, right=right)
    if found.configs:
        configs = [(name, *("" if v is None else _plain(v) for v in values)) for name, values in found.configs.items()]
        show_table(["Config", *found.runs], configs, right=right)
    else:
        print("their configs are the same")
    return 0


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
