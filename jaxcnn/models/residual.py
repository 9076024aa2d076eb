"""Blocks that add their input, or do not: what residual networks are made of."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxcnn import nn
from jaxcnn.models.blocks import Style


class Residual(nn.Sequential):
    """Add a shortcut to a body of layers: `activation(body(x) + shortcut(x))`.

    Args:
        shortcut: Brings the input to the body's output shape.
        activation: Follows the sum.
        **body: Layers by name.

    Example:
        >>> Residual(shortcut=nn.Identity(), activation=nn.Activation("relu"), double=nn.Activation(lambda x: 2 * x))(
        ...     jnp.array([-1.0, 1.0])
        ... ).tolist()
        [0.0, 3.0]

    Reference:
        He et al., "Deep residual learning for image recognition", 2016.
    """

    def __init__(self, *, shortcut: nn.Module, activation: nn.Module, **body: nn.Module):
        super().__init__(**body)
        self.shortcut = shortcut
        self.activation = activation

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        body, short = (None, None) if key is None else jax.random.split(key)
        y = super().__call__(x, training=training, key=body)
        return self.activation(y + self.shortcut(x, training=training, key=short))


class PolyphaseResidual(Residual):
    """A residual whose body and shortcut are sampled at the same phase, which the block's input chooses.

    So their sum is equivariant, up to a roll, as each of them is: what is computed of the input looks the same from two
    positions wherever the input does, so that even where two phases tie, either gives the same sum but for a roll.

    Args:
        shortcut: Brings the sampled input to the body's output shape.
        activation: Follows the sum.
        **body: Layers by name, one of them `sample`.

    Example:
        >>> block = PolyphaseResidual(
        ...     shortcut=nn.Identity(), activation=nn.Identity(),
        ...     double=nn.Activation(lambda x: 2 * x), sample=nn.PolyphasePool(),
        ... )
        >>> block(jnp.ones((4, 4, 1))).ravel().tolist()
        [3.0, 3.0, 3.0, 3.0]
    """

    sample: nn.PolyphasePool

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        shortcut, index = self.sample.choose(x)
        keys = [None] * (len(self.names) + 1) if key is None else jax.random.split(key, len(self.names) + 1)
        for name, key in zip(self.names, keys[:-1], strict=True):
            layer = getattr(self, name)
            options = {"index": index} if layer is self.sample else {}
            x = layer(x, training=training, key=key, **options)
        return self.activation(x + self.shortcut(shortcut, training=training, key=keys[-1]))


class Subsample(nn.Module):
    """Keep one position in `strides` along each spatial axis.

    Args:
        strides: Steps between two positions.
        spatial_axes: Positions of the spatial axes.

    Example:
        >>> Subsample(2, spatial_axes=(-2,))(jnp.arange(5.0)[:, None])[:, 0].tolist()
        [0.0, 2.0, 4.0]
    """

    def __init__(self, strides: int, *, spatial_axes: Sequence[int] = (-3, -2)):
        self.strides = strides
        self.spatial_axes = tuple(spatial_axes)

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        axes = [axis % x.ndim for axis in self.spatial_axes]
        return x[tuple(slice(None, None, self.strides if axis in axes else None) for axis in range(x.ndim))]


class PadChannels(nn.Module):
    """Put channels of zeros after those of the input.

    Args:
        channels: Channels of the output.

    Example:
        >>> PadChannels(4)(jnp.array([1.0, 2.0])).tolist()
        [1.0, 2.0, 0.0, 0.0]
    """

    def __init__(self, channels: int):
        self.channels = channels

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, self.channels - x.shape[-1])])


def add(
    body: Mapping[str, nn.Module],
    shortcut: nn.Module,
    activation: nn.Module,
    *,
    style: Style,
    residual: bool = True,
    rate: float = 0.0,
) -> nn.Sequential:
    """Put a shortcut beside a body of layers, or none.

    Args:
        body: Layers by name; a polyphase pool among them is `sample`, and samples the shortcut as well.
        shortcut: Brings the input, sampled where the body is, to the body's output shape.
        activation: Follows the sum.
        style: Made the layers.
        residual: Add the shortcut; without, it is a plain network's block.
        rate: Probability that training drops the body.

    Returns:
        The block.

    Example:
        >>> block = add({}, nn.Identity(), nn.Activation("relu"), style=Style())
        >>> block(jnp.array([-1.0, 1.0])).tolist()
        [0.0, 2.0]
    """
    if not residual:
        return nn.Sequential(**body, activation=activation)
    if rate:
        body = {**body, "drop_path": nn.DropPath(rate, spatial_axes=style.axes)}
    polyphase = any(isinstance(layer, nn.PolyphasePool) for layer in body.values())
    return (PolyphaseResidual if polyphase else Residual)(shortcut=shortcut, activation=activation, **body)


def rates(drop_path: float, blocks: int, *, residual: bool = True) -> list[float]:
    """Tell how often each block's body is dropped: from never, the first, to `drop_path`, the last, in equal steps.

    Args:
        drop_path: Probability that training drops the last block's body.
        blocks: How many there are.
        residual: Whether they have shortcuts, without which nothing would be left of a block.

    Returns:
        A probability for each block.

    Raises:
        ValueError: A probability outside [0, 1), or blocks without shortcuts.

    Example:
        >>> rates(0.2, 3)
        [0.0, 0.1, 0.2]

    Reference:
        Huang et al., "Deep networks with stochastic depth", 2016.
    """
    if not 0 <= drop_path < 1:
        raise ValueError(f"`drop_path` (={drop_path}) must be at least 0 and less than 1")
    if drop_path and not residual:
        raise ValueError(f"`drop_path` (={drop_path}) must be 0 with `residual` (=False): nothing else passes a block")
    return np.linspace(0, drop_path, blocks).tolist()


def block(
    style: Style,
    in_channels: int,
    convolutions: Sequence[tuple[int, int, int]],
    *,
    padded: bool = False,
    residual: bool = True,
    rate: float = 0.0,
    rngs: nnx.Rngs,
) -> nn.Sequential:
    """Build a block of convolutions, each with its norm, an activation between two and one after the sum.

    Args:
        style: Makes the layers.
        in_channels: Channels of the input.
        convolutions: Size, strides and output channels of each.
        padded: Where the shape changes, the shortcut is the sampled input with channels of zeros (the paper's option
            A), and not a 1x1 convolution (option B).
        residual: Add the shortcut.
        rate: Probability that training drops the body.
        rngs: Draws the kernels.

    Returns:
        The block.

    Example:
        >>> block(Style(), 64, [(1, 1, 64), (3, 1, 64), (1, 1, 256)], rngs=nnx.Rngs(0)).conv3.kernel.shape
        (1, 1, 64, 256)
    """
    body: dict[str, nn.Module] = {}
    channels, total = in_channels, 1
    for i, (size, strides, out) in enumerate(convolutions, 1):
        sampled = style.samples and strides > 1
        body[f"conv{i}"] = style.conv(
            channels, out, size, strides=1 if sampled else strides, padding=size // 2, rngs=rngs
        )
        body[f"norm{i}"] = style.normalize(out)
        if i < len(convolutions):
            body[f"activation{i}"] = style.activate()
        if sampled:
            body["sample"] = style.sample(strides)
        channels, total = out, total * strides
    short = shortcut(style, in_channels, channels, total, padded=padded, rngs=rngs) if residual else nn.Identity()
    return add(body, short, style.activate(), style=style, residual=residual, rate=rate)


def shortcut(
    style: Style,
    in_channels: int,
    out_channels: int,
    strides: int,
    *,
    padded: bool = False,
    normalized: bool = True,
    rngs: nnx.Rngs,
) -> nn.Module:
    """Build what brings a block's input to its output's shape; where they are the same, nothing.

    Args:
        style: Makes the layers; a polyphase pool has sampled the input already.
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        strides: Of the block.
        padded: With channels of zeros, and not by a 1x1 convolution.
        normalized: Put a norm after the convolution.
        rngs: Draws the kernel.

    Returns:
        A layer.

    Example:
        >>> shortcut(Style(), 8, 16, 2, padded=True, rngs=nnx.Rngs(0))(jnp.ones((4, 4, 8))).shape
        (2, 2, 16)
    """
    if strides == 1 and in_channels == out_channels:
        return nn.Identity()
    layers: dict[str, nn.Module] = {}
    if style.pool == "blur" and strides > 1:
        layers["sample"] = style.sample(strides)
    elif padded and not style.samples:
        layers["sample"] = Subsample(strides, spatial_axes=style.axes)
    if padded:
        return nn.Sequential(**layers, pad=PadChannels(out_channels))
    strides = 1 if style.samples else strides
    layers["conv"] = style.conv(in_channels, out_channels, 1, strides=strides, padding=0, rngs=rngs)
    if normalized:
        layers["norm"] = style.normalize(out_channels)
    return nn.Sequential(**layers)
