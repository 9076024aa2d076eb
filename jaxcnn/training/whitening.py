"""A first layer that whitens: its filters are drawn from the images themselves."""

import numpy as np
from jax import Array

MOST_IMAGES = 5000
"""Of which patches are taken."""


def whitening_kernel(images: np.ndarray | Array, shape: tuple[int, ...], *, epsilon: float = 5e-4) -> np.ndarray:
    """Compute filters whose outputs on patches of images are uncorrelated and of one size, and their negations.

    With `C = mean(p p^T)` over all patches p of the images and `C v_i = l_i v_i`, the filters are
    `v_i / sqrt(l_i + epsilon)`, the largest l_i first, then these with the sign turned. A kernel of fewer filters gets
    the first of both halves; one of more keeps zeros in the rest.

    Args:
        images: Prepared images, `(images, height, width, channels)`; the first 5,000 are looked at.
        shape: Of the kernel, `(height, width, channels, filters)`.
        epsilon: Keeps directions without variance from being blown up.

    Returns:
        The kernel, float32.

    Raises:
        ValueError: Images or a shape that do not fit.

    Example:
        >>> images = np.random.default_rng(0).normal(size=(50, 6, 6, 1))
        >>> whitening_kernel(images, (2, 2, 1, 8)).shape
        (2, 2, 1, 8)

    Reference:
        Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024, section 3.2; Page, How to Train Your ResNet 8,
        2019.
    """
    pixels = np.asarray(images[:MOST_IMAGES], np.float64)
    if len(shape) != 4 or pixels.ndim != 4 or pixels.shape[-1] != shape[2]:
        raise ValueError(f"images of shape {pixels.shape} cannot be whitened by a kernel of shape {shape}")
    height, width, channels, filters = shape
    if height > pixels.shape[1] or width > pixels.shape[2]:
        raise ValueError(f"a kernel of {height}x{width} does not fit in images of {pixels.shape[1]}x{pixels.shape[2]}")
    patches = np.lib.stride_tricks.sliding_window_view(pixels, (height, width), axis=(1, 2))
    patches = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, height * width * channels)
    values, vectors = np.linalg.eigh(patches.T @ patches / len(patches))
    directions = (vectors / np.sqrt(values + epsilon))[:, ::-1]  # the largest first
    half = min(filters // 2, directions.shape[1])
    kernel = np.zeros((directions.shape[0], filters))
    kernel[:, :half], kernel[:, half : 2 * half] = directions[:, :half], -directions[:, :half]
    return kernel.reshape(shape).astype(np.float32)
