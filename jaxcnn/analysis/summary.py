"""A network's layers, read off its jaxpr: names, operations, shapes and parameters, without running it."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from jax import Array
from jax.extend import core

OPERATIONS = {
    "conv_general_dilated": "conv",
    "dot_general": "dense",
    "max_pool": "max pool",
    "min_pool": "min pool",
    "batch_norm": "norm",
    "reduce_window_max": "max pool",
    "reduce_window_min": "min pool",
    "reduce_window_sum": "sum pool",
    "reduce_window": "pool",
    "rsqrt": "norm",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_sum": "sum",
}
"""What a layer is called by the first of these primitives that it has."""
PLUMBING = {"reshape", "broadcast_in_dim", "convert_element_type", "squeeze", "transpose", "slice", "copy"}
"""Primitives that name a layer only where there is nothing else."""


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer of a network.

    Example:
        >>> Layer("conv1", "conv", (28, 28, 6), 156).parameters
        156
    """

    name: str
    """Path of attributes, the name stack of its operations: `stage2/block0/conv1`; empty for those without one."""
    op: str
    """Its main operation."""
    shape: tuple[int, ...]
    """Shape of its output, without batch axes."""
    parameters: int
    """Numbers it learns."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """A network as a table; `str()` draws it.

    Example:
        >>> summary = Summary((4,), (Layer("head", "dense", (2,), 10),), {"parameters": 10})
        >>> print(summary)
        Layer  Operation  Output  Parameters
        ------------------------------------
        input                  4
        head   dense           2          10
        ------------------------------------
        total                             10
    """

    input: tuple[int, ...]
    """Shape of the input, without batch axes."""
    layers: tuple[Layer, ...]
    """Layers in the order in which they finish."""
    totals: dict[str, int]
    """`parameters`: numbers in the whole tree."""

    def to_json(self) -> str:
        """Return the summary as one JSON document.

        Returns:
            An object with `input`, `layers` and `totals`.

        Example:
            >>> Summary((4,), (Layer("head", "dense", (2,), 10),), {"parameters": 10}).to_json()
            '{"input": [4], "layers": [{"name": "head", "op": "dense", "shape": [2], "parameters": 10}], "totals": ...}'
        """
        return json.dumps(dataclasses.asdict(self))

    def __str__(self) -> str:
        rows = [("Layer", "Operation", "Output", "Parameters"), ("input", "", _size(self.input), "")]
        rows += [
            (layer.name or "(top)", layer.op, _size(layer.shape), f"{layer.parameters:,}") for layer in self.layers
        ]
        rows += [("total", "", "", f"{self.totals['parameters']:,}")]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            f"{name:<{widths[0]}}  {op:<{widths[1]}}  {shape:>{widths[2]}}  {parameters:>{widths[3]}}".rstrip()
            for name, op, shape, parameters in rows
        ]
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def summarize(
    fn: Callable[[Any, Array], Any],
    params: Any,
    x: Array | jax.ShapeDtypeStruct,
    *,
    spatial_axes: Sequence[int] = (-3, -2),
) -> Summary:
    """List a network's layers by tracing it; nothing runs and nothing is allocated.

    A layer is the set of operations under one name stack (`jax.named_scope`); a scope that owns parameters takes in
    the scopes inside it that own none. Its shape is that of its last operation.

    Args:
        fn: `fn(params, x)`, as `nn.functionalize` gives it, or any JAX function with named scopes.
        params: Arrays or `jax.ShapeDtypeStruct`, in nested dicts keyed as the scopes are.
        x: Input, `(*batch, *spatial, channels)`, or its `jax.ShapeDtypeStruct`. Its batch axes, all those before
            the spatial ones, are left out of the shapes.
        spatial_axes: Positions of x's spatial axes; `()` for features.

    Returns:
        The `Summary`. Parameters that no operation's scope claims have a row of their own, with `op` "unused".

    Example:
        >>> from flax import nnx
        >>> from jaxcnn import nn
        >>> fn, params = nn.functionalize(nn.Sequential(conv=nn.Conv(3, 10, (5, 5), padding=2, rngs=nnx.Rngs(0))))
        >>> print(summarize(fn, params, jax.ShapeDtypeStruct((32, 32, 3), "float32")))
        Layer  Operation    Output  Parameters
        --------------------------------------
        input              32x32x3
        conv   conv       32x32x10         760
        --------------------------------------
        total                              760
    """
    sizes: dict[str, int] = {}
    for path, leaf in jax.tree.leaves_with_path(params):
        owner = "/".join(str(getattr(part, "key", getattr(part, "idx", part))) for part in path[:-1])
        sizes[owner] = sizes.get(owner, 0) + math.prod(leaf.shape)
    batch = x.shape[: x.ndim - 1 - len(spatial_axes)]
    scopes: dict[str, list[core.JaxprEqn]] = {}
    for stack, equation in _equations(jax.make_jaxpr(fn)(params, x).jaxpr, ""):
        name = max((owner for owner in sizes if _inside(stack, owner)), key=len, default=stack)
        equations = scopes.pop(name, [])  # popped, so that the order is that of last operations
        scopes[name] = [*equations, equation]
    layers = [
        Layer(name, _operation(equations), _without(batch, _shape(equations[-1])), sizes.pop(name, 0))
        for name, equations in scopes.items()
    ]
    layers += [Layer(owner, "unused", (), size) for owner, size in sizes.items()]
    total = sum(layer.parameters for layer in layers)
    return Summary(_without(batch, x.shape), tuple(layers), {"parameters": total})


def _equations(jaxpr: core.Jaxpr, scope: str) -> Iterator[tuple[str, core.JaxprEqn]]:
    """Walk a jaxpr and the jaxprs inside it; a call comes after its body, so that it is the scope's last."""
    for equation in jaxpr.eqns:
        stack = "/".join(filter(None, (scope, str(equation.source_info.name_stack))))
        for inner in core.jaxprs_in_params(equation.params):
            yield from _equations(inner, stack)
        if equation.outvars:
            yield stack, equation


def _inside(stack: str, owner: str) -> bool:
    return stack == owner or (owner != "" and stack.startswith(owner + "/"))


def _operation(equations: Sequence[core.JaxprEqn]) -> str:
    """Name what a layer does: a known heavy primitive, a named function such as relu, or its last primitive."""
    names = [equation.primitive.name for equation in equations]
    for primitive, name in OPERATIONS.items():
        if primitive in names:
            return name
    calls = [str(e.params["name"]) for e in equations if e.primitive.name in ("jit", "pjit")]
    public = [name for name in calls if not name.startswith("_")]
    telling = [name for name in names if name not in PLUMBING]
    return (public or telling or names)[-1]


def _shape(equation: core.JaxprEqn) -> tuple[int, ...]:
    """Return the shape of an equation's output, of the largest if a call has several."""
    return max((getattr(out.aval, "shape", ()) for out in equation.outvars), key=math.prod)


def _without(batch: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Take the batch axes off a shape that begins with them."""
    return shape[len(batch) :] if shape[: len(batch)] == batch else shape


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "-"
