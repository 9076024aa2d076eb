"""A set that TFDS has prepared, as encoded images and labels: its features are found by their type."""

import io
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.constants import DATA_DIR
from tensorflow_datasets.core.read_only_builder import builder_from_files
from tensorflow_datasets.core.registered import DatasetNotFoundError

from jaxcnn.config import DataConfig
from jaxcnn.data.gather import Opener, Pictures, gather
from jaxcnn.data.images import Header
from jaxcnn.data.source import Build, Preparing

_CHUNK = 1000  # examples fetched at once: three times faster than one by one


def open_builder(name: str, folder: Path | None) -> Any:
    """Find a prepared set.

    Args:
        name: NAME, NAME/CONFIG or NAME:VERSION.
        folder: The TFDS data directory, or None for TFDS's own.

    Returns:
        TFDS's builder of it.

    Raises:
        FileNotFoundError: It is not prepared there.
        ValueError: It has no name of a set, or is damaged.
    """
    where = Path(folder or DATA_DIR)
    try:
        return builder_from_files(name, data_dir=where)
    except DatasetNotFoundError:
        raise FileNotFoundError(
            f"`tfds:{name}` is not prepared in {where}: prepare it with TFDS in the format array_record, or name the "
            "folder where it is by `--data.directory DIR`"
        ) from None
    except Exception as error:  # protobuf, JSON or TFDS, whatever is damaged
        reason = " ".join(str(error).split())
        raise ValueError(f"`tfds:{name}` in {where} cannot be read ({reason})") from error


def read(builder: Any, config: DataConfig, folder: Path) -> Build:
    """Read a prepared set, its images brought to one size and colour.

    Args:
        builder: See `open_builder`.
        config: How images are brought to one size.
        folder: Where the arrays are written.

    Returns:
        Arrays and facts, arranged.

    Raises:
        ValueError: It lacks images, labels or a training split, or a label has no class.
    """
    info = builder.info
    image, label = _features(info)
    if "train" not in info.splits:
        raise ValueError(f"`tfds:{info.full_name}` has no split `train`, but {', '.join(info.splits)}")
    feature = info.features[label]
    classes = [feature.int2str(index) for index in range(feature.num_classes)]
    shape = info.features[image].shape
    header = Header(shape[0], shape[1], shape[2] == 1) if None not in shape else None
    splits = {}
    for split in ("train", "validation", "test"):
        if split in info.splits and info.splits[split].num_examples:
            splits[split] = yield from _pictures(builder, split, image, label, header)
    return (yield from gather(splits, classes, config, f"tfds:{info.full_name}", folder))


def _features(info: Any) -> tuple[str, str]:
    """Return the names of the image and of the label: by the set's own word, or the only ones of their type."""
    found = []
    for place, kind in enumerate((tfds.features.Image, tfds.features.ClassLabel)):
        names = [name for name, feature in info.features.items() if isinstance(feature, kind)]
        if info.supervised_keys and info.supervised_keys[place] in names:
            names = [info.supervised_keys[place]]
        if len(names) != 1:
            told = f"{len(names)} features" if names else "no feature"
            raise ValueError(f"`tfds:{info.full_name}` has {told} of type {kind.__name__}; expected one")
        found += names
    image, label = found
    if (dtype := np.dtype(info.features[image].np_dtype)) != np.uint8:
        raise ValueError(f"`tfds:{info.full_name}` has images of {dtype}; expected uint8")
    return image, label


def _pictures(
    builder: Any, split: str, image: str, label: str, header: Header | None
) -> Generator[Preparing, None, Pictures]:
    """Read all labels of a split; its images are read when they are asked for."""
    name = builder.info.full_name
    try:
        source = builder.as_data_source(split=split, decoders={image: tfds.decode.SkipDecoding()})
    except NotImplementedError as error:
        raise ValueError(f"`tfds:{name}` is not stored as array_record: prepare it in that format") from error
    targets = np.empty(len(source), np.int32)
    for start in range(0, len(source), _CHUNK):
        chunk = range(start, min(start + _CHUNK, len(source)))
        targets[chunk] = [example[label] for example in _fetched(source, chunk, name)]
        yield Preparing("reading labels", chunk.stop, len(source))
    if targets.min() < 0:
        raise ValueError(f"`tfds:{name}` has {split} examples without a class (label {targets.min()})")

    def openers(numbers: Sequence[int]) -> list[Opener]:
        return [partial(io.BytesIO, example[image]) for example in _fetched(source, numbers, name)]

    return Pictures(targets, openers, lambda number: f"tfds:{name}, {split} example {number}", header)


def _fetched(source: Any, numbers: Sequence[int], name: str) -> list[dict[str, Any]]:
    try:
        return source.__getitems__(numbers)
    except Exception as error:  # array_record and protobuf raise anything on damaged bytes
        raise ValueError(f"`tfds:{name}` cannot be read ({' '.join(str(error).split())})") from error
