"""Pre-activation ResNets, and the wide ones that came of them."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import Style, network
from jaxcnn.models.residual import add, rates, shortcut

STRIDED = Style(pool="stride")


def preact_resnet(
    blocks: int,
    wide: int = 1,
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = STRIDED,
    width: int = 16,
    head: str = "avg",
    dropout: float = 0.0,
    drop_path: float = 0.0,
    residual: bool = True,
) -> nn.Sequential:
    """Build three stages of blocks of two 3x3 convolutions, norm and activation before each, so that sums stay as is.

    At 32x32x3 and 10 classes there are 272,282 parameters in depth 20 (3 blocks a stage) and 1,730,522 in 110 (18; the
    paper says 1.7 million). The wide ones have more channels and fewer blocks: WRN-16-4 (2 blocks a stage, 4 times as
    wide) has 2,748,890, and WRN-28-10 (4 blocks) 36,479,194; the paper says 2.7 and 36.5 million.

    Args:
        blocks: In each stage.
        wide: How many times wider the stages are than the stem.
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image.
        rngs: Draws the kernels.
        style: The choices that all convolutional models share; there are no pools, and `stride` is the default.
        width: Channels of the stem.
        head: What the dense layer reads: global `avg` or `max`, or `flatten` (all of the last maps).
        dropout: Share of features dropped between the convolutions of each block in training (the wide ones' paper
            has 0.3).
        drop_path: Probability that training drops the last block's body; the others', linearly less.
        residual: Add the shortcuts; without, it is the plain network of the same depth.

    Returns:
        The network.

    Raises:
        ValueError: An unknown option.

    Example:
        >>> net = preact_resnet(2, 4, num_classes=10, input_shape=(32, 32, 3), rngs=nnx.Rngs(0), width=4)
        >>> net.stage2.block0.sum.conv1.kernel.shape, net.head.dense.kernel.shape
        ((3, 3, 16, 32), (64, 10))

    References:
        He et al., "Identity mappings in deep residual networks", 2016;
        Zagoruyko and Komodakis, "Wide residual networks", 2016.
    """
    style.without_pools()
    chances = iter(rates(drop_path, 3 * blocks, residual=residual))
    trunk: dict[str, nn.Module] = {"stem": style.conv(input_shape[-1], width, 3, padding=1, rngs=rngs)}
    channels = width
    for stage in range(3):
        layers: dict[str, nn.Module] = {}
        out = width * wide * 2**stage
        for i in range(blocks):
            strides = 2 if stage and i == 0 else 1
            layers[f"block{i}"] = block(
                style, channels, out, strides, dropout=dropout, residual=residual, rate=next(chances), rngs=rngs
            )
            channels = out
        trunk[f"stage{stage + 1}"] = nn.Sequential(**layers)
    trunk["norm"] = style.normalize(channels)
    trunk["activation"] = style.activate()
    return network(trunk, input_shape, num_classes, head=head, rngs=rngs)


def block(
    style: Style,
    in_channels: int,
    channels: int,
    strides: int,
    *,
    dropout: float = 0.0,
    residual: bool = True,
    rate: float = 0.0,
    rngs: nnx.Rngs,
) -> nn.Sequential:
    """Build a block; where the shape changes, body and shortcut both begin after the first norm and activation.

    Args:
        style: Makes the layers.
        in_channels: Channels of the input.
        channels: Channels of the output.
        strides: Of the first convolution.
        dropout: Share of features dropped between the convolutions in training.
        residual: Add the shortcut.
        rate: Probability that training drops the body.
        rngs: Draws the kernels.

    Returns:
        The block.

    Example:
        >>> block(Style(), 8, 16, 2, rngs=nnx.Rngs(0)).sum.shortcut.conv.kernel.shape
        (1, 1, 8, 16)
    """
    first = {"norm1": style.normalize(in_channels), "activation1": style.activate()}
    sampled = style.samples and strides > 1
    body: dict[str, nn.Module] = {
        "conv1": style.conv(in_channels, channels, 3, strides=1 if sampled else strides, padding=1, rngs=rngs),
        "norm2": style.normalize(channels),
        "activation2": style.activate(),
    }
    if sampled:
        body["sample"] = style.sample(strides)
    if dropout:
        body["dropout"] = nn.Dropout(dropout)
    body["conv2"] = style.conv(channels, channels, 3, padding=1, rngs=rngs)
    short = nn.Identity()
    if residual:
        short = shortcut(style, in_channels, channels, strides, normalized=False, rngs=rngs)
    if isinstance(short, nn.Identity):
        return add({**first, **body}, short, nn.Identity(), style=style, residual=residual, rate=rate)
    return nn.Sequential(**first, sum=add(body, short, nn.Identity(), style=style, rate=rate))
