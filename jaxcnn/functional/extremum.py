"""The extremum of every window of a map: one operation, which its gradient finds again without the map."""

import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.interpreters import ad

from jaxcnn.functional import window as win
from jaxcnn.functional.primitive import merge, primitive, split

NEUTRAL: dict[Any, float] = {lax.max: -np.inf, lax.min: np.inf, lax.add: 0.0}
BEATS: dict[Any, Any] = {lax.max: lax.gt, lax.min: lax.lt}
MOST_UNROLLED = 64


def extremum(x: Array, place: win.Geometry, reducer: Any) -> Array:
    """Reduce windows to their maximum or minimum; a large window keeps XLA's derivative, which is not unrolled.

    Args:
        x: Map, `(batch, *spatial, channels)`.
        place: Of the windows on it.
        reducer: `lax.max` or `lax.min`.

    Returns:
        Map, `(batch, *output, channels)`.

    Example:
        >>> extremum(jnp.arange(4.)[None, :, None], win.geometry((4,), (2,), strides=2), lax.max).ravel().tolist()
        [1.0, 3.0]
    """
    if math.prod(place.window) > MOST_UNROLLED:
        return reduce_window(_widen(x), place, reducer).astype(x.dtype)
    return POOLS[reducer].bind(x, place=place)[0]


def reduce_window(x: Array, place: win.Geometry, reducer: Any) -> Array:
    """Reduce the windows of a map, whose padding is the reducer's neutral element.

    Args:
        x: Map, `(batch, *spatial, channels)`.
        place: Of the windows on it.
        reducer: `lax.max`, `lax.min` or `lax.add`.

    Returns:
        Map, `(batch, *output, channels)`.

    Example:
        >>> reduce_window(jnp.ones((1, 4, 1)), win.geometry((4,), (2,), strides=2), lax.add).ravel().tolist()
        [2.0, 2.0]
    """
    window, strides, dilation = ((1, *sizes, 1) for sizes in (place.window, place.strides, place.dilation))
    neutral = np.array(NEUTRAL[reducer], x.dtype)
    y = lax.reduce_window(
        _pad(x, place, NEUTRAL[reducer]), neutral, reducer, window, strides, "VALID", window_dilation=dilation
    )
    if y.shape[1:-1] == place.output:
        return y
    return y[(slice(None), *map(slice, place.output))]  # `ceil_mode` drops windows that begin after the map


def _pad(x: Array, place: win.Geometry, value: Any) -> Array:
    amounts = [(low, high + more) for (low, high), more in zip(place.padding, place.overhang, strict=True)]
    return win.pad(x, amounts, "zeros", value=value)


def _extremum(x: Array, *, place: win.Geometry, reducer: Any) -> list[Array]:
    """Reduce strided slices: XLA:CPU's own window reduction takes longer, and may lose a NaN."""
    taps = _taps(_pad(_widen(x), place, NEUTRAL[reducer]), place)
    return [functools.reduce(reducer, taps).astype(x.dtype)]


def _winners(x: Array, *, place: win.Geometry, reducer: Any) -> tuple[Array, Array]:
    """Return each window's extremum, and which of its taps it is: the first of equal ones, never padding.

    XLA:CPU expands select-and-scatter, its own gradient of a max pool, to a loop that takes 10 to 20 times as long.
    """
    inside = list(_taps(_pad(jnp.ones((1, *x.shape[1:-1], 1), bool), place, False), place))
    taps = _taps(_pad(_widen(x), place, NEUTRAL[reducer]), place)
    y, seen = next(taps), inside[0]
    winner = jnp.zeros(y.shape, jnp.uint8)
    for index, tap in enumerate(taps, 1):
        wins = BEATS[reducer](tap, y) | (jnp.isnan(tap) & ~jnp.isnan(y)) | (inside[index] & ~seen)
        y, winner = jnp.where(wins, tap, y), jnp.where(wins, jnp.uint8(index), winner)
        seen |= inside[index]
    return y.astype(x.dtype), winner


def _select(winner: Array, x: Array, *, place: win.Geometry) -> list[Array]:
    """Return the value of each window at its winner; linear in x."""
    y = jnp.zeros(winner.shape, _wide(x))
    for index, tap in enumerate(_taps(_pad(_widen(x), place, 0), place)):
        y += jnp.where(winner == index, tap, 0)
    return [y.astype(x.dtype)]


