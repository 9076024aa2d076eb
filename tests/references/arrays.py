"""Random arrays for tests, drawn by NumPy: `jax.random` would compile a program for every shape."""

import jax.numpy as jnp
import numpy as np
from jax import Array


def normal(seed: int, shape: tuple[int, ...], dtype: str = "float32") -> Array:
    """Draw from the standard normal distribution."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)
