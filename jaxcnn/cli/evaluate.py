"""`jaxcnn evaluate`: a run's network on a split of its data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, parse
from jaxcnn.cli.output import emit_json, quiet, show_table


@dataclass(frozen=True)
class Arguments(Common):
    """Measure the network that a run chose, exactly as training did at its end."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Folder of the run."""
    split: Literal["test", "validation", "train"] = "test"
    """Which of its images."""
    data: str | None = None
    """Other data of the same classes, of any size that the network takes (default: those it was trained on)."""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = parse(Arguments, argv, verb="evaluate")
    quiet(debug=arguments.debug)
    from jaxcnn import api, lowering, runs

    run = runs.Run.open(arguments.run)
    lowering.enable(run.config.lowering)
    measured = api.evaluate(run, split=arguments.split, on=arguments.data)
    if arguments.json:
        emit_json({"run": str(run.path), "data": arguments.data or run.config.data.name, **measured})
        return 0
    print(
        f"{measured['split']} {runs.headline(measured)}, loss {measured['loss']:.4f} "
        f"({measured['examples']:,} images, parameters of epoch {measured['epoch']})"
    )
    if (accuracies := measured.get("per_class_accuracy")) is not None:
        rows = zip(run.facts["classes"], (f"{a:.1%}" for a in accuracies), strict=True)
        show_table(["Class", "Accuracy"], list(rows), right=(1,))
    return 0
