"""Maps with an axis for the symmetries of the square: how its elements act, and pooling over them.

Elements, and what acting by them means, are told in `functional.group`.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Num

from jaxcnn.config import unknown
from jaxcnn.functional import window as win

GROUPS = {"p4": 4, "p4m": 8}
"""Number of elements that fix the origin."""


def group_pool(
    x: Num[Array, "*batch_and_spatial elements channels"], reduce: str = "max"
) -> Num[Array, "*batch_and_spatial channels"]:
    """Reduce the group axis: what is left turns with the image, as a plain map does.

    `y[..., c] = max_g x[..., g, c]`, or the average. The maximum changes no bit under a permutation of its elements.

    Args:
        x: Maps, `(*batch, height, width, elements, channels)`.
        reduce: `max` or `avg`.

    Returns:
        Maps, `(*batch, height, width, channels)`, of x's dtype.

    Raises:
        ValueError: An unknown reduction, or no group axis.
        TypeError: A map that is not floating point.

    Example:
        >>> group_pool(jnp.arange(4.).reshape(1, 1, 4, 1)).item(), group_pool(jnp.ones((8, 8, 8, 3)), "avg").shape
        (3.0, (8, 8, 3))
    """
    (x,) = win.floating(x=x)
    _order(x)
    if reduce not in ("max", "avg"):
        raise ValueError(unknown("`reduce`", reduce, ("max", "avg")))
    return x.max(-2) if reduce == "max" else x.mean(-2)  # JAX sums half precision in float32


def group_action(
    x: Num[Array, "*batch_and_spatial elements channels"], element: int
) -> Num[Array, "*batch_and_turned elements channels"]:
    """Act by one element on maps with a group axis: what turning the input does to them.

    `y[..., g, :] = L_h x[..., h^-1 g, :]`. An image without a group axis is acted on by `jnp.rot90` and `jnp.flip`.

    Args:
        x: Maps, `(*batch, height, width, 4 or 8, channels)`.
        element: Index of h: `4 m + r` mirrors left to right m times, then turns counter-clockwise by r quarters.

    Returns:
        Maps of that shape, height and width exchanged by odd turns.

    Raises:
        ValueError: No group axis, or an element that the group does not have.

    Example:
        >>> y = jnp.arange(8.).reshape(1, 1, 8, 1)
        >>> [group_action(y, h).ravel().tolist() for h in (1, 4)]
        [[3.0, 0.0, 1.0, 2.0, 7.0, 4.0, 5.0, 6.0], [4.0, 7.0, 6.0, 5.0, 0.0, 3.0, 2.0, 1.0]]
    """
    x = jnp.asarray(x)
    order = _order(x)
    if not 0 <= element < order:
        raise ValueError(f"`element` (={element}) must be from 0 to {order - 1}, the elements of `x` (shape {x.shape})")
    return turn(jnp.take(x, preimages(order)[element], axis=-2), element, (-4, -3))


def turn(x: Array, element: int, axes: tuple[int, int]) -> Array:
    """Act by an element on the plane of two axes, vertical and horizontal: mirror, then turn."""
    return jnp.rot90(jnp.flip(x, axes[1]) if element >= 4 else x, element % 4, axes)


def preimages(order: int) -> np.ndarray:
    """Tabulate the index of `h^-1 g` by h and g.

    With `h = R^r F^m` and `g = R^a F^b`, it is `F^m R^(a-r) F^b = R^(a-r) F^b`, or `R^(r-a) F^(1+b)` where m = 1.
    """
    turns, mirrors = np.arange(order) % 4, np.arange(order) // 4
    between = (turns - turns[:, None]) * (1 - 2 * mirrors[:, None])
    return between % 4 + 4 * (mirrors ^ mirrors[:, None])


def _order(x: Array) -> int:
    if x.ndim < 4 or x.shape[-2] not in GROUPS.values():
        raise ValueError(f"`x` (shape {x.shape}) must be (*batch, height, width, 4 or 8, channels)")
    return x.shape[-2]
