"""A learned weight for every channel."""

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxcnn.functional import window as win
from jaxcnn.nn.module import Module, cast


class Scale(Module):
    """Multiply every channel by a learned weight: `y = s x`.

    Args:
        channels: Channels of the input.
        value: Where the weights start. A small one makes a residual block an identity at first.

    Attributes:
        scale: `(channels,)`, float32.

    Example:
        >>> Scale(2, value=0.5)(jnp.array([[2., 4.]])).tolist()
        [[1.0, 2.0]]

    Reference:
        Touvron et al., "Going deeper with image transformers", 2021.
    """

    def __init__(self, channels: int, *, value: float = 1.0):
        win.per_axis("channels", channels, 1)
        self.scale = nnx.Param(jnp.full(channels, value, jnp.float32))

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        return x * cast(self.scale, x)
