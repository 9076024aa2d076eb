"""DenseNet-BC: every layer reads the maps of all layers before it."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxcnn import nn
from jaxcnn.models.blocks import Style, network

AVERAGED = Style(pool="avg")


class Dense(nn.Sequential):
    """Put the output of a body of layers after the input's channels.

    Args:
        **body: Layers by name.

    Example:
        >>> Dense(double=nn.Activation(lambda x: 2 * x))(jnp.array([1.0, 2.0])).tolist()
        [1.0, 2.0, 2.0, 4.0]
    """

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        return jnp.concatenate([x, super().__call__(x, training=training, key=key)], axis=-1)


def densenet(
    layers: int,
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = AVERAGED,
    width: int = 24,
    head: str = "avg",
    dropout: float = 0.0,
) -> nn.Sequential:
    """Build three dense blocks, with halvings of channels and maps between them.

    DenseNet-BC-100 (16 layers a block, which add 12 channels each, half of `width`) has 769,162 parameters at 32x32x3
    and 10 classes; the paper says 0.8 million. A layer is norm, activation, a 1x1 convolution of four times as many
    channels, and again with a 3x3.

    Args:
        layers: In each block.
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image.
        rngs: Draws the kernels.
        style: The choices that all convolutional models share; pools are averages by default.
        width: Channels of the stem: twice what each layer adds.
        head: What the dense layer reads: global `avg` or `max`, or `flatten` (all of the last maps).
        dropout: Share of features dropped after each convolution of a block in training (the paper: 0.2, where
            images are not augmented).

    Returns:
        The network.

    Raises:
        ValueError: An unknown option.

    Example:
        >>> net = densenet(2, num_classes=10, input_shape=(32, 32, 3), rngs=nnx.Rngs(0), width=8)
        >>> net.block1.layer1.conv1.kernel.shape, net.transition1.conv.kernel.shape
        ((1, 1, 12, 16), (1, 1, 16, 8))

    Reference:
        Huang et al., "Densely connected convolutional networks", 2017.
    """
    growth = width // 2
    channels = width
    trunk: dict[str, nn.Module] = {"stem": style.conv(input_shape[-1], width, 3, padding=1, rngs=rngs)}

    def pre(inputs: int, outputs: int, size: int, suffix: str = "") -> dict[str, nn.Module]:
        named = {
            "norm": style.normalize(inputs),
            "activation": style.activate(),
            "conv": style.conv(inputs, outputs, size, padding=size // 2, rngs=rngs),
        }
        if dropout and suffix:
            named["dropout"] = nn.Dropout(dropout)
        return {name + suffix: layer for name, layer in named.items()}

    for number in (1, 2, 3):
        block: dict[str, nn.Module] = {}
        for i in range(layers):
            block[f"layer{i}"] = Dense(**pre(channels, 4 * growth, 1, "1"), **pre(4 * growth, growth, 3, "2"))
            channels += growth
        trunk[f"block{number}"] = nn.Sequential(**block)
        if number < 3:
            half = channels // 2
            transition = pre(channels, half, 1)
            trunk[f"transition{number}"] = nn.Sequential(**transition, pool=style.reduce(2, half, rngs=rngs))
            channels = half
    trunk["norm"] = style.normalize(channels)
    trunk["activation"] = style.activate()
    return network(trunk, input_shape, num_classes, head=head, rngs=rngs)
