"""What can be wrong with arrays, found before a network is trained on them."""

from collections import Counter

import numpy as np

from jaxcnn.data.dataset import Dataset, Split


def check(dataset: Dataset) -> None:
    """Raise where the splits of a data set are damaged or do not fit each other.

    Args:
        dataset: Any data set.

    Raises:
        ValueError: A split is faulty (see `check_split`), examples differ in shape or type from split to split, a
            class is named twice, or the preprocessing has another number of channels.
        TypeError: Targets are no numbers.

    Example:
        >>> from jaxcnn import data
        >>> check(data.load("synthetic"))
    """
    for name, split in dataset.splits.items():
        check_split(name, split, 0 if dataset.things else len(dataset.classes))
        if split.inputs.shape[1:] != dataset.input_shape:
            raise ValueError(
                f"`{name}` inputs are of shape {split.inputs.shape[1:]} each, those of `train` {dataset.input_shape}"
            )
        for kind, array, first in zip(Split._fields, split, dataset.train, strict=True):
            if array.dtype != first.dtype:
                raise ValueError(
                    f"`{name}` {kind} are {array.dtype}, those of `train` {first.dtype}: convert one (and its scale)"
                )
    for label, times in Counter(dataset.classes).most_common(1):
        if times > 1:
            raise ValueError(f"`classes` holds {label!r} {times} times; expected a name of its own for every class")
    channels = len(dataset.preprocessing.mean)
    if dataset.input_shape[-1:] != (channels,):
        raise ValueError(f"`preprocessing` is for {channels} channels, `train` inputs are {dataset.input_shape} each")


def check_split(name: str, split: Split, classes: int) -> None:
    """Raise where the arrays of one split are faulty.

    Args:
        name: The split's name, for messages.
        split: Inputs (n, *spatial, channels) and n targets.
        classes: Number of classes that integer targets must lie in; 0 where targets are no classes.

    Raises:
        ValueError: The split is empty, inputs lack axes or are not as many as targets, a value is NaN or infinite,
            or a label is out of range or in an axis of its own.
        TypeError: Targets are no numbers.

    Example:
        >>> check_split("train", Split(np.zeros((2, 8, 8, 1)), np.array([0, 10])), classes=10)
        Traceback (most recent call last):
        ValueError: `train` target 1 is 10; expected a class in 0..9
    """
    inputs, targets = split
    if inputs.ndim < 2:
        raise ValueError(f"`{name}` inputs have shape {inputs.shape}; expected (n, *spatial, channels)")
    if inputs.size == 0 or len(targets) == 0:
        raise ValueError(f"`{name}` is empty: inputs {inputs.shape}, targets {targets.shape}")
    if len(inputs) != len(targets):
        raise ValueError(f"`{name}` has {len(inputs)} inputs, but {len(targets)} targets")
    if targets.dtype.kind not in "iuf":
        raise TypeError(
            f"`{name}` targets are {targets.dtype}; expected class indices or floats: encode labels as integers, as "
            "`np.unique(labels, return_inverse=True)[1]` does"
        )
    if targets.dtype.kind in "iu" and targets.shape[1:] == (1,):
        raise ValueError(f"`{name}` targets have shape {targets.shape}; expected (n,): squeeze them, `targets[:, 0]`")
    for kind, array in (("input", inputs), ("target", targets)):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            first = int(np.argmin(np.isfinite(array.reshape(len(array), -1)).all(axis=1)))
            raise ValueError(f"`{name}` {kind} {first} holds NaN or infinity: remove it, or repair the data")
    if classes and targets.dtype.kind in "iu":
        wrong = ((targets < 0) | (targets >= classes)).reshape(len(targets), -1).any(axis=1)
        if wrong.any():
            first = int(np.argmax(wrong))
            raise ValueError(f"`{name}` target {first} is {targets[first]}; expected a class in 0..{classes - 1}")
