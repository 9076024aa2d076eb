"""`npz:FILE`: arrays of your own in one .npz file, under the names that Keras, MedMNIST or a line of NumPy gives them.

| training | validation, if any | test, if any |
|---|---|---|
| `x_train`, `y_train` | `x_val`, `y_val` | `x_test`, `y_test` |
| `train_images`, `train_labels` | `val_images`, `val_labels` | `test_images`, `test_labels` |
| `inputs`, `targets` | | |

What is not there is held out from the training examples. Inputs are (n, height, width) or (n, height, width,
channels), bytes or floats; targets class indices (n,) or (n, 1), or (n, classes) of zeros and ones where an image has
any number of labels. `classes` may hold the classes' names. The file is read into memory once, and kept as the cache's
arrays.
"""

from functools import partial
from pathlib import Path

import numpy as np

from jaxcnn.config import DataConfig
from jaxcnn.data.arrange import arrange, as_split, class_names, set_facts
from jaxcnn.data.cache import Arrays, Prepared, identity
from jaxcnn.data.check import check_split
from jaxcnn.data.dataset import Split
from jaxcnn.data.npz_file import field_names, find_npz, read_fields
from jaxcnn.data.source import Source, at_once

NAMES: tuple[dict[str, tuple[str, str]], ...] = (
    {"train": ("x_train", "y_train"), "validation": ("x_val", "y_val"), "test": ("x_test", "y_test")},
    {split: (f"{part}_images", f"{part}_labels") for split, part in
     (("train", "train"), ("validation", "val"), ("test", "test"))},
    {"train": ("inputs", "targets")},
)  # fmt: skip
"""Inputs and targets by split, as the file may call them."""


def find(argument: str, config: DataConfig) -> Source:
    """Find the .npz file that the name carries, relative to `directory` if that is given."""
    file = find_npz("npz", argument, config)
    return Source(at_once(partial(_build, file)), identity((file,)), str(file.resolve()))


def _build(file: Path, folder: Path) -> Prepared:
    """Check every array."""
    there = field_names(file)
    names = next((names for names in NAMES if all(name in there for name in names["train"])), None)
    if names is None:
        expected = ", or ".join(" and ".join(names["train"]) for names in NAMES)
        raise ValueError(f"{file}: holds {', '.join(there) or 'nothing'}; expected {expected}")
    pairs = {split: pair for split, pair in names.items() if any(name in there for name in pair)}
    wanted = [name for pair in pairs.values() for name in pair] + ["classes"] * ("classes" in there)
    fields = read_fields(file, wanted)
    try:
        return _prepared({split: (fields[x], fields[y]) for split, (x, y) in pairs.items()}, fields.get("classes"))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: {error}") from error


def _prepared(pairs: dict[str, tuple[np.ndarray, np.ndarray]], named: np.ndarray | None) -> Prepared:
    splits = {}
    for name, (inputs, targets) in pairs.items():
        shaped = inputs[..., None] if inputs.ndim == 3 else inputs
        _check_channels(name, shaped.shape)
        splits[name] = _labelled(as_split(name, (shaped, targets), spatial_rank=2))
    for name, split in splits.items():
        check_split(name, split, 0)
        if split.targets.ndim > 1 and split.targets.dtype != np.float32:
            raise ValueError(f"`{name}` targets of shape {split.targets.shape} must be zeros and ones, one a class")
    many = {split.targets.shape[1] for split in splits.values() if split.targets.ndim == 2}
    digits = tuple(map(str, range(max(many)))) if many else class_names([split.targets for split in splits.values()])
    classes = digits if named is None else tuple(str(name) for name in named.ravel())
    if not classes:
        raise ValueError("targets are no classes; expected whole numbers (n,), or zeros and ones (n, classes)")
    if len(classes) == 1 and not many:
        raise ValueError("all targets are 0, one class; expected two or more, numbered from 0")
    arrays: Arrays = {}
    for name, split in splits.items():
        check_split(name, split, len(classes))
        if split.targets.shape[1:] not in ((), (len(classes),)):
            raise ValueError(f"`{name}` targets have shape {split.targets.shape}, and there are {len(classes)} classes")
        arrays |= {f"{name}_inputs": split.inputs, f"{name}_targets": split.targets}
    scale = 1 / 255 if arrays["train_inputs"].dtype == np.uint8 else 1.0
    return Prepared(arrange(arrays), set_facts(classes, scale=scale))


def _check_channels(name: str, shape: tuple[int, ...]) -> None:
    """Raise where channels come before height and width, as PyTorch has them: no image is 1 or 3 pixels high."""
    if len(shape) == 4 and shape[1] in (1, 3) and shape[3] > 4:
        raise ValueError(
            f"`{name}` inputs have shape {shape}, channels first; expected (n, height, width, channels): "
            "`x.transpose(0, 2, 3, 1)`"
        )


def _labelled(split: Split) -> Split:
    """Take the axis off a column of classes; zeros and ones, any number of them an image, become floats."""
    targets = split.targets
    if targets.shape[1:] == (1,):
        targets = targets[:, 0]
    several = targets.ndim == 2 and np.isin(targets, (0, 1)).all()
    return Split(split.inputs, targets.astype(np.float32 if several else targets.dtype))
