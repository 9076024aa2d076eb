"""Arrays as pictures inside a page: PNG in the address of the image itself."""

import base64
import io
from typing import NamedTuple

import numpy as np
from PIL import Image

_BLUE, _RED = np.array([0.10, 0.35, 0.85]), np.array([0.85, 0.15, 0.10])


class Picture(NamedTuple):
    """A picture, and what it shows.

    Example:
        >>> Picture("data:,", "a boot", 28, 28).alt
        'a boot'
    """

    source: str
    alt: str
    width: int
    height: int


def picture(values: np.ndarray, alt: str) -> Picture:
    """Draw an image or a map, a pixel for each position.

    Args:
        values: `(height, width, 1 or 3)` from 0 to 1; or `(height, width)`, drawn from its least value to its largest.
        alt: What it shows, for those who do not see it.

    Returns:
        The picture.

    Example:
        >>> shown = picture(np.arange(6.0).reshape(2, 3), "a ramp")
        >>> shown.source[:22], shown.width, shown.height
        ('data:image/png;base64,', 3, 2)
    """
    array = np.asarray(values, np.float64)
    if array.ndim == 2:
        array = _stretched(array)[..., None]
    return _drawn(array, alt)


def heat(image: np.ndarray, values: np.ndarray, alt: str) -> Picture:
    """Draw a heat map over an image: red where it is high, blue where it is negative.

    Args:
        image: `(height, width, 1 or 3)` from 0 to 1.
        values: `(height, width)`.
        alt: What it shows.

    Returns:
        The picture.

    Example:
        >>> heat(np.zeros((2, 2, 1)), np.eye(2), "the diagonal").width
        2
    """
    grey = np.asarray(image, np.float64).mean(-1, keepdims=True) * 0.7 + 0.15
    share = np.asarray(values, np.float64)[..., None] / (np.abs(values).max() or 1.0)
    share = np.nan_to_num(share)
    colour = np.where(share < 0, _BLUE, _RED)
    strength = np.abs(share) * 0.75
    return _drawn(grey * (1 - strength) + colour * strength, alt)


def sheet(maps: np.ndarray, alt: str, *, columns: int = 8) -> Picture:
    """Draw maps side by side with a pixel between them, all on one scale.

    Args:
        maps: `(maps, height, width)`, or `(maps, height, width, 1 or 3)` from 0 to 1.
        alt: What they show.
        columns: Maps in a row.

    Returns:
        The picture.

    Example:
        >>> shown = sheet(np.zeros((5, 2, 2)), "five maps", columns=3)
        >>> shown.width, shown.height
        (10, 7)
    """
    array = np.asarray(maps, np.float64)
    if array.ndim == 3:
        array = _stretched(array)[..., None]
    count, height, width, channels = array.shape
    across = min(columns, count)
    down = -(-count // across)
    whole = np.full((down * (height + 1) + 1, across * (width + 1) + 1, channels), 0.5)
    for number, one in enumerate(array):
        row, column = divmod(number, across)
        top, left = 1 + row * (height + 1), 1 + column * (width + 1)
        whole[top : top + height, left : left + width] = one
    return _drawn(whole, alt)


def _stretched(array: np.ndarray) -> np.ndarray:
    finite = array[np.isfinite(array)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    return np.nan_to_num((array - low) / ((high - low) or 1.0))


def _drawn(array: np.ndarray, alt: str) -> Picture:
    pixels = np.round(np.clip(np.nan_to_num(array), 0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    source = f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
    return Picture(source, alt, image.width, image.height)
