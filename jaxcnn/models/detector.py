"""A detector: fully convolutional, maps at a quarter of the image's size."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import PLAIN, Style

STRIDE = 4
"""Pixels between two cells of its maps."""
CONTEXT = 3
"""3x3 convolutions of the last stage, each of which sees 8 pixels farther."""


def detector(
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = PLAIN,
    width: int = 32,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Build a fully convolutional network: maps `(height / 4, width / 4, num_classes)`, of images of any size.

    Two stages of 3x3 convolutions and a pool, a stage without one, and a convolution of 1x1. A cell sees 42x42 pixels.
    For the losses of detection `num_classes` holds the four numbers of a box as well.

    Args:
        num_classes: Channels of the maps.
        input_shape: `(height, width, channels)` of an image; 4 divides the sizes.
        rngs: Draws the kernels.
        style: The choices that all convolutional models share.
        width: Channels of the first stage; they double from stage to stage.
        dropout: Share of features dropped before the last convolution in training.

    Returns:
        The network.

    Raises:
        ValueError: An unknown option, or sizes that 4 does not divide.

    Example:
        >>> import jax.numpy as jnp
        >>> net = detector(num_classes=14, input_shape=(64, 64, 1), rngs=nnx.Rngs(0), width=4)
        >>> net(jnp.ones((64, 64, 1))).shape, net(jnp.ones((256, 128, 1))).shape
        ((16, 16, 14), (64, 32, 14))
    """
    if any(size % STRIDE for size in input_shape[:-1]):
        raise ValueError(f"{STRIDE} must divide the sizes of a detector's images, got {tuple(input_shape)}")
    layers: dict[str, nn.Module] = {}
    channels = input_shape[-1]
    for stage in (1, 2):
        layers[f"stage{stage}"] = nn.Sequential(
            unit1=style.unit(channels, width, rngs=rngs),
            unit2=style.unit(width, width, rngs=rngs),
            pool=style.reduce(2, width, rngs=rngs),
        )
        channels, width = width, 2 * width
    units = {f"unit{i}": style.unit(channels if i == 1 else width, width, rngs=rngs) for i in range(1, CONTEXT + 1)}
    layers["stage3"] = nn.Sequential(**units)
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    return nn.Sequential(**layers, head=style.conv(width, num_classes, 1, padding=0, use_bias=True, rngs=rngs))
