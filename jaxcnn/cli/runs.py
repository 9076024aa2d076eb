"""`jaxcnn runs`: the runs in a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, Flag, parse
from jaxcnn.cli.output import emit_json, quiet, show_table

if TYPE_CHECKING:
    from jaxcnn.runs.listing import Listed


@dataclass(frozen=True)
class Arguments(Common):
    """List the runs in a folder: what was trained on what, how far it has come, and how good it is."""

    root: Annotated[Positional[str], arg(metavar="[ROOT]")] = "checkpoints"
    """The folder."""
    sort: str = "name"
    """Field to sort by: a column's, or the config's, such as accuracy or optim.lr."""
    descending: Flag = False
    """The largest first."""
    filter: Annotated[tuple[str, ...], arg(metavar="FIELD=VALUE ...")] = ()
    """Show those alone that fit, such as model.name=resnet9 state=ended."""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = parse(Arguments, argv, verb="runs")
    quiet(debug=arguments.debug)
    from jaxcnn.runs import listing

    if arguments.root != Arguments.root and not Path(arguments.root).exists():
        raise FileNotFoundError(f"{arguments.root} does not exist: give the folder that runs lie in")
    runs = listing.filtered(listing.list_runs(arguments.root), arguments.filter)
    runs = listing.ordered(runs, arguments.sort, descending=arguments.descending)
    if arguments.json:
        emit_json([run.facts() for run in runs])
        return 0
    if not runs:
        print(f"no runs in {arguments.root}" + (" that fit" if arguments.filter else ""))
        return 0
    columns = ["Run", "Model", "Data", "Epochs", "Validation", "Test", "State", "Seconds"]
    show_table(columns, [_row(run) for run in runs], right=(3, 4, 5, 7))
    for run in runs:
        if run.problem:
            print(f"{run.name} is damaged: {run.problem}")
    return 0


def _row(run: "Listed") -> tuple[str, ...]:
    epochs = "" if run.of is None else f"{run.epochs}/{run.of}"
    values = ("" if value is None else f"{value:.4f}" for value in (run.validation, run.accuracy))
    seconds = "" if run.seconds is None else f"{run.seconds:,.1f}"
    return (run.name, run.model or "", run.data or "", epochs, *values, run.state, seconds)