def _scatter(winner: Array, y: Array, *, place: win.Geometry, sizes: tuple[int, ...]) -> list[Array]:
    """Put each window's value where its winner is on a map of `sizes`, and add: `_select`'s transpose."""
    ends = [low + n for n, (low, _) in zip(sizes, place.padding, strict=True)]
    x = jnp.zeros((), _wide(y))
    for index, (start, end) in enumerate(_slices(place)):
        amounts = [
            (first - low, last - stop, stride - 1)
            for first, (low, _), last, stop, stride in zip(start, place.padding, ends, end, place.strides, strict=True)
        ]
        tap = jnp.where(winner == index, _widen(y), 0)
        x += lax.pad(tap, np.array(0, tap.dtype), [(0, 0, 0), *amounts, (0, 0, 0)])
    return [x.astype(y.dtype)]


def _taps(x: Array, place: win.Geometry) -> Iterator[Array]:
    """Yield, for every tap of the window in reading order, what all windows see there."""
    for start, end in _slices(place):
        yield lax.slice(x, (0, *start, 0), (x.shape[0], *end, x.shape[-1]), (1, *place.strides, 1))


def _slices(place: win.Geometry) -> Iterator[tuple[list[int], list[int]]]:
    """Yield where each tap of all windows begins and ends, on the padded map."""
    for tap in itertools.product(*map(range, place.window)):
        start = [d * p for d, p in zip(place.dilation, tap, strict=True)]
        yield start, [i + s * (n - 1) + 1 for i, s, n in zip(start, place.strides, place.output, strict=True)]


def _wide(x: Array) -> Any:
    return jnp.promote_types(x.dtype, jnp.float32)


def _widen(x: Array) -> Array:
    return x.astype(_wide(x))


def _members_are_examples(arrays: Any, axes: Any) -> tuple[Any, Any] | None:
    """Pool the maps of all members of a vmap as one batch, or as the channels of one map; None where one is shared."""
    if None in axes:
        return None
    size = arrays[0].shape[axes[0]]
    into = -1 if axes[0] == arrays[0].ndim - 2 else 1 - arrays[0].ndim  # channels where no transpose is needed
    merged = [merge(array, axis, size, into) for array, axis in zip(arrays, axes, strict=True)]
    return merged, lambda output: split(output, size, into)


def _jvp(primals: Any, tangents: Any, *, place: win.Geometry, winners: Any) -> tuple[Any, Any]:
    y, winner = winners.bind(*primals, place=place)
    (dy,) = SELECT.bind(winner, *tangents, place=place)
    return [y, winner], [dy, ad.Zero(jax.typeof(winner).to_tangent_aval())]


def _transpose(cotangents: Any, winner: Array, x: Any, *, place: win.Geometry) -> list[Any]:
    return [None, *SCATTER.bind(winner, *cotangents, place=place, sizes=x.aval.shape[1:-1])]


def _pool(name: str, reducer: Any) -> tuple[Any, Any]:
    """Make the primitives of a pool: its value, and its value and winners, of which its derivative is made."""

    def value_jvp(primals: Any, tangents: Any, *, place: win.Geometry) -> tuple[Any, Any]:
        outputs, slopes = winners_jvp(primals, tangents, place=place)
        return outputs[:1], slopes[:1]

    def winners_jvp(primals: Any, tangents: Any, *, place: win.Geometry) -> tuple[Any, Any]:
        return _jvp(primals, tangents, place=place, winners=winners)

    fold = _members_are_examples
    value = primitive(name, functools.partial(_extremum, reducer=reducer), jvp=value_jvp, fold=fold)
    winners = primitive(f"{name}_winners", functools.partial(_winners, reducer=reducer), jvp=winners_jvp, fold=fold)
    return value, winners


SCATTER = primitive("pool_scatter", _scatter, fold=_members_are_examples)
SELECT = primitive("pool_select", _select, transpose=_transpose)
MAX_POOL, MAX_POOL_WINNERS = _pool("max_pool", lax.max)
MIN_POOL, _ = _pool("min_pool", lax.min)
POOLS = {lax.max: MAX_POOL, lax.min: MIN_POOL}
