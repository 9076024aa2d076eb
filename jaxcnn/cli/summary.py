"""`jaxcnn summary`: a network's layers, without running it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from jaxcnn.cli import targets
from jaxcnn.cli.arguments import Flag, parse
from jaxcnn.cli.output import console, emit_json, quiet
from jaxcnn.cli.targets import Network
from jaxcnn.config import ModelConfig

if TYPE_CHECKING:
    from jaxcnn.analysis import Summary


@dataclass(frozen=True)
class Arguments(targets.Target):
    """List a network's layers: sizes and how they come out, parameters, MACs, receptive fields, shift contracts."""

    classes: Annotated[int | None, arg(metavar="INT", help_behavior_hint="")] = None
    """Number of classes of a model (default: 10, a run's own)."""
    markdown: Flag = False
    """Print a Markdown table."""
    compile: Flag = False
    """Compile it too, and tell XLA's own FLOPs and peak memory."""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    if {"-h", "--help"} & set(argv):
        from jaxcnn.analysis.one_line import GRAMMAR

        Arguments.__doc__ = f"{Arguments.__doc__}\n\n{targets.YOUR_OWN}\n\nA network in a line:\n{GRAMMAR}"
    arguments = parse(Arguments, argv, verb="summary")
    quiet(debug=arguments.debug)
    if arguments.json and arguments.markdown:
        raise ValueError("--json and --markdown are two forms of one document: choose one")
    given = None if arguments.input is None else targets.shape(arguments.input)
    network = _network(arguments, given)
    summary = _summarized(network, compiled=arguments.compile)
    if arguments.json:
        emit_json({"model": network.name, **json.loads(summary.to_json())})
    elif arguments.markdown:
        print(summary.to_markdown(dense=network.in_a_line))
    else:
        out = console()
        print(summary.to_text(out.width if out.is_terminal else targets.PLAIN_WIDTH, dense=network.in_a_line))
    return 0


def _network(arguments: Arguments, given: tuple[int, ...] | None) -> Network:
    """Find out what the target is, and make it."""
    target, kind = arguments.target, targets.kind(arguments.target)
    if kind != "own":
        targets.refuse_layout(channels_first=arguments.channels_first, batch=arguments.batch)
    if kind in ("own", "line"):
        if arguments.classes is not None:
            raise ValueError("--classes is for models and runs: a network of your own or in a line says it itself")
        input_shape = given or targets.usual(channels_first=arguments.channels_first)
        if kind == "line":
            return targets.in_a_line(target, input_shape)
        return targets.own(target, input_shape, channels_first=arguments.channels_first, batch=arguments.batch)
    if kind == "run":
        from jaxcnn import runs

        run = runs.Run.open(target)
        return _model(arguments, run.config.model, given or tuple(run.facts["input_shape"]), len(run.facts["classes"]))
    return _model(arguments, replace(arguments.model, name=target), given or targets.DEFAULT_INPUT, 10)


def _model(arguments: Arguments, config: ModelConfig, input_shape: tuple[int, ...], classes: int) -> Network:
    import jax

    from jaxcnn import models, nn

    classes = classes if arguments.classes is None else arguments.classes
    module = jax.eval_shape(
        lambda: models.create(config.name, num_classes=classes, input_shape=input_shape, **config.options())
    )
    fn, params = nn.functionalize(module)
    return Network(config.name, fn, params, input_shape, tuple(range(-len(input_shape), -1)))


def _summarized(network: Network, *, compiled: bool) -> "Summary":
    """Summarise it, with what XLA tells of it where it is to be compiled."""
    import jax

    from jaxcnn import analysis
    from jaxcnn.analysis.costs import compiled_cost

    x = jax.ShapeDtypeStruct(network.shape, "float32")
    summary = analysis.summarize(network.fn, network.params, x, spatial_axes=network.spatial_axes)
    told = compiled_cost(network.fn, network.params, x) if compiled else {}
    return replace(summary, totals={**summary.totals, **told})
