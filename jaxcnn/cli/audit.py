"""`jaxcnn audit`: what a network does when its input shifts, layer by layer, by running it."""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from jaxcnn.cli import targets
from jaxcnn.cli.arguments import parse
from jaxcnn.cli.output import console, emit_json, quiet
from jaxcnn.cli.targets import Network
from jaxcnn.config import ModelConfig

if TYPE_CHECKING:
    from jaxcnn.equivariance import Audit
    from jaxcnn.runs import Run


@dataclass(frozen=True)
class Arguments(targets.Target):
    """Prove or refute, layer by layer, that a network answers shifts of its input, and name what loses it.

    It runs the network on an input and on that input's shifts: a model or a network of your own on random numbers; a
    run, with its trained parameters, on an image of its validation set. Error is how far a layer is from moving with
    every shift, borders included, in parts of its largest magnitude; README.md tells what `interior 1..1 on 2Z` means.
    """

    require: Annotated[Literal["exact", "lattice", "interior"] | None, arg(help_behavior_hint="")] = None
    """Exit with code 1 unless the result is exact; or exact for the multiples of a stride; or so in the interior."""
    mode: Literal["circular", "interior", "fractional"] = "circular"
    """Shifts that go round, shifts that bring in new content at the borders, or shifts by half a pixel."""
    seed: int = 0
    """Draws the input, and the parameters of what is not trained."""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    if {"-h", "--help"} & set(argv):
        Arguments.__doc__ = f"{Arguments.__doc__}\n\n{targets.YOUR_OWN}"
    arguments = parse(Arguments, argv, verb="audit")
    quiet(debug=arguments.debug)
    if not 0 <= arguments.seed < 2**32:
        raise ValueError(f"--seed (={arguments.seed}) must be a whole number from 0 to 2**32 - 1")
    with _waiting(f"auditing {arguments.target}", silent=arguments.json):
        network, x, what = _prepared(arguments)
        from jaxcnn.equivariance import audit

        found = audit(
            lambda x: network.fn(network.params, x), x, mode=arguments.mode, spatial_axes=network.spatial_axes
        )
    if arguments.json:
        emit_json({"model": network.name, **json.loads(found.to_json())})
    else:
        out = console()
        print(found.to_text(out.width if out.is_terminal else targets.PLAIN_WIDTH, what=what))
    if arguments.require is None or found.meets(arguments.require):
        return 0
    print(f"jaxcnn: {_short(found, arguments.require)}", file=sys.stderr)
    return 1


def _prepared(arguments: Arguments) -> tuple[Network, Any, str]:
    """Make the network, with real parameters, and its input; say what that is."""
    from jaxcnn import lowering

    given = None if arguments.input is None else targets.shape(arguments.input)
    target, kind = arguments.target, targets.kind(arguments.target)
    if kind != "own":
        targets.refuse_layout(channels_first=arguments.channels_first, batch=arguments.batch)
    if arguments.model.name:
        raise ValueError(f"--model.name {arguments.model.name} is no flag here: the model is the first argument")
    if kind != "model" and arguments.model.options():
        raise ValueError("--model.* flags are for models: a run or a network of your own is what it is")
    if kind == "run":
        from jaxcnn.runs import Run

        run = Run.open(target)
        lowering.enable(run.config.lowering)
        return _trained(run, arguments, given)
    lowering.enable()
    input_shape = given or targets.usual(channels_first=arguments.channels_first)
    if kind == "line":
        network = targets.in_a_line(target, input_shape)
        network = replace(network, params=_drawn(network.params, arguments.seed))
    elif kind == "own":
        network = targets.own(
            target,
            input_shape,
            channels_first=arguments.channels_first,
            batch=arguments.batch,
            seed=arguments.seed,
        )
        if arguments.batch is None and len(network.shape) > len(input_shape):
            network = _of_one(network)
    else:
        network = _model(replace(arguments.model, name=target), input_shape, arguments.seed)
    return network, *_random(network.shape, arguments.seed)


