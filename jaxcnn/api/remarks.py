"""What a run is allowed to be, and probably is not meant to be: told before it begins, refused never."""

import numpy as np

from jaxcnn.config import Config
from jaxcnn.data import Dataset

_NAMED = 3  # classes that a remark tells, of many


def remarks(config: Config, dataset: Dataset) -> tuple[str, ...]:
    """Say what in a run's config and data is worth a second look.

    Args:
        config: What the run is told.
        dataset: Its data.

    Returns:
        A line each: a warm-up that the run does not outlast, and classes that a split has no example of.

    Example:
        >>> from dataclasses import replace
        >>> from jaxcnn import data
        >>> config = Config(epochs=3)
        >>> remarks(config, data.load("synthetic"))
        ()
        >>> remarks(replace(config, optim=replace(config.optim, warmup=5)), data.load("synthetic"))
        ('the warm-up (=5 epochs) is not over when the run (=3 epochs) ends: the cosine schedule never begins',)
    """
    told = []
    if config.optim.warmup >= config.epochs:
        told.append(
            f"the warm-up (={config.optim.warmup:g} epochs) is not over when the run (={config.epochs} epochs) ends: "
            f"the {config.optim.schedule} schedule never begins"
        )
    return (*told, *_absent(dataset))


def _absent(dataset: Dataset) -> list[str]:
    """Tell which splits lack which classes, where targets are classes."""
    count = len(dataset.classes)
    absent = []
    for name, (_, targets) in dataset.splits.items():
        if not count or targets.ndim != 1 or targets.dtype.kind not in "iu":
            continue
        lacking = np.flatnonzero(np.bincount(targets, minlength=count) == 0)
        if lacking.size and (name == "train" or len(targets) >= count):  # fewer examples than classes lack some anyway
            names = ", ".join(repr(dataset.classes[index]) for index in lacking[:_NAMED])
            more = f" and {lacking.size - _NAMED} more" if lacking.size > _NAMED else ""
            absent.append(f"`{name}` has no example of {names}{more}: {_MEANING[name]}")
    return absent


_MEANING = {
    "train": "what is not seen is not learned",
    "validation": "no choice depends on it",
    "test": "no result depends on it",
}
