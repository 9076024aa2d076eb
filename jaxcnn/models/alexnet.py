"""AlexNet: the network that won ImageNet in 2012."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import STEMS, Style, network, one_of

UNNORMALIZED = Style(norm="none")


def alexnet(
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = UNNORMALIZED,
    stem: str = "imagenet",
    width: int = 64,
    head: str = "flatten",
    dropout: float = 0.5,
) -> nn.Sequential:
    """Build five convolutions with three overlapping pools, and three dense layers.

    The widths are those of 2014, 64, 192, 384, 256, 256, without groups: 61,100,840 parameters at 224x224x3 and 1,000
    classes. A position of the last map sees 195x195 pixels, as in the original. For 32x32 images, stem cifar has a 5x5
    convolution without stride and dense layers of 1,024: 7,706,442 parameters at 10 classes.

    Args:
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image.
        rngs: Draws the kernels.
        style: The choices that all convolutional models share; there is no norm in the original.
        stem: `imagenet`, a first convolution of 11x11 with stride 4, or `cifar`, one of 5x5 without.
        width: Channels of the first convolution.
        head: What the dense layers read: `flatten` (all of the last maps), or their global `avg` or `max`.
        dropout: Share of features dropped after each hidden dense layer in training.

    Returns:
        The network.

    Raises:
        ValueError: An unknown option, or an image that is too small.

    Example:
        >>> net = alexnet(num_classes=10, input_shape=(32, 32, 3), rngs=nnx.Rngs(0), stem="cifar", width=8)
        >>> net.unit2.conv.kernel.shape, net.head.dense1.kernel.shape
        ((5, 5, 8, 24), (512, 128))

    References:
        Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012;
        Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014.
    """
    one_of("stem", stem, STEMS)
    original = stem == "imagenet"
    units = [(11, 4, 2, width) if original else (5, 1, 2, width)]  # size, stride, padding, channels out
    units += [(5, 1, 2, 3 * width), (3, 1, 1, 6 * width), (3, 1, 1, 4 * width), (3, 1, 1, 4 * width)]
    trunk: dict[str, nn.Module] = {}
    channels = input_shape[-1]
    for i, (size, strides, padding, out) in enumerate(units, 1):
        trunk[f"unit{i}"] = style.unit(channels, out, size, strides=strides, padding=padding, rngs=rngs)
        if i in (1, 2, 5):
            trunk[f"pool{i}"] = style.reduce(3, out, strides=2, padding=0 if original else 1, rngs=rngs)
        channels = out
    hidden = (64 * width if original else 16 * width,) * 2
    return network(
        trunk, input_shape, num_classes, head=head, style=style, hidden=hidden, dropout=dropout, every=True, rngs=rngs
    )
