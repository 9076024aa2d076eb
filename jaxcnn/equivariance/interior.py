"""Shifts that bring in new content: what comes in, and which outputs it cannot reach."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn.analysis import trace
from jaxcnn.equivariance.axes import per_axis


def canvas(x: Array, axes: Sequence[int], reach: Sequence[int]) -> tuple[Array, np.ndarray]:
    """Put an array into the middle of a larger one, whose other positions hold those of x, shuffled.

    Zeros would not do: to a function that pads with zeros they are no new content.

    Args:
        x: Any array.
        axes: Its spatial axes, from the front.
        reach: How far the canvas goes on, on both sides of each axis.

    Returns:
        The canvas, and where x begins in it.

    Example:
        >>> around, start = canvas(jnp.array([1, 2, 3]), (0,), (2,))
        >>> around.shape, start.tolist(), around[2:5].tolist(), set(around.tolist()) == {1, 2, 3}
        ((7,), [2], [1, 2, 3], True)
    """
    values = np.moveaxis(np.asarray(x), axes, range(len(axes)))
    sizes = values.shape[: len(axes)]
    pixels = values.reshape(-1, *values.shape[len(axes) :])
    outer = [n + 2 * int(r) for n, r in zip(sizes, reach, strict=True)]
    drawn = np.random.default_rng(0).integers(0, len(pixels), outer)
    around = pixels[drawn]
    around[tuple(slice(int(r), int(r) + n) for n, r in zip(sizes, reach, strict=True))] = values
    return jnp.asarray(np.moveaxis(around, range(len(axes)), axes)), np.asarray(reach, int)


def margins(
    fn: Callable[[Array], Array], x: Array, axes: Sequence[int], answering: Sequence[int], margin: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return how many positions of the output are left out at the low and the high end of each axis.

    Args:
        fn: The function.
        x: Its argument.
        axes: Spatial axes of x, from the front.
        answering: Those of the output.
        margin: What a caller said: an int, one int or (low, high) an axis, or None for what the analysis finds.

    Returns:
        Low and high amounts, one an axis each.

    Raises:
        AssertionError: The analysis says that positions are treated differently.
        ValueError: It cannot say.

    Example:
        >>> def sums(x):
        ...     return x[2:] + x[:-2]
        >>> [amounts.tolist() for amounts in margins(sums, jnp.ones(8), (0,), (0,), None)]
        [[0], [0]]
    """
    if margin is not None:
        pairs = [(m, m) if np.ndim(m) == 0 else tuple(m) for m in per_axis("margin", margin, len(axes))]
        low, high = np.array(pairs).T
        return low, high
    facts = trace(fn, x, spatial_axes=axes).outputs[0].axes
    found = dict(zip(sorted(axes), facts, strict=True))  # the analysis sorts the axes
    pairs = []
    for axis, out in zip(axes, answering, strict=True):
        contract = found[axis].interior
        if contract.kind == "position-dependent":
            raise AssertionError(
                f"not equivariant inside: along axis {axis} of the input, every output position is treated differently"
            )
        if contract.kind != "equivariant" or contract.margin is None or found[axis].axis not in (None, out):
            raise ValueError(f"the analysis finds no `margin` for axis {axis} of `x` ({contract}): give it")
        pairs.append(contract.margin)
    low, high = np.array(pairs).T
    return low, high


def inside(shape: Sequence[int], axes: Sequence[int], low: Any, high: Any, by: Array) -> Array:
    """Say which outputs no border reached, before and after they were moved.

    Args:
        shape: Of the output.
        axes: Its spatial axes, from the front.
        low: Positions left out at the low end of each axis.
        high: At the high end.
        by: How far the output was moved, one amount an axis, perhaps traced.

    Returns:
        A mask that broadcasts against the output.

    Example:
        >>> inside((6,), (0,), (1,), (1,), jnp.array([2])).tolist()
        [False, False, False, True, True, False]
    """
    mask = jnp.ones((1,) * len(shape), bool)
    for place, axis in enumerate(axes):
        after = jnp.arange(shape[axis])
        before = after - by[place]
        last = shape[axis] - high[place]
        seen = (after >= low[place]) & (after < last) & (before >= low[place]) & (before < last)
        mask = mask & seen.reshape(-1, *(1,) * (len(shape) - 1 - axis))
    return mask


def ground(x: Array, axes: Sequence[int]) -> list[range]:
    """Return by how much an object may move without leaving its image.

    Args:
        x: The image; its ground is what its first position along all spatial axes holds.
        axes: Its spatial axes, from the front.

    Returns:
        The amounts of each axis.

    Raises:
        ValueError: An object that cannot move, or none.

    Example:
        >>> ground(jnp.array([0, 0, 5, 6, 0]), (0,))
        [range(-2, 2)]
    """
    values = np.asarray(x)
    corner = values[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(values.ndim))]
    object_ = (values != corner) & ~((values != values) & (corner != corner))
    ranges = []
    for axis in axes:
        seen = np.flatnonzero(object_.any(tuple(other for other in range(values.ndim) if other != axis)))
        if not len(seen):
            raise ValueError("`x` holds one value everywhere: there is no object that a shift could move")
        ranges.append(range(-int(seen[0]), values.shape[axis] - int(seen[-1])))
    if all(len(amounts) == 1 for amounts in ranges):
        raise ValueError("the object in `x` touches all borders, so that any shift moves a part of it out; pad `x`")
    return ranges
