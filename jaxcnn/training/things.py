"""Maps of things: which of several things each pixel of an image belongs to, and of which class that is."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int


class Things(NamedTuple):
    """The things of images, from their maps.

    Example:
        >>> things_of(jnp.zeros((2, 8, 8), int), classes=10, most=3).there.shape
        (2, 3)
    """

    which: Int[Array, "*batch height width"]
    """Which thing a pixel belongs to, from 0; -1 is ground."""
    labels: Int[Array, "*batch height width"]
    """The pixel's class, `classes` on the ground."""
    there: Bool[Array, "*batch most"]
    """Which of the things are there."""
    label: Int[Array, "*batch most"]
    """The things' classes, 0 of those that are not there."""
    boxes: Float[Array, "*batch most 4"]
    """First row and column, and one past the last of both, in pixels; zeros of things that are not there."""


def things_of(targets: Int[Array, "*batch height width"], *, classes: int, most: int) -> Things:
    """Read a map of things.

    A pixel is 0 on the ground, and `1 + class + classes * i` on the image's thing i, from 0.

    Args:
        targets: Maps, `(*batch, height, width)`.
        classes: Number of classes.
        most: Things of an image; those of higher numbers are left out.

    Returns:
        The things.

    Example:
        >>> targets = jnp.zeros((8, 8), int).at[2:5, 3:4].set(1 + 7)
        >>> things = things_of(targets, classes=10, most=2)
        >>> things.there.tolist(), things.label.tolist(), things.boxes[0].tolist()
        ([True, False], [7, 0], [2.0, 3.0, 5.0, 4.0])
    """
    on = (targets > 0) & (targets <= classes * most)
    which = jnp.where(on, (targets - 1) // classes, -1)
    labels = jnp.where(on, (targets - 1) % classes, classes)
    own = which[..., None, :, :] == jnp.arange(most)[:, None, None]
    there = own.any((-2, -1))
    label = jnp.where(own, labels[..., None, :, :], 0).max((-2, -1))
    ends = [end for across in (-1, -2) for end in _extent(own.any(across))]
    boxes = jnp.stack([ends[0], ends[2], ends[1], ends[3]], -1).astype(jnp.float32)
    return Things(which, labels, there, label, jnp.where(there[..., None], boxes, 0))


def most_things(targets: Int[np.ndarray, " n height width"], classes: int) -> int:
    """Return how many things the fullest of maps has.

    Args:
        targets: Maps, see `things_of`.
        classes: Number of classes.

    Returns:
        At least 1.

    Raises:
        ValueError: Arrays that are no such maps.

    Example:
        >>> most_things(np.array([[[0, 3], [13, 0]]]), classes=10)
        2
    """
    if targets.ndim != 3 or targets.dtype.kind not in "iu" or targets.min() < 0:
        raise ValueError(
            f"expected maps of things, whole numbers (n, height, width) from 0, such as those of the data "
            f"scenes:digits; got {targets.dtype} {targets.shape}, from {targets.min()}"
        )
    return max(1, -(-int(targets.max()) // classes))


def overlap(one: Float[Array, "*batch 4"], other: Float[Array, "*batch 4"]) -> Float[Array, "*batch"]:
    """Return the intersection over union of boxes.

    Args:
        one: First row and column, and one past the last of both.
        other: As many, or of a shape that is broadcast.

    Returns:
        From 0 to 1.

    Example:
        >>> float(overlap(jnp.array([0., 0., 3., 2.]), jnp.array([1., 0., 4., 2.])))
        0.5
    """
    sides = jnp.minimum(one[..., 2:], other[..., 2:]) - jnp.maximum(one[..., :2], other[..., :2])
    shared = jnp.maximum(sides, 0).prod(-1)
    areas = sum((box[..., 2:] - box[..., :2]).prod(-1) for box in (one, other))
    return shared / jnp.maximum(areas - shared, 1e-6)


def _extent(seen: Array) -> tuple[Array, Array]:
    """Return the first position that is seen, and the one past the last."""
    return seen.argmax(-1), seen.shape[-1] - seen[..., ::-1].argmax(-1)
