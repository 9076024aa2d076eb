"""VGG-11, 16 and 19: nothing but 3x3 convolutions and pools."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import Style, network

UNITS = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions in each stage, by depth."""
UNNORMALIZED = Style(norm="none")


def vgg(
    depth: int,
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = UNNORMALIZED,
    width: int = 64,
    head: str = "flatten",
    dropout: float = 0.5,
) -> nn.Sequential:
    """Build five stages of 3x3 convolutions, a 2x2 pool after each, and dense layers.

    132,863,336 (11), 138,357,544 (16) and 143,667,240 (19) parameters at 224x224x3 and 1,000 classes. With a global
    pool as its head there is one dense layer: 14,719,818 parameters (16) at 32x32x3 and 10 classes, for CIFAR. Without
    a norm, as in 2014, deep ones train slowly: the usual choice today is batch norm.

    Args:
        depth: 11, 16 or 19.
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image.
        rngs: Draws the kernels.
        style: The choices that all convolutional models share; there is no norm in the original.
        width: Channels of the first stage.
        head: `flatten`, two hidden dense layers of 4,096 on all of the last maps; or one dense layer on their global
            `avg` or `max`.
        dropout: Share of features dropped after each hidden dense layer, or before the only one, in training.

    Returns:
        The network.

    Raises:
        ValueError: An unknown option, or an image under 32x32.

    Example:
        >>> net = vgg(11, num_classes=10, input_shape=(32, 32, 3), rngs=nnx.Rngs(0), width=8, head="avg")
        >>> net.stage5.unit2.conv.kernel.shape, net.head.dense.kernel.shape
        ((3, 3, 64, 64), (64, 10))

    Reference:
        Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015.
    """
    trunk: dict[str, nn.Module] = {}
    channels = input_shape[-1]
    for stage, count in enumerate(UNITS[depth]):
        layers: dict[str, nn.Module] = {}
        out = width * min(2**stage, 8)
        for i in range(1, count + 1):
            layers[f"unit{i}"] = style.unit(channels, out, rngs=rngs)
            channels = out
        trunk[f"stage{stage + 1}"] = nn.Sequential(**layers, pool=style.reduce(2, out, rngs=rngs))
    hidden = (64 * width,) * 2 if head == "flatten" else ()
    return network(
        trunk, input_shape, num_classes, head=head, style=style, hidden=hidden, dropout=dropout, every=True, rngs=rngs
    )
