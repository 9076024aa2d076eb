"""Every kind of image file: what becomes of it, or in what words it is refused."""

import contextlib
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile
from references.images_resized import brought_to

from jaxcnn.data.images import LARGEST, read_header, read_image
from jaxcnn.data.policy import ImagePolicy

GENERATOR = np.random.default_rng(0)
COLOURS = GENERATOR.integers(0, 256, (6, 9, 3), np.uint8)
VALUES = GENERATOR.integers(0, 256, (6, 9), np.uint8)
ALPHA = GENERATOR.integers(0, 256, (6, 9), np.uint8)
WIDE = GENERATOR.integers(0, 2**16, (6, 9), np.uint16)
RGB, GREY = ImagePolicy(), ImagePolicy(colour="grey")


def encoded(image: Image.Image | np.ndarray, form: str = "png", **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, form, **options)
    file.seek(0)
    return file


def on_white(values: np.ndarray) -> np.ndarray:
    share = (ALPHA if values.ndim == 2 else ALPHA[..., None]) / 255
    return values * share + 255 * (1 - share)


def palette() -> Image.Image:
    image = Image.fromarray(VALUES % 4)
    image.putpalette(bytes(COLOURS[0, :4].ravel()))
    return image


def grey_palette() -> Image.Image:
    image = Image.fromarray(VALUES % 4)
    image.putpalette(bytes(np.repeat([0, 60, 120, 180], 3).tolist()))
    return image


def animated() -> io.BytesIO:
    frames = [Image.new("RGB", (9, 6), colour) for colour in ("#ff0000", "#00ff00", "#0000ff")]
    return encoded(frames[0], "gif", save_all=True, append_images=frames[1:])


def luma(image: np.ndarray) -> np.ndarray:
    return image @ [0.299, 0.587, 0.114]


def cmyk(image: np.ndarray) -> np.ndarray:
    inks, black = 255 - image[..., :3].astype(float), 255 - image[..., 3:].astype(float)
    return inks * black / 255


INKS = GENERATOR.integers(0, 256, (6, 9, 4), np.uint8)
DEEP = GENERATOR.integers(0, 2**16, (6, 9, 3), np.uint16)


def deep_png() -> io.BytesIO:
    """Colour of 16 bits, which Pillow reads and does not write: lines of no filter, high bytes first."""
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in DEEP)
    return io.BytesIO(png(9, 6, depth=16, lines=lines))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *, depth: int = 8, lines: bytes = bytes(1000)) -> bytes:
    """A PNG in colour, which may ask for any size."""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


