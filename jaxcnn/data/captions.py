"""Captions: canvases with two groups of things, and a sentence about each, such as "a boot above two shirts".

The lectures' example of what a CNN's features are for: a convolutional encoder, a recurrent decoder.
"""

from collections.abc import Callable, Sequence
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
"""Side of a canvas."""
COUNTS = {"train": 24000, "validation": 1000, "test": 2000}
NUMBERS = ("a", "two")
RELATIONS = ("above", "left of")
"""A sentence begins with the upper or the left group: each canvas has but one."""
STIR = 6
"""Pixels that a thing may lie off the middle of its place, at most: how groups lie to each other is never in doubt."""
LENGTH = 5
"""Words: number, thing, relation, number, thing."""
_DIGITS = tuple((digit, f"{digit}s") for digit in "0123456789")
_GARMENTS = (
    ("T-shirt", "T-shirts"), ("pair of trousers", "pairs of trousers"), ("pullover", "pullovers"),
    ("dress", "dresses"), ("coat", "coats"), ("sandal", "sandals"), ("shirt", "shirts"), ("sneaker", "sneakers"),
    ("bag", "bags"), ("boot", "boots"),
)  # fmt: skip
WORDS = {"digits": _DIGITS, "mnist": _DIGITS, "fashion_mnist": _GARMENTS}
"""Singular and plural of each class, by the set that things are from."""
HELD_OUT = 7
"""Pairs of classes whose sum this divides are in no sentence of training and validation, and in all of the test."""


def find(argument: str, config: DataConfig, load: Callable[[DataConfig], Dataset]) -> Source:
    """Find the set: its things are another named set's."""
    if argument not in WORDS:
        raise ValueError(f"`captions:{argument}`: expected one of {', '.join(f'captions:{name}' for name in WORDS)}")
    things = DataConfig(argument, directory=config.directory, validation=config.validation)
    return Source(at_once(partial(_build, argument, lambda: load(things))), [])


def vocabulary(name: str) -> tuple[str, ...]:
    """Return the words of captions: numbers, relations, things, several things.

    Args:
        name: Of the set that things are from.

    Returns:
        Words by their numbers.

    Example:
        >>> words = vocabulary("fashion_mnist")
        >>> len(words), words[:4], words[13], words[23]
        (24, ('a', 'two', 'above', 'left of'), 'boot', 'boots')
    """
    return (*NUMBERS, *RELATIONS, *(one for one, _ in WORDS[name]), *(several for _, several in WORDS[name]))


def sentence(words: Sequence[str], target: Sequence[int]) -> str:
    """Write a caption.

    Args:
        words: The vocabulary.
        target: Numbers of words.

    Returns:
        The words.

    Example:
        >>> sentence(vocabulary("fashion_mnist"), [0, 13, 2, 1, 20])
        'a boot above two shirts'
    """
    return " ".join(words[number] for number in target)


def held_out(first: int, second: int) -> bool:
    """Tell whether a pair of classes, in either order, is kept for the test.

    Args:
        first: Class of the things that the sentence begins with.
        second: Of the others.

    Returns:
        Whether no sentence of training has both.

    Example:
        >>> sum(held_out(a, b) for a in range(10) for b in range(10))
        12
    """
    return (first + second) % HELD_OUT == 0 and first != second


def _build(name: str, load: Callable[[], Dataset], folder: Path) -> Prepared:
    dataset = load()
    words, arrays = vocabulary(name), {}
    for stream, (split, things) in enumerate(dataset.splits.items()):
        captioned = make_captions(things, count=COUNTS[split], seed=stream, held=split == "test")
        arrays |= {f"{split}_{kind}": array for kind, array in zip(Split._fields, captioned, strict=True)}
    arrays["train_sums"] = channel_sums(arrays["train_inputs"])
    return Prepared(arrays, set_facts(words, scale=dataset.preprocessing.scale))


def make_captions(things: Split, *, count: int, seed: int, held: bool) -> Split:
    """Draw canvases of 64x64: one or two things of a class in the upper or left half, of another one in the other half.

    Args:
        things: Images of at most 28x28, of ten classes.
        count: Canvases.
        seed: Draws them.
        held: Of the pairs that `held_out` tells, or of all others.

    Returns:
        Canvases and the numbers of five words each, `(count, 5)`.

    Raises:
        ValueError: Things that are larger than that.

    Example:
        >>> from jaxcnn import data
        >>> captioned = make_captions(data.load("digits").train, count=3, seed=0, held=False)
        >>> captioned.inputs.shape, sentence(vocabulary("digits"), captioned.targets[0])
        ((3, 64, 64, 1), '...')
    """
    height, width, channels = things.inputs.shape[1:]
    half = SIZE // 2
    if max(height, width) > half - 4:
        raise ValueError(f"captions are of things of at most {half - 4}x{half - 4}; got {height}x{width}")
    draw = np.random.RandomState(seed)  # whose numbers NumPy guarantees for ever
    of_class = [np.flatnonzero(things.targets == label) for label in range(10)]
    pairs = [(a, b) for a in range(10) for b in range(10) if a != b and held_out(a, b) == held]
    inputs, targets = np.zeros((count, SIZE, SIZE, channels), np.uint8), np.zeros((count, LENGTH), np.int32)
    for canvas, target in zip(inputs, targets, strict=True):
        classes = pairs[draw.randint(len(pairs))]
        numbers, relation = draw.randint(1, 3, 2), draw.randint(len(RELATIONS))
        for which, (label, number) in enumerate(zip(classes, numbers, strict=True)):
            for middle in (half,) if number == 1 else (half // 2, half + half // 2):
                # Rows and columns change places where one group is left of the other.
                down, right = (half * which + half // 2, middle)[:: -1 if relation else 1]
                top = _near(draw, down - height // 2, SIZE - height)
                left = _near(draw, right - width // 2, SIZE - width)
                image = things.inputs[of_class[label][draw.randint(len(of_class[label]))]]
                canvas[top : top + height, left : left + width] = image
        first = len(NUMBERS) + len(RELATIONS)
        nouns = [first + label + 10 * (number - 1) for label, number in zip(classes, numbers, strict=True)]
        target[:] = numbers[0] - 1, nouns[0], len(NUMBERS) + relation, numbers[1] - 1, nouns[1]
    return Split(inputs, targets)


def _near(draw: np.random.RandomState, place: int, last: int) -> int:
    """Draw a place near another, within the quarter that things of the largest size have."""
    stir = min(STIR, (SIZE // 2 - (SIZE - last)) // 2)
    return place + draw.randint(-stir, stir + 1)
