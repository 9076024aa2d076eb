"""Spatial axes and amounts, one an axis, made canonical: every argument error of the actions and assertions."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np


def places(spatial_axes: Sequence[int], shape: Sequence[int], what: str, name: str = "spatial_axes") -> tuple[int, ...]:
    """Return the positions of spatial axes from the front, in the order given.

    Args:
        spatial_axes: Positions, from the front or, negative, from the end.
        shape: Of the array.
        what: What to call the array in an error.
        name: What to call the argument.

    Returns:
        The positions.

    Raises:
        TypeError: No sequence of ints.
        ValueError: An axis that the array has not got, or twice the same.

    Example:
        >>> places((-3, -2), (8, 32, 32, 3), "`x`")
        (1, 2)
    """
    if not isinstance(spatial_axes, Sequence) or isinstance(spatial_axes, str):
        raise TypeError(f"`{name}` (={spatial_axes!r}) must be a sequence of axes, such as (-3, -2)")
    try:
        axes = [operator.index(axis) for axis in spatial_axes]
    except TypeError:
        raise TypeError(f"`{name}` (={tuple(spatial_axes)}) must be ints, such as (-3, -2)") from None
    rank = len(shape)
    for axis in axes:
        if not -rank <= axis < rank:
            raise ValueError(f"`{name}` (={tuple(axes)}) names axis {axis}, but {what} has shape {tuple(shape)}")
    found = tuple(axis % rank for axis in axes)
    if not found or len(set(found)) < len(found):
        raise ValueError(f"`{name}` (={tuple(axes)}) must name at least one axis, and none twice")
    return found


def per_axis(name: str, value: Any, count: int) -> tuple[Any, ...]:
    """Return one amount an axis.

    Args:
        name: Of the argument.
        value: One amount for all axes, or a sequence or an array of one an axis; may be traced.
        count: How many axes there are.

    Returns:
        The amounts.

    Raises:
        ValueError: Another number of amounts.

    Example:
        >>> per_axis("shift", 3, 2), per_axis("shift", (1, 2), 2)
        ((3, 3), (1, 2))
    """
    if not isinstance(value, list | tuple) and getattr(value, "ndim", 0) == 0:
        return (value,) * count
    if len(value) != count:
        raise ValueError(f"`{name}` (={value}) must be one amount, or one an axis: expected {count}, got {len(value)}")
    return tuple(value[i] for i in range(count))


def whole(name: str, value: Any, instead: str = "") -> Any:
    """Return an amount that is a whole number, perhaps traced.

    Args:
        name: Of the argument.
        value: The amount.
        instead: What to do about another one.

    Returns:
        The amount.

    Raises:
        TypeError: No whole number.

    Example:
        >>> whole("shift", 3)
        3
    """
    if not np.issubdtype(getattr(value, "dtype", np.result_type(type(value))), np.integer):
        raise TypeError(f"`{name}` (={value}) must be whole numbers{instead}")
    return value
