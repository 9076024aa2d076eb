"""A bias, a ReLU and perhaps a max pool, or a GELU, in one pass over a map."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.interpreters import ad
from jaxtyping import Num

from jaxcnn.config import unknown
from jaxcnn.functional import window as win
from jaxcnn.functional.extremum import MAX_POOL_WINNERS, SCATTER, SELECT
from jaxcnn.functional.gelu import FORWARD as GELU
from jaxcnn.functional.primitive import members_are_channels, primitive

ACTIVATIONS = ("relu", "relu_pool", "gelu")


def add_bias(
    x: Num[Array, "*batch_and_spatial channels"],
    bias: Num[Array, " bias_channels"] | None,
    *,
    activation: str | None = None,
) -> Num[Array, "*batch_and_output channels"]:
    """Add a bias to every channel, and apply a ReLU or a GELU.

    `y = max(x + bias, 0)`, or `x + bias` without it.

    Args:
        x: Map, `(*batch_and_spatial, channels)`.
        bias: `(channels,)`, of x's dtype; None is 0.
        activation: None; `relu`; `gelu`, by tanh, in which half precision is computed in float32; or `relu_pool`, which
            also takes the maximum of each 2x2 window, side by side, of a map `(*batch, height, width, channels)`: the
            gradient is that of `max_pool`.

    Returns:
        The map, of x's dtype.

    Raises:
        ValueError: An unknown activation, or a map without windows.

    Example:
        >>> add_bias(jnp.array([[1., -3.]]), jnp.array([1., 2.]), activation="relu").tolist()
        [[2.0, 0.0]]
        >>> add_bias(jnp.arange(4.).reshape(2, 2, 1), jnp.array([1.]), activation="relu_pool").tolist()
        [[[4.0]]]
    """
    if activation is None:
        return x if bias is None else x + bias
    if activation not in ACTIVATIONS:
        raise ValueError(unknown("activation", activation, ACTIVATIONS))
    bias = jnp.zeros(x.shape[-1:], x.dtype) if bias is None else bias
    if activation != "relu_pool":
        return (GELU if activation == "gelu" else FORWARD).bind(x, bias)[0]
    x, batch = win.merge_batch(x, 2)
    y = POOL.bind(x, bias)[0]
    return y.reshape(*batch, *y.shape[1:])


def _forward(x: Array, bias: Array) -> list[Array]:
    return [jnp.maximum(x + bias, 0)]


def _tangent(y: Array, dx: Array, dbias: Array) -> list[Array]:
    """Return the tangent of y, which is linear in `dx` and `dbias`."""
    return [jnp.where(y > 0, dx + dbias, 0)]


def _backward(y: Array, dy: Array) -> tuple[Array, Array]:
    """Return the cotangents of x and of the bias: `_tangent`'s transpose, in one pass."""
    dx = jnp.where(y > 0, dy, 0)
    return dx, dx.sum(tuple(range(dx.ndim - 1)), dtype=jnp.promote_types(dx.dtype, jnp.float32)).astype(dx.dtype)


def _halves(sizes: tuple[int, ...]) -> win.Geometry:
    return win.geometry(sizes, (2, 2), strides=2)


def _pool(x: Array, bias: Array) -> list[Array]:
    """Return the maxima, and which tap of each window won."""
    return MAX_POOL_WINNERS.bind(jnp.maximum(x + bias, 0), place=_halves(x.shape[1:-1]))


def _pool_tangent(y: Array, winner: Array, dx: Array, dbias: Array) -> list[Array]:
    (dy,) = SELECT.bind(winner, dx, place=_halves(dx.shape[1:-1]))
    return _tangent(y, dy, dbias)


def _pool_backward(y: Array, winner: Array, dy: Array, *, sizes: tuple[int, ...]) -> tuple[Array, Array]:
    """Return the cotangents of x, a map of `sizes`, and of the bias: `_pool_tangent`'s transpose, in one pass."""
    dy, dbias = _backward(y, dy)
    return SCATTER.bind(winner, dy, place=_halves(sizes), sizes=sizes)[0], dbias


def _jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    y = FORWARD.bind(*primals)
    return y, TANGENT.bind(*y, *map(ad.instantiate_zeros, tangents))


def _transpose(cotangents: Any, y: Array, *linear: Any) -> list[Any]:
    gradients = BACKWARD.bind(y, *map(ad.instantiate_zeros, cotangents))
    return [None, *(g if ad.is_undefined_primal(a) else None for a, g in zip(linear, gradients, strict=True))]


def _pool_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    y, winner = POOL.bind(*primals)
    (dy,) = POOL_TANGENT.bind(y, winner, *map(ad.instantiate_zeros, tangents))
    return [y, winner], [dy, ad.Zero(jax.typeof(winner).to_tangent_aval())]


def _pool_transpose(cotangents: Any, y: Array, winner: Array, *linear: Any) -> list[Any]:
    dx = linear[0]
    sizes = (dx.aval if ad.is_undefined_primal(dx) else dx).shape[1:-1]
    gradients = POOL_BACKWARD.bind(y, winner, *map(ad.instantiate_zeros, cotangents), sizes=sizes)
    return [None, None, *(g if ad.is_undefined_primal(a) else None for a, g in zip(linear, gradients, strict=True))]


BACKWARD = primitive("bias_relu_backward", _backward, fold=members_are_channels)
TANGENT = primitive("bias_relu_tangent", _tangent, transpose=_transpose)
FORWARD = primitive("bias_relu", _forward, jvp=_jvp, fold=members_are_channels)
POOL_BACKWARD = primitive("bias_relu_pool_backward", _pool_backward, fold=members_are_channels)
POOL_TANGENT = primitive("bias_relu_pool_tangent", _pool_tangent, transpose=_pool_transpose)
POOL = primitive("bias_relu_pool", _pool, jvp=_pool_jvp, fold=members_are_channels)
