"""A network's layers, read off its jaxpr: sizes, parameters, costs, receptive fields and shift contracts, not run."""

import difflib
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend import core

from jaxcnn.analysis import costs, worked
from jaxcnn.analysis.equations import Equation, Value, flatten
from jaxcnn.analysis.layers import Group, group, name_groups
from jaxcnn.analysis.rows import Layer, Summary
from jaxcnn.analysis.tracing import Step, trace


def summarize(
    fn: Callable[[Any, Array], Any],
    params: Any,
    x: Array | jax.ShapeDtypeStruct,
    *,
    spatial_axes: Sequence[int] = (-3, -2),
) -> Summary:
    """List a network's layers by tracing it; nothing runs, compiles or is allocated.

    A layer is what stands under one name scope (`jax.named_scope`; Flax Linen and jaxcnn set them), a scope that owns
    parameters taking in the scopes inside it that own none. Where a scope holds several operations, or there are no
    scopes, every convolution, dense layer, pool, norm, activation and sum of branches is a layer.

    Args:
        fn: `fn(params, x)`, as `nn.functionalize` gives it, or any JAX function.
        params: Arrays or `jax.ShapeDtypeStruct`, any pytree.
        x: Input, or its `jax.ShapeDtypeStruct`. Its first axes, all but the spatial ones and one of channels, are batch
            axes: they are left out of the shapes, and costs are for one example.
        spatial_axes: Positions of x's spatial axes: `(-2, -1)` for channels first, `()` for features.

    Returns:
        The `Summary`. Parameters that nothing reads have a row of their own, with `op` "unused".

    Example:
        >>> from flax import nnx
        >>> from jaxcnn import nn
        >>> fn, params = nn.functionalize(nn.Sequential(conv=nn.Conv(3, 10, (5, 5), padding=2, rngs=nnx.Rngs(0))))
        >>> summary = summarize(fn, params, jax.ShapeDtypeStruct((32, 32, 3), "float32"))
        >>> summary.layers[0].worked, summary.layers[0].receptive_field, summary.totals["macs"]
        ('(32 + 2*2 - 5)/1 + 1 = 32', 5, 768000)

    Reference:
        Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016; Araujo, Norris and Sim,
        "Computing receptive fields of convolutional neural networks", 2019.
    """
    closed = jax.make_jaxpr(fn)(params, x)
    leaves = jax.tree.leaves_with_path(params)
    paths, sizes = [_owner(path) for path, _ in leaves], [math.prod(np.shape(leaf)) for _, leaf in leaves]
    read = trace(core.jaxpr_as_fun(closed), *(leaf for _, leaf in leaves), x, spatial_axes=tuple(spatial_axes))
    equations, _, outputs = flatten(closed)
    groups = group(equations, outputs, paths, rank=len(spatial_axes))
    owned = _claims(groups, len(leaves))
    names = name_groups(groups, lambda g: next((paths[i] for i in sorted(owned[id(g)])), ""))
    at = _matched(equations, read.steps)
    steps, facts = _assigned(groups, at, read.steps)
    batch = _batch(x.shape, spatial_axes)
    layers = []
    for g, name in zip(groups, names, strict=True):
        places, conv = _window(g)
        parameters = sum(sizes[i] for i in owned[id(g)])
        layers.append(
            Layer(
                name,
                g.op,
                _without(batch, g.last.output.shape, len(x.shape)),
                parameters,
                macs=_for_one(costs.macs, steps[id(g)], at, batch),
                flops=_for_one(costs.flops, steps[id(g)], at, batch),
                activation_bytes=_bytes(g.last.output) // max(math.prod(batch), 1),
                worked=worked.per_axis([worked.line(place) for place in places]),
                notes=tuple(worked.notes(places)),
                dense_parameters=None if conv is None else _dense(conv, places, parameters),
                **_known(facts.get(id(g))),
            )
        )
    claimed = set().union(*owned.values())
    lost: dict[str, int] = {}
    for i in sorted(set(range(len(leaves))) - claimed):
        lost[paths[i]] = lost.get(paths[i], 0) + sizes[i]
    layers += [Layer(path, "unused", (), size) for path, size in lost.items()]
    totals = {
        "parameters": sum(sizes),
        "parameter_bytes": sum(n * jnp.result_type(leaf).itemsize for n, (_, leaf) in zip(sizes, leaves, strict=True)),
        "constants": sum(math.prod(value.shape) for value in _closed_over(equations)),
        "macs": _for_one(costs.macs, read.steps, at, batch),
        "flops": _for_one(costs.flops, read.steps, at, batch),
        "activation_bytes": sum(layer.activation_bytes for layer in layers),
        "arithmetic_intensity": costs.total(read.steps).intensity,
    }
    return Summary(_without(batch, x.shape, len(x.shape)), tuple(layers), totals, dict(read.unknown), math.prod(batch))


