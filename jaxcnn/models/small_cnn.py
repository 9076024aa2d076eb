"""The small CNN of the presets: stages of convolutions and a pool, as many as the image takes."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import PLAIN, Style, network

MAX_STAGES = 3
SMALLEST_MAP = 4


def small_cnn(
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = PLAIN,
    width: int = 32,
    head: str = "flatten",
    dropout: float = 0.0,
) -> nn.Sequential:
    """Build stages of 3x3 convolutions, each with norm and activation, and a 2x2 pool.

    The first stage has one convolution, since maps of the whole image cost the most time; the others have two.
    Widths double from stage to stage. There are three stages, or fewer where a map would be under 4 pixels before
    its pool: 8x8 images get two, 28x28 images three.

    Args:
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image.
        rngs: Draws the kernels.
        width: Channels of the first stage.
        style: The choices that all convolutional models share.
        head: What the dense layer reads: `flatten` (all of the last maps), or their global `avg` or `max`.
        dropout: Share of features dropped before the dense layer in training.

    Returns:
        The network.

    Raises:
        ValueError: An unknown option, or an image under 2x2.

    Example:
        >>> net = small_cnn(num_classes=10, input_shape=(8, 8, 1), rngs=nnx.Rngs(0), width=16)
        >>> net.stage2.unit2.conv.kernel.shape, net.head.dense.kernel.shape
        ((3, 3, 32, 32), (128, 10))
    """
    trunk: dict[str, nn.Module] = {}
    side, channels = min(input_shape[:2]), input_shape[-1]
    for stage in range(1, MAX_STAGES + 1):
        if stage > 1 and side < SMALLEST_MAP:
            break
        layers: dict[str, nn.Module] = {"unit1": style.unit(channels, width, rngs=rngs)}
        if stage > 1:
            layers["unit2"] = style.unit(width, width, rngs=rngs)
        trunk[f"stage{stage}"] = nn.Sequential(**layers, pool=style.reduce(2, width, rngs=rngs))
        side, channels, width = side // 2, width, 2 * width
    return network(trunk, input_shape, num_classes, head=head, style=style, dropout=dropout, rngs=rngs)
