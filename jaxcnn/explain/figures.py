"""Figures: images side by side, and heat laid over them."""

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import Array

CELL = 1.4
"""Inches of an image's side."""


def draw_images(
    images: np.ndarray | Array,
    path: str | os.PathLike[str],
    *,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
) -> None:
    """Draw images side by side: pictures, filters, or the maps of a layer.

    Args:
        images: `(images, height, width, channels)` of 1 or 3 channels, from 0 to 1; or `(images, height, width)`, each
            drawn from its least value to its largest.
        path: File to write; its ending (`.png`, `.svg`, `.pdf`) says the format.
        titles: One each.
        columns: Images in a row; None is about a square.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: No images, or of another shape; or not as many titles.

    Example:
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp(), "images.png")
        >>> draw_images(np.random.default_rng(0).random((5, 8, 8)), file, titles="abcde")
        >>> file.stat().st_size > 1000
        True
    """
    pictures = np.asarray(images, np.float32)
    figure, panels = _panels(pictures, titles, columns)
    for picture, axes in zip(pictures, panels, strict=True):
        _show(axes, picture)
    figure.savefig(path)


def draw_heat(
    images: np.ndarray | Array,
    heat: np.ndarray | Array,
    path: str | os.PathLike[str],
    *,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
) -> None:
    """Draw a heat map over each image, red where it is high and blue where it is negative.

    Args:
        images: `(images, height, width, channels)`, 1 or 3 channels, from 0 to 1.
        heat: `(images, height, width)`, of `grad_cam` or `occlusion`; one scale of colours for each.
        path: File to write.
        titles: One each.
        columns: Images in a row; None is about a square.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: Shapes that do not fit.

    Example:
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp(), "heat.png")
        >>> draw_heat(np.zeros((2, 8, 8, 1)), np.random.default_rng(0).normal(size=(2, 8, 8)), file)
        >>> file.stat().st_size > 1000
        True
    """
    pictures, maps = np.asarray(images, np.float32), np.asarray(heat, np.float32)
    if pictures.shape[:-1] != maps.shape or maps.ndim != 3:
        raise ValueError(f"`heat` must be a map for each image, {pictures.shape[:-1]}; got the shape {maps.shape}")
    figure, panels = _panels(pictures, titles, columns)
    for picture, values, axes in zip(pictures, maps, panels, strict=True):
        _show(axes, picture)
        largest = float(np.abs(values).max()) or 1.0
        axes.imshow(values, cmap="bwr", vmin=-largest, vmax=largest, alpha=0.5 * np.abs(values) / largest + 0.15)
    figure.savefig(path)


def _panels(pictures: np.ndarray, titles: Sequence[str] | None, columns: int | None) -> tuple[Any, list[Any]]:
    """Make a figure with room for each picture."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install 'jaxcnn[experiments]'") from error
    count = len(pictures)
    if pictures.ndim not in (3, 4) or (pictures.ndim == 4 and pictures.shape[-1] not in (1, 3)) or not count:
        raise ValueError(
            f"`images` must be (images, height, width) or (images, height, width, 1 or 3), got {pictures.shape}"
        )
    if titles is not None and len(titles) != count:
        raise ValueError(f"`titles` must be one for each of {count} images, got {len(titles)}")
    if columns is not None and columns < 1:
        raise ValueError(f"`columns` (={columns}) must be at least 1")
    across = min(columns or math.ceil(math.sqrt(count)), count)
    down = -(-count // across)
    figure = Figure(figsize=(CELL * across, (CELL + 0.2 * (titles is not None)) * down), layout="constrained")
    panels = np.ravel(figure.subplots(down, across, squeeze=False)).tolist()
    for axes in panels:
        axes.set_axis_off()
    for axes, told in zip(panels, titles or (), strict=False):
        axes.set_title(told, fontsize=8)
    return figure, panels[:count]


def _show(axes: Any, picture: np.ndarray) -> None:
    if picture.ndim == 2:
        axes.imshow(picture, cmap="gray")
    else:
        axes.imshow(np.clip(picture[..., 0] if picture.shape[-1] == 1 else picture, 0, 1), cmap="gray", vmin=0, vmax=1)
