"""What every array of a program sees of the input, and what shifts do to it: read off the jaxpr, nothing runs."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import jax

from jaxcnn.analysis.facts import Facts, facts_of
from jaxcnn.analysis.interpret import Read, Reader
from jaxcnn.analysis.units import Units
from jaxcnn.analysis.world import World

MOST_POSITIONS = 1 << 24
"""Along one axis of an argument."""


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One operation of a program.

    Attributes:
        scope: Its name stack, such as `stage1/block0/conv1`; empty where it has none.
        primitive: Its name.
        params: Of the equation.
        inputs: Abstract values of its operands.
        output: Abstract value of its largest result.
        repeats: How often it runs: the length of the scans around it; None inside a `while`.
        known: Whether all that it computes is known.
        depends: Whether it depends on the input.
        dependent: Which operands depend on the input.
        sources: Which leaves of the arguments before the input its constant operands are made of.
        calls: Names of the calls that it stands in, such as `relu`, outermost first.
        equation: The jaxpr's.
        facts: Of its largest result.

    Example:
        >>> step = trace(lambda x: 2 * x, jax.ShapeDtypeStruct((8,), "float32"), spatial_axes=(0,)).steps[0]
        >>> step.primitive, step.dependent, step.facts.axes[0].receptive_field
        ('mul', (False, True), 1)
    """

    scope: str
    primitive: str
    params: dict[str, Any]
    inputs: tuple[Any, ...]
    output: Any
    repeats: int | None
    known: bool
    depends: bool
    dependent: tuple[bool, ...]
    sources: frozenset[int]
    calls: tuple[str, ...]
    equation: Any = dataclasses.field(repr=False)
    around: tuple[World, Units | None] = dataclasses.field(repr=False)
    plane: tuple[World, Units | None] = dataclasses.field(repr=False)

    @cached_property
    def facts(self) -> Facts:
        return facts_of(tuple(self.output.shape), self.around, self.plane)


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """A program that was read.

    Attributes:
        steps: Its operations in order, those inside calls and loops too; of a loop, those of its last turn.
        outputs: Facts of its results, in the order of their leaves.
        input: Shape and type of the input.
        spatial_axes: Of the input, as positions from the front.
        unknown: Primitives of which something is not known, and in how many operations.

    Example:
        >>> import jax.numpy as jnp
        >>> trace(jnp.fft.fft, jax.ShapeDtypeStruct((8,), "complex64"), spatial_axes=(0,)).unknown
        {'fft': 1}
    """

    steps: tuple[Step, ...]
    outputs: tuple[Facts, ...]
    input: jax.ShapeDtypeStruct
    spatial_axes: tuple[int, ...]
    unknown: dict[str, int]


def trace(fn: Callable[..., Any], *args: Any, spatial_axes: Sequence[int] = (-3, -2)) -> Trace:
    """Read what a function computes, relative to its last argument: receptive fields, jumps, padding, shift contracts.

    Args:
        fn: Any JAX function.
        *args: Pytrees of arrays or `jax.ShapeDtypeStruct`. The last one is the input x, one array; what the others
            hold is taken as general numbers, different at every position.
        spatial_axes: Positions of x's spatial axes.

    Returns:
        The `Trace`.

    Raises:
        ValueError: No input, one that is no array, axes that it has not got, or an argument too large.

    Example:
        A convolution of stride 2 without padding, and what a roll of its input does:

        >>> import jax.numpy as jnp
        >>> def conv(kernel, x):
        ...     return jax.lax.conv(x[None], kernel, (2, 2), "VALID")[0]
        >>> shapes = jax.ShapeDtypeStruct((8, 3, 5, 5), "float32"), jax.ShapeDtypeStruct((3, 32, 32), "float32")
        >>> height, width = trace(conv, *shapes, spatial_axes=(1, 2)).outputs[0].axes
        >>> height.receptive_field, str(height.jump), str(height.center), str(height.contract)
        (5, '2', '2', 'interior 0..0 on 2Z')
    """
    if not args:
        raise ValueError("`trace` needs the input, or an abstract one, as its last argument, got none")
    *params, x = args
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        raise ValueError(f"the last argument is the input and must be one array, got {type(x).__name__}")
    leaf = x
    if isinstance(spatial_axes, int):
        raise ValueError(f"`spatial_axes` (={spatial_axes}) must be a sequence of positions, such as ({spatial_axes},)")
    ndim = len(leaf.shape)
    for axis in spatial_axes:
        if not -ndim <= axis < ndim:
            raise ValueError(f"`spatial_axes` (={tuple(spatial_axes)}) names axis {axis}, but x has {ndim} axes")
    if 0 in leaf.shape:
        raise ValueError(f"the input has no elements: its shape is {tuple(leaf.shape)}")
    places = sorted(axis % ndim for axis in spatial_axes)
    if len(set(places)) != len(places):
        raise ValueError(f"`spatial_axes` (={tuple(spatial_axes)}) names an axis twice")
    program = jax.make_jaxpr(fn)(*args)
    most = max((size for aval in program.in_avals for size in getattr(aval, "shape", ())), default=0)
    if most > MOST_POSITIONS:
        raise ValueError(f"an argument has an axis of {most:,} positions: `trace` tells up to {MOST_POSITIONS:,} apart")
    sizes = [leaf.shape[place] for place in places]
    others = sum(len(jax.tree.leaves(tree)) for tree in params)
    readings = [_read(program, World(sizes, circular=circular), others, places) for circular in (True, False)]
    (around, reads, ends), (plane, plane_reads, plane_ends) = readings
    pairs = zip(reads, plane_reads, strict=True)
    steps = tuple(_step(around, read, plane, other) for read, other in pairs if read.equation.outvars)
    shapes = [tuple(aval.shape) for aval in program.out_avals]
    outputs = tuple(
        facts_of(shape, (around, a), (plane, b)) for shape, a, b in zip(shapes, ends, plane_ends, strict=True)
    )
    unknown = Counter(step.primitive for step in steps if not step.known)
    struct = jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    return Trace(steps, outputs, struct, tuple(places), dict(unknown))


def _read(program: Any, world: World, others: int, places: list[int]) -> tuple[World, list[Read], list[Units | None]]:
    reader = Reader(world)
    *constants, x = program.jaxpr.invars
    arguments = [
        dataclasses.replace(world.constant(variable.aval.shape), sources=frozenset([n]))
        for n, variable in enumerate(constants)
    ]
    assert len(constants) == others
    ends = reader.closed(program, [*arguments, world.input(x.aval.shape, places)], "", 1)
    return world, reader.reads, ends


def _step(around: World, read: Read, plane: World, other: Read) -> Step:
    equation = read.equation
    sizes = [int(getattr(out.aval, "size", 0)) for out in equation.outvars]
    largest = sizes.index(max(sizes))
    return Step(
        read.scope,
        equation.primitive.name,
        equation.params,
        tuple(atom.aval for atom in equation.invars),
        equation.outvars[largest].aval,
        read.repeats,
        read.known,
        read.depends,
        read.dependent,
        read.sources - {-1},
        read.calls,
        equation,
        (around, read.results[largest]),
        (plane, other.results[largest]),
    )
