"""CIFAR-10 as JPEG files end to end in one .npz: 32x32 colour images.

Fields, for `train` and `test` each: `_jpeg` (uint8, all files one after another), `_size` (their lengths), `_label`.
JPEG loses detail, so results do not compare to the decimal with those on the original images.

Reference:
    A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images (2009).
"""

import io
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from jaxcnn.config import DataConfig
from jaxcnn.data.arrange import arrange, set_facts
from jaxcnn.data.cache import Prepared, identity
from jaxcnn.data.npz_file import find_npz, read_fields
from jaxcnn.data.source import Source, at_once

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (32, 32, 3)
_CHUNK = 500  # images that a thread decodes at a time


def find(argument: str, config: DataConfig) -> Source:
    """Find the .npz file that the name carries, relative to `directory` if that is given."""
    file = find_npz("cifar10_jpeg", argument, config)
    return Source(at_once(partial(_build, file)), identity((file,)), str(file.resolve()))


def _build(file: Path, folder: Path) -> Prepared:
    """Check every field and decode every image."""
    fields = read_fields(
        file, [f"{split}_{field}" for split in ("train", "test") for field in ("jpeg", "size", "label")]
    )
    arrays = {}
    for split in ("train", "test"):
        jpeg, sizes, labels = (fields[f"{split}_{field}"] for field in ("jpeg", "size", "label"))
        _check(file, split, jpeg, sizes, labels)
        arrays[f"{split}_inputs"] = _decode(file, split, jpeg, sizes.astype(np.int64))
        arrays[f"{split}_targets"] = labels.astype(np.int32)
    return Prepared(arrange(arrays), set_facts(CLASSES))


def _check(file: Path, split: str, jpeg: np.ndarray, sizes: np.ndarray, labels: np.ndarray) -> None:
    if jpeg.dtype != np.uint8 or any(a.ndim != 1 for a in (jpeg, sizes, labels)):
        raise ValueError(f"{file}: {split}_jpeg must be uint8, and every field of one axis")
    if sizes.dtype.kind not in "iu" or labels.dtype.kind not in "iu":
        raise ValueError(f"{file}: {split}_size and {split}_label must hold whole numbers")
    if len(sizes) != len(labels) or len(sizes) == 0:
        raise ValueError(f"{file}: {len(sizes)} {split} images, but {len(labels)} labels")
    if sizes.min() <= 0 or sizes.sum(dtype=np.int64) != len(jpeg):
        raise ValueError(f"{file}: {split}_size sums to {sizes.sum(dtype=np.int64)} of {len(jpeg)} bytes")
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise ValueError(f"{file}: {split} labels {labels.min()}..{labels.max()}, expected 0..{len(CLASSES) - 1}")


def _decode(file: Path, split: str, jpeg: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Decode in threads (Pillow lets go of the interpreter while it decodes)."""
    from PIL import Image

    images = np.empty((len(sizes), *SHAPE), np.uint8)
    ends = np.cumsum(sizes)

    def decode(start: int) -> None:
        for index in range(start, min(start + _CHUNK, len(sizes))):
            data = jpeg[ends[index] - sizes[index] : ends[index]].tobytes()
            try:
                with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
                    shape = (*image.size[::-1], len(image.getbands()))
                    if shape == SHAPE:  # of another size it is not decoded: it may be a million pixels wide
                        images[index] = np.asarray(image)
            except (OSError, SyntaxError, Image.DecompressionBombError) as error:
                raise ValueError(f"{file}: {split} image {index} is no readable JPEG") from error
            if shape != SHAPE:
                raise ValueError(f"{file}: {split} image {index} has shape {shape}, expected {SHAPE}")

    with ThreadPoolExecutor() as pool:
        list(pool.map(decode, range(0, len(sizes), _CHUNK)))
    return images
