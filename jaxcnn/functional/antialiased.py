"""Activations between sampling points: what a nonlinearity adds beyond a map's own frequencies does not alias."""

from collections.abc import Callable, Sequence
from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Num

from jaxcnn.functional import window as win


def antialiased_activation(
    x: Num[Array, "*batch_and_spatial channels"],
    activation: Callable[[Array], Array],
    *,
    up: int = 2,
    spatial_axes: Sequence[int] = (-3, -2),
) -> Num[Array, "*batch_and_spatial channels"]:
    """Apply an activation to the map between its positions, and keep the frequencies that the map can hold.

    `y = low_pass(activation(interpolate(x)))` on the circle: x becomes the sum of its waves, read at `up` as many
    places along every axis; the activation follows; and of the result the waves below x's Nyquist frequency, those
    with `|k| < N / 2`, are read at x's places. On an axis of even size the wave `k = N / 2`, which has no shift by
    half a position, is left out on both ways.

    Where it is equivariant: to every circular shift by whole positions exactly, whatever the activation (by how much
    they round the sums of waves, shifts may still differ). To shifts by fractions of a position, made by
    multiplying its waves, where the activation adds none at or above `(up - 1/2) N`: a polynomial of degree d does
    not for `up >= (d + 1) / 2`. A ReLU has no highest wave: there the error falls as `up` grows, and is never zero.

    Args:
        x: Map, `(*batch, *spatial, channels)`, any number of batch axes.
        activation: Function of an array, element by element.
        up: How many times denser the activation is applied, along each axis.
        spatial_axes: The axes of the positions.

    Returns:
        Map of x's shape and dtype; half precision is computed in float32.

    Raises:
        ValueError: An `up` below 1, or a spatial axis that is not there.
        TypeError: A map that is not floating point.

    Example:
        A square of a wave, of twice its frequency: the map of 5 positions cannot hold it, so the mean is what stays.

        >>> x = jnp.cos(2 * jnp.pi * 2 * jnp.arange(5) / 5)[:, None]
        >>> y = antialiased_activation(x, jnp.square, spatial_axes=(-2,))
        >>> [round(float(v), 3) for v in y[:, 0]]
        [0.5, 0.5, 0.5, 0.5, 0.5]

    Reference:
        Karras et al., "Alias-free generative adversarial networks", 2021; Michaeli, Michaeli and Soudry, "Alias-free
        convnets: fractional shift invariance via polynomial activations", 2023.
    """
    (x,) = win.floating(x=x)
    (up,) = win.per_axis("up", up, 1)
    positions = win.spatial_positions(x.ndim, spatial_axes)
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    for axis in positions:
        y = _along(y, axis, _waves(win.per_axis("spatial size of `x`", y.shape[axis], 1)[0], up))
    y = activation(y)
    for axis in positions:
        y = _along(y, axis, _waves(x.shape[axis], up).T / up)
    return y.astype(x.dtype)


def _waves(n: int, up: int) -> np.ndarray:
    """Return what each of n positions adds to each of `n up` places, `(n up, n)`: a sum of the waves below Nyquist."""
    distance = np.arange(n * up)[:, None] / up - np.arange(n)
    return sum(
        (np.cos(2 * np.pi * k * distance / n) * 2 / n for k in range(1, (n + 1) // 2)), np.full(distance.shape, 1 / n)
    )


def _along(x: Array, axis: int, matrix: np.ndarray) -> Array:
    """Multiply one axis of a map by a matrix, in full precision: its circulants are why shifts are kept."""
    product = partial(lax.dot_general, precision=lax.Precision.HIGHEST)
    y = product(jnp.asarray(matrix, x.dtype), x, (((1,), (axis,)), ((), ())))
    return jnp.moveaxis(y, 0, axis)
