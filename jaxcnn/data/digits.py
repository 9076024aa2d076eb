"""scikit-learn's digits: 1,797 grey 8x8 images of handwritten digits, shipped with the package.

Reference:
    E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits (1998), UCI Machine Learning Repository.
"""

from pathlib import Path

import numpy as np

from jaxcnn.config import DataConfig
from jaxcnn.data.arrange import arrange, set_facts
from jaxcnn.data.cache import Prepared
from jaxcnn.data.source import Source, at_once
from jaxcnn.data.split import stratified_order

CLASSES = tuple("0123456789")
TEST = 360
"""Test images, the same ones everywhere."""


def find(argument: str, config: DataConfig) -> Source:
    """Find the set, which is always there."""
    if argument or config.directory:
        raise ValueError(
            f"`digits` is shipped: it takes no argument or directory (got {argument or config.directory!r})"
        )
    return Source(at_once(_build), [])


def _build(folder: Path) -> Prepared:
    """Return the arrays: bytes of 0..16, 360 of them for the test."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    inputs = np.asarray(pixels, np.uint8).reshape(-1, 8, 8, 1)
    targets = np.asarray(labels, np.int32)
    order = stratified_order(targets)
    test, train = order[:TEST], order[TEST:]
    arrays = {
        "train_inputs": inputs[train],
        "train_targets": targets[train],
        "test_inputs": inputs[test],
        "test_targets": targets[test],
    }
    return Prepared(arrange(arrays), set_facts(CLASSES, scale=1 / 16))
