"""Network in Network: 1x1 convolutions, and a global average in place of dense layers."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import Style, network

UNNORMALIZED = Style(norm="none")


def nin(
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = UNNORMALIZED,
    width: int = 192,
    head: str = "avg",
    dropout: float = 0.5,
) -> nn.Sequential:
    """Build three stages of a wide convolution and two of 1x1; the last gives one map a class.

    966,986 parameters at 32x32x3 and 10 classes, as in the paper's network for CIFAR. No activation follows the last
    maps, whose global average are the logits.

    Args:
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image.
        rngs: Draws the kernels.
        style: The choices that all convolutional models share; there is no norm in the original.
        width: Channels of most convolutions; the second and third have 5/6 and 1/2 of them.
        head: Global `avg` or `max` of the last maps.
        dropout: Share of features dropped after each pool in training.

    Returns:
        The network.

    Raises:
        ValueError: An unknown option, or an image that is too small.

    Example:
        >>> net = nin(num_classes=10, input_shape=(32, 32, 3), rngs=nnx.Rngs(0), width=12)
        >>> net.stage1.unit3.conv.kernel.shape, net.stage3.classes.kernel.shape
        ((1, 1, 10, 6), (1, 1, 12, 10))

    Reference:
        Lin, Chen and Yan, "Network in network", 2014.
    """
    widths = [(5, width, width * 5 // 6, width // 2), (5, width, width, width), (3, width, width)]
    trunk: dict[str, nn.Module] = {}
    channels = input_shape[-1]
    for stage, (size, *outs) in enumerate(widths, 1):
        layers: dict[str, nn.Module] = {}
        for i, out in enumerate(outs, 1):
            layers[f"unit{i}"] = style.unit(channels, out, size if i == 1 else 1, rngs=rngs)
            channels = out
        if stage < len(widths):
            layers["pool"] = style.reduce(3, channels, strides=2, padding=1, rngs=rngs)
            layers["dropout"] = nn.Dropout(dropout)
        else:
            layers["classes"] = style.conv(channels, num_classes, 1, padding=0, use_bias=True, rngs=rngs)
        trunk[f"stage{stage}"] = nn.Sequential(**layers)
    return network(trunk, input_shape, None, head=head, rngs=rngs)
