"""Pools that are told the size of their output: one position, or as many as asked for."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Num

from jaxcnn.functional import window as win
from jaxcnn.functional.ordered_sum import order_independent_sum


def global_max_pool(
    x: Num[Array, "*batch_and_spatial channels"], *, spatial_axes: Sequence[int] = (-3, -2)
) -> Num[Array, "*batch channels"]:
    """Take the maximum of every channel over all positions.

    NaN wins. The gradient is split evenly between values that are equal (`max_pool` gives all of it to the first).

    Args:
        x: Map, `(*batch, *spatial, channels)`.
        spatial_axes: The axes of the positions.

    Returns:
        Features, `(*batch, channels)`, of x's dtype.

    Raises:
        ValueError: A spatial axis that is not there, or has no positions.
        TypeError: A map that is not floating point.

    Example:
        >>> global_max_pool(jnp.arange(12.).reshape(2, 3, 2)).tolist()
        [10.0, 11.0]

    Reference:
        Lin, Chen and Yan, "Network in network", 2014.
    """
    return jnp.max(x, _positions(x, spatial_axes))


def global_avg_pool(
    x: Num[Array, "*batch_and_spatial channels"],
    *,
    spatial_axes: Sequence[int] = (-3, -2),
    order_independent: bool = False,
) -> Num[Array, "*batch channels"]:
    """Take the average of every channel over all positions; half precision accumulates in float32.

    Args:
        x: Map, `(*batch, *spatial, channels)`.
        spatial_axes: The axes of the positions.
        order_independent: Sum so that no order of the positions changes a bit (`order_independent_sum`): the average
            of a map whose every value moves with its input is then the same bits under every circular shift. Else the
            last bit differs under most.

    Returns:
        Features, `(*batch, channels)`, of x's dtype.

    Raises:
        ValueError: A spatial axis that is not there, or has no positions.
        TypeError: A map that is not floating point.

    Example:
        >>> global_avg_pool(jnp.arange(12.).reshape(2, 3, 2)).tolist()
        [5.0, 6.0]

    Reference:
        Lin, Chen and Yan, "Network in network", 2014.
    """
    positions = _positions(x, spatial_axes)
    if not order_independent:
        return jnp.mean(x, positions)
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    total = order_independent_sum(wide, positions)
    return (total / math.prod(x.shape[axis] for axis in positions)).astype(x.dtype)


def adaptive_max_pool(
    x: Num[Array, "*batch_and_spatial channels"],
    output_size: win.Sizes,
    *,
    spatial_axes: Sequence[int] = (-3, -2),
) -> Num[Array, "*batch_and_output channels"]:
    """Take the maximum of bins that cover an axis, as many as asked for.

    Bin i of n on an axis of size N is `floor(i N / n)` to `ceil((i + 1) N / n)`, as in PyTorch: bins may overlap, and
    repeat where n > N. The gradient is split evenly between values that are equal.

    Args:
        x: Map, `(*batch, *spatial, channels)`.
        output_size: Sizes of the output, an int or one a spatial axis.
        spatial_axes: The axes to pool, in ascending order.

    Returns:
        Map, `(*batch, *output_size, channels)`, of x's dtype.

    Raises:
        ValueError: A size that is not positive, or a spatial axis that is not there.
        TypeError: A map that is not floating point.

    Example:
        >>> adaptive_max_pool(jnp.arange(5.)[:, None], 2, spatial_axes=(-2,))[:, 0].tolist()
        [2.0, 4.0]
    """
    return _adaptive(x, output_size, spatial_axes, jnp.max)


def adaptive_avg_pool(
    x: Num[Array, "*batch_and_spatial channels"],
    output_size: win.Sizes,
    *,
    spatial_axes: Sequence[int] = (-3, -2),
) -> Num[Array, "*batch_and_output channels"]:
    """Take the average of bins that cover an axis, as many as asked for.

    Args:
        x: Map, `(*batch, *spatial, channels)`.
        output_size: As in `adaptive_max_pool`, whose bins these are.
        spatial_axes: The axes to pool, in ascending order.

    Returns:
        Map, `(*batch, *output_size, channels)`, of x's dtype; half precision accumulates in float32.

    Raises:
        ValueError: A size that is not positive, or a spatial axis that is not there.
        TypeError: A map that is not floating point.

    Example:
        >>> adaptive_avg_pool(jnp.arange(5.)[:, None], 2, spatial_axes=(-2,))[:, 0].tolist()
        [1.0, 3.0]
    """
    return _adaptive(x, output_size, spatial_axes, jnp.mean)


def _adaptive(x: Array, output_size: win.Sizes, spatial_axes: Sequence[int], reduce: Callable[..., Any]) -> Array:
    """Pool one axis after the other: a bin is a box, so its maximum and its average are those of its rows."""
    positions = _positions(x, spatial_axes)
    outputs = win.per_axis("output_size", output_size, len(positions))
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    for axis, bins in zip(positions, outputs, strict=True):
        n = x.shape[axis]
        if n % bins == 0:
            y = reduce(y.reshape(*y.shape[:axis], bins, n // bins, *y.shape[axis + 1 :]), axis=axis + 1)
            continue
        edges = [(i * n // bins, -(-(i + 1) * n // bins)) for i in range(bins)]
        parts = [reduce(lax.slice_in_dim(y, *edge, axis=axis), axis=axis, keepdims=True) for edge in edges]
        y = jnp.concatenate(parts, axis)
    return y.astype(x.dtype)


def _positions(x: Array, spatial_axes: Sequence[int]) -> tuple[int, ...]:
    win.floating(x=x)
    positions = win.spatial_positions(x.ndim, spatial_axes)
    for axis in positions:
        win.per_axis("spatial size of `x`", x.shape[axis], 1)
    return positions
