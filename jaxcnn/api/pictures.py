"""What a run shows as pictures where numbers alone are logged: its first filters, and images that it saw."""

from typing import Any

import jax
import numpy as np

from jaxcnn import nn
from jaxcnn.explain import filter_images

IMAGES = 16
FILTERS = 64


def pictures(params: Any, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Draw the filters of a first convolution, and some images.

    Args:
        params: Parameters, by layer.
        inputs: Stored images, `(images, height, width, channels)`, whole numbers or from 0 to 1.

    Returns:
        Pictures, `(height, width, 1 or 3)` in whole numbers up to 255, by name; none of what is no image.

    Example:
        >>> found = pictures({"conv": {"kernel": np.ones((3, 3, 1, 2))}}, np.zeros((20, 4, 4, 1), np.uint8))
        >>> {name: picture.shape for name, picture in found.items()}
        {'inputs': (16, 16, 1), 'filters/conv': (4, 8, 1)}
    """
    found = {}
    if inputs.ndim != 4 or inputs.shape[-1] not in (1, 3) or not len(inputs):
        return found
    white = np.iinfo(inputs.dtype).max if np.issubdtype(inputs.dtype, np.integer) else 1
    found["inputs"] = _tiled(np.asarray(inputs[:IMAGES], np.float32) / white, 0)
    for keys, leaf in jax.tree.leaves_with_path(params):
        name = nn.path_of(keys)
        if name.endswith("/kernel") and np.ndim(leaf) == 4 and np.shape(leaf)[2] == inputs.shape[-1]:
            kernel = np.asarray(leaf, np.float32)[..., :FILTERS]
            if np.isfinite(kernel).all():
                found[f"filters/{name.removesuffix('/kernel')}"] = _tiled(filter_images(kernel), 1)
            break
    return found


def _tiled(images: np.ndarray, gap: int) -> np.ndarray:
    """Put images side by side, in about as many rows as columns, `gap` pixels apart."""
    across = int(np.ceil(len(images) ** 0.5))
    down = -(-len(images) // across)
    padded = np.pad(images, [(0, down * across - len(images)), (0, gap), (0, gap), (0, 0)], constant_values=0.5)
    height, width, channels = padded.shape[1:]
    whole = padded.reshape(down, across, height, width, channels).transpose(0, 2, 1, 3, 4)
    pixels = whole.reshape(down * height, across * width, channels)
    return np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
