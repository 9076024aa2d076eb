"""The networks of the CIFAR-10 speed records of 2024."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import Style
from jaxcnn.models.residual import Residual

LIKE_THE_RECORD = Style(activation="gelu", init="partial_dirac")
WHITENING = 2
"""Side of the whitening windows."""


class _Divide(nn.Module):
    """Divide by a number."""

    def __init__(self, by: int):
        self.by = by

    def __call__(self, x: jax.Array, *, training: bool = False, key: jax.Array | None = None) -> jax.Array:
        return x / self.by


def airbench(
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = LIKE_THE_RECORD,
    width: int = 64,
) -> nn.Sequential:
    """Build a 2x2 convolution meant to whiten, three blocks of two 3x3 convolutions, and a dense layer without bias.

    A block is a convolution, a 2x2 pool, norm and GELU, a second convolution, norm and GELU; the first is `width` wide,
    the others four times that. A 3x3 pool ends it, and the logits are divided by the number of features: 1,972,792
    parameters at 32x32x3 and 10 classes, of which the record trains neither the scales of the norms nor the kernel that
    whitens (see `Config.whiten` and `Config.freeze`).

    Args:
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image, at least 25x25.
        rngs: Draws the kernels.
        style: The choices that all convolutional models share.
        width: Channels of the first block.

    Returns:
        The network.

    Raises:
        ValueError: An unknown option, or an image that is too small.

    Example:
        >>> net = airbench(num_classes=10, input_shape=(32, 32, 3), rngs=nnx.Rngs(0), width=8)
        >>> net.whiten.kernel.shape, net.block3.conv2.kernel.shape, net.head.dense.kernel.shape
        ((2, 2, 3, 24), (3, 3, 32, 32), (32, 10))

    Reference:
        Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024 (airbench94).
    """
    return _build((width, 4 * width, 4 * width), num_classes, input_shape, style, rngs, deep=False)


def airbench96(
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = LIKE_THE_RECORD,
    width: int = 128,
) -> nn.Sequential:
    """Build the record's network for 96 %: wider, with three convolutions in a block, the last two a residual.

    A block is a convolution, a 2x2 pool, norm and GELU; to what these give, two convolutions with norms, and a GELU
    between them, are added before the last GELU. Blocks are `width`, three and four times that wide, and running
    statistics keep nine tenths from batch to batch, not six: 9,918,776 parameters at 32x32x3 and 10 classes. All else
    is as in `airbench`.

    Args:
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image, at least 25x25.
        rngs: Draws the kernels.
        style: The choices that all convolutional models share.
        width: Channels of the first block.

    Returns:
        The network.

    Raises:
        ValueError: An unknown option, or an image that is too small.

    Example:
        >>> net = airbench96(num_classes=10, input_shape=(32, 32, 3), rngs=nnx.Rngs(0), width=8)
        >>> net.block2.residual.conv3.kernel.shape, net.head.dense.kernel.shape
        ((3, 3, 24, 24), (32, 10))

    Reference:
        Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024 (airbench96, as of its later, faster version).
    """
    return _build((width, 3 * width, 4 * width), num_classes, input_shape, style, rngs, deep=True)


def _build(
    widths: Sequence[int], num_classes: int, input_shape: Sequence[int], style: Style, rngs: nnx.Rngs, *, deep: bool
) -> nn.Sequential:
    channels = 2 * WHITENING**2 * input_shape[-1]
    trunk: dict[str, nn.Module] = {
        "whiten": nn.Conv(input_shape[-1], channels, (WHITENING, WHITENING), padding="VALID", rngs=rngs),
        "activation": style.activate(),
    }
    unit = partial(_unit, style=style, rngs=rngs, momentum=0.9 if deep else 0.6)
    for block, out in enumerate(widths, 1):
        first = unit(channels, out, 1)
        layers = {"conv1": first.pop("conv1"), "pool": style.reduce(2, out, rngs=rngs), **first}
        layers["activation1"] = style.activate()
        rest = unit(out, out, 2)
        if deep:
            rest |= {"activation2": style.activate(), **unit(out, out, 3)}
            layers["residual"] = Residual(shortcut=nn.Identity(), activation=style.activate(), **rest)
        else:
            layers |= {**rest, "activation2": style.activate()}
        trunk[f"block{block}"] = nn.Sequential(**layers)
        channels = out
    trunk["pool"] = style.reduce(3, channels, rngs=rngs)
    body = nn.Sequential(**trunk, flatten=nn.Flatten(spatial_axes=(-3, -2)))
    image = jax.ShapeDtypeStruct(tuple(input_shape), jnp.float32)
    features = jax.eval_shape(lambda x: body(x), image).shape[-1]
    one = partial(nn.scaled, gain=features, uniform=True)  # a standard deviation of 1: the logits are divided instead
    head = nn.Sequential(
        flatten=nn.Flatten(spatial_axes=(-3, -2)),
        dense=nn.Dense(features, num_classes, use_bias=False, kernel_init=one, rngs=rngs),
        divide=_Divide(features),
    )
    return nn.Sequential(**trunk, head=head)


def _unit(
    channels: int, out: int, number: int, *, style: Style, rngs: nnx.Rngs, momentum: float
) -> dict[str, nn.Module]:
    """Return a convolution and its norm."""
    return {
        f"conv{number}": style.conv(channels, out, 3, padding="SAME", rngs=rngs),
        f"norm{number}": style.normalize(out, epsilon=1e-12, momentum=momentum),
    }