def _closed_over(equations: Sequence[Equation]) -> list[Value]:
    """Return the arrays of numbers that a program brings with it."""
    values = {id(value): value for equation in equations for value in equation.inputs if value.closed}
    return [v for v in values.values() if v.shape and jnp.issubdtype(v.aval.dtype, jnp.inexact)]


def _claims(groups: Sequence[Group], leaves: int) -> dict[int, set[int]]:
    """Give every parameter to the first layer that reads it."""
    free = set(range(leaves))
    owned: dict[int, set[int]] = {}
    for g in groups:
        owned[id(g)] = free & {i for equation in g.equations for i in equation.reads}
        free -= owned[id(g)]
    return owned


def _matched(equations: Sequence[Equation], steps: Sequence[Step]) -> dict[int, Equation]:
    """Find the equation that each step reads, by the step's identity; both list the program in its order."""
    keys = [(e.primitive, e.scope, e.output.shape) for e in equations]
    others = [(s.primitive, s.scope, tuple(s.output.shape)) for s in steps]
    pairs = [(0, 0, len(keys))] if keys == others else _blocks(keys, others)
    return {id(steps[second + i]): equations[first + i] for first, second, length in pairs for i in range(length)}


def _assigned(
    groups: Sequence[Group], at: dict[int, Equation], read: Sequence[Step]
) -> tuple[dict[int, list[Step]], dict[int, Any]]:
    """Find each layer's steps, and what is known of its output."""
    home = {id(equation): g for g in groups for equation in g.equations}
    steps: dict[int, list[Step]] = {id(g): [] for g in groups}
    facts: dict[int, Any] = {}
    current = groups[0] if groups else None
    for step in read:
        equation = at.get(id(step))
        current = home.get(id(equation), current) if equation is not None else current
        if current is not None:
            steps[id(current)].append(step)
            if equation is current.last:
                facts[id(current)] = step.facts
    return steps, facts


def _blocks(first: Sequence[Any], second: Sequence[Any]) -> list[tuple[int, int, int]]:
    blocks = difflib.SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    return [(block.a, block.b, block.size) for block in blocks]


def _known(facts: Any) -> dict[str, Any]:
    """Return what is known of an array along each spatial axis; one value where the axes agree."""
    if facts is None or not facts.axes:
        return {}
    names = ("receptive_field", "jump", "center", "padding")
    known = {name: _agreed([_whole(getattr(axis, name)) for axis in facts.axes]) for name in names}
    return {**known, "contract": _agreed([str(axis.contract) for axis in facts.axes])}


def _agreed(values: Sequence[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else tuple(values)


def _whole(value: Any) -> Any:
    """Return a whole fraction as an int."""
    return int(value) if isinstance(value, Fraction) and value.denominator == 1 else value


def _window(g: Group) -> tuple[tuple[worked.Place, ...], Equation | None]:
    """Return a layer's window, and its convolution."""
    for equation in g.equations:
        places = worked.places(equation, g.equations) if equation.depends else ()
        if places:
            return places, equation if equation.primitive == "conv_general_dilated" else None
    return (), None


def _dense(conv: Equation, places: Sequence[worked.Place], parameters: int) -> int:
    """Count the parameters of a dense layer between the arrays of a convolution, with a bias if that has one."""
    spec, (x, kernel) = conv.params["dimension_numbers"], conv.inputs
    inputs = math.prod(place.size for place in places) * x.shape[spec.lhs_spec[1]]
    outputs = math.prod(place.output for place in places) * conv.output.shape[spec.out_spec[1]]
    return outputs * (inputs + (parameters > math.prod(kernel.shape)))


def _for_one(cost: Callable[[Any], int], steps: Sequence[Step], at: dict[int, Equation], batch: tuple[int, ...]) -> int:
    """Add up a cost for one example; what is not made of the input is paid once.

    The program's word counts, not the trace's: a map that shows nothing but padding depends on no input, and is
    computed for every example all the same.
    """
    examples, total = max(math.prod(batch), 1), 0
    for step in steps:
        depends = at[id(step)].depends if id(step) in at else step.depends
        total += cost(step) // examples if depends else cost(step)
    return total


def _batch(shape: tuple[int, ...], spatial_axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(shape[: len(shape) - 1 - len(spatial_axes)])


def _without(batch: tuple[int, ...], shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Take the batch axes off a shape that begins with them, merged or not."""
    if shape[: len(batch)] == batch:
        shape = shape[len(batch) :]
    elif shape[:1] == (math.prod(batch),):
        shape = shape[1:]
    while len(shape) > rank - len(batch) and shape[0] == 1:
        shape = shape[1:]
    return shape


def _bytes(value: Value) -> int:
    return math.prod(value.shape) * getattr(getattr(value.aval, "dtype", None), "itemsize", 0)


def _owner(path: tuple[Any, ...]) -> str:
    """Return the path of a parameter's layer: without its own name, or what a framework wraps an array in."""
    parts = [str(getattr(part, "key", getattr(part, "idx", getattr(part, "name", part)))) for part in path]
    if parts and parts[-1] in ("value", "raw_value"):
        parts.pop()
    return "/".join(parts[:-1])
