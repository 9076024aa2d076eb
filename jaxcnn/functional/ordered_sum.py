"""Sums that do not depend on the order of what is summed: every permutation gives the same bits."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Int, Num

from jaxcnn.functional import window as win

BITS = 30
"""Of an int32 that a sum of magnitudes may fill."""


def order_independent_sum(x: Num[Array, "*shape"], axes: int | Sequence[int]) -> Num[Array, "*rest"]:
    """Sum along some axes, with the same bits for every permutation of what is summed.

    `sum_i x_i`, computed in integers, whose addition is associative where floating point's is not: by a power of two,
    the largest magnitude comes under 1; what each entry is then, to `p + 2 + log2(n)` bits (p those of the type's
    fraction, n the number of entries), is split into integers short enough that n of them fit 32 bits. The result is
    the true sum but for `2^-p max|x|` and its own rounding: at least as near as a pairwise sum. Half precision is
    summed as float32. Infinities and NaN give what they do in any sum, subnormal numbers count as zero (XLA flushes
    them on a CPU), and no sum on the way overflows. The gradient is that of a sum: ones.

    Args:
        x: Any array.
        axes: The axes to sum, one or several.

    Returns:
        The sums, without these axes, of x's dtype.

    Raises:
        ValueError: An axis that is not there, or more than 2^26 entries in a sum.
        TypeError: An array that is not floating point.

    Example:
        >>> x = jnp.array([0.1, 1e8, -0.1, 3.0, -1e8])
        >>> float(x.sum()), float(order_independent_sum(x, 0)), float(order_independent_sum(x[::-1], 0))
        (0.0, 3.0, 3.0)

    Reference:
        Demmel and Nguyen, "Parallel reproducible summation", 2015, for the problem; the integers are ours.
    """
    (x,) = win.floating(x=x)
    positions = tuple(sorted({_position(axis, x.ndim) for axis in ((axes,) if isinstance(axes, int) else axes)}))
    count = math.prod(x.shape[axis] for axis in positions)
    if count > 2**26:
        raise ValueError(f"`axes` (={axes}) sum {count} entries; at most 2^26 are exact: sum in two steps")
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return _sum(wide, positions).astype(x.dtype)


def integer_sum(x: Int[Array, "*shape"], axes: Sequence[int], *, keepdims: bool = False) -> list[Int[Array, "*rest"]]:
    """Sum integers of 0 to 2^30, exactly, into several words.

    Args:
        x: int32 array.
        axes: The axes to sum, not negative.
        keepdims: Keep these axes, of size 1.

    Returns:
        int32 words of one number, the first its highest: equal numbers have equal words, and their order is that of
        the words, read as in a dictionary.

    Example:
        >>> [int(word) for word in integer_sum(jnp.full(64, 2**30), (0,))], 2**36 >> 24
        ([4096, 0], 4096)
    """
    bits = _bits(x.shape, axes)
    count = -(-(BITS + 1) // bits)
    limbs = [(x >> bits * k) & ((1 << bits) - 1) for k in reversed(range(count))]
    return _carry([jnp.sum(limb, tuple(axes), jnp.int32, keepdims=keepdims) for limb in limbs], bits)


def largest_exponent(x: Num[Array, "*shape"], axes: Sequence[int] | None = None) -> Int[Array, "*rest"]:
    """Return the least e with `|x| < 2^e` for all finite entries, from their bits, which are as ordered as they are.

    Args:
        x: float32 or float64 array.
        axes: The axes to take together, which stay with size 1; None means all.

    Returns:
        int32 exponents: 0 where all are zero, or under the normal range.

    Example:
        >>> largest_exponent(jnp.array([0.25, -1.5, jnp.inf])).tolist()
        [1]
    """
    info = jnp.finfo(x.dtype)
    word = jnp.dtype(f"int{info.bits}")
    bits = lax.bitcast_convert_type(x, word) & np.asarray(np.iinfo(word).max)
    bits = jnp.where(bits >= ((1 << info.nexp) - 1) << info.nmant, 0, bits)  # infinities and NaN
    top = (jnp.max(bits, axes, keepdims=True) >> info.nmant).astype(jnp.int32)
    return jnp.where(top == 0, 0, top - (info.maxexp - 2))


def scale(x: Num[Array, "*shape"], power: Int[Array, "*powers"]) -> Num[Array, "*shape"]:
    """Return `x 2^power`, rounded once, for every power between twice the exponents of the type.

    Args:
        x: float32 or float64 array.
        power: int32 powers, which broadcast to x.

    Returns:
        The product.

    Example:
        >>> scale(jnp.array([3.0]), jnp.array([-2])).tolist()
        [0.75]
    """
    half = power >> 1  # a power of two beyond the type's range is two within it
    return x * _power(half, x.dtype) * _power(power - half, x.dtype)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _sum(x: Array, axes: tuple[int, ...]) -> Array:
    kept = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    if 0 in x.shape:
        return jnp.zeros(kept, x.dtype)
    bits, info = _bits(x.shape, axes), jnp.finfo(x.dtype)
    count = -(-(info.nmant + 3 + BITS - bits) // bits)
    finite = jnp.isfinite(x)
    special = jnp.sum(jnp.where(finite, 0, x), axes)  # any order gives the same: 0, an infinity, or NaN
    top = largest_exponent(x, axes)
    rest, limbs = scale(jnp.where(finite, x, 0), -top), []
    for last in [False] * (count - 1) + [True]:
        rest = rest * (1 << bits)
        whole = jnp.round(rest) if last else jnp.trunc(rest)
        rest = rest - whole
        limbs.append(jnp.sum(whole.astype(jnp.int32), axes))
    limbs = _carry(limbs, bits)
    negative = limbs[0] < 0
    limbs = _carry([jnp.where(negative, -limb, limb) for limb in limbs], bits)
    total = jnp.zeros(kept, x.dtype)
    for k, limb in reversed(list(enumerate(limbs, 1))):  # from the smallest: none is negative, so little is lost
        for part in (limb & 0xFFFF, limb & ~0xFFFF):  # each is a whole number that the type has
            total = total + part.astype(x.dtype) * np.asarray(2.0 ** (-k * bits), x.dtype)
    total = scale(jnp.where(negative, -total, total), top.reshape(kept))
    return jnp.where(jnp.isnan(special), jnp.nan, total + special)


@_sum.defjvp
def _sum_jvp(axes: tuple[int, ...], primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return _sum(primals[0], axes), jnp.sum(tangents[0], axes)


def _bits(shape: Sequence[int], axes: Sequence[int]) -> int:
    """Return how many bits each of a sum's entries may have."""
    return BITS - math.ceil(math.log2(max(1, math.prod(shape[axis] for axis in axes))))


def _carry(limbs: Sequence[Array], bits: int) -> list[Array]:
    """Bring all limbs but the first to 0 to 2^bits."""
    result, carry = [], 0
    for limb in reversed(limbs[1:]):
        limb = limb + carry
        result.append(limb & ((1 << bits) - 1))
        carry = limb >> bits
    return [limbs[0] + carry, *reversed(result)]


def _power(e: Array, dtype: Any) -> Array:
    """Return 2^e from its bits, for an e of a normal number."""
    info = jnp.finfo(dtype)
    word = jnp.dtype(f"uint{info.bits}")
    biased = (e + (info.maxexp - 1)).astype(word)
    return lax.bitcast_convert_type(lax.shift_left(biased, np.asarray(info.nmant, word)), dtype)


def _position(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise ValueError(f"`axes` names axis {axis}, but the array has {ndim} axes")
    return axis % ndim
