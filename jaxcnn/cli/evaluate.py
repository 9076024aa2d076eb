"""`jaxcnn evaluate`: a run's network, or a file of weights, on a split of its data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, parse
from jaxcnn.cli.output import emit_json, quiet, show_table


@dataclass(frozen=True)
class Arguments(Common):
    """Measure the network that a run chose, exactly as training did at its end; or a .safetensors file of weights."""

    run: Annotated[Positional[str], arg(metavar="RUN|FILE.safetensors")]
    """Folder of the run, or the file, whose arrays are called as the layers of `jaxcnn summary`."""
    split: Literal["test", "validation", "train"] = "test"
    """Which of its images."""
    data: str | None = None
    """Other data of the same classes, of any size that the network takes (default: those it was trained on)."""
    model: str | None = None
    """Network of a file that does not say it; see `jaxcnn models`."""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = parse(Arguments, argv, verb="evaluate")
    quiet(debug=arguments.debug)
    from jaxcnn import api, lowering, runs

    if arguments.run.endswith(".safetensors"):
        return _of_file(arguments)
    if arguments.model is not None:
        raise ValueError("--model is for a .safetensors file: a run is of the model that it trained")
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
    _show_classes(run.facts["classes"], measured)
    return 0


def _of_file(arguments: Arguments) -> int:
    from jaxcnn import api, data, lowering, runs

    if arguments.data is None:
        raise ValueError(f"{arguments.run} holds no data: name those to measure it on, --data NAME")
    lowering.enable()
    dataset = data.load(arguments.data)
    measured = api.evaluate_weights(arguments.run, data=dataset, model=arguments.model, split=arguments.split)
    if arguments.json:
        emit_json({"file": arguments.run, "data": arguments.data, **measured})
        return 0
    print(
        f"{measured['split']} {runs.headline(measured)}, loss {measured['loss']:.4f} ({measured['examples']:,} images)"
    )
    _show_classes(dataset.classes, measured)
    return 0


def _show_classes(classes: Sequence[str], measured: dict[str, Any]) -> None:
    if (accuracies := measured.get("per_class_accuracy")) is not None:
        rows = zip(classes, (f"{a:.1%}" for a in accuracies), strict=True)
        show_table(["Class", "Accuracy"], list(rows), right=(1,))
