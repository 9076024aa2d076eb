"""Pooling layers: they hold a window, and no parameters."""

from collections.abc import Callable, Sequence
from typing import Any

from jax import Array

from jaxcnn import functional as F
from jaxcnn.config import unknown
from jaxcnn.functional import window as win
from jaxcnn.nn.module import Module

GLOBAL_POOLS: dict[str, Callable[..., Array]] = {"avg": F.global_avg_pool, "max": F.global_max_pool}
ADAPTIVE_POOLS: dict[str, Callable[..., Array]] = {"avg": F.adaptive_avg_pool, "max": F.adaptive_max_pool}


class _Pool(Module):
    """A window that an operation reduces."""

    operation: Callable[..., Array]

    def __init__(
        self,
        window: Sequence[int],
        *,
        strides: win.Sizes | None = None,
        padding: win.Padding = "VALID",
        padding_mode: str = "zeros",
        dilation: win.Sizes = 1,
        ceil_mode: bool = False,
    ):
        self.window = win.window_sizes(window)
        self.strides = strides
        self.padding = padding
        self.padding_mode = padding_mode
        self.dilation = dilation
        self.ceil_mode = ceil_mode

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        return type(self).operation(
            x,
            self.window,
            strides=self.strides,
            padding=self.padding,
            padding_mode=self.padding_mode,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
            **self.options(),
        )

    def options(self) -> dict[str, Any]:
        """Return the arguments that this operation alone takes."""
        return {}


class MaxPool(_Pool):
    """Keep the largest value of every window: `functional.max_pool`.

    Args:
        window: Sizes of the window; their number is the spatial rank.
        strides: Steps between two windows; None means the window's sizes.
        padding: Amount of padding.
        padding_mode: What the padding holds; `zeros` is minus infinity here.
        dilation: Distance between two taps.
        ceil_mode: Keep a last window that overhangs.

    Example:
        >>> import jax.numpy as jnp
        >>> MaxPool((3, 3), strides=2, padding=1)(jnp.ones((8, 112, 112, 64))).shape
        (8, 56, 56, 64)
    """

    operation = staticmethod(F.max_pool)


class MinPool(_Pool):
    """Keep the smallest value of every window: `functional.min_pool`.

    Args:
        window: As in `MaxPool`, like all the others.
        **options: `strides`, `padding`, `padding_mode`, `dilation`, `ceil_mode`.

    Example:
        >>> import jax.numpy as jnp
        >>> MinPool((2,))(jnp.array([[3.], [1.], [2.], [4.]]))[:, 0].tolist()
        [1.0, 2.0]
    """

    operation = staticmethod(F.min_pool)


class AvgPool(_Pool):
    """Average every window: `functional.avg_pool`.

    Args:
        window: As in `MaxPool`.
        count_include_pad: Count padded positions as values.
        **options: `strides`, `padding`, `padding_mode`, `dilation`, `ceil_mode`, as in `MaxPool`.

    Example:
        >>> import jax.numpy as jnp
        >>> AvgPool((2, 2))(jnp.ones((28, 28, 6))).shape
        (14, 14, 6)
    """

    operation = staticmethod(F.avg_pool)

    def __init__(self, window: Sequence[int], *, count_include_pad: bool = False, **options: Any):
        super().__init__(window, **options)
        self.count_include_pad = count_include_pad

    def options(self) -> dict[str, Any]:
        return {"count_include_pad": self.count_include_pad}


class LpPool(_Pool):
    """Take the Lp norm of every window: `functional.lp_pool`.

    Args:
        window: As in `MaxPool`.
        p: The norm's power.
        **options: `strides`, `padding`, `padding_mode`, `dilation`, `ceil_mode`, as in `MaxPool`.

    Example:
        >>> import jax.numpy as jnp
        >>> LpPool((2,))(jnp.array([[3.], [4.]])).tolist()
        [[5.0]]
    """

    operation = staticmethod(F.lp_pool)

    def __init__(self, window: Sequence[int], *, p: float = 2.0, **options: Any):
        super().__init__(window, **options)
        self.p = p

    def options(self) -> dict[str, Any]:
        return {"p": self.p}


class GlobalPool(Module):
    """Reduce every map to one value: `functional.global_avg_pool` or `global_max_pool`.

    Args:
        kind: `avg` or `max`.
        spatial_axes: Positions of the spatial axes.

    Raises:
        ValueError: An unknown kind.

    Example:
        >>> import jax.numpy as jnp
        >>> GlobalPool("avg")(jnp.ones((8, 7, 7, 512))).shape
        (8, 512)
    """

    def __init__(self, kind: str, *, spatial_axes: Sequence[int] = (-3, -2)):
        if kind not in GLOBAL_POOLS:
            raise ValueError(unknown("global pool", kind, GLOBAL_POOLS))
        self.kind = kind
        self.spatial_axes = tuple(spatial_axes)

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        return GLOBAL_POOLS[self.kind](x, spatial_axes=self.spatial_axes)


class AdaptivePool(Module):
    """Pool maps of any size to one size: `functional.adaptive_avg_pool` or `adaptive_max_pool`.

    Args:
        kind: `avg` or `max`.
        output_size: Sizes of the output, an int or one a spatial axis.
        spatial_axes: Positions of the spatial axes.

    Raises:
        ValueError: An unknown kind.

    Example:
        >>> import jax.numpy as jnp
        >>> AdaptivePool("avg", (7, 7))(jnp.ones((8, 10, 13, 512))).shape
        (8, 7, 7, 512)
    """

    def __init__(self, kind: str, output_size: win.Sizes, *, spatial_axes: Sequence[int] = (-3, -2)):
        if kind not in ADAPTIVE_POOLS:
            raise ValueError(unknown("adaptive pool", kind, ADAPTIVE_POOLS))
        self.kind = kind
        self.output_size = output_size
        self.spatial_axes = tuple(spatial_axes)

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        return ADAPTIVE_POOLS[self.kind](x, self.output_size, spatial_axes=self.spatial_axes)
