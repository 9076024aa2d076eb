"""Configs that differ in numbers alone, as members of one program."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxcnn.config import Config

FREE = ("seed", "optim.lr", "optim.momentum", "loss.label_smoothing", "model.dropout", "augment.magnitude")
"""Fields in which members of one program may differ."""
ON_OR_OFF = (
    "optim.weight_decay",
    *(f"augment.{name}" for name in (
        "crop", "translate", "rotate", "brightness", "contrast", "saturation", "hue", "cutout", "mixup", "cutmix",
    )),
)  # fmt: skip
"""Fields in which they may differ where none of them is zero, or all are: what is off is not in the program at all."""


def get(config: Config, name: str) -> Any:
    """Return a field by its dotted name.

    Args:
        config: The config.
        name: Such as `optim.lr`.

    Returns:
        Its value.

    Example:
        >>> get(Config(), "optim.momentum")
        0.9
    """
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """Put values in the place of a config's.

    Args:
        config: The config.
        values: By dotted name.

    Returns:
        The changed config.

    Example:
        >>> with_values(Config(), {"optim.lr": 0.5, "seed": 3}).optim.lr
        0.5
    """
    for name, value in values.items():
        group, _, field = name.rpartition(".")
        if group:
            inner = dataclasses.replace(getattr(config, group), **{field: value})
            config = dataclasses.replace(config, **{group: inner})
        else:
            config = dataclasses.replace(config, **{field: value})
    return config


def grouped(configs: Sequence[Config]) -> list[list[int]]:
    """Sort configs into those that can be members of one program.

    Args:
        configs: Any.

    Returns:
        Positions, group by group, each in the order of the first.

    Example:
        >>> from jaxcnn.config import OptimConfig
        >>> grouped([Config(seed=0), Config(optim=OptimConfig("sgd")), Config(seed=1)])
        [[0, 2], [1]]
    """
    groups: dict[Config, list[int]] = {}
    for at, config in enumerate(configs):
        groups.setdefault(_structure(config), []).append(at)
    return list(groups.values())


def _structure(config: Config) -> Config:
    """Return what decides a config's program: its numbers that may differ are put to 0, or to 1 where they are on."""
    marks: dict[str, Any] = {name: 0 for name in FREE if get(config, name) is not None}
    marks |= {name: int(get(config, name) != 0) for name in ON_OR_OFF}
    return with_values(config, marks)


def varied(configs: Sequence[Config]) -> dict[str, np.ndarray]:
    """Return the numbers in which members of one group differ, the seed left out: it is in their states.

    Args:
        configs: Of one group.

    Returns:
        An array of one number a member, by dotted name.

    Example:
        >>> from jaxcnn.config import OptimConfig
        >>> found = varied([Config(seed=k, optim=OptimConfig(lr=lr)) for k, lr in enumerate((0.1, 0.2))])
        >>> {name: values.tolist() for name, values in found.items()}
        {'optim.lr': [0.1, 0.2]}
    """
    found = {}
    for name in (*FREE, *ON_OR_OFF):
        values = [get(config, name) for config in configs]
        if name != "seed" and len(set(values)) > 1:
            found[name] = np.asarray(values)
    return found
