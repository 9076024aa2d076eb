"""Random kernels, drawn so that a network of fifty shapes starts in under a second."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

Initializer = Callable[..., Array]
"""`initializer(key, shape, dtype)`, as those of `jax.nn.initializers`."""


def he_normal(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """Draw a kernel from N(0, 2 / fan_in), which keeps the variance of maps through ReLU.

    Args:
        key: JAX random key.
        shape: `(*window, in_channels // groups, out_channels)`; fan_in is the product of all but the last.
        dtype: Floating-point type of the result.

    Returns:
        Array of that shape.

    Example:
        >>> he_normal(jax.random.key(0), (3, 3, 64, 64)).std().round(3)
        Array(0.059, dtype=float32)

    Reference:
        He et al., "Delving deep into rectifiers", 2015.
    """
    return _normal(key, shape, dtype, variance=2 / math.prod(shape[:-1]))


def lecun_normal(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """Draw a kernel from N(0, 1 / fan_in), which keeps the variance of features where no ReLU follows.

    Args:
        key: JAX random key.
        shape: `(*window, in_channels // groups, out_channels)`; fan_in is the product of all but the last.
        dtype: Floating-point type of the result.

    Returns:
        Array of that shape.

    Example:
        >>> lecun_normal(jax.random.key(0), (400, 100)).std().round(3)
        Array(0.05, dtype=float32)

    Reference:
        LeCun et al., "Efficient BackProp", 1998.
    """
    return _normal(key, shape, dtype, variance=1 / math.prod(shape[:-1]))


def _normal(key: Array, shape: Sequence[int], dtype: Any, *, variance: float) -> Array:
    """Draw with NumPy from a seed that is the key: XLA would compile a program for every shape.

    The callback gives the same values under `jit` and `vmap`, and only a shape under `eval_shape`.
    """

    def draw(words: Array) -> np.ndarray:
        generator = np.random.default_rng(np.asarray(words).ravel().tolist())
        return (generator.standard_normal(shape, np.float32) * np.float32(variance**0.5)).astype(dtype)

    result = jax.ShapeDtypeStruct(tuple(shape), dtype)
    return jax.pure_callback(draw, result, jax.random.key_data(key), vmap_method="sequential")
