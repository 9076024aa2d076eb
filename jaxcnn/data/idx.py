"""The idx format of MNIST and its successors: a magic number, big-endian sizes, bytes."""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

GZIP = b"\x1f\x8b"
UINT8 = 0x08


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """Read one idx file of bytes, gzipped or plain.

    Args:
        path: The file.
        ndim: Number of axes it must have: 3 for images, 1 for labels.

    Returns:
        A read-only uint8 array.

    Raises:
        ValueError: The file is truncated, damaged, too long or of another kind.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "labels"
        ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]))
        ...     read_idx(path, 1)
        array([7, 9], dtype=uint8)

    Reference:
        Y. LeCun: The MNIST database, file formats.
    """
    content = _content(path)
    header = 4 + 4 * ndim
    magic = bytes([0, 0, UINT8, ndim])
    if content[:4] != magic:
        raise ValueError(f"{path}: no idx file of {ndim} axes (magic {content[:4].hex()}, expected {magic.hex()})")
    if len(content) < header:
        raise ValueError(f"{path}: truncated inside its header")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", ndim, 4))
    expected = header + math.prod(shape)
    if len(content) != expected:
        raise ValueError(f"{path}: holds {len(content)} bytes where its header {shape} asks for {expected}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def read_labelled(
    images: Path, labels: Path, *, image_shape: tuple[int, int], classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Read a file of images and its file of labels, and check that they belong together.

    Args:
        images: idx file of images.
        labels: idx file of labels.
        image_shape: Height and width that the images must have.
        classes: Number of classes: labels are 0..classes-1.

    Returns:
        Images (n, height, width) and labels (n,), uint8.

    Raises:
        ValueError: A file is damaged, or they do not fit each other.
    """
    pixels, targets = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(targets):
        raise ValueError(f"{images}: {len(pixels)} images, but {labels} has {len(targets)} labels")
    if len(pixels) == 0:
        raise ValueError(f"{images}: holds no images")
    if pixels.shape[1:] != image_shape:
        raise ValueError(f"{images}: images of {pixels.shape[1:]}, expected {image_shape}")
    if targets.max() >= classes:
        raise ValueError(f"{labels}: label {targets.max()}, expected 0..{classes - 1}")
    return pixels, targets


def digest(path: Path) -> str:
    """Return the SHA-256 of what an idx file holds, whether gzipped or not."""
    return hashlib.sha256(_content(path)).hexdigest()


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    if not raw.startswith(GZIP):
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: truncated or damaged gzip file ({error})") from error
