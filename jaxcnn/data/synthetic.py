"""A data set made on the spot, for tests and benchmarks: class patterns under noise, the same on every machine."""

import re
from functools import partial
from pathlib import Path

import numpy as np

from jaxcnn.config import DataConfig
from jaxcnn.data.arrange import arrange, set_facts
from jaxcnn.data.cache import Prepared
from jaxcnn.data.source import Source, at_once

CLASSES = tuple(f"pattern {index}" for index in range(10))
TRAIN, TEST = 2000, 500
DEFAULT_SHAPE = "32x32x3"


def find(argument: str, config: DataConfig) -> Source:
    """Find the set, which needs no files."""
    if config.directory:
        raise ValueError(f"`synthetic` is generated: it takes no directory (got {config.directory!r})")
    return Source(at_once(partial(_build, _shape(argument or DEFAULT_SHAPE))), [])


def _build(shape: tuple[int, int, int], folder: Path) -> Prepared:
    """Return gratings of ten directions at random phases under noise: no single pixel tells the class."""
    arrays = {}
    for stream, (split, n) in enumerate({"train": TRAIN, "test": TEST}.items()):
        targets = np.arange(n, dtype=np.int32) % len(CLASSES)
        arrays[f"{split}_inputs"] = _gratings(targets, shape, stream)
        arrays[f"{split}_targets"] = targets
    return Prepared(arrange(arrays), set_facts(CLASSES))


def _gratings(targets: np.ndarray, shape: tuple[int, int, int], stream: int) -> np.ndarray:
    """Whole numbers only, from raw bits that NumPy guarantees: no machine and no version changes a byte."""
    height, width, channels = shape
    n, size = len(targets), len(targets) * height * width * channels
    phase = np.random.PCG64(stream).random_raw(n).view(np.uint8)[:n]
    noise = np.random.PCG64([stream, 1]).random_raw(size // 8 + 1).view(np.uint8)[:size]
    angle = np.pi * np.arange(len(CLASSES)) / len(CLASSES)
    down, right = np.rint(64 * np.stack([np.cos(angle), np.sin(angle)])).astype(np.int16)  # 1/256 turns a pixel
    turns = np.multiply.outer(down, np.arange(height))[:, :, None] + np.multiply.outer(right, np.arange(width))[:, None]
    wave = np.rint(64 * np.sin(2 * np.pi * np.arange(256) / 256)).astype(np.int16)
    pattern = wave[(turns[targets] + phase[:, None, None]) % 256]
    return (64 + pattern[..., None] + noise.reshape(n, *shape) // 2).astype(np.uint8)


def _shape(text: str) -> tuple[int, int, int]:
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise ValueError(f"`synthetic:{text}`: expected HEIGHTxWIDTHxCHANNELS, such as synthetic:28x28x1")
    height, width, channels = map(int, match.groups())
    return height, width, channels
