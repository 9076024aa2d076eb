"""Random kernels, drawn so that a network of fifty shapes starts in under a second."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn.functional.traced import is_traced

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
    return scaled(key, shape, dtype, gain=2)


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
    return scaled(key, shape, dtype)


def scaled(
    key: Array,
    shape: Sequence[int],
    dtype: Any = jnp.float32,
    *,
    gain: float = 1.0,
    fan: Literal["in", "average"] = "in",
    uniform: bool = False,
) -> Array:
    """Draw a kernel of variance gain / fan, centred at 0.

    Args:
        key: JAX random key.
        shape: `(*window, in_channels // groups, out_channels)`.
        dtype: Floating-point type of the result.
        gain: 2 makes up for a ReLU that follows.
        fan: Of what a kernel connects, the inputs of an output, fan_in (the product of all sizes but the last), or the
            average of these and the outputs of an input (the product of all but the last but one).
        uniform: Draw from an interval, and not from a normal distribution.

    Returns:
        Array of that shape.

    Example:
        >>> kernel = scaled(jax.random.key(0), (3, 3, 16, 64), fan="average", uniform=True)  # Glorot's
        >>> bool(abs(kernel).max() < (6 / (9 * (16 + 64))) ** 0.5)
        True

    Reference:
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    window = math.prod(shape[:-2])
    fans = window * shape[-2]
    if fan == "average":
        fans = window * (shape[-2] + shape[-1]) / 2
    deviation = np.float32((gain / fans) ** 0.5)
    if uniform:
        return _drawn(lambda rng: rng.uniform(-1, 1, shape).astype(np.float32) * 3**0.5 * deviation, key, shape, dtype)
    return _drawn(lambda rng: rng.standard_normal(shape, np.float32) * deviation, key, shape, dtype)


def orthogonal(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """Draw a kernel whose matrix `(fan_in, out_channels)` has orthonormal columns, or rows where it has fewer.

    Such a matrix is uniformly distributed among its kind (Haar).

    Args:
        key: JAX random key.
        shape: `(*window, in_channels // groups, out_channels)`; fan_in is the product of all but the last.
        dtype: Floating-point type of the result.

    Returns:
        Array of that shape.

    Example:
        >>> kernel = orthogonal(jax.random.key(0), (3, 3, 4, 8)).reshape(36, 8)
        >>> bool(abs(kernel.T @ kernel - jnp.eye(8)).max() < 1e-6)
        True

    Reference:
        Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", 2014.
    """
    rows, columns = math.prod(shape[:-1]), shape[-1]

    def draw(rng: np.random.Generator) -> np.ndarray:
        basis, triangle = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        basis = basis * np.sign(np.diag(triangle))  # else the signs are the algorithm's, and not uniform
        return (basis if rows >= columns else basis.T).reshape(shape)

    return _drawn(draw, key, shape, dtype)


def dirac(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """Make a kernel that copies its input: 1 at the window's middle from channel to channel, and 0 elsewhere.

    Outputs beyond the inputs repeat them from the first on; inputs beyond the outputs are left out.

    Args:
        key: Not used: nothing is random.
        shape: `(*window, in_channels // groups, out_channels)`.
        dtype: Floating-point type of the result.

    Returns:
        Array of that shape.

    Example:
        >>> from jaxcnn import functional as F
        >>> x = jax.random.normal(jax.random.key(0), (8, 8, 3))
        >>> bool((F.conv(x, dirac(jax.random.key(1), (3, 3, 3, 3))) == x).all())
        True

    Reference:
        Zagoruyko and Komodakis, "DiracNets: training very deep neural networks without skip-connections", 2017.
    """
    middle = tuple(size // 2 for size in shape[:-2])
    kernel = np.zeros(shape, dtype)
    kernel[middle] = np.arange(shape[-2])[:, None] == np.arange(shape[-1]) % shape[-2]
    return jnp.asarray(kernel)


def partial_dirac(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """Draw a kernel whose first outputs copy the inputs, and whose others are uniform, of variance 1 / (3 fan_in).

    Args:
        key: JAX random key.
        shape: `(*window, in_channels // groups, out_channels)`; fan_in is the product of all but the last.
        dtype: Floating-point type of the result.

    Returns:
        Array of that shape.

    Example:
        >>> kernel = partial_dirac(jax.random.key(0), (3, 3, 2, 5))
        >>> kernel[1, 1, :, :2].tolist(), bool((abs(kernel[..., 2:]) < (1 / 18) ** 0.5).all())
        ([[1.0, 0.0], [0.0, 1.0]], True)

    Reference:
        Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024, section 3.3.
    """
    first = min(shape[-2:])
    drawn = scaled(key, shape, dtype, gain=1 / 3, uniform=True)
    return drawn.at[..., :first].set(dirac(key, (*shape[:-1], first), dtype))


def _drawn(draw: Callable[[np.random.Generator], np.ndarray], key: Array, shape: Sequence[int], dtype: Any) -> Array:
    """Draw with NumPy from a seed that is the key: XLA would compile a program for every shape.

    The callback gives the same values under `jit` and `vmap`, and only a shape under `eval_shape`.
    """

    def values(words: Array) -> np.ndarray:
        return draw(np.random.default_rng(np.asarray(words).ravel().tolist())).astype(dtype)

    if not is_traced(key):  # a callback would be compiled for every kernel
        return jnp.asarray(values(jax.random.key_data(key)))
    result = jax.ShapeDtypeStruct(tuple(shape), dtype)
    return jax.pure_callback(values, result, jax.random.key_data(key), vmap_method="sequential")


INITIALIZERS: dict[str, Initializer] = {
    "he_normal": he_normal,
    "he_uniform": partial(scaled, gain=2, uniform=True),
    "glorot_normal": partial(scaled, fan="average"),
    "glorot_uniform": partial(scaled, fan="average", uniform=True),
    "lecun_normal": lecun_normal,
    "lecun_uniform": partial(scaled, uniform=True),
    "orthogonal": orthogonal,
    "dirac": dirac,
    "partial_dirac": partial_dirac,
}
"""Initialisers, by the name that a config gives."""
