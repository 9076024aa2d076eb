"""What a classifier says of images: confusions, confident mistakes, and one image layer by layer."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxcnn import explain
from jaxcnn.functional import FILTERS, apply_filter
from jaxcnn.report.page import Tab, fragment
from jaxcnn.report.pictures import Picture, heat, picture, sheet

MISTAKES = 12
CHANNELS = 16
"""Maps of a layer that are drawn."""
SIDE = 64
"""Pixels of a map's side at most; of larger ones each n-th position is drawn."""
MOST_CLASSES = 50
"""Classes of which the confusions are written as a matrix; of more, the pairs."""

Logits = Callable[[jax.Array], jax.Array]


class Shown(NamedTuple):
    """Images as a page shows them, and as a network takes them.

    Example:
        >>> x = np.zeros((2, 4, 4, 1), np.float32)
        >>> Shown(x, x, np.array([0, 1])).pictures.shape
        (2, 4, 4, 1)
    """

    prepared: np.ndarray
    """`(images, height, width, channels)`."""
    pictures: np.ndarray
    """The same from 0 to 1."""
    targets: np.ndarray
    """Their classes."""


class Guess(NamedTuple):
    """An image and what it was taken for.

    Example:
        >>> Guess(Picture("data:,", "", 1, 1), None, "cat", "dog", 0.9).said
        'dog'
    """

    image: Picture
    heat: Picture | None
    is_: str
    said: str
    probability: float


def predictions(
    logits: Logits,
    outputs: np.ndarray,
    targets: np.ndarray,
    shown: Callable[[np.ndarray], Shown],
    classes: Sequence[str],
    split: str,
) -> Tab:
    """Draw which classes are confused, and the mistakes that the network was surest of, with Grad-CAM.

    Args:
        logits: The network, `(images, ...)` to `(images, classes)`.
        outputs: Its logits for all images.
        targets: Their classes.
        shown: Gives images by their numbers; asked for the mistakes that are drawn alone.
        classes: Names.
        split: What the images are of.

    Returns:
        The tab.

    Example:
        >>> x = np.eye(4, dtype=np.float32).reshape(1, 4, 4, 1)
        >>> tab = predictions(lambda x: x.sum((1,)).reshape(-1, 4)[:, :2], np.array([[2.0, 0.0]]), np.array([1]),
        ...     lambda numbers: Shown(x, x, np.array([1])), ("cat", "dog"), "test set")
        >>> "taken for cat" in tab.content
        True
    """
    outputs = np.asarray(outputs, np.float64)
    exp = np.exp(outputs - outputs.max(-1, keepdims=True))
    shares = exp / exp.sum(-1, keepdims=True)
    said = outputs.argmax(-1)
    matrix = np.zeros((len(classes), len(classes)), int)
    np.add.at(matrix, (targets, said), 1)
    wrong = np.flatnonzero(said != targets)
    surest = wrong[np.argsort(-shares[wrong, said[wrong]], kind="stable")][:MISTAKES]
    guesses = []
    if len(surest):
        mistakes = shown(surest)
        heats = _heats(logits, mistakes.prepared, said[surest])
        for number, image, warm in zip(surest, mistakes.pictures, heats, strict=True):
            is_, taken = classes[int(targets[number])], classes[int(said[number])]
            guesses.append(
                Guess(
                    picture(image, f"image {number} of the {split}: {is_}, taken for {taken}"),
                    None if warm is None
                    else heat(image, warm, f"Grad-CAM: where image {number} looks like {taken}"),
                    is_, taken, float(shares[number, said[number]]),
                )
            )  # fmt: skip
    pairs = [(int(matrix[i, j]), classes[i], classes[j]) for i, j in zip(*np.nonzero(matrix), strict=True) if i != j]
    content = fragment(
        "predictions.html", classes=classes, matrix=matrix.tolist() if len(classes) <= MOST_CLASSES else None,
        pairs=sorted(pairs, reverse=True)[:MISTAKES], guesses=guesses, split=split, images=len(said), wrong=len(wrong),
    )  # fmt: skip
    return Tab("predictions", "Predictions", content)


