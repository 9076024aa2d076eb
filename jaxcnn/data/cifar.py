"""The binary format of CIFAR-10 and CIFAR-100: a byte or two of labels, then 3,072 bytes of red, green and blue.

Reference:
    A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images (2009).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxcnn.data.archive import read_members

SHAPE = (32, 32, 3)


class Cifar(NamedTuple):
    """An archive, read."""

    images: dict[str, np.ndarray]
    """`train` and `test`, each (n, 32, 32, 3) uint8."""
    labels: dict[str, np.ndarray]
    """`train` and `test`, each (n, kinds of labels) uint8."""
    names: list[list[str]]
    """Of the classes, for each kind of labels."""


def read_cifar(
    path: Path, *, train: Sequence[str], test: Sequence[str], names: Sequence[str], classes: Sequence[int]
) -> Cifar:
    """Read an archive.

    Args:
        path: The .tar.gz.
        train: Names in it of the files with training examples.
        test: Names of those with test examples.
        names: Names of those with classes' names, one a kind of labels.
        classes: How many classes there are, for each kind.

    Returns:
        Images, labels and names.

    Raises:
        ValueError: The archive is damaged, lacks a file, or a file is of another length or has other labels.
    """
    members = read_members(path, [*train, *test, *names])
    told = []
    for name, count in zip(names, classes, strict=True):
        lines = members[name].decode("utf-8", "replace").split()
        if len(lines) != count:
            raise ValueError(f"{path}: {name} names {len(lines)} classes, expected {count}")
        told.append(lines)
    images, labels = {}, {}
    for split, files in (("train", train), ("test", test)):
        parts = [_records(path, name, members[name], classes) for name in files]
        labels[split] = np.concatenate([part[:, : len(classes)] for part in parts])
        pixels = np.concatenate([part[:, len(classes) :] for part in parts])
        images[split] = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Cifar(images, labels, told)


def _records(path: Path, name: str, content: bytes, classes: Sequence[int]) -> np.ndarray:
    size = len(classes) + 3072
    if not content or len(content) % size:
        raise ValueError(f"{path}: {name} holds {len(content):,} bytes; expected some records of {size:,}")
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    for kind, count in enumerate(classes):
        if (largest := int(records[:, kind].max())) >= count:
            raise ValueError(f"{path}: {name} has label {largest}, expected 0..{count - 1}")
    return records
