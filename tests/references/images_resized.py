"""Antialiased bicubic resizing and CMYK, by loops and formulas."""

import math

import numpy as np


def keys_cubic(x: float, a: float = -0.5) -> float:
    """R. Keys: Cubic Convolution Interpolation for Digital Image Processing (1981)."""
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def weights(size: int, start: float, stop: float, out: int) -> np.ndarray:
    """The share that each pixel of an axis has in each new one: the cubic, as wide as a new one, cut off and scaled."""
    scale = (stop - start) / out
    width = max(scale, 1.0)
    matrix = np.zeros((out, size))
    for row in range(out):
        centre = start + (row + 0.5) * scale
        first, last = max(0, int(centre - 2 * width + 0.5)), min(size, int(centre + 2 * width + 0.5))
        for column in range(first, last):
            matrix[row, column] = keys_cubic((column + 0.5 - centre) / width)
        matrix[row] /= matrix[row].sum()
    return matrix


def resized(image: np.ndarray, height: int, width: int, box: tuple[float, float, float, float]) -> np.ndarray:
    """Resize the part (left, top, right, bottom) of (h, w, c) bytes: across, rounded to bytes, then down."""
    left, top, right, bottom = box

    def byte(values: np.ndarray) -> np.ndarray:
        return np.clip(np.floor(values + 0.5), 0, 255)

    across = byte(np.einsum("ow,hwc->hoc", weights(image.shape[1], left, right, width), image.astype(float)))
    return byte(np.einsum("oh,hwc->owc", weights(image.shape[0], top, bottom, height), across)).astype(np.uint8)


def brought_to(image: np.ndarray, side: int, how: str) -> np.ndarray:
    """Crop, stretch or pad (h, w, c) bytes to a square."""
    height, width = image.shape[:2]
    if how == "stretch":
        return resized(image, side, side, (0, 0, width, height))
    if how == "crop":
        short = min(height, width)
        left, top = (width - short) / 2, (height - short) / 2
        return resized(image, side, side, (left, top, left + short, top + short))
    scale = side / max(height, width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    canvas = np.zeros((side, side, image.shape[2]), np.uint8)
    top, left = math.floor((side - inner[0]) / 2), math.floor((side - inner[1]) / 2)
    canvas[top : top + inner[0], left : left + inner[1]] = resized(image, *inner, (0, 0, width, height))
    return canvas
