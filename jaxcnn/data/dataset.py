"""What a data set is: three splits, class names and the preprocessing."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxcnn.data.policy import ImagePolicy
from jaxcnn.data.preprocessing import Preprocessing


class Split(NamedTuple):
    """Examples of one purpose. The arrays may be memory-mapped, read-only ones.

    Example:
        >>> split = Split(np.zeros((5, 8, 8, 1), np.uint8), np.zeros(5, np.int32))
        >>> len(split.inputs)
        5
    """

    inputs: np.ndarray
    """Stored images, shape (n, *spatial, channels), uint8 or a float type."""
    targets: np.ndarray
    """Class indices, shape (n,), int32 (or what a custom loss takes, n of them)."""


@dataclass(frozen=True)
class Dataset:
    """Training, validation and test examples, and what their numbers mean.

    Example:
        >>> from jaxcnn import data
        >>> dataset = data.load("synthetic")
        >>> dataset.input_shape, len(dataset.classes), dataset.train.targets.dtype
        ((32, 32, 3), 10, dtype('int32'))
    """

    name: str
    """What the set is called."""
    train: Split
    """Examples to learn from."""
    validation: Split
    """Examples to choose by."""
    test: Split
    """Examples to be judged by, once."""
    classes: tuple[str, ...]
    """Names of the classes; empty where targets are no classes."""
    preprocessing: Preprocessing
    """How stored images become inputs of the network, fitted on `train` alone."""
    images: ImagePolicy | None = None
    """How image files became the stored images; None where the set is not made of files of any size and kind."""
    things: bool = False
    """Whether targets are maps of things (see `make_scenes`), and no class indices."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example: (*spatial, channels)."""
        return self.train.inputs.shape[1:]

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def describe(dataset: Dataset) -> dict[str, Any]:
    """Return the facts of a data set, as JSON can hold them.

    Args:
        dataset: Any data set.

    Returns:
        `name`, `input_shape`, `dtype`, `classes`, `counts` (split to examples), `class_counts` (split to examples
        of each class; empty where targets are no classes), `preprocessing` (`scale`, `mean`, `std`); of a set of image
        files `images` (`size`, `resize`, `colour`).

    Example:
        >>> from jaxcnn import data
        >>> data.describe(data.load("synthetic"))["counts"]
        {'train': 1800, 'validation': 200, 'test': 500}
    """
    counted = {
        name: np.bincount(split.targets, minlength=len(dataset.classes)).tolist()
        for name, split in dataset.splits.items()
        if dataset.classes and split.targets.ndim == 1
    }
    fitted = dataset.preprocessing
    facts: dict[str, Any] = {
        "name": dataset.name,
        "input_shape": list(dataset.input_shape),
        "dtype": str(dataset.train.inputs.dtype),
        "classes": list(dataset.classes),
        "counts": {name: len(split.inputs) for name, split in dataset.splits.items()},
        "class_counts": counted,
        "preprocessing": {"scale": fitted.scale, "mean": list(fitted.mean), "std": list(fitted.std)},
    }
    return facts if dataset.images is None else facts | {"images": asdict(dataset.images)}
