"""Dense layers, and the way to them from a map."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxcnn import functional as F
from jaxcnn.functional import window as win
from jaxcnn.nn.initializers import Initializer, lecun_normal
from jaxcnn.nn.module import Module, cast


class Dense(Module):
    """Multiply features by a learned kernel: `functional.dense`.

    Args:
        in_features: Features of the input.
        out_features: Features of the output.
        use_bias: Add a bias, which starts at 0.
        kernel_init: `initializer(key, shape, dtype)`; LeCun normal, for a last layer. `he_normal` suits a ReLU after.
        rngs: Draws the kernel.

    Attributes:
        kernel: `(in_features, out_features)`, float32.
        bias: `(out_features,)`, float32, or None.

    Raises:
        ValueError: A size that is not positive.

    Example:
        >>> Dense(400, 120, rngs=nnx.Rngs(0))(jnp.ones((8, 400))).shape
        (8, 120)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        use_bias: bool = True,
        kernel_init: Initializer = lecun_normal,
        rngs: nnx.Rngs,
    ):
        win.per_axis("in_features", in_features, 1)
        win.per_axis("out_features", out_features, 1)
        self.kernel = nnx.Param(kernel_init(rngs.params(), (in_features, out_features), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(out_features, jnp.float32)) if use_bias else None

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        return F.dense(x, cast(self.kernel, x), cast(self.bias, x))


class Flatten(Module):
    """Turn maps into features, every position and channel one: `functional.flatten`.

    Args:
        spatial_axes: Positions of the spatial axes.

    Example:
        >>> Flatten()(jnp.ones((8, 5, 5, 16))).shape
        (8, 400)
    """

    def __init__(self, *, spatial_axes: Sequence[int] = (-3, -2)):
        self.spatial_axes = tuple(spatial_axes)

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        return F.flatten(x, spatial_axes=self.spatial_axes)
