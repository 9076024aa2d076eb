"""Actions by fractions of a pixel: the trigonometric polynomial through the samples is moved, and sampled again."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn.equivariance.actions import SPATIAL, Action, Amount, static
from jaxcnn.equivariance.axes import per_axis, places


def delay(x: Array, amount: Any, axis: int) -> Array:
    """Shift a signal circularly by any amount along one axis.

    `Y[k] = X[k] exp(-2 pi i k amount / n)` for frequencies |k| < n / 2, and `Y[n/2] = X[n/2] cos(pi amount)` where n is
    even: the two frequencies +-n/2 are one sample, taken as half of either, so that real signals stay real.

    Args:
        x: Signal, floating point or complex. Half precision is computed in float32.
        amount: Positions: a number, or an array that broadcasts against x, with size 1 along the axis.
        axis: Of x.

    Returns:
        Signal of x's shape and dtype.

    Raises:
        TypeError: Integers.

    Example:
        >>> [round(float(v), 4) + 0.0 for v in delay(jnp.array([1.0, 0.0, -1.0, 0.0]), 0.5, 0)]
        [0.7071, 0.7071, -0.7071, -0.7071]
    """
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        raise TypeError(f"`x` of dtype {x.dtype} has no values between samples: give floating point, or take Roll")
    real, n = not jnp.issubdtype(x.dtype, jnp.complexfloating), x.shape[axis]
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    transform, back = (jnp.fft.rfft, jnp.fft.irfft) if real else (jnp.fft.fft, jnp.fft.ifft)
    spectrum = transform(wide, axis=axis)
    across = [1] * x.ndim
    across[axis] = -1
    number = np.arange(spectrum.shape[axis]).reshape(across)
    frequency = np.where(number > n // 2, number - n, number)
    angle = jnp.asarray(amount, wide.real.dtype) * (2 * np.pi / n * frequency)
    phase = jax.lax.complex(jnp.cos(angle), -jnp.sin(angle) * (2 * frequency != n))
    return back(spectrum * phase, n=n, axis=axis).astype(x.dtype)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FourierShift(Action):
    """A circular shift by fractions of a pixel, of the trigonometric polynomial through the samples; see `delay`.

    For a whole number it is `Roll` up to rounding. Where a size is even, the highest frequency n / 2 is multiplied by
    cos(pi shift): for signals without it the shift is exact, keeps the energy (Parseval), composes
    (`FourierShift(a) @ FourierShift(b)` is `FourierShift(a + b)`) and is undone by `inverse`. Of signals that have it,
    a shift by a fraction damps it: a half pixel erases it, and no inverse brings it back. Odd sizes have no such
    frequency.

    Attributes:
        shift: Pixels, one number for all axes or one an axis.
        spatial_axes: The axes that are shifted.

    Example:
        >>> wave = jnp.cos(2 * jnp.pi * jnp.arange(8) / 8)
        >>> moved = FourierShift(0.5, spatial_axes=(0,))(wave)
        >>> bool(jnp.allclose(moved, jnp.cos(2 * jnp.pi * (jnp.arange(8) - 0.5) / 8), atol=1e-6))
        True
    """

    shift: Amount
    spatial_axes: Sequence[int] = static(SPATIAL)

    def __call__(self, x: Array) -> Array:
        x = jnp.asarray(x)
        axes = places(self.spatial_axes, x.shape, "`x`")
        for axis, shift in zip(axes, per_axis("shift", self.shift, len(axes)), strict=True):
            x = delay(x, shift, axis)
        return x

    def inverse(self) -> "FourierShift":
        return dataclasses.replace(self, shift=jax.tree.map(lambda shift: -shift, self.shift))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rotate(Action):
    """A rotation about the centre by three shears, each a Fourier shift of rows or columns.

    `R(a) = S(tan(a / 2)) S'(-sin a) S(tan(a / 2))`: columns are sheared, rows, and columns again (Paeth). Every shear
    is exact for what no border cuts and the grid resolves: an image that vanishes outside of the circle that fits in
    it, and has no frequencies near the highest. Content elsewhere wraps round, torn by the shear at the border.
    `inverse` undoes it, up to what `FourierShift` says of the highest frequency of even sizes.

    Attributes:
        angle: Radians, from the first axis towards the second; less than half a turn.
        spatial_axes: The two axes of the plane.

    Example:
        >>> spot = jnp.exp(-(((jnp.arange(9) - 6) ** 2)[:, None] + (jnp.arange(9) - 4) ** 2) / 2.0)
        >>> turned = Rotate(jnp.pi / 2, spatial_axes=(0, 1))(spot)  # from below the centre to the right of it
        >>> [int(i) for i in jnp.unravel_index(turned.argmax(), (9, 9))]
        [4, 6]
    """

    angle: Amount
    spatial_axes: Sequence[int] = static(SPATIAL)

    def __call__(self, x: Array) -> Array:
        x = jnp.asarray(x)
        axes = places(self.spatial_axes, x.shape, "`x`")
        if len(axes) != 2:
            raise ValueError(f"`spatial_axes` (={tuple(self.spatial_axes)}) must be two axes, that of a plane")
        rows, columns = (_from_centre(x, axis) for axis in axes)
        lean = jnp.tan(self.angle / 2)
        x = delay(x, lean * rows, axes[1])
        x = delay(x, -jnp.sin(self.angle) * columns, axes[0])
        return delay(x, lean * rows, axes[1])

    def inverse(self) -> "Rotate":
        return dataclasses.replace(self, angle=-self.angle)


def _from_centre(x: Array, axis: int) -> np.ndarray:
    """Return the distances of an axis's positions from its middle, with x's number of axes."""
    n = x.shape[axis]
    across = [1] * x.ndim
    across[axis] = n
    return (np.arange(n) - (n - 1) / 2).reshape(across)
