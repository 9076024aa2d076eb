"""How far rounding alone may carry two evaluations of one function apart: read off its jaxpr."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend import core

from jaxcnn.equivariance.program import body_of

SAFETY = 4.0
"""In `eps` of one rounding error, whose standard deviation is eps / sqrt(12) at most: 14 of them."""
SUMS = {
    "reduce_sum", "reduce_prod", "cumsum", "cumprod", "cumlogsumexp", "reduce_window_sum", "reduce_window",
    "dot_general", "conv_general_dilated", "fft", "reduce",
}  # fmt: skip
EXACT = {
    "reshape", "transpose", "broadcast_in_dim", "squeeze", "expand_dims", "concatenate", "pad", "slice", "gather",
    "dynamic_slice", "dynamic_update_slice", "rev", "select_n", "max", "min", "neg", "abs", "sign", "reduce_max",
    "reduce_min", "reduce_window_max", "reduce_window_min", "copy", "copy_p", "sort", "stop_gradient", "iota", "argmax",
    "argmin", "clamp", "split", "optimization_barrier", "real", "imag", "floor", "ceil", "round", "is_finite",
}  # fmt: skip
"""Operations that move or choose numbers, and so round nothing."""


def rounding(fn: Callable[..., Any], *args: Any) -> float:
    """Estimate how far rounding alone may carry a function's result, as a share of its largest value.

    `4 sqrt(max over paths of the sum of eps_i^2 n_i)`: along every path from the arguments to the result, operation
    i has rounding errors of its dtype's eps, n_i of them where it sums n_i numbers (the taps of a convolution times
    its input channels, the contracted sizes of a product, the window of a pool, log2 n of a Fourier transform),
    which add up as independent errors do: as the root of the sum of squares, relative to the size of the values. 4
    eps are 14 standard deviations of one error, room for the largest of many values. Operations that only move or
    choose numbers add nothing; a loop adds its length times. It is an estimate for well-conditioned functions, and
    no bound: the assertions take it of the largest value or of the `response` to errors of the argument, whichever
    is larger; where the numbers in between cancel, or exponentials are taken of large ones, give a tolerance.

    Args:
        fn: Any JAX function.
        *args: Pytrees of arrays or `jax.ShapeDtypeStruct`.

    Returns:
        The share: 0 for a function that rounds nothing.

    Example:
        >>> half = jax.ShapeDtypeStruct((64,), "bfloat16")
        >>> rounding(lambda x: x[::-1], half), rounding(lambda x: x * x, half)
        (0.0, 0.03125)
        >>> rounding(lambda x, y: x @ y, *[jax.ShapeDtypeStruct((64, 64), "float32")] * 2) / 2.0**-23
        32.0
    """
    program = jax.make_jaxpr(fn)(*args)
    return SAFETY * math.sqrt(max(_spread(program.jaxpr, [0.0] * len(program.jaxpr.invars)), default=0.0))


def response(fn: Callable[[Array], Array], x: Array) -> float:
    """Measure how far relative errors of the argument carry the result: where its terms cancel, more than its size.

    `max |J(x) (s x)|` over 4 draws of signs s: errors in proportion to the numbers, of random sign, add up to that. The
    mean of 256 numbers around 0 responds by 1 / 16 of their size, and may itself be far smaller.

    Args:
        fn: A JAX function of one array that returns one array.
        x: Its argument.

    Returns:
        The largest finite response; 0 where there is no derivative.

    Example:
        >>> import jax.numpy as jnp
        >>> response(lambda x: 3 * x, jnp.array([1.0, -2.0]))
        6.0
    """
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return 0.0
    signs = np.where(np.random.default_rng(0).integers(0, 2, (4, *x.shape)), 1.0, -1.0)

    def slope(sign: Array) -> Array:
        y, moved = jax.jvp(fn, (x,), (sign.astype(x.dtype) * x,))
        if not jnp.issubdtype(y.dtype, jnp.inexact):
            return jnp.float32(0)
        size = jnp.abs(moved).astype(jnp.float32)
        return jnp.where(jnp.isfinite(size), size, 0).max()

    try:
        return float(jax.jit(jax.lax.map, static_argnums=0)(slope, jnp.asarray(signs, jnp.float32)).max())
    except TypeError:  # a derivative of its own, in reverse alone
        return 0.0


def _spread(jaxpr: Any, given: list[float]) -> list[float]:
    """Return the sum of squares on the worst path to each result, given those of the arguments."""
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    known = dict(zip(jaxpr.invars, given, strict=True))

    def read(atom: Any) -> float:
        return 0.0 if isinstance(atom, core.Literal) else known.get(atom, 0.0)

    for equation in jaxpr.eqns:
        taken = [read(atom) for atom in equation.invars]
        before = max(taken, default=0.0)
        inner = body_of(equation)
        bodies = [inner] if inner is not None else list(core.jaxprs_in_params(equation.params))
        bodies = [] if equation.primitive.name in SUMS else bodies
        if bodies:
            added = max(max(_spread(body, [0.0] * len(body.invars)), default=0.0) for body in bodies)
            after = [before + added * _turns(equation)] * len(equation.outvars)
        else:
            after = [before + _own(equation, out.aval) for out in equation.outvars]
        known.update(zip(equation.outvars, after, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _turns(equation: Any) -> int:
    """Return how often a loop runs its body; once where it does not say."""
    return int(equation.params.get("length", 1)) if equation.primitive.name == "scan" else 1


def _own(equation: Any, result: Any) -> float:
    """Return the squares of the rounding errors that an operation makes."""
    dtype, name = getattr(result, "dtype", None), equation.primitive.name
    if dtype is None or not jnp.issubdtype(dtype, jnp.inexact) or name in EXACT:
        return 0.0
    if name == "convert_element_type":
        source = equation.invars[0].aval.dtype
        wider = jnp.issubdtype(source, jnp.inexact) and jnp.finfo(source).eps <= jnp.finfo(dtype).eps
        return 0.0 if source == dtype or not wider else float(jnp.finfo(dtype).eps) ** 2
    return float(jnp.finfo(dtype).eps) ** 2 * longest_sum(equation)


def longest_sum(equation: Any) -> int:
    """Return how many rounding errors an operation adds up in one of its results: the numbers that it sums.

    Args:
        equation: Of a jaxpr.

    Returns:
        At least 1.

    Example:
        >>> longest_sum(jax.make_jaxpr(lambda x: x.sum(0))(jnp.ones((7, 3))).eqns[0])
        7
    """
    name, params = equation.primitive.name, equation.params
    shapes: list[tuple[int, ...]] = [tuple(getattr(atom.aval, "shape", ())) for atom in equation.invars]
    if name == "dot_general":
        return max(1, math.prod(shapes[0][axis] for axis in params["dimension_numbers"][0][0]))
    if name == "conv_general_dilated":
        _, inputs, *window = params["dimension_numbers"].rhs_spec
        return max(1, math.prod(shapes[1][axis] for axis in (inputs, *window)))
    if name.startswith("reduce_window"):
        return max(1, math.prod(params["window_dimensions"]))
    if name.startswith("cum"):
        return max(1, shapes[0][params["axis"]])
    if name == "fft":
        return max(1, math.ceil(math.log2(math.prod(params["fft_lengths"]))))
    if name in SUMS:
        return max(1, math.prod(shapes[0][axis] for axis in params.get("axes", params.get("dimensions", ()))))
    if name.startswith("scatter") and len(shapes) == 3:
        return max(1, math.prod(shapes[2]))
    return 1
