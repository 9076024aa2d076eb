"""MobileNetV2: inverted residuals of depthwise convolutions."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import STEMS, Style, network, one_of
from jaxcnn.models.residual import add, rates

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and first stride of each stage, where the stem has 32 channels."""
STEM, LAST = 32, 1280
MOBILE = Style(activation="relu6", pool="stride")


def mobilenet_v2(
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = MOBILE,
    stem: str = "imagenet",
    width: int = STEM,
    head: str = "avg",
    dropout: float = 0.2,
    drop_path: float = 0.0,
    residual: bool = True,
) -> nn.Sequential:
    """Build 17 blocks of a 1x1 convolution that widens, a 3x3 depthwise one, and a 1x1 that narrows.

    3,504,872 parameters at 1,000 classes, torchvision's; 2,236,682 at 10.

    Args:
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image.
        rngs: Draws the kernels.
        style: The choices that all convolutional models share; there are no pools, and `stride` is the default. The
            activation is ReLU6 by default.
        stem: `imagenet`, strides that make maps 32 times smaller, or `cifar`, 8 times: without the first two strides.
        width: Channels of the stem; all others grow with it (to multiples of 8), but the last only beyond 32.
        head: What the dense layer reads: global `avg` or `max`, or `flatten` (all of the last maps).
        dropout: Share of features dropped before the dense layer in training.
        drop_path: Probability that training drops the last block's body, where there is a shortcut; the others',
            linearly less.
        residual: Add the shortcuts, which blocks have that keep their input's shape.

    Returns:
        The network.

    Raises:
        ValueError: An unknown option.

    Example:
        >>> net = mobilenet_v2(num_classes=10, input_shape=(32, 32, 3), rngs=nnx.Rngs(0), stem="cifar")
        >>> net.stage2.block0.depthwise.conv.kernel.shape, net.stage2.block1.project.conv.kernel.shape
        ((3, 3, 1, 96), (1, 1, 144, 24))

    Reference:
        Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018.
    """
    one_of("stem", stem, STEMS)
    style.without_pools()
    small = stem == "cifar"
    chances = iter(rates(drop_path, sum(count for _, _, count, _ in STAGES), residual=residual))
    trunk: dict[str, nn.Module] = {"stem": style.unit(input_shape[-1], width, strides=1 if small else 2, rngs=rngs)}
    channels = width
    for stage, (expansion, base, count, first) in enumerate(STAGES, 1):
        out = scaled(base, width)
        layers: dict[str, nn.Module] = {}
        for i in range(count):
            strides = first if i == 0 and not (small and stage == 2) else 1
            body: dict[str, nn.Module] = {}
            inside = expansion * channels
            if expansion > 1:
                body["expand"] = style.unit(channels, inside, 1, rngs=rngs)
            body["depthwise"] = style.unit(inside, inside, strides=strides, groups=inside, rngs=rngs)
            body["project"] = style.unit(inside, out, 1, activated=False, rngs=rngs)
            added, rate = residual and strides == 1 and channels == out, next(chances)
            layers[f"block{i}"] = add(body, nn.Identity(), nn.Identity(), style=style, residual=added, rate=rate)
            channels = out
        trunk[f"stage{stage}"] = nn.Sequential(**layers)
    trunk["last"] = style.unit(channels, scaled(LAST, max(width, STEM)), 1, rngs=rngs)
    return network(trunk, input_shape, num_classes, head=head, dropout=dropout, rngs=rngs)


def scaled(channels: int, width: int) -> int:
    """Return channels for a stem of another width: the nearest multiple of 8 that takes away less than a tenth.

    Args:
        channels: Where the stem has 32.
        width: Channels of the stem.

    Returns:
        Channels.

    Example:
        >>> scaled(24, 32), scaled(24, 16), scaled(24, 8)
        (24, 16, 8)
    """
    exact = channels * width / STEM
    near = max(8, int(exact + 4) // 8 * 8)
    return near + 8 if near < 0.9 * exact else near