def _heats(logits: Logits, prepared: np.ndarray | jax.Array, said: np.ndarray) -> Sequence[np.ndarray | None]:
    x = jax.numpy.asarray(prepared)
    shapes = explain.layers(logits, x).values()
    if not any(len(shape) == x.ndim and shape[1] * shape[2] > 1 for shape in shapes):  # a linear network, an MLP
        return [None] * len(said)
    return list(np.asarray(explain.grad_cam(logits, x, target=said)))


def layers(logits: Logits, shown: Shown, classes: Sequence[str]) -> Tab:
    """Draw what each layer makes of one image, down to the probabilities of the classes.

    Args:
        logits: The network.
        shown: One image.
        classes: Names.

    Returns:
        The tab.

    Example:
        >>> x = np.eye(4, dtype=np.float32).reshape(1, 4, 4, 1)
        >>> tab = layers(lambda x: jax.nn.relu(x).sum((1, 2)), Shown(x, x, np.array([0])), ("all",))
        >>> "relu1" in tab.content
        True
    """
    x = jax.numpy.asarray(shown.prepared[:1])
    maps = {name: np.asarray(found, np.float32) for name, found in explain.feature_maps(logits, x).items()}
    rows = []
    for name, found in maps.items():
        if found.ndim != 4 or found.shape[0] != 1 or found.shape[1] * found.shape[2] == 1:
            rows.append((name, found.shape[1:], None, ""))
            continue
        step = -(-max(found.shape[1:3]) // SIDE)
        channels = found[0, ::step, ::step, :CHANNELS].transpose(2, 0, 1)
        alt = f"{len(channels)} of {found.shape[-1]} channels of {name}, {found.shape[1]}x{found.shape[2]}"
        rows.append((name, found.shape[1:], sheet(channels, alt), alt))
    outputs = np.asarray(logits(x), np.float64)[0]
    shares = np.exp(outputs - outputs.max())
    shares /= shares.sum()
    order = np.argsort(-shares, kind="stable")[:5]
    said, warm = classes[order[0]], _heats(logits, x, order[:1])[0]
    content = fragment(
        "layers.html",
        image=picture(shown.pictures[0], f"the image, of class {classes[shown.targets[0]]}"),
        heat=None if warm is None else heat(shown.pictures[0], warm, f"Grad-CAM: where it looks like {said}"),
        is_=classes[shown.targets[0]], rows=rows, top=[(classes[at], float(shares[at])) for at in order],
    )  # fmt: skip
    return Tab("layers", "Layers of an image", content)


def filters(kernel: np.ndarray | None, name: str, image: np.ndarray) -> Tab:
    """Draw a convolution's filters, and what the classic image kernels make of an image.

    Args:
        kernel: `(height, width, channels, filters)`; None where the network has none.
        name: Of its layer.
        image: `(height, width, 1 or 3)` from 0 to 1.

    Returns:
        The tab.

    Example:
        >>> tab = filters(np.ones((3, 3, 1, 2)), "conv1", np.eye(8)[..., None])
        >>> "sharpen" in tab.content, "2 filters of conv1" in tab.content
        (True, True)
    """
    drawn = None
    if kernel is not None:
        images = explain.filter_images(kernel)[:256]
        height, width, channels, count = kernel.shape
        drawn = sheet(
            images,
            f"{count} filters of {name}, {height}x{width} on {channels} channel{'s' * (channels > 1)}",
            columns=16,
        )
    x = jax.numpy.asarray(image, "float32")
    classic: list[tuple[str, list[list[str]], Picture]] = []
    for called, weights in FILTERS.items():
        found = np.asarray(apply_filter(x, called))
        if called in ("edge4", "edge8", "sobel_x", "sobel_y"):  # signed: 0 is the middle grey
            found = 0.5 + found / (2 * (np.abs(found).max() or 1.0))
        numbers = [[f"{weight:.3g}" for weight in row] for row in weights]
        classic.append((called, numbers, picture(found, f"the image after {called}")))
    content = fragment("filters.html", drawn=drawn, classic=classic, image=picture(image, "the image"))
    return Tab("filters", "Filters", content)
