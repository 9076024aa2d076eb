"""`jaxcnn summary`: a network's layers, without running it."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from jaxcnn.cli import callables
from jaxcnn.cli.arguments import Common, Flag, parse
from jaxcnn.cli.output import console, emit_json, quiet
from jaxcnn.config import ModelConfig

if TYPE_CHECKING:
    from jaxcnn.analysis import Summary

DEFAULT_INPUT = (32, 32, 3)
PLAIN_WIDTH = 120
"""Columns of a table that does not go to a terminal."""


@dataclass(frozen=True)
class Arguments(Common):
    """List a network's layers: sizes and how they come out, parameters, MACs, receptive fields, shift contracts."""

    target: Annotated[Positional[str], arg(metavar="MODEL|RUN|MODULE:FUNCTION|NETWORK")]
    """A model (see `jaxcnn models`), the folder of a run, a network of your own or one in a line (see above)."""
    input: Annotated[str | None, arg(metavar="HxWxC", help_behavior_hint="")] = None
    """Shape of an image (default: 32x32x3, a run's own); 128x3 has one spatial axis, 16x16x16x1 three."""
    classes: Annotated[int | None, arg(metavar="INT", help_behavior_hint="")] = None
    """Number of classes of a model (default: 10, a run's own)."""
    markdown: Flag = False
    """Print a Markdown table."""
    compile: Flag = False
    """Compile it too, and tell XLA's own FLOPs and peak memory."""
    channels_first: Flag = False
    """The input of a network of your own is CxHxW (default: 3x32x32)."""
    batch: Annotated[int | None, arg(metavar="INT", help_behavior_hint="")] = None
    """Batch axis of the input of a network of your own (default: 1 example, or no such axis where that fails; 0: no
    such axis)."""
    model: ModelConfig = field(default_factory=lambda: ModelConfig(name=""))


YOUR_OWN = """\
A network of your own, MODULE:FUNCTION, is imported from the working directory: a function of the input, a Flax NNX or
Linen module, a callable tree of arrays (Equinox), or a class or function without arguments that makes one of these.
Modules are taken as in evaluation: dropout and the statistics of a batch are off."""


@dataclass(frozen=True)
class Network:
    """What to summarise."""

    name: str
    fn: Callable[[Any, Any], Any]
    params: Any
    shape: tuple[int, ...]
    """Of the input."""
    spatial_axes: tuple[int, ...]
    in_a_line: bool = False


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    if {"-h", "--help"} & set(argv):
        from jaxcnn.analysis.one_line import GRAMMAR

        Arguments.__doc__ = f"{Arguments.__doc__}\n\n{YOUR_OWN}\n\nA network in a line:\n{GRAMMAR}"
    arguments = parse(Arguments, argv, verb="summary")
    quiet(debug=arguments.debug)
    if arguments.json and arguments.markdown:
        raise ValueError("--json and --markdown are two forms of one document: choose one")
    given = None if arguments.input is None else shape(arguments.input)
    network = _network(arguments, given)
    summary = _summarized(network, compiled=arguments.compile)
    if arguments.json:
        emit_json({"model": network.name, **json.loads(summary.to_json())})
    elif arguments.markdown:
        print(summary.to_markdown(dense=network.in_a_line))
    else:
        out = console()
        print(summary.to_text(out.width if out.is_terminal else PLAIN_WIDTH, dense=network.in_a_line))
    return 0


def _network(arguments: Arguments, given: tuple[int, ...] | None) -> Network:
    """Find out what the target is, and make it."""
    from jaxcnn import models

    target = arguments.target
    is_model = target in models.available() or Path(target).exists()
    is_own = not is_model and not is_line(target) and callables.is_path(target)
    if not is_own and (arguments.channels_first or arguments.batch is not None):
        raise ValueError("--channels-first and --batch are for networks of your own, MODULE:FUNCTION")
    if not is_model and (is_own or is_line(target)):
        if arguments.classes is not None:
            raise ValueError("--classes is for models and runs: a network of your own or in a line says it itself")
        usual = DEFAULT_INPUT[-1:] + DEFAULT_INPUT[:-1] if arguments.channels_first else DEFAULT_INPUT
        return (_own if is_own else _in_a_line)(arguments, given or usual)
    if Path(target).exists():
        from jaxcnn import runs

        if runs.is_run(target) or target not in models.available():
            run = runs.Run.open(target)
            input_shape = given or tuple(run.facts["input_shape"])
            return _model(arguments, run.config.model, input_shape, len(run.facts["classes"]))
    return _model(arguments, replace(arguments.model, name=target), given or DEFAULT_INPUT, 10)


