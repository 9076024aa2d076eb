"""Layers that answer to shifts, where a stride or an activation alone does not: they hold no parameters."""

from collections.abc import Callable, Sequence

from jax import Array

from jaxcnn import functional as F
from jaxcnn.functional import window as win
from jaxcnn.nn.activation import Activation
from jaxcnn.nn.module import Module


class AntialiasedActivation(Module):
    """Apply an activation between the positions of maps, then low-pass: `functional.antialiased_activation`.

    Args:
        activation: A name that `Activation` knows, or a function.
        up: How many times denser it is applied, along each axis.
        spatial_axes: Positions of the spatial axes.

    Example:
        >>> import jax.numpy as jnp
        >>> AntialiasedActivation("gelu")(jnp.ones((8, 32, 32, 64))).shape
        (8, 32, 32, 64)
    """

    def __init__(
        self, activation: str | Callable[[Array], Array], *, up: int = 2, spatial_axes: Sequence[int] = (-3, -2)
    ):
        self.dense = Activation(activation)
        self.up = up
        self.spatial_axes = tuple(spatial_axes)

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        return F.antialiased_activation(x, self.dense, up=self.up, spatial_axes=self.spatial_axes)


class BlurPool(Module):
    """Low-pass maps, then sample them: `functional.blur_pool`.

    Args:
        strides: Steps between two samples.
        taps: Binomial weights along each axis, 1 to 7.
        padding_mode: What lies beyond the border of a map.
        spatial_axes: Positions of the spatial axes.

    Example:
        >>> import jax.numpy as jnp
        >>> BlurPool(strides=2)(jnp.ones((8, 32, 32, 64))).shape
        (8, 16, 16, 64)
    """

    def __init__(
        self,
        *,
        strides: win.Sizes = 2,
        taps: int = 3,
        padding_mode: str = "circular",
        spatial_axes: Sequence[int] = (-3, -2),
    ):
        self.strides = strides
        self.taps = taps
        self.padding_mode = padding_mode
        self.spatial_axes = tuple(spatial_axes)

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        return F.blur_pool(
            x,
            strides=self.strides,
            taps=self.taps,
            padding_mode=self.padding_mode,
            spatial_axes=self.spatial_axes,
        )


class PolyphasePool(Module):
    """Sample maps at a phase that moves with them: `functional.polyphase_pool`.

    Args:
        strides: Steps between two samples, which divide the sizes of the maps.
        spatial_axes: Positions of the spatial axes.

    Example:
        >>> import jax.numpy as jnp
        >>> PolyphasePool(strides=2)(jnp.ones((8, 32, 32, 64))).shape
        (8, 16, 16, 64)
    """

    def __init__(self, *, strides: win.Sizes = 2, spatial_axes: Sequence[int] = (-3, -2)):
        self.strides = strides
        self.spatial_axes = tuple(spatial_axes)

    def __call__(
        self, x: Array, *, training: bool = False, key: Array | None = None, index: Array | None = None
    ) -> Array:
        return F.polyphase_pool(x, strides=self.strides, spatial_axes=self.spatial_axes, index=index)

    def choose(self, x: Array) -> tuple[Array, Array]:
        """Return maps sampled, and the phases that they were sampled at.

        Args:
            x: Maps, `(*batch, *spatial, channels)`.

        Returns:
            What a call returns, and the phases, `(*batch,)`: another map's `index`.
        """
        return F.polyphase_pool(x, strides=self.strides, spatial_axes=self.spatial_axes, return_index=True)
