"""Convolutions that own their kernel."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxcnn import functional as F
from jaxcnn.functional import window as win
from jaxcnn.nn.initializers import Initializer, he_normal
from jaxcnn.nn.module import Module, cast


class Conv(Module):
    """Convolve maps with a learned kernel: `functional.conv`.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        window: Sizes of the window; their number is the spatial rank, 1 to 3.
        strides: As in `functional.conv`, like all that follow.
        padding: Amount of padding.
        padding_mode: What the padding holds.
        dilation: Distance between two taps.
        groups: Number of groups that channels are split into.
        use_bias: Add a bias, which starts at 0.
        kernel_init: `initializer(key, shape, dtype)`; He normal, for a ReLU that follows.
        rngs: Draws the kernel.

    Attributes:
        kernel: `(*window, in_channels // groups, out_channels)`, float32.
        bias: `(out_channels,)`, float32, or None.

    Raises:
        ValueError: Sizes that are not positive, or `groups` that does not divide the channels.

    Example:
        >>> conv = Conv(3, 10, (5, 5), padding=2, rngs=nnx.Rngs(0))
        >>> conv(jnp.ones((8, 32, 32, 3))).shape, conv(jnp.ones((32, 32, 3), jnp.bfloat16)).dtype.name
        ((8, 32, 32, 10), 'bfloat16')
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        window: Sequence[int],
        *,
        strides: win.Sizes = 1,
        padding: win.Padding = "SAME",
        padding_mode: str = "zeros",
        dilation: win.Sizes = 1,
        groups: int = 1,
        use_bias: bool = True,
        kernel_init: Initializer = he_normal,
        rngs: nnx.Rngs,
    ):
        win.per_axis("groups", groups, 1)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            win.per_axis(name, channels, 1)
            if channels % groups:
                raise ValueError(f"`{name}` (={channels}) must be divisible by `groups` (={groups})")
        window = win.window_sizes(window)
        shape = (*window, in_channels // groups, out_channels)
        self.kernel = nnx.Param(kernel_init(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(out_channels, jnp.float32)) if use_bias else None
        self.strides = strides
        self.padding = padding
        self.padding_mode = padding_mode
        self.dilation = dilation
        self.groups = groups

    def __call__(
        self, x: Array, *, training: bool = False, key: Array | None = None, activation: str | None = None
    ) -> Array:
        return F.conv(
            x,
            cast(self.kernel, x),
            cast(self.bias, x),
            strides=self.strides,
            padding=self.padding,
            padding_mode=self.padding_mode,
            dilation=self.dilation,
            groups=self.groups,
            activation=activation,
        )


class DepthwiseConv(Conv):
    """Convolve every channel with filters of its own: `functional.depthwise_conv`.

    Args:
        channels: Channels of the input.
        window: Sizes of the window; their number is the spatial rank, 1 to 3.
        multiplier: Filters for each channel.
        rngs: Draws the kernel, `(*window, 1, channels * multiplier)`.
        **options: Those of `Conv`, but for `groups`.

    Example:
        >>> DepthwiseConv(3, (3, 3), multiplier=2, rngs=nnx.Rngs(0))(jnp.ones((32, 32, 3))).shape
        (32, 32, 6)
    """

    def __init__(self, channels: int, window: Sequence[int], *, multiplier: int = 1, rngs: nnx.Rngs, **options: Any):
        super().__init__(channels, channels * multiplier, window, groups=channels, rngs=rngs, **options)


class ConvTranspose(Conv):
    """Scatter a learned kernel from every position, the adjoint of `Conv`: `functional.conv_transpose`.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        window: Sizes of the window; their number is the spatial rank, 1 to 3.
        strides: As in `functional.conv_transpose`, like all that follow.
        padding: What is cropped from the output.
        dilation: Distance between two taps.
        output_padding: Positions added after the output.
        groups: Number of groups that channels are split into.
        use_bias: Add a bias, which starts at 0.
        kernel_init: `initializer(key, shape, dtype)`.
        rngs: Draws the kernel, `(*window, in_channels // groups, out_channels)`.

    Example:
        >>> ConvTranspose(8, 3, (4, 4), strides=2, padding=1, rngs=nnx.Rngs(0))(jnp.ones((2, 16, 16, 8))).shape
        (2, 32, 32, 3)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        window: Sequence[int],
        *,
        strides: win.Sizes = 1,
        padding: win.Padding = "SAME",
        dilation: win.Sizes = 1,
        output_padding: win.Sizes = 0,
        groups: int = 1,
        use_bias: bool = True,
        kernel_init: Initializer = he_normal,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            in_channels,
            out_channels,
            window,
            strides=strides,
            padding=padding,
            dilation=dilation,
            groups=groups,
            use_bias=use_bias,
            kernel_init=kernel_init,
            rngs=rngs,
        )
        self.output_padding = output_padding

    def __call__(
        self, x: Array, *, training: bool = False, key: Array | None = None, activation: str | None = None
    ) -> Array:
        y = F.conv_transpose(
            x,
            cast(self.kernel, x),
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation,
            output_padding=self.output_padding,
            groups=self.groups,
        )
        return F.add_bias(y, cast(self.bias, x), activation=activation)
