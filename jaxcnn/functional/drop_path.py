"""Stochastic depth."""

from collections.abc import Sequence

import jax
from jax import Array
from jaxtyping import Key, Num

from jaxcnn.functional import window as win
from jaxcnn.functional.dropout import dropout


def drop_path(
    x: Num[Array, "*batch_and_spatial channels"],
    rate: int | float,
    *,
    key: Key[Array, ""],
    spatial_axes: Sequence[int] = (-3, -2),
) -> Num[Array, "*batch_and_spatial channels"]:
    """Set a random share of the examples to zero, each whole, and scale the others up by `1 / (1 - rate)`.

    `y[n] = x[n] b[n] / (1 - rate)`, `b[n]` 1 with probability `1 - rate` and else 0. Of a residual block's body, it
    leaves the shortcut alone for those examples; the expected output is the input.

    Args:
        x: Maps, `(*batch, *spatial, channels)`.
        rate: Share of the examples dropped, in [0, 1); 0 returns x.
        key: Draws the examples dropped, as `jax.random.key` makes it.
        spatial_axes: Positions of the spatial axes; all but these and the last are batch axes.

    Returns:
        An array of x's shape and dtype.

    Raises:
        ValueError: A rate outside [0, 1).
        TypeError: An array that is not floating point.

    Example:
        >>> dropped = drop_path(jax.numpy.ones((1000, 2, 2, 3)), 0.5, key=jax.random.key(0))
        >>> sorted(set(dropped.sum((1, 2, 3)).tolist())), 450 < int((dropped[:, 0, 0, 0] == 0).sum()) < 550
        ([0.0, 24.0], True)

    Reference:
        Huang et al., "Deep networks with stochastic depth", 2016.
    """
    (x,) = win.floating(x=x)
    whole = {*win.spatial_positions(x.ndim, spatial_axes), x.ndim - 1}
    examples = tuple(1 if axis in whole else size for axis, size in enumerate(x.shape))
    return x * dropout(jax.numpy.ones(examples, x.dtype), rate, key=key)
