"""Which of a network's outputs is asked about."""

import operator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array


def target_of(outputs: Array, target: Any) -> Array:
    """Return the class that is asked about, for each image.

    Args:
        outputs: `(images, classes)`.
        target: One class, one for each image, or None for what each is taken for.

    Returns:
        Classes, one for each image.

    Raises:
        ValueError: Outputs of another shape, or classes that there are not.

    Example:
        >>> target_of(jnp.array([[0.1, 0.9], [0.8, 0.2]]), None).tolist(), target_of(jnp.zeros((2, 3)), 2).tolist()
        ([1, 0], [2, 2])
    """
    if outputs.ndim != 2:
        raise ValueError(f"`fn` must return (images, classes), got the shape {outputs.shape}")
    images, classes = outputs.shape
    if target is None:
        return outputs.argmax(-1)
    wanted = np.asarray(target)
    if wanted.ndim == 0:
        wanted = np.full(images, operator.index(wanted.item()))
    if wanted.shape != (images,) or not np.issubdtype(wanted.dtype, np.integer):
        raise ValueError(f"`target` must be a class, or one for each of the {images} images; got {target!r}")
    if wanted.size and not 0 <= wanted.min() <= wanted.max() < classes:
        raise ValueError(f"`target` must be from 0 to {classes - 1}; got {sorted(set(wanted.tolist()))}")
    return jnp.asarray(wanted)


def scores(outputs: Array, wanted: Array) -> Array:
    """Return each image's output for its class.

    Args:
        outputs: `(images, classes)`.
        wanted: Classes, one for each image.

    Returns:
        `(images,)`.

    Example:
        >>> scores(jnp.array([[0.1, 0.9], [0.8, 0.2]]), jnp.array([1, 1])).tolist() == jnp.array([0.9, 0.2]).tolist()
        True
    """
    return jnp.take_along_axis(outputs, wanted[:, None], 1)[:, 0]
