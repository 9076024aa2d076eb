"""ConvNeXt: a ResNet with what was learned from transformers."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import STEMS, Style, network, one_of
from jaxcnn.models.residual import add, rates

BLOCKS = {"tiny": (3, 3, 9, 3)}
"""Blocks in each stage, by size."""
EPSILON = 1e-6
SCALE = 1e-6  # so that every block is nearly an identity at first
STYLE = Style(norm="layer", activation="gelu", pool="stride")


def convnext(
    size: str,
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = STYLE,
    stem: str = "imagenet",
    width: int = 96,
    head: str = "avg",
    dropout: float = 0.0,
    drop_path: float = 0.0,
    residual: bool = True,
) -> nn.Sequential:
    """Build four stages of blocks: a 7x7 depthwise convolution, a norm, and two dense layers at every position.

    28,589,128 parameters (tiny) at 224x224x3 and 1,000 classes, torchvision's. All convolutions have biases; GELU is
    its usual approximation by tanh.

    Args:
        size: `tiny`.
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image.
        rngs: Draws the kernels.
        style: The choices that all convolutional models share; the defaults are layer norm and GELU. There are no
            pools, and `stride` is the default.
        stem: `imagenet`, patches of 4x4 pixels, or `cifar`, a 3x3 convolution without stride.
        width: Channels of the first stage.
        head: What the dense layer reads, behind a norm: global `avg` or `max`, or `flatten` (all of the last maps).
        dropout: Share of features dropped before the dense layer in training.
        drop_path: Probability that training drops the last block's body (the paper: 0.1); the others', linearly less.
        residual: Add the shortcuts; without, it is the plain network of the same depth.

    Returns:
        The network.

    Raises:
        ValueError: An unknown option, or an image that is too small.

    Example:
        >>> net = convnext("tiny", num_classes=10, input_shape=(32, 32, 3), rngs=nnx.Rngs(0), width=8)
        >>> net.stage2.block0.depthwise.kernel.shape, net.stage2.block0.expand.kernel.shape
        ((7, 7, 1, 16), (1, 1, 16, 64))

    Reference:
        Liu et al., "A ConvNet for the 2020s", 2022.
    """
    one_of("stem", stem, STEMS)
    style.without_pools()
    chances = iter(rates(drop_path, sum(BLOCKS[size]), residual=residual))

    def patches(inputs: int, outputs: int, side: int) -> dict[str, nn.Module]:
        if style.samples:
            conv = style.conv(inputs, outputs, side, padding="SAME", use_bias=True, rngs=rngs)
            return {"conv": conv, "sample": style.sample(side)}
        return {"conv": style.conv(inputs, outputs, side, strides=side, padding=0, use_bias=True, rngs=rngs)}

    channels = width
    first = {"conv": style.conv(input_shape[-1], width, 3, padding=1, use_bias=True, rngs=rngs)}
    if stem == "imagenet":
        first = patches(input_shape[-1], width, 4)
    trunk: dict[str, nn.Module] = {"stem": nn.Sequential(**first, norm=style.normalize(width, epsilon=EPSILON))}
    for stage, count in enumerate(BLOCKS[size], 1):
        if stage > 1:
            norm = style.normalize(channels, epsilon=EPSILON)
            trunk[f"down{stage}"] = nn.Sequential(norm=norm, **patches(channels, 2 * channels, 2))
            channels *= 2
        layers: dict[str, nn.Module] = {}
        for i in range(count):
            body = {
                "depthwise": style.conv(channels, channels, 7, padding=3, groups=channels, use_bias=True, rngs=rngs),
                "norm": style.normalize(channels, epsilon=EPSILON),
                "expand": style.conv(channels, 4 * channels, 1, padding=0, use_bias=True, rngs=rngs),
                "activation1": style.activate(),
                "project": style.conv(4 * channels, channels, 1, padding=0, use_bias=True, rngs=rngs),
            }
            if residual:
                body["scale"] = nn.Scale(channels, value=SCALE)
            layers[f"block{i}"] = add(
                body, nn.Identity(), nn.Identity(), style=style, residual=residual, rate=next(chances)
            )
        trunk[f"stage{stage}"] = nn.Sequential(**layers)
    return network(
        trunk,
        input_shape,
        num_classes,
        head=head,
        dropout=dropout,
        normalize=None if style.norm == "none" else lambda features: nn.LayerNorm(features, epsilon=EPSILON),
        rngs=rngs,
    )
