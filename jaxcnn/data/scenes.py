"""Scenes: images of single things placed at random on a larger canvas, with a map of which pixel is of which thing."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from jaxcnn.config import DataConfig
from jaxcnn.data.arrange import set_facts
from jaxcnn.data.cache import Prepared
from jaxcnn.data.dataset import Dataset, Split
from jaxcnn.data.preprocessing import channel_sums
from jaxcnn.data.source import Source, at_once

SIZE = 64
"""Side of a canvas, where the name gives none."""
COUNTS = {"train": 4000, "validation": 500, "test": 1000}
"""Scenes of 64x64; of larger canvases as many fewer as they have more pixels, and at least 50."""
TRIES = 30
"""Places that are tried for a thing before it is left out."""


def find(argument: str, config: DataConfig, load: Callable[[DataConfig], Dataset]) -> Source:
    """Find the set: its things are another named set's."""
    name, _, size = argument.partition(":")
    if not name or name in ("scenes", "folder", "npz", "tfds"):
        raise ValueError(f"`scenes:{argument}`: expected scenes:NAME or scenes:NAME:SIZE, such as scenes:digits:256")
    if size and not (size.isascii() and size.isdigit() and int(size)):
        raise ValueError(f"`scenes:{argument}`: {size!r} is no side of a canvas in pixels; expected such as 256")
    things = DataConfig(name, directory=config.directory, validation=config.validation)
    return Source(at_once(partial(_build, lambda: load(things), int(size or SIZE))), [])


def _build(load: Callable[[], Dataset], size: int, folder: Path) -> Prepared:
    """Place the things of each split of the other set: no scene of one split shows a thing of another."""
    dataset = load()
    classes = dataset.classes
    side = max(dataset.input_shape[:2])
    # In a canvas of 64 pixels up to 8 digits of 8 pixels, or 4 garments of 28; in others as many on the same area.
    most = max(1, round((8 if side <= 16 else 4) * (size / SIZE) ** 2))
    arrays = {}
    for stream, (name, split) in enumerate(dataset.splits.items()):
        count = max(50, round(COUNTS[name] * min(1.0, (SIZE / size) ** 2)))
        scenes = make_scenes(split, classes=len(classes), count=count, size=size, most=most, seed=stream)
        arrays |= {f"{name}_{kind}": array for kind, array in zip(Split._fields, scenes, strict=True)}
    arrays["train_sums"] = channel_sums(arrays["train_inputs"])
    facts = set_facts(classes, scale=dataset.preprocessing.scale, things=True)
    return Prepared(arrays, facts)


def make_scenes(
    things: Split, *, classes: int, count: int, size: int, seed: int, least: int = 1, most: int = 4, room: int = 1
) -> Split:
    """Place things at random, none within `room` pixels of another.

    Args:
        things: Images on a ground of 0, uint8, and their classes.
        classes: Number of classes.
        count: Scenes.
        size: Side of a canvas.
        seed: Draws which things and where.
        least: Fewest things that are tried in a scene.
        most: Most things.
        room: Pixels of ground between two images.

    Returns:
        Canvases `(count, size, size, channels)` and maps int32 `(count, size, size)`: 0 is ground, and
        `1 + class + classes * i` a pixel that the scene's thing i, from 0, has drawn on. Each scene has a thing.

    Raises:
        ValueError: Things that are larger than the canvas, or numbers out of range.

    Example:
        >>> from jaxcnn import data
        >>> scenes = make_scenes(data.load("digits").train, classes=10, count=2, size=32, seed=1, least=2, most=2)
        >>> scenes.inputs.shape, scenes.targets.shape, (scenes.targets.max((1, 2)) > 10).all()
        ((2, 32, 32, 1), (2, 32, 32), np.True_)
    """
    height, width, channels = things.inputs.shape[1:]
    if max(height, width) > size:
        raise ValueError(f"`size` (={size}) must hold the things, which are {height}x{width}")
    if not 1 <= least <= most or count < 1:
        raise ValueError(
            f"`least` (={least}), `most` (={most}), `count` (={count}): expected 1 <= least <= most, count >= 1"
        )
    draw = np.random.RandomState(seed)  # whose numbers NumPy guarantees for ever
    inputs, targets = np.zeros((count, size, size, channels), np.uint8), np.zeros((count, size, size), np.int32)
    for canvas, target in zip(inputs, targets, strict=True):
        taken, placed = np.zeros((size, size), bool), 0
        for _ in range(draw.randint(least, most + 1)):
            chosen = draw.randint(len(things.inputs))
            for _ in range(TRIES):
                top, left = draw.randint(size - height + 1), draw.randint(size - width + 1)
                near = taken[max(top - room, 0) : top + height + room, max(left - room, 0) : left + width + room]
                if not near.any():
                    break
            else:
                continue
            here = np.s_[top : top + height, left : left + width]
            taken[here], canvas[here] = True, things.inputs[chosen]
            target[here][(canvas[here] > 0).any(-1)] = 1 + int(things.targets[chosen]) + classes * placed
            placed += 1
    return Split(inputs, targets)
