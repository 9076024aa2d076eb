"""Which roll of an array another array is: what is left to compare where a map answers a shift by a roll of its own."""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn.equivariance.errors import difference

MOST_TRIED = 64
"""Rolls that are all compared; of more, only the likeliest."""
LIKELIEST = 8


def nearest_roll(y: Array, reference: Array, axes: Sequence[int]) -> Array:
    """Return the difference between an array and the roll of another one that is nearest to it.

    `min over r of max |y - roll(reference, r)|`. Up to 64 rolls are all compared. Of more, those 8 are that the
    circular cross-correlation `c(r) = sum y[i] reference[i - r]` (by Fourier transform, of the deviations from the
    mean) is largest for: `|y - roll(reference, r)|^2 = |y|^2 + |reference|^2 - 2 c(r)`. The comparison itself is of
    the arrays as they are, so that a roll that is found is one.

    Args:
        y: An array.
        reference: Of the same shape and dtype.
        axes: The axes along which it is rolled, from the front.

    Returns:
        Differences of y's shape, as of `difference`, to the roll that is nearest.

    Example:
        >>> x = jnp.array([1.0, 2.0, 4.0])
        >>> nearest_roll(jnp.array([4.0, 1.0, 2.5]), x, (0,)).tolist()
        [0.0, 0.0, 0.5]
    """
    sizes = [y.shape[axis] for axis in axes]
    if math.prod(sizes) <= MOST_TRIED:
        rolls = jnp.asarray(list(itertools.product(*map(range, sizes))))
    else:
        correlation = _correlation(y, reference, axes)
        _, flat = jax.lax.top_k(correlation.ravel(), LIKELIEST)
        rolls = jnp.stack(jnp.unravel_index(flat, correlation.shape), 1)

    def apart(roll: Array) -> Array:
        return difference(y, jnp.roll(reference, roll, axes))

    worst = jax.vmap(lambda roll: apart(roll).max())(rolls)
    return apart(rolls[worst.argmin()])


def _correlation(y: Array, reference: Array, axes: Sequence[int]) -> Array:
    """Return the circular cross-correlation along some axes, summed over the others."""
    wide = jnp.promote_types(y.dtype, jnp.float32)
    parts = []
    for array in (y, reference):
        values = jnp.nan_to_num(array.astype(wide), posinf=0, neginf=0)
        parts.append(jnp.fft.fftn(values - values.mean(tuple(axes), keepdims=True), axes=tuple(axes)))
    others = tuple(axis for axis in range(y.ndim) if axis not in axes)
    spectrum = (parts[0] * jnp.conj(parts[1])).sum(others)
    order = np.argsort(axes).tolist()  # the axes that are left stand in the array's order
    return jnp.fft.ifftn(spectrum).real.transpose(np.argsort(order).tolist())
