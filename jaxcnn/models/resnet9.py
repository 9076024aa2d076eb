"""ResNet-9: the small residual network of the CIFAR-10 speed records."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import Residual, Style, network


def resnet9(
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    width: int = 64,
    padding_mode: str = "zeros",
    norm: str = "batch",
    activation: str = "relu",
    pool: str = "max",
    head: str = "max",
    dropout: float = 0.0,
) -> nn.Sequential:
    """Build eight 3x3 convolutions, four of them in two residuals, three 2x2 pools, and a dense layer.

    Widths 64, 128, pool, residual of two at 128, 256, pool, 512, pool, residual of two at 512, global max:
    6,573,130 parameters at 32x32x3 and 10 classes.

    Args:
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image, at least 8x8.
        rngs: Draws the kernels.
        width: Channels of the first convolution.
        padding_mode: What lies beyond the border of a map.
        norm: Normalisation after a convolution: batch, group, layer or none.
        activation: Nonlinearity.
        pool: How maps are made smaller: max or avg; `blur` and `polyphase` take the maximum at every position, and
            then sample by `F.blur_pool` or `F.polyphase_pool`. With `padding_mode` circular, a global head and sizes
            that are even before every pool, `polyphase` makes the logits invariant to every circular shift.
        head: What the dense layer reads: global `max` or `avg`, or `flatten` (all of the last maps).
        dropout: Share of features dropped before the dense layer in training.

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
    style = Style(padding_mode, norm, activation, pool)

    def residual(channels: int) -> Residual:
        units = {name: style.unit(channels, channels, rngs=rngs) for name in ("unit1", "unit2")}
        return Residual(shortcut=nn.Identity(), activation=nn.Identity(), **units)

    trunk = {
        "unit1": style.unit(input_shape[-1], width, rngs=rngs),
        "unit2": style.unit(width, 2 * width, rngs=rngs),
        "pool1": style.reduce(2),
        "residual1": residual(2 * width),
        "unit3": style.unit(2 * width, 4 * width, rngs=rngs),
        "pool2": style.reduce(2),
        "unit4": style.unit(4 * width, 8 * width, rngs=rngs),
        "pool3": style.reduce(2),
        "residual2": residual(8 * width),
    }
    return network(trunk, input_shape, num_classes, head=head, dropout=dropout, rngs=rngs)
