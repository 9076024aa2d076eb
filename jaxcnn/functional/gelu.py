"""The GELU, and a bias and a GELU in one pass over a map."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.interpreters import ad
from jaxtyping import Num

from jaxcnn.functional import window as win
from jaxcnn.functional.primitive import members_are_channels, primitive

_C, _A = math.sqrt(2 / math.pi), 0.044715
_FLAT = 20
"""Farther from zero than this the slope is 0 or 1 in every floating-point type, and its formula may overflow."""


def gelu(x: Num[Array, "*shape"]) -> Num[Array, "*shape"]:
    """Apply the GELU, `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`, to every element.

    It is an operation of its own, which has a kernel where jaxcnn has kernels.

    Args:
        x: Any shape; half precision is computed in float32.

    Returns:
        Array of x's shape and dtype.

    Raises:
        TypeError: An array that is not floating point.

    Example:
        >>> [round(y, 3) for y in gelu(jnp.array([-1., 0., 1.])).tolist()]
        [-0.159, 0.0, 0.841]

    Reference:
        Hendrycks and Gimpel, Gaussian Error Linear Units, 2016: the form by tanh.
    """
    (x,) = win.floating(x=x)
    rows = x.reshape(1) if x.ndim == 0 else x
    return FORWARD.bind(rows, jnp.zeros(rows.shape[-1:], x.dtype))[0].reshape(x.shape)


def _wide(x: Array, bias: Array) -> Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32)) + bias


def _forward(x: Array, bias: Array) -> list[Array]:
    return [jax.nn.gelu(_wide(x, bias), approximate=True).astype(x.dtype)]


def gelu_slope(v: Array) -> Array:
    """Return the derivative of `gelu`.

    Args:
        v: Any shape, float32 or wider.

    Returns:
        Array of that shape and type.

    Example:
        >>> gelu_slope(jnp.array([-30., 0., 30.])).tolist()
        [0.0, 0.5, 1.0]
    """
    v = jnp.where(jnp.abs(v) < _FLAT, v, _FLAT * jnp.sign(v))
    tanh = jnp.tanh(_C * (v + _A * v**3))
    return 0.5 * (1 + tanh) + 0.5 * v * (1 - tanh**2) * (_C * (1 + 3 * _A * v**2))


def _tangent(x: Array, bias: Array, dx: Array, dbias: Array) -> list[Array]:
    """Return the tangent of the map, which is linear in `dx` and `dbias`."""
    return [(gelu_slope(_wide(x, bias)) * _wide(dx, dbias)).astype(x.dtype)]


def _backward(x: Array, bias: Array, dy: Array) -> tuple[Array, Array]:
    """Return the cotangents of x and of the bias: `_tangent`'s transpose, in one pass."""
    wide = dy.astype(jnp.promote_types(dy.dtype, jnp.float32))
    dx = gelu_slope(_wide(x, bias)) * wide
    return dx.astype(x.dtype), dx.sum(tuple(range(dx.ndim - 1))).astype(bias.dtype)


def _jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    return FORWARD.bind(*primals), TANGENT.bind(*primals, *map(ad.instantiate_zeros, tangents))


def _transpose(cotangents: Any, x: Array, bias: Array, *linear: Any) -> list[Any]:
    gradients = BACKWARD.bind(x, bias, *map(ad.instantiate_zeros, cotangents))
    return [None, None, *(g if ad.is_undefined_primal(a) else None for a, g in zip(linear, gradients, strict=True))]


BACKWARD = primitive("bias_gelu_backward", _backward, fold=members_are_channels)
TANGENT = primitive("bias_gelu_tangent", _tangent, transpose=_transpose)
FORWARD = primitive("bias_gelu", _forward, jvp=_jvp, fold=members_are_channels)
