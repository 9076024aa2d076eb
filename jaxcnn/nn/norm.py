"""Normalisation layers: they own a scale and an offset; batch norm also keeps statistics.

Scales and offsets meet half-precision maps as the float32 that they are: the functions compute in it.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxcnn import functional as F
from jaxcnn.functional import window as win
from jaxcnn.nn.module import Module


class _Norm(Module):
    """A scale of ones and an offset of zeros, one a channel, in float32."""

    def __init__(self, channels: int, *, epsilon: float = 1e-5):
        win.per_axis("channels", channels, 1)
        self.scale = nnx.Param(jnp.ones(channels, jnp.float32))
        self.offset = nnx.Param(jnp.zeros(channels, jnp.float32))
        self.epsilon = epsilon


class BatchNorm(_Norm):
    """Normalise every channel over the batch and its positions: `functional.batch_norm`.

    In training it uses the batch's statistics and updates its own; in evaluation it uses its own. A call takes the
    `activation` of `functional.batch_norm`: `Sequential` hands it the ReLU that follows.

    Args:
        channels: Channels of the input.
        momentum: Share of the old statistics that is kept (0.9 is PyTorch's 0.1).
        epsilon: Added to the variance.
        axis_names: Axes of a surrounding `shard_map` that divide the batch: in training the statistics are those of
            the whole batch. Names that the surrounding `shard_map` does not have, if there is one, count for nothing.

    Attributes:
        scale: `(channels,)`, float32; starts at 1.
        offset: `(channels,)`, float32; starts at 0.
        mean: Statistic, `(channels,)`, float32; starts at 0.
        variance: Statistic, `(channels,)`, float32; starts at 1.
        frozen: Whether training is as evaluation; see `freeze`.

    Example:
        >>> norm = BatchNorm(2)
        >>> norm(jnp.array([[0., 0.], [2., 4.]]), training=True).round(2).tolist()
        [[-1.0, -1.0], [1.0, 1.0]]
        >>> norm.mean[...]
        Array([0.1, 0.2], dtype=float32)
    """

    def __init__(
        self,
        channels: int,
        *,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        axis_names: Sequence[str] = ("data", "model"),
    ):
        super().__init__(channels, epsilon=epsilon)
        self.mean = nnx.BatchStat(jnp.zeros(channels, jnp.float32))
        self.variance = nnx.BatchStat(jnp.ones(channels, jnp.float32))
        self.momentum = momentum
        self.axis_names = tuple(axis_names)
        self.frozen = False

    def __call__(
        self,
        x: Array,
        *,
        training: bool = False,
        key: Array | None = None,
        activation: str | None = None,
    ) -> Array:
        training = training and not self.frozen
        manual = jax.sharding.get_abstract_mesh().manual_axes
        y, mean, variance = F.batch_norm(
            x,
            self.scale[...],
            self.offset[...],
            self.mean[...],
            self.variance[...],
            training=training,
            momentum=self.momentum,
            epsilon=self.epsilon,
            activation=activation,
            axis_name=tuple(name for name in self.axis_names if name in manual),
        )
        if training:
            self.mean[...], self.variance[...] = mean, variance
        return y


class LayerNorm(_Norm):
    """Normalise the channels of every position: `functional.layer_norm`.

    Args:
        channels: Channels of the input.
        epsilon: Added to the variance.

    Example:
        >>> LayerNorm(2)(jnp.array([[1., 3.]])).round(2).tolist()
        [[-1.0, 1.0]]
    """

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        return F.layer_norm(x, self.scale[...], self.offset[...], epsilon=self.epsilon)


class GroupNorm(_Norm):
    """Normalise groups of channels over their positions, each image alone: `functional.group_norm`.

    Args:
        channels: Channels of the input.
        groups: Number of groups.
        epsilon: Added to the variance.
        spatial_axes: Positions of the spatial axes.

    Raises:
        ValueError: `groups` that does not divide `channels`.

    Example:
        >>> GroupNorm(8, groups=2)(jnp.ones((4, 16, 16, 8))).shape
        (4, 16, 16, 8)
    """

    def __init__(self, channels: int, *, groups: int, epsilon: float = 1e-5, spatial_axes: Sequence[int] = (-3, -2)):
        super().__init__(channels, epsilon=epsilon)
        win.per_axis("groups", groups, 1)
        if channels % groups:
            raise ValueError(f"`channels` (={channels}) must be divisible by `groups` (={groups})")
        self.groups = groups
        self.spatial_axes = tuple(spatial_axes)

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        return F.group_norm(
            x,
            self.scale[...],
            self.offset[...],
            groups=self.groups,
            epsilon=self.epsilon,
            spatial_axes=self.spatial_axes,
        )


class InstanceNorm(_Norm):
    """Normalise every channel over its positions, each image alone: `functional.instance_norm`.

    Args:
        channels: Channels of the input.
        epsilon: Added to the variance.
        spatial_axes: Positions of the spatial axes.

    Example:
        >>> InstanceNorm(3)(jnp.ones((4, 16, 16, 3))).shape
        (4, 16, 16, 3)
    """

    def __init__(self, channels: int, *, epsilon: float = 1e-5, spatial_axes: Sequence[int] = (-3, -2)):
        super().__init__(channels, epsilon=epsilon)
        self.spatial_axes = tuple(spatial_axes)

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        return F.instance_norm(
            x, self.scale[...], self.offset[...], epsilon=self.epsilon, spatial_axes=self.spatial_axes
        )
