"""All-CNN-C: convolutions alone, some of them strided in the place of pools."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import Style, network

STRIDED = Style(norm="none", pool="stride")


def all_cnn(
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = STRIDED,
    width: int = 96,
    head: str = "avg",
    dropout: float = 0.5,
) -> nn.Sequential:
    """Build nine convolutions, the third and the sixth with stride 2; the last gives one map a class.

    1,369,738 parameters at 32x32x3 and 10 classes (the paper says 1.4 million). With pool max it is the paper's
    Model C, which it was compared with. No activation follows the last maps, whose global average are the logits. The
    paper drops 20 % of the pixels as well.

    Args:
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image.
        rngs: Draws the kernels.
        style: The choices that all convolutional models share; there is no norm in the original, and the strided
            convolutions stand where `pool` says `stride`.
        width: Channels of the first convolutions.
        head: Global `avg` or `max` of the last maps.
        dropout: Share of features dropped after each strided convolution in training.

    Returns:
        The network.

    Raises:
        ValueError: An unknown option, or an image that is too small.

    Example:
        >>> net = all_cnn(num_classes=10, input_shape=(32, 32, 3), rngs=nnx.Rngs(0), width=8)
        >>> net.stage2.pool.conv.strides, net.stage3.unit1.conv.kernel.shape
        (2, (3, 3, 16, 16))

    Reference:
        Springenberg et al., "Striving for simplicity: the all convolutional net", 2015.
    """
    trunk: dict[str, nn.Module] = {}
    channels = input_shape[-1]
    for stage, out in ((1, width), (2, 2 * width)):
        trunk[f"stage{stage}"] = nn.Sequential(
            unit1=style.unit(channels, out, rngs=rngs),
            unit2=style.unit(out, out, rngs=rngs),
            pool=style.reduce(3, out, strides=2, padding=1, rngs=rngs),
            dropout=nn.Dropout(dropout),
        )
        channels = out
    trunk["stage3"] = nn.Sequential(
        unit1=style.unit(channels, channels, rngs=rngs),
        unit2=style.unit(channels, channels, 1, rngs=rngs),
        classes=style.conv(channels, num_classes, 1, padding=0, use_bias=True, rngs=rngs),
    )
    return network(trunk, input_shape, None, head=head, rngs=rngs)
