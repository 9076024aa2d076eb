"""How far a function is from commuting with an action, in numbers."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxcnn.equivariance.actions import Action, Compose
from jaxcnn.equivariance.shifts import one_array


def equivariance_error(
    fn: Callable[[Array], Array],
    x: Array,
    action: Action | Callable[[Array], Array],
    output_action: Action | Callable[[Array], Array] | None = None,
) -> Array:
    """Measure how far a function is from commuting with an action.

    `max |f(g x) - g' f(x)| / max |f(x)|`, 0 for a function that is exactly equivariant. Products are computed at the
    highest precision that the device has. Jit it, or vmap it over the action.

    Args:
        fn: From an array to one array.
        x: Its argument.
        action: g, what is done to the argument.
        output_action: g', what is done to the result; None for the same as to the argument.

    Returns:
        The error, one number: a share of the largest value of f(x), or as it is where f(x) is 0 everywhere, or where
        its values are no floating point; infinite where f gives NaN.

    Raises:
        TypeError: A function that does not return one array.
        ValueError: An array whose shape is not that of `g' f(x)`.

    Example:
        A difference of neighbours commutes with a roll of a ring, but not with a mirror:

        >>> from jaxcnn.equivariance import Flip, Roll
        >>> def edges(x):
        ...     return x - jnp.roll(x, 1, 0)
        >>> x = jnp.array([[0.0], [1.0], [1.0], [2.0]])
        >>> [float(equivariance_error(edges, x, g)) for g in (Roll(1, (0,)), Flip((0,)))]
        [0.0, 0.5]
    """
    x = jnp.asarray(x)
    one_array(fn, x)
    with jax.default_matmul_precision("highest"):
        y = fn(x)
        moved = fn(action(x))
    expected = (action if output_action is None else output_action)(y)
    if moved.shape != expected.shape:
        raise ValueError(
            f"fn(action(x)) has shape {moved.shape}, and the action on fn(x) gives {expected.shape}: "
            "give the `output_action` that answers `action`"
        )
    return difference(moved, expected).max() / scale(y)


def invariance_error(fn: Callable[[Array], Array], x: Array, action: Action | Callable[[Array], Array]) -> Array:
    """Measure how far a function is from ignoring an action.

    `max |f(g x) - f(x)| / max |f(x)|`: `equivariance_error` with nothing done to the result.

    Args:
        fn: From an array to one array.
        x: Its argument.
        action: g, what is done to the argument.

    Returns:
        The error, as in `equivariance_error`.

    Raises:
        TypeError: A function that does not return one array.
        ValueError: An array whose shape the action changes.

    Example:
        >>> from jaxcnn.equivariance import Roll
        >>> float(invariance_error(lambda x: x.max(0), jnp.arange(4.0)[:, None], Roll(1, (0,))))
        0.0
    """
    return equivariance_error(fn, x, action, Compose())


def difference(one: Any, other: Any) -> Array:
    """Return how far two arrays are apart: 0 where equal, infinite where either is NaN, 1 for unequal integers.

    Args:
        one: An array.
        other: Another one of its shape and dtype.

    Returns:
        Absolute differences, in float32 at least.

    Example:
        >>> difference(jnp.array([1.0, jnp.inf, jnp.nan]), jnp.array([1.5, jnp.inf, jnp.nan])).tolist()
        [0.5, 0.0, inf]
    """
    if not jnp.issubdtype(one.dtype, jnp.inexact):
        return (one != other).astype(jnp.float32)
    wide = jnp.promote_types(one.dtype, jnp.float32)
    apart = jnp.abs(one.astype(wide) - other.astype(wide))
    return jnp.where(one == other, 0, jnp.where(jnp.isnan(apart), jnp.inf, apart))


def scale(y: Any) -> Array:
    """Return what errors are measured in: the largest finite magnitude, or 1 where that is 0, or for integers.

    Args:
        y: An array.

    Returns:
        One positive number.

    Example:
        >>> float(scale(jnp.array([1.0, -4.0]))), float(scale(jnp.zeros(2)))
        (4.0, 1.0)
    """
    if not jnp.issubdtype(y.dtype, jnp.inexact):
        return jnp.float32(1)
    size = jnp.abs(y.astype(jnp.promote_types(y.dtype, jnp.float32)))
    largest = jnp.where(jnp.isfinite(size), size, 0).max()
    return jnp.where(largest == 0, 1, largest)
