"""ResNet-18, 34, 50, 101 and 152, for ImageNet or CIFAR images."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import PLAIN, STEMS, Style, network, one_of
from jaxcnn.models.residual import block, rates

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Blocks in each stage, by depth."""
EXPANSION = 4


def resnet(
    depth: int,
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = PLAIN,
    stem: str = "imagenet",
    width: int = 64,
    head: str = "avg",
    dropout: float = 0.0,
    drop_path: float = 0.0,
    residual: bool = True,
) -> nn.Sequential:
    """Build four stages of residual blocks; paddings and strides are torchvision's, so shapes are equal.

    11,689,512 (18), 21,797,672 (34), 25,557,032 (50), 44,549,160 (101) and 60,192,808 (152) parameters at 1,000
    classes. From depth 50 on there are bottleneck blocks, with the stride in their 3x3 convolution ("v1.5").

    Args:
        depth: 18, 34, 50, 101 or 152.
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image.
        rngs: Draws the kernels.
        stem: `imagenet`, a strided 7x7 convolution and a 3x3 pool, or `cifar`, a 3x3 convolution alone.
        width: Channels of the first stage.
        style: The choices that all convolutional models share; there is one pool, the ImageNet stem's.
        head: What the dense layer reads: global `avg` or `max`, or `flatten` (all of the last maps).
        dropout: Share of features dropped before the dense layer in training.
        drop_path: Probability that training drops the last block's body; the others', linearly less.
        residual: Add the shortcuts; without, it is the plain network of the same depth.

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
    one_of("stem", stem, STEMS)
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
        trunk["pool1"] = style.reduce(3, width, strides=2, padding=1, rngs=rngs)
    chances = iter(rates(drop_path, sum(BLOCKS[depth]), residual=residual))
    channels = width
    for stage, count in enumerate(BLOCKS[depth], 1):
        layers: dict[str, nn.Module] = {}
        for i in range(count):
            strides = 2 if stage > 1 and i == 0 else 1
            convolutions = [(3, strides, width), (3, 1, width)]
            if depth >= 50:
                convolutions = [(1, 1, width), (3, strides, width), (1, 1, EXPANSION * width)]
            layers[f"block{i}"] = block(style, channels, convolutions, residual=residual, rate=next(chances), rngs=rngs)
            channels = convolutions[-1][-1]
        trunk[f"stage{stage}"] = nn.Sequential(**layers)
        width *= 2
    return network(trunk, input_shape, num_classes, head=head, style=style, dropout=dropout, rngs=rngs)
