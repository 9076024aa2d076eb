"""What a network costs to run: multiply-accumulates, FLOPs and bytes, counted from the steps of a trace.

Counts are those of the algorithm that the jaxpr spells, on any device. A step that runs an unknown number of times (in
a `while`) counts for one round, and `total` says how many such steps there are; all branches of a `cond` count.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.analysis.tracing import Step

ELEMENTWISE = {
    "abs", "acos", "acosh", "add", "add_any", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "clamp",
    "complex", "conj", "cos", "cosh", "div", "eq", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor", "ge",
    "gt", "integer_pow", "is_finite", "le", "lgamma", "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne",
    "neg", "nextafter", "pow", "rem", "round", "rsqrt", "select_n", "sign", "sin", "sinh", "sqrt", "square", "sub",
    "tan", "tanh",
}  # fmt: skip
"""Primitives that do one operation for each element of their result, if they read floating-point numbers."""
REDUCTIONS = {
    "argmax", "argmin", "cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum", "reduce", "reduce_max", "reduce_min",
    "reduce_prod", "reduce_sum",
}  # fmt: skip
"""Primitives that do one for each element that they read."""
VIEWS = {"reshape", "squeeze", "expand_dims", "broadcast_in_dim"}
"""Primitives that only say anew how an array is read; no bytes move."""


@dataclasses.dataclass(frozen=True)
class Costs:
    """What some steps cost together.

    Example:
        >>> Costs(macs=10, flops=24, bytes=12).intensity
        2.0
    """

    macs: int = 0
    """Multiply-accumulates."""
    flops: int = 0
    """Floating-point operations."""
    bytes: int = 0
    """Bytes read and written, as if every step went to memory."""
    unknown_repeats: int = 0
    """Steps that run an unknown number of times, of which the counts hold one round."""

    @property
    def intensity(self) -> float:
        """Arithmetic intensity, FLOPs per byte; 0 where nothing moves."""
        return self.flops / self.bytes if self.bytes else 0.0


def macs(step: Step) -> int:
    """Count the multiply-accumulates of a convolution or a matrix product.

    A convolution has, for each element of its result, one a tap and input channel of its group; a matrix product, one
    for each contracted index. Taps on padding count, as papers count a SAME convolution (XLA leaves them out); taps on
    the holes of an input dilation do not, so a transposed convolution costs what it does where it is written as a
    scatter, up to its borders.

    Args:
        step: Of `trace`.

    Returns:
        The number, over all repeats; 0 for every other primitive.

    Example:
        The lecture's ten 5x5x3 filters on 32x32x3, padded by 2: 32 x 32 x 10 results of 75 products each.

        >>> from jaxcnn import analysis
        >>> from jaxcnn import functional as F
        >>> x, kernel = jax.ShapeDtypeStruct((32, 32, 3), "float32"), jax.ShapeDtypeStruct((5, 5, 3, 10), "float32")
        >>> trace = analysis.trace(lambda kernel, x: F.conv(x, kernel, padding=2), kernel, x)
        >>> sum(map(macs, trace.steps))
        768000
    """
    if step.primitive == "conv_general_dilated":
        return _rounds(step) * _conv(step)
    if step.primitive == "dot_general":
        (contracted, _), _ = step.params["dimension_numbers"]
        return _rounds(step) * _size(step.output) * math.prod(step.inputs[0].shape[axis] for axis in contracted)
    return 0


def flops(step: Step) -> int:
    """Count the floating-point operations of a step.

    Two a multiply-accumulate; one an element for arithmetic, comparison and selection, however dear (exp, sqrt); one an
    input element for reductions and cumulative operations; one a tap for windows, padding included. Arithmetic on
    integers, bits, sorting, random bits and all that only moves data count nothing.

    Args:
        step: Of `trace`.

    Returns:
        The number, over all repeats.

    Example:
        >>> from jaxcnn import analysis
        >>> trace = analysis.trace(lambda x: jnp.exp(x) + x, jax.ShapeDtypeStruct((8, 8, 3), "float32"))
        >>> [(step.primitive, flops(step)) for step in trace.steps]
        [('exp', 192), ('add', 192)]
    """
    products = macs(step)
    if products:
        return 2 * products
    if not any(jnp.issubdtype(getattr(array, "dtype", bool), jnp.inexact) for array in step.inputs):
        return 0
    if step.primitive in ELEMENTWISE:
        return _rounds(step) * _size(step.output)
    if step.primitive in REDUCTIONS:
        return _rounds(step) * _size(step.inputs[0])
    return _rounds(step) * OTHERS.get(step.primitive, _none)(step)


def activation_bytes(step: Step) -> int:
    """Count the bytes of a step's result, once however often it runs.

    Args:
        step: Of `trace`.

    Returns:
        Elements times the bytes of one.

    Example:
        >>> from jaxcnn import analysis
        >>> trace = analysis.trace(jnp.exp, jax.ShapeDtypeStruct((8, 8, 3), "bfloat16"))
        >>> activation_bytes(trace.steps[0])
        384
    """
    return _bytes(step.output)


def bytes_moved(step: Step) -> int:
    """Count the bytes that a step reads (activations, parameters) and writes, if nothing stays in a cache.

    `inputs + output`, whole, over all repeats: what a compiler saves by fusing steps is not known here. Reshapes and
    broadcasts move nothing.

    Args:
        step: Of `trace`.

    Returns:
        The number.

    Example:
        >>> from jaxcnn import analysis
        >>> trace = analysis.trace(lambda x: x + x, jax.ShapeDtypeStruct((8, 8, 3), "float32"))
        >>> bytes_moved(trace.steps[0])
        2304
    """
    if step.primitive in VIEWS:
        return 0
    return _rounds(step) * (sum(map(_bytes, step.inputs)) + _bytes(step.output))


def total(steps: Iterable[Step]) -> Costs:
    """Add up what steps cost.

    Args:
        steps: Of a `trace`: all of them, or a layer's.

    Returns:
        The `Costs`, with their arithmetic intensity.

    Example:
        A product of two 64x64 matrices: 64^3 multiply-accumulates, and three arrays of 16 KiB.

        >>> from jaxcnn import analysis
        >>> matrix = jax.ShapeDtypeStruct((64, 64), "float32")
        >>> costs = total(analysis.trace(jnp.matmul, matrix, matrix, spatial_axes=()).steps)
        >>> costs.macs, costs.bytes, round(costs.intensity, 1)
        (262144, 49152, 10.7)

    Reference:
        Williams, Waterman and Patterson, "Roofline", 2009.
    """
    steps = tuple(steps)
    return Costs(
        macs=sum(map(macs, steps)),
        flops=sum(map(flops, steps)),
        bytes=sum(map(bytes_moved, steps)),
        unknown_repeats=sum(step.repeats is None for step in steps),
    )


def compiled_cost(fn: Callable[..., Any], *args: Any) -> dict[str, int | None]:
    """Compile a function, and return XLA's own account of it.

    Other rules than ours: XLA leaves padded taps out, counts what is left after its simplifications, and nothing for
    the kernels of `jaxcnn.lowering`.

    Args:
        fn: Any function that `jax.jit` takes.
        *args: Its arguments: pytrees of arrays or `jax.ShapeDtypeStruct`.

    Returns:
        `xla_flops`, and `xla_peak_bytes`: arguments, results and temporaries together; None where the backend does not
        tell.

    Example:
        A SAME convolution of 4 positions by 3 taps, two of them on padding: 4 x 3 - 2 products, and as many sums.

        >>> from jaxcnn import functional as F
        >>> x, kernel = jax.ShapeDtypeStruct((4, 1), "float32"), jax.ShapeDtypeStruct((3, 1, 1), "float32")
        >>> compiled_cost(F.conv, x, kernel)
        {'xla_flops': 20, 'xla_peak_bytes': ...}
    """
    return program_cost(jax.jit(fn).lower(*args).compile())


def program_cost(program: Any) -> dict[str, int | None]:
    """Return XLA's own account of a compiled program: see `compiled_cost`.

    Args:
        program: What `jax.jit(fn).lower(...).compile()` gives.

    Returns:
        `xla_flops`, and `xla_peak_bytes`; None where the backend does not tell.

    Example:
        >>> program_cost(jax.jit(lambda x: x + 1).lower(jax.ShapeDtypeStruct((4,), "float32")).compile())["xla_flops"]
        4
    """
    told, memory = program.cost_analysis(), program.memory_analysis()
    told = told[0] if isinstance(told, list) and told else told
    peak = memory and (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        - memory.alias_size_in_bytes
    )
    return {"xla_flops": round(told.get("flops", 0)) if isinstance(told, dict) else None, "xla_peak_bytes": peak}


def _conv(step: Step) -> int:
    """Count the products of one convolution, of any order of axes."""
    _, kernel, out = step.params["dimension_numbers"]
    shape, result = step.inputs[1].shape, step.output.shape
    names = ("window_strides", "rhs_dilation", "lhs_dilation", "padding")
    amounts = zip(*(step.params[name] for name in names), strict=True)
    taps = 1
    for axis, (stride, dilation, holes, (low, _)) in enumerate(amounts, 2):
        taps *= _taps(result[out[axis]], shape[kernel[axis]], stride, dilation, holes, low)
    return result[out[0]] * result[out[1]] * shape[kernel[1]] * taps  # a kernel's input channels are one group's


def _taps(outputs: int, window: int, stride: int, dilation: int, holes: int, low: int) -> int:
    """Count the taps of all outputs along an axis: `outputs * window`, less those on holes.

    Output j's tap p is at position `j stride + p dilation - low`; elements are at multiples of `holes`, and padding
    goes on in that rhythm.
    """
    starts = np.bincount(np.arange(outputs) * stride % holes, minlength=holes)
    taps = np.bincount((low - np.arange(window) * dilation) % holes, minlength=holes)
    return int(starts @ taps)


def _window(step: Step) -> int:
    """One a tap: of a window reduction, or of a pool of ours."""
    place = step.params.get("place")
    window = place.window if place is not None else step.params["window_dimensions"]
    return _size(step.output) * math.prod(window)


def _select(step: Step) -> int:
    """One a tap to find each window's winner, and one sum a window."""
    return _size(step.inputs[0]) * (math.prod(step.params["window_dimensions"]) + 1)


def _scatter(step: Step) -> int:
    return _size(step.inputs[2])  # operand, indices, updates


def _none(step: Step) -> int:
    return 0


OTHERS: dict[str, Callable[[Step], int]] = {
    **dict.fromkeys(("reduce_window", "reduce_window_max", "reduce_window_min", "reduce_window_sum"), _window),
    **dict.fromkeys(("max_pool", "min_pool", "max_pool_winners", "min_pool_winners"), _window),
    **dict.fromkeys(("select_and_scatter", "select_and_scatter_add"), _select),
    "bias_relu": lambda step: 2 * _size(step.output),
    "bias_gelu": lambda step: 9 * _size(step.output),
    **dict.fromkeys(("scatter-add", "scatter-sub", "scatter-mul", "scatter-min", "scatter-max"), _scatter),
}
"""Counts of one round, of primitives with windows or indices, and of jaxcnn's own that a trace keeps whole."""


def _rounds(step: Step) -> int:
    return 1 if step.repeats is None else step.repeats


def _size(array: Any) -> int:
    return math.prod(getattr(array, "shape", ()))


def _bytes(array: Any) -> int:
    return _size(array) * getattr(getattr(array, "dtype", None), "itemsize", 0)
