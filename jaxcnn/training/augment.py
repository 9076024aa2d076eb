"""The random changes that a config asks for, as one function of (key, batch)."""

import math
from functools import partial

import jax
from jax import Array

from jaxcnn.config import AugmentConfig, unknown
from jaxcnn.functional.traced import is_off, is_traced
from jaxcnn.training.augment_colour import random_colour
from jaxcnn.training.augment_mixing import random_cutmix, random_cutout, random_mixup
from jaxcnn.training.augment_moves import alternating_flip, random_crop, random_flip, random_translate
from jaxcnn.training.augment_randaugment import random_operations
from jaxcnn.training.augment_warps import random_resized_crop, random_rotation
from jaxcnn.training.batch import Augment, Batch, on_inputs

_LIMITS = {
    "resized_crop": (0.01, 1), "crop": (0, math.inf), "translate": (0, math.inf), "rotate": (0, 180),
    "brightness": (0, 1), "contrast": (0, 1), "saturation": (0, 1), "hue": (0, 0.5),
    "randaugment": (0, 20), "magnitude": (0, 30), "cutout": (0, math.inf),
    "mixup": (0, math.inf), "cutmix": (0, math.inf),
}  # fmt: skip
_FLIPS = ("none", "random", "alternating")


def make_augment(config: AugmentConfig, *, classes: int | None = None, white: float | None = None) -> Augment | None:
    """Build the augmentation that a config asks for: its changes in the order of its fields.

    Args:
        config: Which changes, and by how much.
        classes: Number of classes, which mixing needs where targets are labels.
        white: The number that means white in raw images; by default 255 for bytes and 1 for floats. Black is 0.

    Returns:
        `augment(key, batch) -> batch`, or None where the config asks for nothing.

    Raises:
        ValueError: A value out of range, or an unknown kind of flip.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcnn.config import AugmentConfig
        >>> augment = make_augment(AugmentConfig(flip="random", crop=2))
        >>> augment(jax.random.key(0), Batch(jnp.zeros((5, 8, 8, 3), "uint8"), jnp.arange(5))).inputs.dtype.name
        'uint8'
    """
    _check(config)
    colours = {name: getattr(config, name) for name in ("brightness", "contrast", "saturation", "hue")}
    operations = {"count": config.randaugment, "magnitude": config.magnitude}
    possible: dict[str, tuple[bool, Augment]] = {
        "resized_crop": (config.resized_crop < 1, on_inputs(partial(random_resized_crop, least=config.resized_crop))),
        "crop": (not is_off(config.crop), on_inputs(partial(random_crop, pixels=config.crop))),
        "translate": (not is_off(config.translate), on_inputs(partial(random_translate, pixels=config.translate))),
        "rotate": (not is_off(config.rotate), on_inputs(partial(random_rotation, degrees=config.rotate))),
        "flip": (config.flip != "none", _alternate if config.flip == "alternating" else on_inputs(random_flip)),
        "colours": (not all(map(is_off, colours.values())), on_inputs(partial(random_colour, **colours, white=white))),
        "randaugment": (config.randaugment > 0, on_inputs(partial(random_operations, **operations, white=white))),
        "cutout": (not is_off(config.cutout), on_inputs(partial(random_cutout, side=config.cutout))),
        "mixup": (not is_off(config.mixup), partial(random_mixup, alpha=config.mixup, classes=classes)),
        "cutmix": (not is_off(config.cutmix), partial(random_cutmix, alpha=config.cutmix, classes=classes)),
    }
    changes = {name: change for name, (wanted, change) in possible.items() if wanted}
    if not changes:
        return None

    def augment(key: Array, batch: Batch) -> Batch:
        for (name, change), change_key in zip(changes.items(), jax.random.split(key, len(changes)), strict=True):
            try:
                batch = change(change_key, batch)
            except ValueError as error:
                raise ValueError(f"augment.{name}: {error}") from error
        return batch

    return augment


def moves(config: AugmentConfig) -> list[str]:
    """Name the changes of a config after which a pixel is not where it was, or is another one's.

    Args:
        config: Which changes, and by how much.

    Returns:
        Their fields' names.

    Example:
        >>> moves(AugmentConfig(flip="random", brightness=0.2))
        ['flip']
    """
    names = ("resized_crop", "crop", "translate", "rotate", "flip", "randaugment", "cutout", "mixup", "cutmix")
    off = AugmentConfig()
    return [name for name in names if getattr(config, name) != getattr(off, name)]


def _check(config: AugmentConfig) -> None:
    if config.flip not in _FLIPS:
        raise ValueError(unknown("flip", config.flip, _FLIPS))
    for name, (least, most) in _LIMITS.items():
        value = getattr(config, name)
        if not is_traced(value) and not (least <= value <= most and math.isfinite(value)):
            raise ValueError(f"`{name}` (={value}) must be {_said(least, most)}")


def _said(least: float, most: float) -> str:
    return f"from {least} to {most}" if math.isfinite(most) else f"at least {least}, and finite"


def _alternate(key: Array, batch: Batch) -> Batch:
    if batch.numbers is None or batch.epoch is None:
        raise ValueError(
            "`flip` (='alternating') needs the numbers of the examples and the epoch: give `make_train_steps` "
            "`steps_per_epoch`, and an `order` or data with a third array"
        )
    return batch._replace(inputs=alternating_flip(batch.inputs, batch.numbers, batch.epoch))
