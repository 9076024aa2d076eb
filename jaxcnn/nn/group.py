"""Group convolutions that own their kernel; maps have a group axis, `(*batch, height, width, 4 or 8, channels)`.

Other layers take such maps as they are: `BatchNorm`, `LayerNorm` and `Dense` see the channels alone, `BatchNorm`'s
statistics are shared by all elements; `MaxPool((2, 2, 1))` pools space; `GroupNorm`, `InstanceNorm` and `GlobalPool`
reduce over space and elements with `spatial_axes=(-4, -3, -2)`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxcnn import functional as F
from jaxcnn.config import unknown
from jaxcnn.functional import window as win
from jaxcnn.functional.group_maps import GROUPS
from jaxcnn.nn.initializers import Initializer, he_normal
from jaxcnn.nn.module import Module, cast

LIFTS: dict[str, Callable[..., Array]] = {"p4": F.p4_lift_conv, "p4m": F.p4m_lift_conv}
CONVOLUTIONS: dict[str, Callable[..., Array]] = {"p4": F.p4_conv, "p4m": F.p4m_conv}


class GroupLiftConv(Module):
    """Convolve images with a learned kernel in all its orientations: `functional.p4_lift_conv` or `p4m_lift_conv`.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, for each element.
        window: Sizes of the window, a square.
        group: `p4`, four turns, or `p4m`, with mirrors.
        strides: As in `functional.conv`, like all that follow.
        padding: Amount of padding.
        padding_mode: What the padding holds.
        dilation: Distance between two taps.
        use_bias: Add a bias, which starts at 0 and is shared by all elements.
        kernel_init: `initializer(key, shape, dtype)`; He normal, for a ReLU that follows.
        rngs: Draws the kernel.

    Attributes:
        kernel: `(size, size, in_channels, out_channels)`, float32.
        bias: `(out_channels,)`, float32, or None.

    Raises:
        ValueError: An unknown group, or sizes that are not positive.

    Example:
        >>> lift = GroupLiftConv(1, 10, (3, 3), group="p4", rngs=nnx.Rngs(0))
        >>> lift(jnp.ones((8, 28, 28, 1))).shape
        (8, 28, 28, 4, 10)
    """

    functions = LIFTS

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        window: Sequence[int],
        *,
        group: str = "p4",
        strides: win.Sizes = 1,
        padding: win.Padding = "SAME",
        padding_mode: str = "zeros",
        dilation: win.Sizes = 1,
        use_bias: bool = True,
        kernel_init: Initializer = he_normal,
        rngs: nnx.Rngs,
    ):
        if group not in GROUPS:
            raise ValueError(unknown("group", group, GROUPS))
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            win.per_axis(name, channels, 1)
        window = win.window_sizes(window)
        if len(set(window)) != 1 or len(window) != 2:
            raise ValueError(f"`window` (={window}) must be a square, such as (3, 3): it is turned by quarters")
        shape = (*window, *self.elements(group), in_channels, out_channels)
        self.kernel = nnx.Param(kernel_init(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(out_channels, jnp.float32)) if use_bias else None
        self.group = group
        self.options: dict[str, Any] = {
            "strides": strides, "padding": padding, "padding_mode": padding_mode, "dilation": dilation,
        }  # fmt: skip

    @staticmethod
    def elements(group: str) -> tuple[int, ...]:
        """Return the group axis of a kernel, where it has one."""
        return ()

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        convolve = type(self).functions[self.group]
        return convolve(x, cast(self.kernel, x), cast(self.bias, x), **self.options)


class GroupConv(GroupLiftConv):
    """Convolve group maps with a learned kernel: `functional.p4_conv` or `p4m_conv`.

    Args:
        in_channels: Channels of the input, for each element.
        **options: The other arguments of `GroupLiftConv`.

    Attributes:
        kernel: `(size, size, 4 or 8, in_channels, out_channels)`, float32.
        bias: `(out_channels,)`, float32, or None.

    Example:
        >>> conv = GroupConv(10, 20, (3, 3), group="p4m", rngs=nnx.Rngs(0))
        >>> conv(jnp.ones((8, 28, 28, 8, 10))).shape, conv.kernel.shape
        ((8, 28, 28, 8, 20), (3, 3, 8, 10, 20))
    """

    functions = CONVOLUTIONS

    @staticmethod
    def elements(group: str) -> tuple[int, ...]:
        """Return the group axis of a kernel."""
        return (GROUPS[group],)


class GroupPool(Module):
    """Reduce the group axis to one value, which turns with the image: `functional.group_pool`.

    Args:
        kind: `max` or `avg`.

    Raises:
        ValueError: An unknown kind.

    Example:
        >>> GroupPool("max")(jnp.ones((8, 28, 28, 4, 10))).shape
        (8, 28, 28, 10)
    """

    def __init__(self, kind: str = "max"):
        if kind not in ("max", "avg"):
            raise ValueError(unknown("group pool", kind, ("max", "avg")))
        self.kind = kind

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        return F.group_pool(x, self.kind)


class CentredPool(Module):
    """Halve the spatial axes of group maps, symmetrically about their centre: turns and mirrors stay exact.

    On an axis of even size windows are 2 wide, side by side; on one of odd size, whose centre is a pixel, 3 wide with
    padding 1 and stride 2. N positions become ceil(N / 2).

    Args:
        kind: `max` or `avg`.

    Raises:
        ValueError: An unknown kind.

    Example:
        >>> CentredPool("max")(jnp.ones((8, 14, 7, 4, 10))).shape
        (8, 7, 4, 4, 10)
    """

    def __init__(self, kind: str = "max"):
        if kind not in ("max", "avg"):
            raise ValueError(unknown("pool", kind, ("max", "avg")))
        self.kind = kind

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        odd = [size % 2 for size in x.shape[-4:-2]]
        pool = F.max_pool if self.kind == "max" else F.avg_pool
        return pool(x, (2 + odd[0], 2 + odd[1], 1), strides=(2, 2, 1), padding=(*odd, 0))