def _model(config: ModelConfig, input_shape: tuple[int, ...], seed: int) -> Network:
    from jaxcnn import models, nn

    module = models.create(config.name, input_shape=input_shape, rngs=seed, **config.options())
    fn, params = nn.functionalize(module)
    return Network(config.name, fn, params, input_shape, tuple(range(-len(input_shape), -1)))


def _trained(run: "Run", arguments: Arguments, given: tuple[int, ...] | None) -> tuple[Network, Any, str]:
    """Restore what a run chose; its input is an image of its data where these are here, and random elsewhere."""
    import jax

    from jaxcnn import api

    fn, params, _, _ = api.load(run)
    shape = given or tuple(run.facts["input_shape"])
    network = Network(str(run.path), fn, params, shape, tuple(range(-len(shape), -1)))
    try:
        jax.eval_shape(fn, params, jax.ShapeDtypeStruct(shape, "float32"))
    except Exception as error:
        text = "x".join(map(str, shape))
        trained = "x".join(map(str, run.facts["input_shape"]))
        raise ValueError(f"--input {text} does not fit the network of {run.path}, trained on {trained}") from error
    if given is None and (image := _image(run, arguments.seed)):
        return network, *image
    return network, *_random(shape, arguments.seed)


def _image(run: "Run", seed: int) -> tuple[Any, str] | None:
    """Take an image of a run's validation set, unless its data would have to be got or prepared first."""
    import numpy as np

    from jaxcnn import data

    with contextlib.suppress(ValueError, OSError):
        if data.state(run.config.data) == "prepared":
            dataset = data.load(run.config.data)
            run.check_data(data.describe(dataset))
            images = dataset.validation.inputs
            number = int(np.random.default_rng(seed).integers(len(images)))
            x = np.asarray(run.preprocessing(images[number : number + 1]), np.float32)[0]
            return x, f"image {number} of the validation set of {dataset.name}"
    return None


def _random(shape: tuple[int, ...], seed: int) -> tuple[Any, str]:
    import numpy as np

    return np.random.default_rng(seed).standard_normal(shape, np.float32), f"random numbers, seed {seed}"


def _drawn(params: Any, seed: int) -> Any:
    """Draw parameters in place of abstract ones: normal kernels, and what else there is near its first value."""
    import jax
    import numpy as np

    rng = np.random.default_rng(seed)

    def draw(path: Any, leaf: Any) -> Any:
        noise = rng.standard_normal(leaf.shape, np.float32)
        if path[-1].key == "kernel":
            return noise / np.sqrt(np.prod(leaf.shape[:-1]))
        return float(path[-1].key == "scale") + noise / 10

    return jax.tree_util.tree_map_with_path(draw, params)


def _of_one(network: Network) -> Network:
    """Leave out the batch axis of one example, of which nobody spoke."""
    return replace(network, fn=lambda params, x: network.fn(params, x[None]), shape=network.shape[1:])


@contextlib.contextmanager
def _waiting(text: str, *, silent: bool) -> Iterator[None]:
    """Tell on a terminal that something is done, and for how long already."""
    out = console(stderr=True)
    if silent or not out.is_terminal:
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=out,
        transient=True,
    ) as bar:
        bar.add_task(text, total=None)
        yield


def _short(found: "Audit", requirement: str) -> str:
    """Say in one line what a network is instead of what is required, and where that was first lost."""
    from jaxcnn.equivariance.findings import REQUIREMENTS

    if found.refuted and found.verdict in REQUIREMENTS[requirement]:
        return f"measurement refutes the contract of {found.refuted[0].name}: an error of jaxcnn's, report it"
    lost = [layer for layer in found.layers if layer.causes and layer.verdict not in REQUIREMENTS[requirement]]
    at = lost[0] if lost else found.first
    where = f": first lost at {at.name}: {at.cause}" if at else ""
    return f"the result is {found.verdict}, which --require {requirement} does not allow{where}"
