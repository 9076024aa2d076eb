"""Rows of small images with words beside them, as one picture."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_SMALL, _LARGE = 96, 160
"""Pixels of a side that is shown, at least and at most: small images grow by whole numbers, large ones shrink."""
_GAP = 6
_FONT = 13
_WIDEST = 200
_NO_LETTER = "\uffff"  # of no script: every font draws its box


class Row(NamedTuple):
    """Images beside their name.

    Example:
        >>> Row("cat", np.zeros((3, 8, 8, 1), np.uint8)).captions
        ()
    """

    name: str
    """What they are."""
    images: np.ndarray
    """Bytes, shape (n, height, width, 1 or 3)."""
    captions: Sequence[str] = ()
    """Lines below each; none, or n texts."""


def contact_sheet(rows: Sequence[Row], *, columns: Sequence[str] = ()) -> Image.Image:
    """Draw images in rows.

    Args:
        rows: Images, all of one size, and their names.
        columns: What stands above the columns; nothing by default.

    Returns:
        The picture, in colour.

    Raises:
        ValueError: There are no images, or they are no bytes of one or three channels.

    Example:
        >>> images = np.zeros((4, 8, 8, 1), np.uint8)
        >>> sheet = contact_sheet([Row("cat", images), Row("dog", images)])
        >>> sheet.mode, sheet.height
        ('RGB', 210)
    """
    if not rows or not all(len(row.images) for row in rows):
        raise ValueError("`rows` must hold images: at least one row, and one image in each")
    for row in rows:
        if row.images.dtype != np.uint8 or row.images.ndim != 4 or row.images.shape[-1] not in (1, 3):
            raise ValueError(
                f"`{row.name}` has images of shape {row.images.shape} and type {row.images.dtype}; expected uint8 of "
                "shape (n, height, width, 1 or 3)"
            )
    height, width = rows[0].images.shape[1:3]
    cell = _shown(width, height)
    font = ImageFont.load_default(_FONT)
    line = _FONT + 4
    names = [_fitted(row.name, font, _WIDEST) for row in rows]
    left = 2 * _GAP + max((round(font.getlength(name)) for name in names), default=0)
    top = _GAP + (line if columns else 0)
    below = line * max((1 + text.count("\n") for row in rows for text in row.captions), default=0)
    step = cell[0] + _GAP, cell[1] + below + _GAP
    most = max(len(row.images) for row in rows)
    sheet = Image.new("RGB", (left + most * step[0], top + len(rows) * step[1]), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(columns[:most]):
        draw.text((left + column * step[0], _GAP // 2), _fitted(title, font, cell[0]), "black", font)
    for index, (row, name) in enumerate(zip(rows, names, strict=True)):
        y = top + index * step[1]
        draw.text((_GAP, y + (cell[1] - line) // 2), name, "black", font)
        for column, pixels in enumerate(row.images):
            x = left + column * step[0]
            sheet.paste(_scaled(pixels, cell), (x, y))
            if row.captions:
                for number, text in enumerate(row.captions[column].split("\n")):
                    draw.text((x, y + cell[1] + number * line), _fitted(text, font, cell[0]), "black", font)
    return sheet


def has_letters(text: str) -> bool:
    """Say whether the sheet's font has all letters of a text; what it lacks would be drawn as boxes.

    Args:
        text: Such as the name of a class.

    Returns:
        Whether it can be read on a sheet.

    Example:
        >>> has_letters("T-shirt/top"), has_letters("猫")
        (True, False)
    """
    font = ImageFont.load_default(_FONT)
    if not isinstance(font, ImageFont.FreeTypeFont):  # Pillow without FreeType draws Latin letters, or fails
        return text.isascii() and text.isprintable()
    box = _drawn(_NO_LETTER, font)
    return text.isprintable() and all(_drawn(letter, font) != box for letter in set(text))


def _drawn(letter: str, font: ImageFont.FreeTypeFont) -> bytes:
    image = Image.new("L", (2 * _FONT, 2 * _FONT))
    ImageDraw.Draw(image).text((0, 0), letter, "white", font)
    return image.tobytes()


def _shown(width: int, height: int) -> tuple[int, int]:
    """Return the size that an image is shown in."""
    longest = max(width, height)
    if longest > _LARGE:
        return max(1, width * _LARGE // longest), max(1, height * _LARGE // longest)
    times = max(1, -(-_SMALL // longest))
    return width * times, height * times


def _scaled(pixels: np.ndarray, size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    grows = size[0] >= image.width
    return image.resize(size, Image.Resampling.NEAREST if grows else Image.Resampling.BICUBIC).convert("RGB")


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Cut a text off where it would be too wide."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}..") > width:
        text = text[:-1]
    return f"{text}.."
