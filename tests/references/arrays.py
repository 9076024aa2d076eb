"""Random arrays for tests, drawn by NumPy: `jax.random` would compile a program for every shape."""

import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.special import expit


def normal(seed: int, shape: tuple[int, ...], dtype: str = "float32") -> Array:
    """Draw from the standard normal distribution."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def gelu(v: np.ndarray) -> np.ndarray:
    """Hendrycks and Gimpel's form by tanh."""
    return v * expit(2 * np.sqrt(2 / np.pi) * (v + 0.044715 * v**3))  # (1 + tanh(u)) / 2, without its cancellation
