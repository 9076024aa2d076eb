"""From training and test arrays to a data set: order once, then every validation share is a slice."""

import math
from typing import Any

import numpy as np

from jaxcnn.data.cache import Arrays
from jaxcnn.data.check import check, check_split
from jaxcnn.data.dataset import Dataset, Split
from jaxcnn.data.preprocessing import channel_sums, fit_preprocessing
from jaxcnn.data.split import held_out, stratified_order


def arrange(arrays: Arrays) -> Arrays:
    """Order the training examples so that every prefix is stratified, and add their channel sums."""
    order = stratified_order(arrays["train_targets"])
    inputs = arrays["train_inputs"][order]
    ordered = {"train_inputs": inputs, "train_targets": arrays["train_targets"][order]}
    return {**arrays, **ordered, "train_sums": channel_sums(inputs)}


def divide(name: str, arrays: Arrays, validation: float, *, classes: tuple[str, ...], scale: float) -> Dataset:
    """Take the validation split off the front of arranged arrays, and fit the preprocessing on the rest."""
    inputs, targets = arrays["train_inputs"], arrays["train_targets"]
    held = held_out(len(inputs), validation)
    preprocessing = fit_preprocessing(arrays["train_sums"][held:], math.prod(inputs.shape[1:-1]), scale=scale)
    dataset = Dataset(
        name=name,
        train=Split(inputs[held:], targets[held:]),
        validation=Split(inputs[:held], targets[:held]),
        test=Split(arrays["test_inputs"], arrays["test_targets"]),
        classes=classes,
        preprocessing=preprocessing,
    )
    check(dataset)
    return dataset


def from_arrays(
    train: tuple[Any, Any],
    *,
    validation: tuple[Any, Any] | float = 0.1,
    test: tuple[Any, Any] | float = 0.1,
    classes: tuple[str, ...] | list[str] | None = None,
    spatial_rank: int = 2,
    scale: float | None = None,
    name: str = "arrays",
) -> Dataset:
    """Make a data set of your own arrays.

    What is not given is held out from the training examples: a fixed, stratified share of them, first for the test,
    then for validation.

    Args:
        train: Inputs (n, *spatial, channels), uint8 or a float type, and targets: class indices (n,), where
            False and True count as 0 and 1, or n of whatever numbers your loss takes.
        validation: Inputs and targets, or the share of the training examples to hold out.
        test: Inputs and targets, or the share of all training examples to hold out.
        classes: Names of the classes. By default the indices' own digits, where targets are class indices.
        spatial_rank: Number of spatial axes: 2 for images, 1 for signals, 0 for feature vectors.
        scale: Multiplies the stored values first; by default 1/255 for bytes and 1 for floats.
        name: What the set is called.

    Returns:
        A checked data set. The preprocessing is fitted on the training split alone.

    Raises:
        ValueError: The arrays do not make a data set: see `check`.
        TypeError: Inputs are neither bytes nor floats, or targets are no numbers.

    Example:
        >>> inputs = np.arange(20 * 8 * 8, dtype=np.float32).reshape(20, 8, 8, 1)
        >>> dataset = from_arrays((inputs, np.arange(20) % 2), test=0.2)
        >>> len(dataset.train.inputs), len(dataset.validation.inputs), len(dataset.test.inputs), dataset.classes
        (14, 2, 4, ('0', '1'))
    """
    given = {"train": train}
    given |= {key: pair for key, pair in (("validation", validation), ("test", test)) if isinstance(pair, tuple)}
    splits = {key: _split(key, pair, spatial_rank) for key, pair in given.items()}
    if classes is None:
        classes = _class_names([split.targets for split in splits.values()])
    for key, split in splits.items():
        check_split(key, split, len(classes))
    order = stratified_order(splits["train"].targets)
    for key, share in (("test", test), ("validation", validation)):
        if not isinstance(share, tuple):
            held = held_out(len(order), share, name=key)
            splits[key], order = _take(splits["train"], order[:held]), order[held:]
    splits["train"] = _take(splits["train"], order)
    if scale is None:
        scale = 1 / 255 if splits["train"].inputs.dtype == np.uint8 else 1.0
    pixels = math.prod(splits["train"].inputs.shape[1:-1])
    preprocessing = fit_preprocessing(channel_sums(splits["train"].inputs), pixels, scale=scale)
    dataset = Dataset(name, **splits, classes=tuple(classes), preprocessing=preprocessing)
    check(dataset)
    return dataset


def _split(name: str, pair: tuple[Any, Any], spatial_rank: int) -> Split:
    shapes = {np.shape(example) for example in pair[0]} if isinstance(pair[0], list | tuple) else set()
    if len(shapes) > 1:
        raise ValueError(f"`{name}` inputs differ in shape: {', '.join(map(str, sorted(shapes)))}")
    inputs, targets = np.asarray(pair[0]), np.asarray(pair[1])
    if inputs.ndim != spatial_rank + 2:
        raise ValueError(
            f"`{name}` inputs have shape {inputs.shape}; expected rank {spatial_rank + 2}, "
            "(n, *spatial, channels): add a channel axis, `x[..., None]`, or set `spatial_rank`"
        )
    if inputs.dtype != np.uint8 and inputs.dtype.kind != "f":
        raise TypeError(f"`{name}` inputs are {inputs.dtype}; expected uint8 or floats: `x.astype('float32')`")
    if inputs.dtype == np.float64:
        inputs = inputs.astype(np.float32)
    if targets.dtype.kind in "iub":
        targets = targets.astype(np.int32)
    return Split(inputs, targets)


def _take(split: Split, index: np.ndarray) -> Split:
    return Split(split.inputs[index], split.targets[index])


def _class_names(targets: list[np.ndarray]) -> tuple[str, ...]:
    if any(array.ndim != 1 or array.dtype.kind not in "iu" or not array.size for array in targets):
        return ()
    largest = max(int(array.max()) for array in targets)
    return tuple(str(index) for index in range(max(largest, 0) + 1))
