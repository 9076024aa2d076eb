"""A bias and a ReLU in one pass over a map."""

from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.interpreters import ad
from jaxtyping import Num

from jaxcnn.config import unknown
from jaxcnn.functional.primitive import merge, primitive, split

ACTIVATIONS = ("relu",)


def add_bias(
    x: Num[Array, "*batch_and_spatial channels"],
    bias: Num[Array, " bias_channels"] | None,
    *,
    activation: str | None = None,
) -> Num[Array, "*batch_and_spatial channels"]:
    """Add a bias to every channel, and apply a ReLU.

    `y = max(x + bias, 0)`, or `x + bias` without it.

    Args:
        x: Map, `(*batch_and_spatial, channels)`.
        bias: `(channels,)`, of x's dtype; None is 0.
        activation: None, or `relu`.

    Returns:
        The map, of x's dtype.

    Raises:
        ValueError: An unknown activation.

    Example:
        >>> add_bias(jnp.array([[1., -3.]]), jnp.array([1., 2.]), activation="relu").tolist()
        [[2.0, 0.0]]
    """
    if activation is None:
        return x if bias is None else x + bias
    if activation not in ACTIVATIONS:
        raise ValueError(unknown("activation", activation, ACTIVATIONS))
    return FORWARD.bind(x, jnp.zeros(x.shape[-1:], x.dtype) if bias is None else bias)[0]


def _forward(x: Array, bias: Array) -> list[Array]:
    return [jnp.maximum(x + bias, 0)]


def _tangent(y: Array, dx: Array, dbias: Array) -> list[Array]:
    """Return the tangent of y, which is linear in `dx` and `dbias`."""
    return [jnp.where(y > 0, dx + dbias, 0)]


def _backward(y: Array, dy: Array) -> tuple[Array, Array]:
    """Return the cotangents of x and of the bias: `_tangent`'s transpose, in one pass."""
    dx = jnp.where(y > 0, dy, 0)
    return dx, dx.sum(tuple(range(dx.ndim - 1)), dtype=jnp.promote_types(dx.dtype, jnp.float32)).astype(dx.dtype)


def _members_are_channels(arrays: Any, axes: Any) -> tuple[Any, Any]:
    """Take the maps of all members of a vmap as the channels of one map."""
    size = next(array.shape[axis] for array, axis in zip(arrays, axes, strict=True) if axis is not None)
    merged = [merge(array, axis, size, -1) for array, axis in zip(arrays, axes, strict=True)]
    return merged, lambda output: split(output, size, -1)


def _jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    y = FORWARD.bind(*primals)
    return y, TANGENT.bind(*y, *map(ad.instantiate_zeros, tangents))


def _transpose(cotangents: Any, y: Array, *linear: Any) -> list[Any]:
    gradients = BACKWARD.bind(y, *map(ad.instantiate_zeros, cotangents))
    return [None, *(g if ad.is_undefined_primal(a) else None for a, g in zip(linear, gradients, strict=True))]


BACKWARD = primitive("bias_relu_backward", _backward, fold=_members_are_channels)
TANGENT = primitive("bias_relu_tangent", _tangent, transpose=_transpose)
FORWARD = primitive("bias_relu", _forward, jvp=_jvp, fold=_members_are_channels)
