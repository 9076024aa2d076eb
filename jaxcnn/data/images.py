"""From an image file to bytes of a chosen size and colour. This is the policy, and a set keeps it with its arrays.

- The camera's rotation (EXIF orientation) is applied; of an animation the first frame counts; colour profiles do not.
- Of 16 bits a value keeps the upper 8. A palette's colours, CMYK (by Pillow's formula) and YCbCr become RGB.
- What is transparent shows white. A palette is grey where all its colours are.
- Colour becomes grey by ITU-R 601 (0.299 R + 0.587 G + 0.114 B); grey becomes colour three times over.
- Sizes change by Pillow's antialiased bicubic filter (Keys, a = -1/2), across and then down, after the colours.
- Images of more than 2**26 (67 million) pixels are refused by their header, before anything is decoded.
"""

from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from jaxcnn.data.policy import ImagePolicy

LARGEST = 2**26
"""Pixels of an image, at most: 192 MiB in colour. Pillow warns above 89 million only."""

_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")  # none that runs a program
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_ORIENTATION = 0x0112
_GREY = ("1", "L", "LA", "I")


class Header(NamedTuple):
    """What an image's header tells."""

    height: int
    """After the camera's rotation."""
    width: int
    grey: bool


def read_header(stream: BinaryIO) -> Header:
    """Read an image's header; nothing is decoded.

    Args:
        stream: An image file.

    Returns:
        Its size and whether it is grey.

    Raises:
        ValueError: It is empty, no image, damaged, or too large.
    """
    with _open(stream) as image:
        width, height = image.size
        known = image.format != "PNG" or "exif" in image.info  # else a PNG would be decoded, to look behind the pixels
        if known and image.format != "TIFF" and _orientation(image) >= 5:  # Pillow has turned a TIFF's size already
            width, height = height, width
        try:
            return Header(height, width, _is_grey(image))
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"damaged: it has no whole palette ({_reason(error)})") from error


def read_image(stream: BinaryIO, policy: ImagePolicy) -> np.ndarray:
    """Decode an image, and bring it to the size and colour of a policy.

    Args:
        stream: An image file.
        policy: What it is brought to.

    Returns:
        Bytes, shape (height, width, channels).

    Raises:
        ValueError: It is empty, no image, damaged, too large, or of a kind that has no bytes.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> Image.new("1", (40, 20), 1).save(file, "png")
        >>> image = read_image(file, ImagePolicy(size=8, resize="pad"))
        >>> image.shape, image[:, 0, 0].tolist()
        ((8, 8, 3), [0, 0, 255, 255, 255, 255, 0, 0])
    """
    with _open(stream) as image:
        try:
            image.load()
            turn = None if image.format == "TIFF" else _TURNS.get(_orientation(image))  # Pillow turns a TIFF itself
            flat = _flat(image).convert("L" if policy.colour == "grey" else "RGB")
        except Exception as error:  # a decoder may raise anything on damaged bytes
            raise ValueError(f"damaged, or of a kind that cannot be read ({_reason(error)})") from error
    if turn is not None:
        flat = flat.transpose(turn)
    pixels = np.asarray(_resized(flat, policy))
    return pixels.reshape(*pixels.shape[:2], policy.channels)


def _open(stream: BinaryIO) -> Image.Image:
    stream.seek(0)
    if not stream.read(1):
        raise ValueError("empty (0 bytes)")
    stream.seek(0)
    Image.init()
    try:
        image = Image.open(stream, formats=[name for name in _FORMATS if name in Image.OPEN])
    except UnidentifiedImageError:
        raise ValueError(f"no image, or a damaged one (expected {', '.join(_FORMATS)})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"too large: its header asks for more than the {LARGEST:,} pixels that are read") from error
    except Exception as error:  # a reader of headers may raise anything on damaged bytes
        raise ValueError(f"damaged ({_reason(error)})") from error
    width, height = image.size
    if not 0 < width * height <= LARGEST:
        raise ValueError(f"too large: its header asks for {width} x {height} pixels; at most {LARGEST:,} are read")
    return image


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _orientation(image: Image.Image) -> int:
    """Return how the camera was held; 1, upright, where that part of the file is damaged."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # pixels are worth more than what a camera wrote about them
        return 1
    return value if value in _TURNS else 1


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "P":
        return image.palette is not None and _is_grey_palette(*image.palette.getdata())
    return image.mode in _GREY or image.mode.startswith("I;16")


def _is_grey_palette(order: str, values: bytes) -> bool:
    """Tell whether the colours, as they are stored, are grey; `image.getpalette` would decode the image first."""
    entries = np.frombuffer(values, np.uint8)
    planes = entries.reshape(3, -1).T if order.endswith(";L") else entries.reshape(-1, len(order))[:, :3]
    return bool((planes == planes[:, :1]).all())


def _flat(image: Image.Image) -> Image.Image:
    """Return the image of mode L or RGB, or one that Pillow converts to either."""
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if sixteen:
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("32 bits a value: expected 8 or 16")
    if not image.has_transparency_data:
        return image if image.mode in ("1", "L") else image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _resized(image: Image.Image, policy: ImagePolicy) -> Image.Image:
    side, (width, height) = policy.size, image.size
    if side is None:
        return image
    if policy.resize == "stretch":
        return _scaled(image, (side, side), (0, 0, width, height))
    if policy.resize == "crop":
        short = min(width, height)
        left, top = (width - short) / 2, (height - short) / 2
        return _scaled(image, (side, side), (left, top, left + short, top + short))
    scale = side / max(width, height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = Image.new(image.mode, (side, side))
    canvas.paste(_scaled(image, inner, (0, 0, width, height)), ((side - inner[0]) // 2, (side - inner[1]) // 2))
    return canvas


def _scaled(image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]) -> Image.Image:
    """Scale a part across and then down: which goes first changes a few bytes, and with Pillow's version."""
    (width, height), (left, top, right, bottom) = size, box
    across = image.resize((width, image.height), Image.Resampling.BICUBIC, box=(left, 0, right, image.height))
    return across.resize((width, height), Image.Resampling.BICUBIC, box=(0, top, width, bottom))
