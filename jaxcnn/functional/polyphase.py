"""Adaptive polyphase sampling: the phase of a map that is kept moves with the map, so that no shift is lost.

A map sampled by strides s has `prod(s)` phases. A circular shift of the map permutes them and rolls each, where s
divides the sizes. What is computed of each phase and does not change when that phase is rolled moves with it, and so
does the phase that has the largest of these numbers.

**Ties.** Two phases may have equal norms: to take the first breaks the promise. So norms are computed in integers, to
which the order of a sum is nothing; and of phases with equal norms, the one with the largest fingerprint is kept. It
is computed in integers as well: a code of each position's channels; then, along each spatial axis of the map in turn,
`code[p] <- mix(a code[p] + b code[p + 2^k])`, doubling what a code has seen until it is the whole circle from p on;
then the sum of each phase's codes. Equal fingerprints mean that the map looks the same from two positions, one in each
phase: it equals itself shifted from one to the other, and either phase gives the same result but for a roll. Or their
32 bits collide, as those of about one pair in 2^32 do, and these must have equal norms too.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Int, Num

from jaxcnn.functional import window as win
from jaxcnn.functional.ordered_sum import BITS, integer_sum, largest_exponent, scale

MULTIPLIERS = (0x7FEB352D, 0x846CA68B)
"""Odd numbers whose products spread every bit (Wellons, "Prospecting for hash functions", 2018)."""
FRACTION = 24
"""Bits of a squared entry that its norm counts, at most."""


def polyphase_pool(
    x: Num[Array, "*batch_and_spatial channels"],
    *,
    strides: win.Sizes = 2,
    spatial_axes: Sequence[int] = (-3, -2),
    index: Any = None,
    return_index: bool = False,
) -> Any:
    """Sample a map at the phase of largest norm: equivariant up to a roll under every circular shift.

    `y[i] = x[S i + k]`, `k = argmax_k sum_i |x[S i + k]|^2` over the `prod(S)` phases. Rolling x by any amounts rolls y
    by some amounts, for every x: of phases with equal norms, the one whose values have the largest fingerprint is
    taken, which no roll changes (see the head of this file). Every image of a batch chooses its own phase. Norms count
    an entry's square to 2^-24 of the largest in the image (less with over 64 channels), infinities and NaN as 0.

    Args:
        x: Map, `(*batch, *spatial, channels)`, any number of batch axes.
        strides: Steps between two samples, an int or one a spatial axis; they divide the sizes.
        spatial_axes: The axes to sample, in ascending order.
        index: Phases to take, `(*batch,)` integers, as `return_index` gives them: those of another map, of which this
            one was computed (or both of a third), for a sum of both to stay equivariant. None chooses.
        return_index: Also return the phases taken.

    Returns:
        Map, `(*batch, *output, channels)`, of x's dtype, its sizes those of x over the strides. With `return_index`,
        also the phases, `(*batch,)` int32: phase k of strides (S, T) begins at row `k // T` and column `k % T`. The
        gradient flows through the samples, none through the choice.

    Raises:
        ValueError: A size that its stride does not divide, or an `index` of another shape.
        TypeError: A map that is not floating point, or an index that is not integers.

    Example:
        >>> x = jnp.array([1., 5., 2., 6.])[:, None]
        >>> polyphase_pool(x, spatial_axes=(-2,))[:, 0].tolist()
        [5.0, 6.0]
        >>> polyphase_pool(jnp.roll(x, 1, 0), spatial_axes=(-2,))[:, 0].tolist()
        [6.0, 5.0]

    Reference:
        Chaman and Dokmanic, "Truly shift-invariant convolutional neural networks", 2021.
    """
    (x,) = win.floating(x=x)
    positions = win.spatial_positions(x.ndim, spatial_axes)
    steps = _dividing(x, positions, strides)
    front = _batch_first(x, positions)
    batch = front.shape[: -1 - len(steps)]
    y, chosen = _sampled(front, None if index is None else _index(index, batch), steps=steps)
    y = jnp.moveaxis(y, range(len(batch), y.ndim - 1), positions)
    return (y, chosen) if return_index else y


def polyphase_unpool(
    y: Num[Array, "*batch_and_spatial channels"],
    index: Int[Array, "*batch"],
    *,
    strides: win.Sizes = 2,
    spatial_axes: Sequence[int] = (-3, -2),
) -> Num[Array, "*batch_and_output channels"]:
    """Put a map back at its phase, zeros between: the up-sampling twin of `polyphase_pool`.

    `x[S i + k] = y[i]`, and 0 elsewhere. With the index that the pool chose, unpool(pool(x)) moves exactly as x does,
    under every circular shift: not up to a roll. There is one exception, where nothing could: an x that equals itself
    shifted by amounts that the strides do not divide, as a constant does.

    Args:
        y: Map, `(*batch, *spatial, channels)`.
        index: Phases, `(*batch,)` integers, as `polyphase_pool(..., return_index=True)` gives them.
        strides: As in `polyphase_pool`.
        spatial_axes: As in `polyphase_pool`.

    Returns:
        Map, `(*batch, *output, channels)`, of y's dtype, its sizes those of y times the strides.

    Raises:
        ValueError: An `index` of another shape.
        TypeError: A map that is not floating point, or an index that is not integers.

    Example:
        >>> x = jnp.array([1., 5., 2., 6.])[:, None]
        >>> y, index = polyphase_pool(x, spatial_axes=(-2,), return_index=True)
        >>> polyphase_unpool(y, index, spatial_axes=(-2,))[:, 0].tolist()
        [0.0, 5.0, 0.0, 6.0]

    Reference:
        Chaman and Dokmanic, "Truly shift-equivariant convolutional neural networks with adaptive polyphase
        upsampling", 2021.
    """
    (y,) = win.floating(y=y)
    positions = win.spatial_positions(y.ndim, spatial_axes)
    steps = win.per_axis("strides", strides, len(positions))
    front = _batch_first(y, positions)
    batch = front.shape[: -1 - len(steps)]
    x = _over_batch(lambda y, k: _put(y, k, steps), batch)(front, _index(index, batch))
    return jnp.moveaxis(x, range(len(batch), x.ndim - 1), positions)


def _polyphase_pool(x: Array, index: Array | None, *, steps: tuple[int, ...]) -> tuple[Array, Array]:
    batch = x.shape[: -1 - len(steps)]
    chosen = _over_batch(lambda x: _choose(x, steps), batch)(x) if index is None else index
    return _over_batch(lambda x, k: _take(x, k, steps), batch)(x, chosen), chosen


_polyphase_pool.__name__ = "polyphase_pool"  # of the call: what a jaxpr, a summary and an audit show
_sampled = jax.jit(_polyphase_pool, static_argnames="steps")


def _split(x: Array, steps: Sequence[int]) -> Array:
    """Split each of the first axes in two: positions within a phase, and phases."""
    parts = itertools.chain.from_iterable((n // s, s) for n, s in zip(x.shape, steps, strict=False))
    return x.reshape(*parts, *x.shape[len(steps) :])


def _phases(x: Array, steps: Sequence[int]) -> Array:
    """Return the phases of one map, `(phases, *sizes, channels)`."""
    rank = len(steps)
    parts = _split(x, steps)
    parts = parts.transpose(*range(1, 2 * rank, 2), *range(0, 2 * rank, 2), 2 * rank)
    return parts.reshape(math.prod(steps), *parts.shape[rank:])


def _take(x: Array, index: Array, steps: Sequence[int]) -> Array:
    return lax.dynamic_index_in_dim(_phases(x, steps), index, keepdims=False)


def _put(y: Array, index: Array, steps: Sequence[int]) -> Array:
    rank, count = len(steps), math.prod(steps)
    here = (jnp.arange(count) == index).reshape(count, *(1,) * y.ndim)
    x = jnp.where(here, y, 0).reshape(*steps, *y.shape)
    order = itertools.chain.from_iterable((rank + axis, axis) for axis in range(rank))
    sizes = (n * s for n, s in zip(y.shape, steps, strict=False))
    return x.transpose(*order, 2 * rank).reshape(*sizes, y.shape[-1])


def _choose(x: Array, steps: Sequence[int]) -> Array:
    """Return the phase of largest norm, and of largest fingerprint among these, of one map."""
    x = lax.stop_gradient(x)
    within = tuple(range(0, 2 * len(steps), 2))  # of a map whose axes are split where they stand
    norm = integer_sum(_split(_squares(x), steps), within)
    best = jnp.ones(steps, bool)
    views = _views(_code(x), len(steps))
    fingerprint = jnp.sum(_split(views, steps), within, jnp.uint32)
    for word in (*norm, fingerprint):  # in the order of a dictionary
        word = jnp.where(best, word, 0)
        best &= word == jnp.max(word)
    return jnp.argmax(best.reshape(-1)).astype(jnp.int32)


def _squares(x: Array) -> Array:
    """Return the channels' squared norm at every position, in units of the image's largest: int32 of 0 to 2^30."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    power = lax.optimization_barrier(-largest_exponent(x))  # else XLA computes it anew for every entry
    x = scale(jnp.where(jnp.isfinite(x), x, 0), power)
    bits = min(FRACTION, BITS - math.ceil(math.log2(x.shape[-1])))
    return jnp.sum((x * x * (1 << bits)).astype(jnp.int32), -1, jnp.int32)


