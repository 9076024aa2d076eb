"""From training and test arrays to a data set: order once, then every validation share is a slice."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from jaxcnn.data.cache import Arrays
from jaxcnn.data.check import check, check_split
from jaxcnn.data.dataset import Dataset, Split
from jaxcnn.data.policy import ImagePolicy
from jaxcnn.data.preprocessing import channel_sums, fit_preprocessing
from jaxcnn.data.split import held_out, stratified_order

TEST = 0.1
"""Share of the examples that is held out for the test where a set has no test examples of its own."""


class Orders(NamedTuple):
    """Which examples go where, and in which order."""

    train: np.ndarray
    """Of the training examples: every prefix is stratified."""
    test: np.ndarray | None
    """Those of them that the test takes; None where it has its own."""


def plan(targets: np.ndarray, *, test: bool) -> Orders:
    """Order training examples, and hold out a stratified share of them for the test.

    Args:
        targets: Of the training examples, shape (n,).
        test: Whether there are test examples already.

    Returns:
        The orders: always the same ones for the same targets.

    Raises:
        ValueError: There are too few examples to hold some out.
    """
    order = stratified_order(targets)
    if test:
        return Orders(order, None)
    held = round(len(order) * TEST)
    if not held:
        raise ValueError(
            f"{len(order)} examples are too few to hold out {TEST:.0%} for the test: give more, or test examples of "
            "their own"
        )
    return Orders(order[held:], order[:held])


def arrange(arrays: Arrays) -> Arrays:
    """Order the training examples, give the test its share of them if it has none, and add their channel sums."""
    inputs, targets = arrays["train_inputs"], arrays["train_targets"]
    orders = plan(targets, test="test_inputs" in arrays)
    arranged = dict(arrays)
    if orders.test is not None:
        arranged |= {"test_inputs": inputs[orders.test], "test_targets": targets[orders.test]}
    inputs = inputs[orders.train]
    return {
        **arranged,
        "train_inputs": inputs,
        "train_targets": targets[orders.train],
        "train_sums": channel_sums(inputs),
    }


def set_facts(
    classes: Sequence[str], *, scale: float = 1 / 255, images: ImagePolicy | None = None, things: bool = False
) -> dict[str, Any]:
    """Return what `divide` has to know of a set beside its arrays, as JSON can hold it."""
    return {
        "classes": list(classes),
        "scale": scale,
        "images": None if images is None else asdict(images),
        "things": things,
    }


def divide(name: str, arrays: Arrays, validation: float, *, facts: dict[str, Any]) -> Dataset:
    """Take the validation split off the front of arranged arrays if it has none, and fit the preprocessing on the rest.

    Args:
        name: What the set is called.
        arrays: `train_inputs`, `_targets` and `_sums`, `test_inputs` and `_targets`, perhaps those of `validation`.
        validation: Share of the training examples to hold out, where there are none for it.
        facts: See `set_facts`.

    Returns:
        A checked data set.

    Raises:
        ValueError: A wrong share, or arrays that make no data set.
    """
    inputs, targets, scale = arrays["train_inputs"], arrays["train_targets"], float(facts["scale"])
    own = "validation_inputs" in arrays
    try:
        held = 0 if own else held_out(len(inputs), validation)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    preprocessing = fit_preprocessing(arrays["train_sums"][held:], math.prod(inputs.shape[1:-1]), scale=scale)
    dataset = Dataset(
        name=name,
        train=Split(inputs[held:], targets[held:]),
        validation=Split(*(arrays[f"validation_{kind}"] for kind in Split._fields))
        if own
        else Split(inputs[:held], targets[:held]),
        test=Split(arrays["test_inputs"], arrays["test_targets"]),
        classes=tuple(facts["classes"]),
        preprocessing=preprocessing,
        images=None if facts["images"] is None else ImagePolicy(**facts["images"]),
        things=facts.get("things", False),
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
    splits = {key: as_split(key, pair, spatial_rank) for key, pair in given.items()}
    if classes is None:
        classes = class_names([split.targets for split in splits.values()])
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
    dataset = Dataset(
        name, splits["train"], splits["validation"], splits["test"], classes=tuple(classes), preprocessing=preprocessing
    )
    check(dataset)
    return dataset


def as_split(name: str, pair: tuple[Any, Any], spatial_rank: int) -> Split:
    """Make arrays canonical: inputs (n, *spatial, channels) of bytes or floats, labels int32."""
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


def class_names(targets: list[np.ndarray]) -> tuple[str, ...]:
    """Return the indices' own digits, where targets are class indices."""
    if any(array.ndim != 1 or array.dtype.kind not in "iu" or not array.size for array in targets):
        return ()
    largest, examples = max(int(array.max()) for array in targets), sum(map(len, targets))
    if largest >= max(examples, 1000):
        raise ValueError(
            f"labels go up to {largest} in {examples} examples: number the classes from 0, as "
            "`np.unique(labels, return_inverse=True)[1]` does"
        )
    return tuple(str(index) for index in range(max(largest, 0) + 1))