KINDS: dict[str, tuple[Callable[[], io.BytesIO], np.ndarray, bool]] = {
    "colour": (lambda: encoded(COLOURS), COLOURS, False),
    "grey": (lambda: encoded(VALUES), VALUES, True),
    "black and white": (lambda: encoded(Image.fromarray(VALUES > 127)), 255 * (VALUES > 127), True),
    "16 bits, PNG": (lambda: encoded(WIDE), WIDE // 256, True),
    "16 bits, colour": (deep_png, DEEP // 256, False),
    "16 bits, TIFF": (lambda: encoded(WIDE, "tiff"), WIDE // 256, True),
    "16 bits, PGM": (lambda: encoded(WIDE, "ppm"), WIDE // 256, True),
    "palette": (lambda: encoded(palette()), COLOURS[0, VALUES % 4], False),
    "palette, TIFF": (lambda: encoded(palette(), "tiff"), COLOURS[0, VALUES % 4], False),
    "palette, BMP": (lambda: encoded(palette(), "bmp"), COLOURS[0, VALUES % 4], False),
    "grey palette, TIFF": (lambda: encoded(grey_palette(), "tiff"), 60 * (VALUES % 4), True),
    "grey palette": (lambda: encoded(VALUES, "gif"), VALUES, True),
    "transparent": (lambda: encoded(np.dstack([COLOURS, ALPHA])), on_white(COLOURS), False),
    "transparent grey": (lambda: encoded(np.dstack([VALUES, ALPHA])), on_white(VALUES), True),
    "transparent entry": (
        lambda: encoded(palette(), transparency=2),
        np.where((VALUES % 4 == 2)[..., None], 255, COLOURS[0, VALUES % 4]), False,
    ),
    "CMYK, TIFF": (lambda: encoded(Image.fromarray(INKS, "CMYK"), "tiff"), cmyk(INKS), False),
    "animated": (animated, np.broadcast_to([255, 0, 0], (6, 9, 3)), False),
    "WebP": (lambda: encoded(COLOURS, "webp", lossless=True), COLOURS, False),
    "BMP": (lambda: encoded(COLOURS, "bmp"), COLOURS, False),
    "JPEG 2000": (lambda: encoded(COLOURS, "jpeg2000"), COLOURS, False),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")  # only here is a CMYK image made of an array
@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_becomes_bytes(kind: str) -> None:
    file, expected, is_grey = KINDS[kind]
    stream = file()
    header = read_header(stream)
    assert header == (6, 9, is_grey)
    coloured, grey = (read_image(io.BytesIO(stream.getvalue()), policy) for policy in (RGB, GREY))
    assert (coloured.shape, grey.shape) == ((6, 9, 3), (6, 9, 1))
    expected = np.asarray(expected, float)
    wanted = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=2)
    tolerance = 1 if "transparent" in kind or "CMYK" in kind else 0
    np.testing.assert_allclose(coloured, wanted, atol=tolerance)
    np.testing.assert_allclose(grey[..., 0], luma(wanted), atol=tolerance + 1)


def test_a_jpeg_of_inks_is_read() -> None:
    inks = Image.new("CMYK", (9, 6), (255, 0, 0, 0))  # cyan
    image = read_image(encoded(inks, "jpeg", quality=95), RGB)
    np.testing.assert_allclose(image, np.broadcast_to([0, 255, 255], (6, 9, 3)), atol=3)


TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[:, ::-1],
    7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
    8: lambda x: x.swapaxes(0, 1)[::-1],
    9: lambda x: x,  # there is no such one
}


@pytest.mark.parametrize("form", ["png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", list(TURNED))
def test_the_camera_s_rotation_is_applied(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = encoded(COLOURS, form, exif=exif, **({"lossless": True} if form == "webp" else {}))
    expected = TURNED[orientation](COLOURS)
    header = read_header(file)
    assert header[:2] == expected.shape[:2]
    file.seek(0)
    np.testing.assert_array_equal(read_image(file, RGB), expected)


def test_a_photograph_s_rotation_is_applied_and_a_damaged_note_of_it_is_not() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph = np.zeros((64, 32, 3), np.uint8)
    photograph[:32] = 255
    file = encoded(photograph, "jpeg", exif=exif)
    assert read_header(file)[:2] == (32, 64)
    file.seek(0)
    image = read_image(file, RGB)
    assert image[:, :31].max() < 10
    assert image[:, 33:].min() > 245
    damaged = io.BytesIO(file.getvalue().replace(exif.tobytes(), b"Exif\0\0" + bytes(len(exif.tobytes()) - 6)))
    assert read_image(damaged, RGB).shape == (64, 32, 3)


@pytest.mark.parametrize("how", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("side", [1, 4, 7, 12, 40])
@pytest.mark.parametrize("shape", [(13, 20), (20, 13), (12, 12), (1, 30)])
def test_sizes_change_as_the_reference_says(shape: tuple[int, int], side: int, how: Any) -> None:
    for colour, channels in (("rgb", 3), ("grey", 1)):
        pixels = np.random.default_rng(1).integers(0, 256, (*shape, channels), np.uint8)
        image = read_image(encoded(pixels.squeeze(2) if channels == 1 else pixels), ImagePolicy(side, how, colour))
        difference = np.abs(image.astype(int) - brought_to(pixels, side, how))
        assert image.shape == (side, side, channels)
        assert difference.max() <= 1  # Pillow counts in fixed point
    if side == shape[0] == shape[1]:
        np.testing.assert_array_equal(image, pixels)


def bmp(width: int, height: int) -> bytes:
    small = bytearray(encoded(COLOURS, "bmp").getvalue())
    small[18:26] = struct.pack("<ii", width, height)
    return bytes(small)


JPEG = encoded(GENERATOR.integers(0, 256, (64, 64, 3), np.uint8), "jpeg").getvalue()
PNG = encoded(GENERATOR.integers(0, 256, (64, 64, 3), np.uint8)).getvalue()
SIDE = int(LARGEST**0.5)

REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", r"empty \(0 bytes\)"),
    "text": (b"name,label\nimage,3\n", "no image, or a damaged one .expected AVIF, BMP, GIF, JPEG"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n", "no image"),
    "HTML": (b"<!DOCTYPE html><html>404</html>", "no image"),
    "a header alone": (JPEG[:3], "no image"),
    "truncated JPEG": (JPEG[: len(JPEG) // 2], "damaged, or of a kind .*truncated"),
    "truncated PNG": (PNG[: len(PNG) // 2], "damaged, or of a kind"),
    "corrupt PNG": (PNG[:200] + bytes(50) + PNG[250:], "damaged, or of a kind"),
    "bomb": (png(SIDE + 1, SIDE), "too large: its header asks for 8193 x 8192 pixels; at most 67,108,864 are read"),
    "bomb above Pillow's warning": (
        png(10_000, 10_000),
        "too large: its header asks for more than the 67,108,864",
    ),
    "bomb above Pillow's limit": (
        png(100_000, 100_000),
        "too large: its header asks for more than the 67,108,864",
    ),
    "the largest that PNG can say": (png(2**31 - 1, 2**31 - 1), "too large: "),
    "BMP of millions of pixels": (bmp(2**30, 2**30), "too large: "),
    "no width": (png(0, 10), "no image|damaged|too large"),
    "32 bits a value": (encoded(VALUES.astype(np.float32), "tiff").getvalue(), "32 bits a value: expected 8 or 16"),
}


@pytest.mark.parametrize("kind", list(REFUSED))
def test_what_cannot_be_read_is_refused_in_one_line(kind: str) -> None:
    content, message = REFUSED[kind]

    def read() -> None:
        read_header(io.BytesIO(content))
        read_image(io.BytesIO(content), RGB)

    with pytest.raises(ValueError, match=message) as error:
        read()
    assert "\n" not in str(error.value)


def test_nothing_of_a_bomb_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    for read in (read_header, lambda stream: read_image(stream, RGB)):
        with pytest.raises(ValueError, match="too large"):
            read(io.BytesIO(png(SIDE + 1, SIDE)))
    assert read_header(io.BytesIO(png(SIDE, SIDE))) == (SIDE, SIDE, False)
    for file in (PNG, JPEG, encoded(palette()).getvalue(), animated().getvalue(), encoded(palette(), "bmp").getvalue()):
        assert not read_header(io.BytesIO(file)).grey


@pytest.mark.parametrize("seed", range(150))
def test_any_damage_is_an_image_or_a_refusal(seed: int) -> None:
    generator = np.random.default_rng(seed)
    content = bytearray([JPEG, PNG, animated().getvalue(), encoded(COLOURS, "tiff").getvalue()][seed % 4])
    for _ in range(generator.integers(1, 6)):
        content[generator.integers(len(content))] = generator.integers(256)
    content = content[: generator.integers(len(content) // 2, len(content) + 1)]
    with contextlib.suppress(ValueError):
        read_header(io.BytesIO(content))
        assert read_image(io.BytesIO(content), ImagePolicy(8)).shape == (8, 8, 3)
