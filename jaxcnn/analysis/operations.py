"""What some equations do, in a word: conv, relu, norm."""

from collections.abc import Sequence
from typing import Any

from jaxcnn.analysis.equations import Equation, Value

HEAVY = {
    "conv_general_dilated": "conv",
    "dot_general": "dense",
    "max_pool": "max pool",
    "min_pool": "min pool",
    "max_pool_winners": "max pool",
    "min_pool_winners": "min pool",
    "reduce_window_max": "max pool",
    "reduce_window_min": "min pool",
    "reduce_window_sum": "sum pool",
    "reduce_window": "pool",
    "select_and_scatter_add": "unpool",
    "batch_norm": "norm",
}
"""Primitives that are a layer each."""
PLUMBING = {
    "reshape", "broadcast_in_dim", "convert_element_type", "squeeze", "transpose", "slice", "copy", "copy_p", "rev",
    "expand_dims", "stop_gradient", "reduce_precision", "pad", "concatenate", "optimization_barrier",
}  # fmt: skip
"""Primitives that name a layer only where there is nothing else."""
BORDERS = {"pad", "concatenate", "slice", "rev"}
"""What a padding in its own right is made of: it belongs to the window after it."""
LINEAR = {"add", "sub", "mul", "div", "neg", "add_any"}
ROOTS = {"rsqrt", "sqrt"}
REDUCTIONS = {"reduce_sum": "sum", "reduce_max": "max", "reduce_min": "min", "reduce_prod": "product"}
ACTIVATIONS = {"bias_gelu": "gelu", "erf": "gelu", "erfc": "gelu", "tanh": "tanh", "logistic": "sigmoid"}
"""What an elementwise layer is called by the first of these primitives that it has."""


def operation(atom: Sequence[Equation]) -> str:
    """Name what some equations do.

    Args:
        atom: Equations, in order.

    Returns:
        A word or two.

    Example:
        >>> import jax
        >>> from jaxcnn.analysis.equations import flatten
        >>> operation(flatten(jax.make_jaxpr(jax.nn.silu)(1.0))[0])
        'silu'
    """
    primitives = [e.primitive for e in atom if e.depends]
    for name in HEAVY:
        if name in primitives:
            return HEAVY[name]
    if ROOTS & set(primitives) or any(map(scales, atom)):
        return "norm"
    telling = [e for e in atom if e.primitive not in PLUMBING] or atom
    named = [[name for _, name in e.calls if name[:1].isalpha()] for e in telling]
    calls = {names[0] if names else "" for names in named}
    if len(calls) == 1 and "" not in calls:
        return calls.pop()
    if any(map(flattens, atom)) and set(primitives) <= PLUMBING:
        return "flatten"
    for name, op in REDUCTIONS.items():
        if name in primitives:
            return "center" if "sub" in primitives else op
    if "logistic" in primitives and "mul" in primitives:
        return "silu"
    if "tanh" in primitives and "mul" in primitives:
        return "gelu"
    for name, op in ACTIVATIONS.items():
        if name in primitives:
            return op
    if any(e.primitive == "max" and any(_is_zero(v) for v in e.inputs) for e in atom):
        return "relu"
    return [e.primitive for e in telling if e.depends or len(atom) == 1][-1].replace("_", " ")


def full_name(op: str, part: Sequence[Equation], rank: int) -> str:
    """Say what kind of convolution an operation is, or that a reduction is over the whole map.

    Args:
        op: Its `operation`.
        part: All equations of its layer.
        rank: Number of spatial axes.

    Returns:
        A name: `depthwise conv`, `global avg pool`.

    Example:
        >>> full_name("relu", [], 2)
        'relu'
    """
    if op == "conv":
        equation = next(e for e in part if e.primitive == "conv_general_dilated")
        groups, holes = equation.params["feature_group_count"], equation.params["lhs_dilation"]
        spec = equation.params["dimension_numbers"].lhs_spec
        if any(h > 1 for h in holes):
            return "transposed conv"
        channels = equation.inputs[0].shape[spec[1]]
        return "depthwise conv" if groups == channels > 1 else "grouped conv" if groups > 1 else "conv"
    products = [e for e in part if e.primitive == "dot_general"]
    if op == "dense" and products and all(v.depends for v in products[0].inputs):
        return "matmul"
    if op == "sum pool" and any(e.primitive in ("div", "mul") for e in part):
        return "avg pool"
    reductions = [e for e in part if e.primitive in REDUCTIONS]
    if reductions and op in ("sum", "max", "min"):
        averages = op == "sum" and any(e.primitive in ("div", "mul") for e in part)
        gone = max(len(e.inputs[0].shape) - len(e.output.shape) for e in reductions)
        whole = f"global {'avg' if averages else op} pool"
        return whole if 0 < rank <= gone else "mean" if averages else op
    return "sub" if op == "center" else op


def scales(equation: Equation) -> bool:
    """Tell whether an equation multiplies by a constant that is one over a root: a norm's scale.

    Args:
        equation: Any.

    Returns:
        Whether it does.

    Example:
        >>> scales(Equation("add", {}, (), (), "", ()))
        False
    """
    return equation.primitive in ("mul", "div") and any(
        not v.depends and v.maker is not None and _rooted(v.maker) for v in equation.inputs
    )


def _rooted(equation: Equation) -> bool:
    return equation.primitive in ROOTS or any(
        v.maker is not None and not v.depends and _rooted(v.maker) for v in equation.inputs
    )


def flattens(equation: Equation) -> bool:
    """Tell whether a reshape merges a map's positions into its last axis.

    Args:
        equation: Any.

    Returns:
        Whether it does.

    Example:
        >>> flattens(Equation("add", {}, (), (), "", ()))
        False
    """
    if equation.primitive != "reshape":
        return False
    before, after = equation.inputs[0].shape, equation.output.shape
    return sum(n > 1 for n in after) < sum(n > 1 for n in before) and before[-1:] != after[-1:]


def _is_zero(value: Value) -> bool:
    literal: Any = value.literal
    return literal is not None and getattr(literal, "shape", ()) == () and float(literal) == 0.0
