"""Blurred sampling: a low-pass before the stride, so that less of the map aliases."""

import math
from collections.abc import Sequence
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Num

from jaxcnn.functional import window as win

MOST_TAPS = 7


def blur_pool(
    x: Num[Array, "*batch_and_spatial channels"],
    *,
    strides: win.Sizes = 2,
    taps: int = 3,
    padding_mode: str = "circular",
    spatial_axes: Sequence[int] = (-3, -2),
) -> Num[Array, "*batch_and_output channels"]:
    """Low-pass a map by binomial weights, then sample it.

    `y[i] = sum_k w_k x[S i + k - (taps - 1) // 2]`, `w_k = binomial(taps - 1, k) / 2^(taps - 1)` along every spatial
    axis, each channel by itself.

    Equivariant to circular shifts that the strides divide, where these divide the sizes and the padding is circular:
    a shift by `k S` of x is one by `k` of y. Between these, less is lost than without the low-pass, but something is:
    `polyphase_pool` loses nothing.

    Args:
        x: Map, `(*batch, *spatial, channels)`, any number of batch axes.
        strides: Steps between two samples, an int or one a spatial axis.
        taps: Weights along each axis, 1 (no low-pass) to 7; an even number moves the map by half a position.
        padding_mode: What lies beyond the border: `circular`, `zeros` (which darkens it), `reflect` or `replicate`.
        spatial_axes: The axes to sample, 1 to 3, in ascending order.

    Returns:
        Map, `(*batch, *output, channels)`, of x's dtype, with `ceil(N / S)` positions an axis; no parameters.

    Raises:
        ValueError: Taps out of range, or a map that is too small to pad.
        TypeError: A map that is not floating point.

    Example:
        >>> x = jnp.array([0., 4., 0., 0., 0., 0.])[:, None]
        >>> blur_pool(x, spatial_axes=(-2,))[:, 0].tolist(), blur_pool(x, taps=2, spatial_axes=(-2,))[:, 0].tolist()
        ([1.0, 1.0, 0.0], [2.0, 0.0, 0.0])

    Reference:
        Zhang, "Making convolutional networks shift-invariant again", 2019.
    """
    (x,) = win.floating(x=x)
    if not isinstance(taps, int | np.integer) or not 1 <= taps <= MOST_TAPS:
        raise ValueError(f"`taps` (={taps}) must be 1 to {MOST_TAPS}, and whole")
    positions = win.spatial_positions(x.ndim, spatial_axes)
    steps = win.per_axis("strides", strides, len(positions))
    for axis in positions:
        win.per_axis("spatial size of `x`", x.shape[axis], 1)
    return _blurred(x, steps=steps, taps=int(taps), padding_mode=padding_mode, positions=positions)


def _blur_pool(x: Array, *, steps: tuple[int, ...], taps: int, padding_mode: str, positions: tuple[int, ...]) -> Array:
    weights = [math.comb(taps - 1, k) / 2 ** (taps - 1) for k in range(taps)]
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    for axis, step in zip(positions, steps, strict=True):
        y = _along(y, axis, step, weights, padding_mode)
    return y.astype(x.dtype)


_blur_pool.__name__ = "blur_pool"  # of the call: what a jaxpr, a summary and an audit show
_blurred = jax.jit(_blur_pool, static_argnames=("steps", "taps", "padding_mode", "positions"))


def _along(x: Array, axis: int, step: int, weights: Sequence[float], padding_mode: str) -> Array:
    """Low-pass and sample one axis: slices that XLA adds in one pass, where its depthwise convolution is slow."""
    x = jnp.moveaxis(x, axis, -2)
    low = (len(weights) - 1) // 2
    last = (x.shape[-2] - 1) // step * step + 1
    x = win.pad(x, [(low, len(weights) - 1 - low)], padding_mode)
    parts = [w * lax.slice_in_dim(x, k, k + last, step, axis=-2) for k, w in enumerate(weights)]
    return jnp.moveaxis(reduce(jnp.add, parts), -2, axis)
