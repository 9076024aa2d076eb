"""The small CNN with group convolutions: what it says of an image, it says of the turned image."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import PLAIN, Style, one_of
from jaxcnn.models.small_cnn import MAX_STAGES, SMALLEST_MAP
from jaxcnn.nn.pool import GLOBAL_POOLS

AXES = (-4, -3, -2)  # space and elements


def group_cnn(
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = PLAIN,
    group: str = "p4",
    width: int = 16,
    head: str = "avg",
    dropout: float = 0.0,
) -> nn.Sequential:
    """Build `small_cnn`'s stages of 3x3 convolutions over a group, and a global pool over space and group.

    In evaluation the logits are invariant under the group, `f(L_h x) = f(x)`: exactly in arithmetic, to rounding in
    floating point; for images of any sizes and every padding mode. (Pools halve an odd size about its centre.) A
    layer's kernel has 4 (p4m: 8) times as many entries as a plain one of that width, so that a p4 network of half the
    width has as many parameters as a plain one, and takes 4 times its operations.

    Args:
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image: sets the number of stages.
        rngs: Draws the kernels.
        group: `p4`, four turns, or `p4m`, with mirrors.
        width: Channels of the first stage, for each element; they double from stage to stage.
        style: The choices that all convolutional models share; pools are max or avg, a norm's statistics are shared by
            all elements, and there is no `init` dirac.
        head: What the dense layer reads: the global `avg` or `max` of the last maps.
        dropout: Share of features dropped before the dense layer in training.

    Returns:
        The network.

    Raises:
        ValueError: An unknown option.

    Example:
        >>> net = group_cnn(num_classes=10, input_shape=(28, 28, 1), rngs=nnx.Rngs(0), width=8)
        >>> net.stage1.unit1.conv.kernel.shape, net.stage3.unit2.conv.kernel.shape, net.head.dense.kernel.shape
        ((3, 3, 1, 8), (3, 3, 4, 32, 32), (32, 10))

    Reference:
        Cohen and Welling, "Group equivariant convolutional networks", 2016.
    """
    if style.init in ("dirac", "partial_dirac"):
        raise ValueError(f"`init` (={style.init!r}) is not for group_cnn, whose kernels have an axis of elements")
    one_of("head", head, GLOBAL_POOLS)

    def unit(layer: type[nn.GroupLiftConv], inputs: int, outputs: int) -> nn.Sequential:
        conv = layer(
            inputs,
            outputs,
            (3, 3),
            group=group,
            padding=1,
            padding_mode=style.padding_mode,
            use_bias=style.norm == "none",
            kernel_init=style.kernel_init,
            rngs=rngs,
        )
        return nn.Sequential(conv=conv, norm=normalize(style, outputs), activation=style.activate())

    layers: dict[str, nn.Module] = {}
    side, channels = min(input_shape[:2]), input_shape[-1]
    for stage in range(1, MAX_STAGES + 1):
        if stage > 1 and side < SMALLEST_MAP:
            break
        units = {"unit1": unit(nn.GroupConv if stage > 1 else nn.GroupLiftConv, channels, width)}
        if stage > 1:
            units["unit2"] = unit(nn.GroupConv, width, width)
        layers[f"stage{stage}"] = nn.Sequential(**units, pool=nn.CentredPool(style.pool))
        side, channels, width = -(-side // 2), width, 2 * width
    last: dict[str, nn.Module] = {"pool": nn.GlobalPool(head, spatial_axes=AXES)}
    if dropout:
        last["dropout"] = nn.Dropout(dropout)
    last["dense"] = nn.Dense(channels, num_classes, rngs=rngs)
    return nn.Sequential(**layers, head=nn.Sequential(**last))


def normalize(style: Style, channels: int) -> nn.Module:
    """Return a norm of group maps; a group norm's statistics are those of all elements together."""
    norm = style.normalize(channels)
    if isinstance(norm, nn.GroupNorm):
        norm.spatial_axes = AXES
    return norm
