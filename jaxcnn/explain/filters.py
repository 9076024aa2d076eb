"""Kernels as images."""

from typing import Literal

import numpy as np
from jax import Array


def filter_images(kernel: np.ndarray | Array, *, scale: Literal["all", "each"] = "all") -> np.ndarray:
    """Turn a kernel of two spatial axes into images: 0 becomes the middle grey, or the middle of each colour.

    A kernel on 3 channels gives a colour image of each filter, one on 1 channel a grey one. A kernel on other numbers
    of channels gives grey images of each filter's part for each channel, filter by filter.

    Args:
        kernel: `(height, width, channels, filters)`.
        scale: Whether the largest weight of `all` filters, or of `each` image, becomes 0 or 1.

    Returns:
        `(images, height, width, 3 or 1)`, from 0 to 1.

    Raises:
        ValueError: Another number of axes, another `scale`, or weights that are not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> images = filter_images(jnp.array([-1.0, 0, 0.5]).reshape(1, 3, 1, 1))
        >>> images.shape, images.ravel().tolist()
        ((1, 1, 3, 1), [0.0, 0.5, 0.75])
    """
    weights = np.asarray(kernel, np.float64)
    if weights.ndim != 4:
        raise ValueError(f"`kernel` must be (height, width, channels, filters), got the shape {weights.shape}")
    if scale not in ("all", "each"):
        raise ValueError(f"`scale` (={scale!r}) must be 'all' or 'each'")
    if not np.isfinite(weights).all():
        raise ValueError("`kernel` must be finite")
    height, width, channels, filters = weights.shape
    if channels in (1, 3):
        images = weights.transpose(3, 0, 1, 2)
    else:
        images = weights.transpose(3, 2, 0, 1).reshape(filters * channels, height, width, 1)
    axes = (1, 2, 3) if scale == "each" else None
    largest = np.abs(images).max(axes, keepdims=True, initial=0)
    return (0.5 + images / np.where(largest > 0, 2 * largest, 1)).astype(np.float32)
