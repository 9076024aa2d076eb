"""`jaxcnn summary`: a model's layers, without running it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, parse
from jaxcnn.cli.output import emit_json, quiet, show_table
from jaxcnn.config import ModelConfig


@dataclass(frozen=True)
class Arguments(Common):
    """List the layers of a model or of a run's model: output shapes and parameters."""

    target: Annotated[Positional[str], arg(metavar="MODEL|RUN")]
    """A model (see `jaxcnn models`), or the folder of a run."""
    input: Annotated[str | None, arg(metavar="HxWxC", help_behavior_hint="")] = None
    """Shape of an image (default: 32x32x3, a run's own)."""
    classes: Annotated[int | None, arg(metavar="INT", help_behavior_hint="")] = None
    """Number of classes (default: 10, a run's own)."""
    model: ModelConfig = field(default_factory=lambda: ModelConfig(name=""))


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = parse(Arguments, argv, verb="summary")
    quiet(debug=arguments.debug)
    given = None if arguments.input is None else shape(arguments.input)
    import jax

    from jaxcnn import analysis, models, nn

    config, input_shape, classes = _target(arguments)
    input_shape, classes = given or input_shape, classes if arguments.classes is None else arguments.classes
    module = jax.eval_shape(
        lambda: models.create(config.name, num_classes=classes, input_shape=input_shape, **config.options())
    )
    fn, params = nn.functionalize(module)
    summary = analysis.summarize(fn, params, jax.ShapeDtypeStruct(input_shape, "float32"))
    if arguments.json:
        emit_json({"model": config.name, **json.loads(summary.to_json())})
        return 0
    rows = [(layer.name, layer.op, size(layer.shape), layer.parameters) for layer in summary.layers]
    footer = ["total", "", "", summary.totals["parameters"]]
    columns = ["Layer", "Operation", "Output", "Parameters"]
    show_table(columns, [("input", "", size(summary.input), ""), *rows], footer=footer, right=(2, 3))
    return 0


def _target(arguments: Arguments) -> tuple[ModelConfig, tuple[int, ...], int]:
    """Return what to make: a run's model, or the one of that name."""
    from jaxcnn import models, runs

    target = arguments.target
    if runs.is_run(target) or (target not in models.available() and Path(target).exists()):
        run = runs.Run.open(target)
        return run.config.model, tuple(run.facts["input_shape"]), len(run.facts["classes"])
    return replace(arguments.model, name=target), (32, 32, 3), 10


def shape(text: str) -> tuple[int, ...]:
    """Read sizes such as 32x32x3."""
    sizes = text.lower().split("x")
    if not all(part.isdigit() and int(part) > 0 for part in sizes):
        raise ValueError(f"`--input` (={text!r}) must be positive sizes with x between them, such as 32x32x3")
    return tuple(map(int, sizes))


def size(shape: Sequence[int]) -> str:
    """Write sizes as 32x32x3."""
    return "x".join(map(str, shape))
