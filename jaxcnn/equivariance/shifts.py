"""Which shifts are tried, the smallest first, and how: many at a time, in one compiled program."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.extend import core

from jaxcnn.equivariance.axes import per_axis

MOST_BYTES = 1 << 28
"""Of all shifts that run at once: the operands and results of the largest operation."""
Shifts = str | int | Sequence[Any] | np.ndarray


def circular(sizes: Sequence[int]) -> np.ndarray:
    """List all circular shifts of some sizes, each by its smallest amounts, perhaps negative.

    Args:
        sizes: Of the axes.

    Returns:
        `(shifts, axes)`: first no shift, then by how far it goes in all.

    Example:
        >>> circular((4,))[:, 0].tolist()
        [0, -1, 1, 2]
    """
    return smallest_first([range(-((n - 1) // 2), n // 2 + 1) for n in sizes])


def smallest_first(ranges: Sequence[Sequence[int]]) -> np.ndarray:
    """List all combinations of amounts, one an axis, by how far they go in all.

    Args:
        ranges: The amounts of each axis.

    Returns:
        `(shifts, axes)`.

    Example:
        >>> smallest_first([range(-1, 2), range(2)]).tolist()
        [[0, 0], [-1, 0], [0, 1], [1, 0], [-1, 1], [1, 1]]
    """
    shifts = np.array(list(itertools.product(*ranges)), int).reshape(-1, len(ranges))
    return shifts[np.argsort(np.abs(shifts).sum(1), kind="stable")]


def chosen(shifts: Shifts, every: np.ndarray) -> np.ndarray:
    """Return the shifts that a caller asked for.

    Args:
        shifts: `"all"`; how many to draw of all of them, always the same ones; or the shifts themselves, each an
            amount for all axes or one an axis.
        every: What all are, `(shifts, axes)`.

    Returns:
        `(shifts, axes)`, the smallest first.

    Raises:
        ValueError: No shift, or another word.

    Example:
        >>> chosen([1, (0, 2)], circular((4, 4))).tolist()
        [[1, 1], [0, 2]]
    """
    if isinstance(shifts, str):
        if shifts != "all":
            raise ValueError(f'`shifts` (={shifts!r}) must be "all", a number of them, or a sequence of shifts')
        return every
    if isinstance(shifts, int | np.integer):
        if shifts < 1:
            raise ValueError(f"`shifts` (={shifts}) must be at least 1")
        drawn = np.random.default_rng(0).permutation(len(every))[:shifts]
        return every[np.sort(drawn)]
    listed = [per_axis("shifts", shift, every.shape[1]) for shift in shifts]
    if not listed:
        raise ValueError('`shifts` is empty: nothing would be tried; give "all", or at least one shift')
    array = np.asarray(listed)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"`shifts` (={shifts}) must be whole numbers")
    return array[np.argsort(np.abs(array).sum(1), kind="stable")]


def sweep(
    fn: Callable[..., Any], amounts: Sequence[np.ndarray], *, size: int | None = None
) -> Iterator[tuple[np.ndarray, Any]]:
    """Run a function of a few amounts at all of them, many at a time.

    Args:
        fn: Takes one row of each array, and returns an array, or a list of them.
        amounts: Arrays of equal length.
        size: How many rows run at once, in one vmapped program; None for one after the other, without vmap.

    Yields:
        Numbers of the rows, and the results, stacked.

    Example:
        >>> [(rows.tolist(), y.tolist()) for rows, y in sweep(lambda a: 2 * a, [np.arange(5)], size=3)]
        [([0, 1, 2], [0, 2, 4]), ([3, 4], [6, 8])]
    """
    count = len(amounts[0])
    if size is None:
        single = jax.jit(fn)
        for row in range(count):
            results = single(*(amount[row] for amount in amounts))
            yield np.array([row]), [y[None] for y in results] if isinstance(results, list | tuple) else results[None]
        return
    many, size = jax.jit(jax.vmap(fn)), min(size, count)
    for start in range(0, count, size):
        rows = np.arange(start, min(start + size, count))
        full = np.concatenate([rows, np.full(size - len(rows), rows[-1])])  # every chunk runs the same program
        results = many(*(amount[full] for amount in amounts))
        yield rows, [y[: len(rows)] for y in results] if isinstance(results, list | tuple) else results[: len(rows)]


def at_once(fn: Callable[[Array], Any], x: Any) -> int:
    """Return how many shifts of x run at once.

    Args:
        fn: Any JAX function.
        x: Its argument, or an abstract one.

    Returns:
        As many as keep the operands and results of the largest operation within `MOST_BYTES`, 1 at least.

    Example:
        >>> at_once(lambda x: -x, jax.ShapeDtypeStruct((1 << 20,), "float32"))
        32
    """
    return max(1, MOST_BYTES // max(1, _largest(jax.make_jaxpr(fn)(x).jaxpr)))


def _largest(jaxpr: Any) -> int:
    """Return the bytes of the largest operation's operands and results."""
    most = 0
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        bodies = core.jaxprs_in_params(equation.params)
        inside = max((_largest(body) for body in bodies), default=0)
        taken = [*equation.invars, *equation.outvars]
        most = max(most, inside, sum(_bytes(atom.aval) for atom in taken))
    return most


def _bytes(aval: Any) -> int:
    return math.prod(getattr(aval, "shape", ())) * getattr(getattr(aval, "dtype", None), "itemsize", 1)


def one_array(fn: Callable[[Array], Any], x: Array) -> jax.ShapeDtypeStruct:
    """Return shape and dtype of what a function gives.

    Args:
        fn: The function.
        x: Its argument.

    Returns:
        Of its one result.

    Raises:
        TypeError: It gives something else than one array.

    Example:
        >>> import jax.numpy as jnp
        >>> one_array(lambda x: x.sum(0), jnp.ones((2, 3))).shape
        (3,)
    """
    result = jax.eval_shape(fn, x)
    if not isinstance(result, jax.ShapeDtypeStruct):
        raise TypeError(f"`fn` must return one array, got a {type(result).__name__}; pick one of its results")
    if 0 in result.shape:
        raise ValueError(f"`fn` returns an empty array of shape {result.shape}: there is nothing to compare")
    return result
