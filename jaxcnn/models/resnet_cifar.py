"""The ResNets of CIFAR-10, 20 to 110 layers deep, and the plain networks that they were compared with."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import Style, network
from jaxcnn.models.residual import block, rates

STRIDED = Style(pool="stride")


def resnet_cifar(
    blocks: int,
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
    """Build a 3x3 convolution and three stages of blocks of two, whose shortcuts have no parameters.

    `6 * blocks + 2` layers with 16, 32 and 64 channels. At 32x32x3 and 10 classes there are 269,722 parameters in
    ResNet-20 (3 blocks a stage), 464,154 in 32 (5), 853,018 in 56 (9) and 1,727,962 in 110 (18), with and without
    shortcuts; the paper says 0.27, 0.46, 0.85 and 1.7 million. `small_resnet`, of one block a stage, has 75,290. Where
    a stage begins, the shortcut keeps every second position, and has channels of zeros for the new ones (option A).

    Args:
        blocks: In each stage.
        num_classes: Outputs.
        input_shape: `(*spatial, channels)` of an image (32x32x3), a signal (128x3) or a volume (16x16x16x1).
        rngs: Draws the kernels.
        style: The choices that all convolutional models share; there are no pools, and `stride` is the default.
        width: Channels of the first stage.
        head: What the dense layer reads: global `avg` or `max`, or `flatten` (all of the last maps).
        dropout: Share of features dropped before the dense layer in training.
        drop_path: Probability that training drops the last block's body; the others', linearly less.
        residual: Add the shortcuts; without, it is the plain network of the same depth.

    Returns:
        The network.

    Raises:
        ValueError: An unknown option.

    Example:
        >>> net = resnet_cifar(3, num_classes=10, input_shape=(32, 32, 3), rngs=nnx.Rngs(0))
        >>> net.stage3.block0.conv1.kernel.shape, net.head.dense.kernel.shape
        ((3, 3, 32, 64), (64, 10))

    Reference:
        He et al., "Deep residual learning for image recognition", 2016, section 4.2.
    """
    style.without_pools()
    chances = iter(rates(drop_path, 3 * blocks, residual=residual))
    trunk: dict[str, nn.Module] = {"stem": style.unit(input_shape[-1], width, rngs=rngs)}
    channels = width
    for stage in range(3):
        layers: dict[str, nn.Module] = {}
        for i in range(blocks):
            strides = 2 if stage and i == 0 else 1
            convolutions = [(3, strides, width), (3, 1, width)]
            layers[f"block{i}"] = block(
                style, channels, convolutions, padded=True, residual=residual, rate=next(chances), rngs=rngs
            )
            channels = width
        trunk[f"stage{stage + 1}"] = nn.Sequential(**layers)
        width *= 2
    return network(trunk, input_shape, num_classes, head=head, style=style, dropout=dropout, rngs=rngs)