def _model(arguments: Arguments, config: ModelConfig, input_shape: tuple[int, ...], classes: int) -> Network:
    import jax

    from jaxcnn import models, nn

    classes = classes if arguments.classes is None else arguments.classes
    module = jax.eval_shape(
        lambda: models.create(config.name, num_classes=classes, input_shape=input_shape, **config.options())
    )
    fn, params = nn.functionalize(module)
    return Network(config.name, fn, params, input_shape, (-3, -2))


def _in_a_line(arguments: Arguments, input_shape: tuple[int, ...]) -> Network:
    from jaxcnn.analysis.network import network

    fn, params = network(arguments.target, input_shape)
    return Network(arguments.target, fn, params, input_shape, tuple(range(-len(input_shape), -1)), in_a_line=True)


def _own(arguments: Arguments, input_shape: tuple[int, ...]) -> Network:
    """A network of the user's, and whether its input has a batch axis, which only a trace tells."""
    import jax

    target, rank = arguments.target, len(input_shape) - 1
    if arguments.batch is not None and arguments.batch < 0:
        raise ValueError(f"--batch (={arguments.batch}) must be the number of examples, or 0 for no batch axis")
    found = callables.made(target, callables.load(target))
    batches = [(1,), ()] if arguments.batch is None else [(arguments.batch,) if arguments.batch else ()]
    shapes = tuple((*batch, *input_shape) for batch in batches)
    axes = tuple(range(-rank, 0)) if arguments.channels_first else tuple(range(-rank - 1, -1))
    failures: dict[str, list[tuple[int, ...]]] = {}
    first: Exception | None = None
    for x in shapes:
        try:
            struct = jax.ShapeDtypeStruct(x, "float32")
            fn, params = callables.functions(found, struct)
            program = jax.make_jaxpr(fn)(params, struct)
            if not program.out_avals:
                raise TypeError("it returns no array: perhaps its `return` is missing")
        except Exception as error:
            failures.setdefault(callables.told(error), []).append(x)
            first = first or error
        else:
            _check_rank(target, program, arguments.input or "x".join(map(str, input_shape)), rank)
            return Network(target, fn, params, x, axes)
    told = "; ".join(f"of shape {' and '.join(map(str, tried))}: {text}" for text, tried in failures.items())
    raise ValueError(f"`{target}` fails on an input {told}") from first


def _check_rank(target: str, program: Any, text: str, rank: int) -> None:
    """Refuse an input of another rank than the network's convolutions have."""
    from jaxcnn.analysis.equations import flatten

    equations, _, _ = flatten(program)
    ranks = {len(e.params["window_strides"]) for e in equations if e.primitive == "conv_general_dilated" and e.depends}
    if ranks and rank not in ranks:
        has = f"the convolutions of `{target}` have spatial rank {' or '.join(map(str, sorted(ranks)))}"
        raise ValueError(
            f"{has}, but --input {text} has {rank} spatial sizes, and the channels; a batch axis is no part of it "
            "(see --batch)"
        )


def _summarized(network: Network, *, compiled: bool) -> "Summary":
    """Summarise it, with what XLA tells of it where it is to be compiled."""
    import jax

    from jaxcnn import analysis
    from jaxcnn.analysis.costs import compiled_cost

    x = jax.ShapeDtypeStruct(network.shape, "float32")
    summary = analysis.summarize(network.fn, network.params, x, spatial_axes=network.spatial_axes)
    told = compiled_cost(network.fn, network.params, x) if compiled else {}
    return replace(summary, totals={**summary.totals, **told})


def is_line(target: str) -> bool:
    """Tell whether a target is a network in a line: layers with > between them, or one layer."""
    if re.search(r"[>(\s]", target):
        return True
    from jaxcnn.analysis.one_line import OPTIONS

    return re.sub(r"[\dx]*$", "", target.lower()) in OPTIONS


def shape(text: str) -> tuple[int, ...]:
    """Read sizes such as 32x32x3."""
    sizes = text.lower().split("x")
    if not all(part.isdigit() and int(part) > 0 for part in sizes):
        raise ValueError(f"`--input` (={text!r}) must be positive sizes with x between them, such as 32x32x3")
    return tuple(map(int, sizes))