def _code(x: Array) -> Array:
    """Return a word about the channels of every position, uint32; a zero's sign does not count."""
    info = jnp.finfo(x.dtype)
    bits = lax.bitcast_convert_type(x, jnp.dtype(f"uint{info.bits}"))
    bits = jnp.where(bits == np.asarray(1 << (info.bits - 1), bits.dtype), 0, bits)
    if info.bits == 64:
        bits = _mix((bits >> 32).astype(jnp.uint32)) + bits.astype(jnp.uint32)
    keys = np.random.default_rng(0).integers(1 << 32, size=x.shape[-1], dtype=np.uint32)
    return jnp.sum(_mix(bits.astype(jnp.uint32) ^ keys), -1, jnp.uint32)


def _views(code: Array, rank: int) -> Array:
    """Return a word for every position about the whole map as it is seen from there."""
    for axis in range(rank):
        seen = 1
        while seen < code.shape[axis]:
            code = _mix(code * np.uint32(5) + jnp.roll(code, -seen, axis) * np.uint32(9) + np.uint32(axis))
            seen *= 2
    return code


def _mix(word: Array) -> Array:
    """Spread every bit of a word over all of it; different words stay different."""
    word = word ^ lax.shift_right_logical(word, np.uint32(16))
    word = word * np.uint32(MULTIPLIERS[0])
    word = word ^ lax.shift_right_logical(word, np.uint32(15))
    word = word * np.uint32(MULTIPLIERS[1])
    return word ^ lax.shift_right_logical(word, np.uint32(16))


