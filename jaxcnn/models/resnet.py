"""ResNet-18, 34 and 50, for ImageNet or CIFAR images."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.config import unknown
from jaxcnn.models.blocks import PolyphaseResidual, Residual, Style, network

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Blocks in each stage, by depth."""
STEMS = ("imagenet", "cifar")
EXPANSION = 4


def resnet(
    depth: int,
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    stem: str = "imagenet",
    width: int = 64,
    padding_mode: str = "zeros",
    norm: str = "batch",
    activation: str = "relu",
    pool: str = "max",
    head: str = "avg",
    dropout: float = 0.0,
) -> nn.Sequential:
    """Build four stages of residual blocks; paddings and strides are torchvision's, so shapes are equal.

    11,689,512 (18), 21,797,672 (34) and 25,557,032 (50) parameters at 1,000 classes. Depth 50 has bottleneck blocks
    with the stride in their 3x3 convolution ("v1.5").

    Args:
        depth: 18, 34 or 50.
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image.
        rngs: Draws the kernels.
        stem: `imagenet`, a strided 7x7 convolution and a 3x3 pool, or `cifar`, a 3x3 convolution alone.
        width: Channels of the first stage.
        padding_mode: What lies beyond the border of a map.
        norm: Normalisation after a convolution: batch, group, layer or none.
        activation: Nonlinearity.
        pool: The ImageNet stem's pool: max or avg. With `blur` and `polyphase` every strided convolution and pool is
            dense, with its activation, and then sampled: by `F.blur_pool`, or by `F.polyphase_pool`, a block's body and
            shortcut at the same phase. With `polyphase`, `padding_mode` circular, and sizes that all strides divide,
            the maps are equivariant to every circular shift, up to a roll, and a global head's logits are invariant.
        head: What the dense layer reads: global `avg` or `max`, or `flatten` (all of the last maps).
        dropout: Share of features dropped before the dense layer in training.

    Returns:
        The network.

    Raises:
        ValueError: An unknown depth or option.

    Example:
        >>> net = resnet(18, num_classes=10, input_shape=(32, 32, 3), rngs=nnx.Rngs(0), stem="cifar", width=8)
        >>> net.stage2.block0.conv1.kernel.shape, net.stage2.block0.conv1.strides
        ((3, 3, 8, 16), 2)

    Reference:
        He et al., "Deep residual learning for image recognition", 2016.
    """
    if depth not in BLOCKS:
        raise ValueError(f"`depth` (={depth}) must be one of {', '.join(map(str, BLOCKS))}")
    if stem not in STEMS:
        raise ValueError(unknown("stem", stem, STEMS))
    style = Style(padding_mode, norm, activation, pool)
    size, strides = (7, 2) if stem == "imagenet" else (3, 1)
    trunk: dict[str, nn.Module] = {
        "conv1": style.conv(
            input_shape[-1], width, size, strides=1 if style.samples else strides, padding=size // 2, rngs=rngs
        ),
        "norm1": style.normalize(width),
        "activation1": style.activate(),
    }
    if style.samples and strides > 1:
        trunk["sample1"] = style.sample(strides)
    if stem == "imagenet":
        trunk["pool1"] = style.reduce(3, strides=2, padding=1)
    channels = width
    for stage, count in enumerate(BLOCKS[depth], 1):
        blocks: dict[str, nn.Module] = {}
        for i in range(count):
            strides = 2 if stage > 1 and i == 0 else 1
            blocks[f"block{i}"] = block(style, channels, width, strides, bottleneck=depth >= 50, rngs=rngs)
            channels = EXPANSION * width if depth >= 50 else width
        trunk[f"stage{stage}"] = nn.Sequential(**blocks)
        width *= 2
    return network(trunk, input_shape, num_classes, head=head, dropout=dropout, rngs=rngs)


def block(style: Style, in_channels: int, width: int, strides: int, *, bottleneck: bool, rngs: nnx.Rngs) -> Residual:
    """Build a residual block, its shortcut a 1x1 convolution where the shape changes.

    Args:
        style: Makes the layers.
        in_channels: Channels of the input.
        width: Channels of the 3x3 convolutions.
        strides: Of the first 3x3 convolution.
        bottleneck: One 3x3 convolution between two 1x1, and `4 * width` channels out; else two 3x3.
        rngs: Draws the kernels.

    Returns:
        The block.

    Example:
        >>> style = Style("zeros", "batch", "relu", "max")
        >>> block(style, 64, 64, 1, bottleneck=True, rngs=nnx.Rngs(0)).conv3.kernel.shape
        (1, 1, 64, 256)
    """
    out_channels = EXPANSION * width if bottleneck else width
    convs = [(3, strides, width), (3, 1, width)]  # size, stride, channels out
    if bottleneck:
        convs = [(1, 1, width), (3, strides, width), (1, 1, out_channels)]
    body: dict[str, nn.Module] = {}
    channels = in_channels
    for i, (size, stride, out) in enumerate(convs, 1):
        sampled = style.samples and stride > 1
        body[f"conv{i}"] = style.conv(
            channels, out, size, strides=1 if sampled else stride, padding=size // 2, rngs=rngs
        )
        body[f"norm{i}"] = style.normalize(out)
        if i < len(convs):
            body[f"activation{i}"] = style.activate()
        if sampled:
            body["sample"] = style.sample(stride)
        channels = out
    polyphase = style.pool == "polyphase" and strides > 1
    shortcut = nn.Identity()
    if strides > 1 or in_channels != out_channels:
        first = {"sample": style.sample(strides)} if style.pool == "blur" and strides > 1 else {}
        stride = 1 if style.samples else strides
        conv = style.conv(in_channels, out_channels, 1, strides=stride, padding=0, rngs=rngs)
        shortcut = nn.Sequential(**first, conv=conv, norm=style.normalize(out_channels))
    kind = PolyphaseResidual if polyphase else Residual
    return kind(shortcut=shortcut, activation=style.activate(), **body)
