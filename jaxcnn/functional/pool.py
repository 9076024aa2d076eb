"""Pooling: a map's windows reduced to their maximum, minimum, average or norm, each channel by itself."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Num

from jaxcnn.functional import window as win
from jaxcnn.functional.extremum import extremum, reduce_window


def max_pool(
    x: Num[Array, "*batch_and_spatial channels"],
    window: win.Sizes,
    *,
    strides: win.Sizes | None = None,
    padding: win.Padding = "VALID",
    padding_mode: str = "zeros",
    dilation: win.Sizes = 1,
    ceil_mode: bool = False,
) -> Num[Array, "*batch_and_output channels"]:
    """Take the maximum of every window.

    `y[i] = max_p x[S i + D p - low]`. NaN wins. Where several values are the maximum, the whole gradient goes to the
    first in reading order, as in PyTorch.

    Args:
        x: Map, `(*batch, *spatial, channels)`, any number of batch axes.
        window: Sizes of the window, one a spatial axis: its length is the number of spatial axes, 1 to 3.
        strides: Steps between two windows, an int or one an axis; None is the window, which then tiles the map.
        padding: `"VALID"`, `"SAME"`, `"SAME_LOWER"`, an int, one int an axis, or one (low, high) an axis; PyTorch
            refuses more than half a window.
        padding_mode: What the padding holds. `zeros` is the pool's neutral element: such positions never win.
            `circular`, `reflect` and `replicate` hold values of the map.
        dilation: Distance between two taps of a window, an int or one an axis.
        ceil_mode: Round the number of windows up rather than down; the last one must begin inside the map or its
            low padding, and what hangs over the end is left out (PyTorch's rule).

    Returns:
        Map, `(*batch, *output, channels)`, of x's dtype, with `(N - F) / S + 1` positions an axis; no parameters.

    Raises:
        ValueError: Sizes that do not fit, or a window that would see nothing but padding.
        TypeError: A map that is not floating point.

    Example:
        The lecture's: 2x2, stride 2; and 0 to 8 by 2x2, stride 1.

        >>> x = jnp.array([[1., 1., 2., 4.], [5., 6., 7., 8.], [3., 2., 1., 0.], [1., 2., 3., 4.]])
        >>> max_pool(x[..., None], (2, 2))[..., 0].tolist()
        [[6.0, 8.0], [3.0, 4.0]]
        >>> max_pool(jnp.arange(9.).reshape(3, 3, 1), (2, 2), strides=1)[..., 0].tolist()
        [[4.0, 5.0], [7.0, 8.0]]

    Reference:
        CS231n, "Convolutional networks": pooling layer.
    """
    return _pool(x, window, strides, padding, padding_mode, dilation, ceil_mode, partial(_extremum, lax.max))


def min_pool(
    x: Num[Array, "*batch_and_spatial channels"],
    window: win.Sizes,
    *,
    strides: win.Sizes | None = None,
    padding: win.Padding = "VALID",
    padding_mode: str = "zeros",
    dilation: win.Sizes = 1,
    ceil_mode: bool = False,
) -> Num[Array, "*batch_and_output channels"]:
    """Take the minimum of every window: `max_pool`'s mirror.

    Args:
        x: Map, `(*batch, *spatial, channels)`.
        window: As in `max_pool`.
        strides: As in `max_pool`.
        padding: As in `max_pool`.
        padding_mode: As in `max_pool`.
        dilation: As in `max_pool`.
        ceil_mode: As in `max_pool`.

    Returns:
        Map, `(*batch, *output, channels)`, of x's dtype.

    Raises:
        ValueError: Sizes that do not fit, or a window that would see nothing but padding.
        TypeError: A map that is not floating point.

    Example:
        >>> min_pool(jnp.arange(9.).reshape(3, 3, 1), (2, 2), strides=1)[..., 0].tolist()
        [[0.0, 1.0], [3.0, 4.0]]
    """
    return _pool(x, window, strides, padding, padding_mode, dilation, ceil_mode, partial(_extremum, lax.min))


def avg_pool(
    x: Num[Array, "*batch_and_spatial channels"],
    window: win.Sizes,
    *,
    strides: win.Sizes | None = None,
    padding: win.Padding = "VALID",
    padding_mode: str = "zeros",
    dilation: win.Sizes = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
) -> Num[Array, "*batch_and_output channels"]:
    """Take the average of every window.

    `y[i] = (1 / n_i) sum_p x[S i + D p - low]`, n_i the number of positions of the map that window i sees. Half
    precision accumulates in float32.

    Args:
        x: Map, `(*batch, *spatial, channels)`.
        window: As in `max_pool`.
        strides: As in `max_pool`.
        padding: As in `max_pool`.
        padding_mode: As in `max_pool`; `zeros` is left out of the average, unless `count_include_pad`.
        dilation: As in `max_pool`.
        ceil_mode: As in `max_pool`; what hangs over the end never counts.
        count_include_pad: Count padded zeros as values (PyTorch's default is True, ONNX's and ours is False).

    Returns:
        Map, `(*batch, *output, channels)`, of x's dtype.

    Raises:
        ValueError: Sizes that do not fit, or a window that would average nothing.
        TypeError: A map that is not floating point.

    Example:
        >>> avg_pool(jnp.arange(9.).reshape(3, 3, 1), (2, 2), strides=1)[..., 0].tolist()
        [[2.0, 3.0], [5.0, 6.0]]
        >>> avg_pool(jnp.ones((3, 1)), (2,), strides=1, padding=1, count_include_pad=True)[:, 0].tolist()
        [0.5, 1.0, 1.0, 0.5]
    """

    def average(x: Array, place: win.Geometry, counts: np.ndarray) -> Array:
        x = x.astype(_wide(x))
        return reduce_window(x, place, lax.add) / counts.astype(x.dtype)

    return _pool(x, window, strides, padding, padding_mode, dilation, ceil_mode, average, count_include_pad)


def lp_pool(
    x: Num[Array, "*batch_and_spatial channels"],
    window: win.Sizes,
    *,
    p: int | float = 2,
    strides: win.Sizes | None = None,
    padding: win.Padding = "VALID",
    padding_mode: str = "zeros",
    dilation: win.Sizes = 1,
    ceil_mode: bool = False,
) -> Num[Array, "*batch_and_output channels"]:
    """Take the p-norm of every window.

    `y[i] = (sum_q |x[S i + D q - low]|^p)^(1/p)`, of absolute values (ONNX's definition; PyTorch has x^p, and scales
    up a window that hangs over the end). Where it has no gradient, at zeros, it is taken as 0, as in PyTorch.

    Args:
        x: Map, `(*batch, *spatial, channels)`.
        window: As in `max_pool`.
        p: Order of the norm, at least 1 and finite; for infinity take `max_pool(abs(x))`. The powers are summed as
            they are, so |x|^p must be in range (half precision is widened to float32).
        strides: As in `max_pool`.
        padding: As in `max_pool`.
        padding_mode: As in `max_pool`; `zeros` adds nothing.
        dilation: As in `max_pool`.
        ceil_mode: As in `max_pool`.

    Returns:
        Map, `(*batch, *output, channels)`, of x's dtype.

    Raises:
        ValueError: Sizes that do not fit, or an order below 1.
        TypeError: A map that is not floating point.

    Example:
        >>> lp_pool(jnp.array([[3.], [-4.], [0.], [0.]]), (2,))[:, 0].tolist()
        [5.0, 0.0]

    Reference:
        Boureau, Ponce and LeCun, "A theoretical analysis of feature pooling", 2010.
    """
    if not 1 <= p < math.inf:
        raise ValueError(f"`p` (={p}) must be at least 1 and finite; for infinity take max_pool(abs(x))")
    order = int(p) if p == int(p) else p

    def norm(x: Array, place: win.Geometry, counts: np.ndarray) -> Array:
        x = x.astype(_wide(x))
        magnitude = x if order % 2 == 0 else x * jnp.sign(x)  # |x|, but with slope 0 at 0, where jnp.abs has 1
        total = reduce_window(magnitude**order, place, lax.add)
        zero = total == 0  # the root has no slope there: keep it away from the gradient
        return jnp.where(zero, 0, jnp.where(zero, 1, total) ** (1 / order))

    return _pool(x, window, strides, padding, padding_mode, dilation, ceil_mode, norm, True)


def _pool(
    x: Array,
    window: win.Sizes,
    strides: win.Sizes | None,
    padding: win.Padding,
    padding_mode: str,
    dilation: win.Sizes,
    ceil_mode: bool,
    reduce: Callable[[Array, win.Geometry, np.ndarray], Array],
    count_include_pad: bool = False,
) -> Array:
    """Make all arguments canonical, and let `reduce` see the windows of a map: every pool's one way."""
    (x,) = win.floating(x=x)
    window = win.window_sizes(window)
    dtype, (x, batch) = x.dtype, win.merge_batch(x, len(window))
    strides = window if strides is None else strides
    settle = partial(win.geometry, window=window, strides=strides, dilation=dilation, ceil_mode=ceil_mode)
    place = settle(x.shape[1:-1], padding=padding)
    if padding_mode != "zeros":
        x = win.pad(x, place.padding, padding_mode)
        place = settle(x.shape[1:-1])
    counts = _counts(place, x.shape[1:-1], padding_counts=count_include_pad)
    if not counts.all():
        raise ValueError(
            f"`padding` (={place.padding}) lets a `window` (={window}) see nothing but padding on a map of sizes "
            f"{x.shape[1:-1]}; pad less"
        )
    y = reduce(x, place, counts).astype(dtype)
    return y.reshape(*batch, *y.shape[1:])


def _extremum(reducer: Any, x: Array, place: win.Geometry, counts: np.ndarray) -> Array:
    return extremum(x, place, reducer)


def _wide(x: Array) -> Any:
    return jnp.promote_types(x.dtype, jnp.float32)


def _counts(place: win.Geometry, sizes: tuple[int, ...], *, padding_counts: bool) -> np.ndarray:
    """Count the positions that every window sees, `(*output, 1)`, or `(1,)` where all see as many."""
    counts = np.ones((), np.int64)
    for axis, (n, (low, high)) in enumerate(zip(sizes, place.padding, strict=True)):
        first, end = (0, low + n + high) if padding_counts else (low, low + n)
        taps = np.add.outer(
            place.strides[axis] * np.arange(place.output[axis]), place.dilation[axis] * np.arange(place.window[axis])
        )
        counts = np.multiply.outer(counts, ((taps >= first) & (taps < end)).sum(1))
    return counts[..., None] if (counts != counts.flat[0]).any() else counts.reshape(-1)[:1]
