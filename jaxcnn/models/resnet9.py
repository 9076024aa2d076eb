"""ResNet-9: the small residual network of the CIFAR-10 speed records."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import PLAIN, Style, network
from jaxcnn.models.residual import add, rates


def resnet9(
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = PLAIN,
    width: int = 64,
    head: str = "max",
    dropout: float = 0.0,
    drop_path: float = 0.0,
    residual: bool = True,
) -> nn.Sequential:
    """Build eight 3x3 convolutions, four of them in two residuals, three 2x2 pools, and a dense layer.

    Widths 64, 128, pool, residual of two at 128, 256, pool, 512, pool, residual of two at 512, global max:
    6,573,130 parameters at 32x32x3 and 10 classes.

    Args:
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image, at least 8x8.
        rngs: Draws the kernels.
        width: Channels of the first convolution.
        style: The choices that all convolutional models share.
        head: What the dense layer reads: global `max` or `avg`, or `flatten` (all of the last maps).
        dropout: Share of features dropped before the dense layer in training.
        drop_path: Probability that training drops the second residual's body; the first's is never dropped.
        residual: Add the shortcuts; without, it is the plain network of the same depth.

    Returns:
        The network.

    Raises:
        ValueError: An unknown option, or an image that is too small.

    Example:
        >>> net = resnet9(num_classes=10, input_shape=(32, 32, 3), rngs=nnx.Rngs(0), width=8)
        >>> net.residual2.unit2.conv.kernel.shape, net.head.dense.kernel.shape
        ((3, 3, 64, 64), (64, 10))

    Reference:
        Page, "How to train your ResNet", 2018.
    """
    chances = iter(rates(drop_path, 2, residual=residual))

    def double(channels: int) -> nn.Sequential:
        units = {name: style.unit(channels, channels, rngs=rngs) for name in ("unit1", "unit2")}
        return add(units, nn.Identity(), nn.Identity(), style=style, residual=residual, rate=next(chances))

    trunk = {
        "unit1": style.unit(input_shape[-1], width, rngs=rngs),
        "unit2": style.unit(width, 2 * width, rngs=rngs),
        "pool1": style.reduce(2, 2 * width, rngs=rngs),
        "residual1": double(2 * width),
        "unit3": style.unit(2 * width, 4 * width, rngs=rngs),
        "pool2": style.reduce(2, 4 * width, rngs=rngs),
        "unit4": style.unit(4 * width, 8 * width, rngs=rngs),
        "pool3": style.reduce(2, 8 * width, rngs=rngs),
        "residual2": double(8 * width),
    }
    return network(trunk, input_shape, num_classes, head=head, style=style, dropout=dropout, rngs=rngs)
