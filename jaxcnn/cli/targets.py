"""What a command is pointed at: a model, a run, a network in a line, or one of the user's own."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from jaxcnn.cli import callables
from jaxcnn.cli.arguments import Common, Flag
from jaxcnn.config import ModelConfig

DEFAULT_INPUT = (32, 32, 3)
YOUR_OWN = """\
A network of your own, MODULE:FUNCTION, is imported from the working directory: a function of the input, a Flax NNX or
Linen module, a callable tree of arrays (Equinox), or a class or function without arguments that makes one of these.
Modules are taken as in evaluation: dropout and the statistics of a batch are off."""


PLAIN_WIDTH = 120
"""Columns of a table that does not go to a terminal."""


@dataclass(frozen=True)
class Target(Common):
    """What a command is pointed at, and how its input lies."""

    target: Annotated[Positional[str], arg(metavar="MODEL|RUN|MODULE:FUNCTION|NETWORK")]
    """A model (see `jaxcnn models`), the folder of a run, a network of your own, or one in a line (see `jaxcnn summary
    --help`)."""
    input: Annotated[str | None, arg(metavar="HxWxC", help_behavior_hint="")] = None
    """Shape of an image (default: 32x32x3, a run's own); 128x3 has one spatial axis, 16x16x16x1 three."""
    channels_first: Flag = False
    """The input of a network of your own is CxHxW (default: 3x32x32)."""
    batch: Annotated[int | None, arg(metavar="INT", help_behavior_hint="")] = None
    """Batch axis of the input of a network of your own (default: 1 example, or no such axis where that fails; 0: no
    such axis)."""
    model: ModelConfig = field(default_factory=lambda: ModelConfig(name=""))


@dataclass(frozen=True)
class Network:
    """A network and the shape of its input."""

    name: str
    fn: Callable[[Any, Any], Any]
    params: Any
    """Abstract ones, unless a seed was given to draw them."""
    shape: tuple[int, ...]
    """Of the input."""
    spatial_axes: tuple[int, ...]
    in_a_line: bool = False


def kind(target: str) -> Literal["model", "run", "line", "own"]:
    """Tell what a target is meant to be; what cannot be told is a model, which then turns out to be unknown."""
    from jaxcnn import models

    is_known = target in models.available()
    if Path(target).exists():
        from jaxcnn import runs

        if runs.is_run(target) or not is_known:
            return "run"
    if is_known:
        return "model"
    return "line" if is_line(target) else "own" if callables.is_path(target) else "model"


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


def usual(*, channels_first: bool) -> tuple[int, ...]:
    """Return the shape of an input of which nothing is said."""
    return DEFAULT_INPUT[-1:] + DEFAULT_INPUT[:-1] if channels_first else DEFAULT_INPUT


def refuse_layout(*, channels_first: bool, batch: int | None) -> None:
    """Refuse the flags that only networks of the user's own need."""
    if channels_first or batch is not None:
        raise ValueError("--channels-first and --batch are for networks of your own, MODULE:FUNCTION")


def in_a_line(target: str, input_shape: tuple[int, ...]) -> Network:
    """Make a network in a line, with abstract parameters."""
    from jaxcnn.analysis.network import network

    fn, params = network(target, input_shape)
    return Network(target, fn, params, input_shape, tuple(range(-len(input_shape), -1)), in_a_line=True)


def own(
    target: str, input_shape: tuple[int, ...], *, channels_first: bool, batch: int | None, seed: int | None = None
) -> Network:
    """Import a network of the user's, and find out whether its input has a batch axis, which only a trace tells.

    Args:
        target: MODULE:FUNCTION.
        input_shape: Of one example.
        channels_first: Whether the channels come first in it.
        batch: Examples; 0 for no batch axis, None for whatever works.
        seed: Draws real parameters; without one they are abstract where possible.

    Returns:
        The network.

    Raises:
        ValueError: It is not there, it fails on such an input, or the input has another rank than its convolutions.
    """
    import jax

    if batch is not None and batch < 0:
        raise ValueError(f"--batch (={batch}) must be the number of examples, or 0 for no batch axis")
    rank = len(input_shape) - 1
    found = callables.made(target, callables.load(target), seed=seed)
    batches = [(1,), ()] if batch is None else [(batch,) if batch else ()]
    axes = tuple(range(-rank, 0)) if channels_first else tuple(range(-rank - 1, -1))
    failures: dict[str, list[tuple[int, ...]]] = {}
    first: Exception | None = None
    for x in [(*examples, *input_shape) for examples in batches]:
        try:
            struct = jax.ShapeDtypeStruct(x, "float32")
            fn, params = callables.functions(found, struct, seed=seed)
            program = jax.make_jaxpr(fn)(params, struct)
            if not program.out_avals:
                raise TypeError("it returns no array: perhaps its `return` is missing")
        except Exception as error:
            failures.setdefault(callables.told(error), []).append(x)
            first = first or error
        else:
            _check_rank(target, program, input_shape)
            return Network(target, fn, params, x, axes)
    told = "; ".join(f"of shape {' and '.join(map(str, tried))}: {text}" for text, tried in failures.items())
    raise ValueError(f"`{target}` fails on an input {told}") from first


def _check_rank(target: str, program: Any, input_shape: tuple[int, ...]) -> None:
    """Refuse an input of another rank than the network's convolutions have."""
    from jaxcnn.analysis.equations import flatten

    rank, text = len(input_shape) - 1, "x".join(map(str, input_shape))
    equations, _, _ = flatten(program)
    ranks = {len(e.params["window_strides"]) for e in equations if e.primitive == "conv_general_dilated" and e.depends}
    if ranks and rank not in ranks:
        has = f"the convolutions of `{target}` have spatial rank {' or '.join(map(str, sorted(ranks)))}"
        raise ValueError(
            f"{has}, but --input {text} has {rank} spatial sizes, and the channels; a batch axis is no part of it "
            "(see --batch)"
        )