def _dividing(x: Array, positions: Sequence[int], strides: win.Sizes) -> tuple[int, ...]:
    steps = win.per_axis("strides", strides, len(positions))
    sizes = win.per_axis("spatial size of `x`", tuple(x.shape[axis] for axis in positions), len(positions))
    for n, s in zip(sizes, steps, strict=True):
        if n % s:
            raise ValueError(
                f"`strides` (={strides}) must divide the sizes of `x`, {sizes}: on other sizes a circular shift mixes "
                f"the phases, and none of them moves as a whole; resize or crop the map to a multiple of {s}"
            )
    return steps


def _batch_first(x: Array, positions: Sequence[int]) -> Array:
    batch = [axis for axis in range(x.ndim - 1) if axis not in positions]
    return x.transpose(*batch, *positions, x.ndim - 1)


def _over_batch(fn: Callable[..., Array], batch: Sequence[int]) -> Callable[..., Array]:
    """Map a function of one image over all batch axes; of a single image, without a mapped index, which costs more."""
    if math.prod(batch) == 1:
        return lambda *args: jnp.expand_dims(fn(*(a.reshape(a.shape[len(batch) :]) for a in args)), range(len(batch)))
    for _ in batch:
        fn = jax.vmap(fn)
    return fn


def _index(index: Any, batch: tuple[int, ...]) -> Array:
    index = jnp.asarray(index)
    if not jnp.issubdtype(index.dtype, jnp.integer):
        raise TypeError(f"`index` must be integers, got {index.dtype}: take it from polyphase_pool(return_index=True)")
    if index.shape != batch:
        raise ValueError(f"`index` (shape {index.shape}) must have one phase for each image, shape {batch}")
    return index.astype(jnp.int32)
