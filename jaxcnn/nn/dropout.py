"""Random features, or whole examples, left out in training."""

from collections.abc import Sequence
from typing import Any

from jax import Array

from jaxcnn import functional as F
from jaxcnn.functional.traced import is_off
from jaxcnn.nn.module import Module


class Dropout(Module):
    """Drop features at random in training, and scale up the rest: `functional.dropout`.

    Args:
        rate: Share of features that is dropped, in [0, 1).

    Raises:
        ValueError: A rate outside its range; on a call, training without a `key`.

    Example:
        >>> import jax
        >>> x = jax.numpy.ones(1000)
        >>> bool((Dropout(0.5)(x) == x).all())
        True
        >>> sorted(set(Dropout(0.5)(x, training=True, key=jax.random.key(0)).tolist()))
        [0.0, 2.0]
    """

    def __init__(self, rate: float):
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` (={rate}) must be at least 0 and less than 1")
        self.rate: Any = rate  # a tracer, where members of one program differ in it

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        if not training or is_off(self.rate):
            return x
        if key is None:
            raise ValueError("`key` (=None) must be a JAX key when `training` (=True): dropout draws from it")
        return self.drop(x, key)

    def drop(self, x: Array, key: Array) -> Array:
        """Drop features."""
        return F.dropout(x, self.rate, key=key)


class DropPath(Dropout):
    """Drop examples at random in training, each whole, and scale up the rest: `functional.drop_path`.

    Args:
        rate: Share of examples that is dropped, in [0, 1).
        spatial_axes: Positions of the spatial axes; all but these and the last are batch axes.

    Raises:
        ValueError: A rate outside its range; on a call, training without a `key`.

    Example:
        >>> import jax
        >>> x = jax.numpy.ones((1000, 2, 2, 3))
        >>> sorted(set(DropPath(0.5)(x, training=True, key=jax.random.key(0)).sum((1, 2, 3)).tolist()))
        [0.0, 24.0]
    """

    def __init__(self, rate: float, *, spatial_axes: Sequence[int] = (-3, -2)):
        super().__init__(rate)
        self.spatial_axes = tuple(spatial_axes)

    def drop(self, x: Array, key: Array) -> Array:
        """Drop examples."""
        return F.drop_path(x, self.rate, key=key, spatial_axes=self.spatial_axes)
