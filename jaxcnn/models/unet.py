"""U-Net: a class for every pixel."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxcnn import functional as F
from jaxcnn import nn
from jaxcnn.models.blocks import PLAIN, Style


class UNet(nn.Module):
    """Go down a few levels and up again, at each level with the maps that the way down left there.

    Args:
        style: Makes the layers.
        in_channels: Channels of the input.
        num_classes: Channels of the output.
        depth: How often maps are halved.
        width: Channels at the top.
        dropout: Share of features dropped at the bottom in training.
        rngs: Draws the kernels.

    Example:
        >>> UNet(PLAIN, 3, 5, depth=2, width=4, rngs=nnx.Rngs(0))(jnp.ones((2, 16, 12, 3))).shape
        (2, 16, 12, 5)
    """

    def __init__(
        self,
        style: Style,
        in_channels: int,
        num_classes: int,
        *,
        depth: int,
        width: int,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        def double(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                unit1=style.unit(inputs, outputs, rngs=rngs), unit2=style.unit(outputs, outputs, rngs=rngs)
            )

        self.depth, self.axes = depth, style.axes
        self.dropout = nn.Dropout(dropout)
        for level in range(depth):
            channels = width * 2**level
            setattr(self, f"down{level}", double(in_channels, channels))
            setattr(self, f"pool{level}", style.reduce(2, channels, rngs=rngs))
            in_channels = channels
        self.bottom = double(in_channels, width * 2**depth)
        for level in reversed(range(depth)):
            channels, window = width * 2**level, (2,) * style.rank
            options = {"kernel_init": style.kernel_init, "rngs": rngs}
            if style.pool == "polyphase":  # zeros are put between the positions before
                mode = style.padding_mode
                up = nn.Conv(2 * channels, channels, window, padding="SAME", padding_mode=mode, **options)
            else:
                up = nn.ConvTranspose(2 * channels, channels, window, strides=2, padding=0, **options)
            setattr(self, f"up{level}", up)
            setattr(self, f"merge{level}", double(2 * channels, channels))
        self.head = style.conv(width, num_classes, 1, padding=0, use_bias=True, rngs=rngs)

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        left: list[tuple[Array, Array | None]] = []
        for level in range(self.depth):
            x = getattr(self, f"down{level}")(x, training=training)
            pool, skip, index = getattr(self, f"pool{level}"), x, None
            sample = getattr(pool, "sample", None)
            if isinstance(sample, nn.PolyphasePool):
                x, index = sample.choose(pool.max(x))
            else:
                x = pool(x, training=training)
            left.append((skip, index))
        x = self.dropout(self.bottom(x, training=training), training=training, key=key)
        for level in reversed(range(self.depth)):
            skip, index = left[level]
            if index is not None:
                x = F.polyphase_unpool(x, index, spatial_axes=self.axes)
            x = getattr(self, f"up{level}")(x, training=training)
            x = getattr(self, f"merge{level}")(jnp.concatenate([skip, x], axis=-1), training=training)
        return self.head(x)


def unet(
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = PLAIN,
    depth: int = 4,
    width: int = 64,
    dropout: float = 0.0,
) -> UNet:
    """Build a U-Net, whose convolutions keep sizes: its logits are `(*spatial, num_classes)`, one set a pixel.

    31,037,698 parameters at depth 4, 3 channels and 2 classes.

    Args:
        num_classes: Logits of every pixel.
        input_shape: `(*spatial, channels)` of an image, a signal or a volume; `2**depth` divides the sizes.
        rngs: Draws the kernels.
        style: The choices that all convolutional models share. With pool `polyphase` and circular padding the logits
            move exactly as the image does, under every circular shift.
        depth: How often maps are halved, and doubled again.
        width: Channels at the top; they double from level to level.
        dropout: Share of features dropped at the bottom in training.

    Returns:
        The network.

    Raises:
        ValueError: An unknown option, or sizes that do not halve so often.

    Example:
        >>> net = unet(num_classes=5, input_shape=(32, 32, 3), rngs=nnx.Rngs(0), depth=2, width=4)
        >>> net(jnp.ones((32, 32, 3))).shape
        (32, 32, 5)

    Reference:
        Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image segmentation", 2015.
    """
    if depth < 0:
        raise ValueError(f"`depth` (={depth}) must be at least 0")
    if any(size % 2**depth for size in input_shape[:-1]):
        raise ValueError(f"2**depth (={2**depth}) must divide the sizes: choose a smaller `depth` (={depth})")
    net = UNet(style, input_shape[-1], num_classes, depth=depth, width=width, dropout=dropout, rngs=rngs)
    jax.eval_shape(lambda x: net(x), jax.ShapeDtypeStruct(tuple(input_shape), jnp.float32))
    return net
