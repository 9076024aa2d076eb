"""Detection by centres: the loss of a detector's maps, and the boxes in them.

A detector gives every cell of a grid a logit for each class ("a thing of it has its centre here"), where in the cell
the centre lies, and the logarithms of the box's height and width. Nothing in this depends on where the cell is, so what
the maps say moves with the image.

Reference: Zhou, Wang and Krähenbühl, Objects as Points, 2019.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float, Int

from jaxcnn.training.centres import centre_loss, draw_centres
from jaxcnn.training.things import Things, overlap, things_of

GEOMETRY = 4
"""Channels beside the classes: the centre's row and column within its cell, and the logarithms of height and width."""
LIKELY = 0.3
"""Least probability of a thing that counts as found."""


def detection_loss(
    outputs: Float[Array, "*batch rows columns channels"],
    targets: Int[Array, "*batch height width"],
    *,
    classes: int,
    most: int,
) -> Float[Array, ""]:
    """Return the focal loss of centres, which forgives cells near one, plus the absolute errors of boxes.

    The sum of `centre_loss`, with bumps a sixth as wide as boxes, and of the errors of the four numbers at centres,
    divided by the number of things.

    Args:
        outputs: `(*batch, rows, columns, classes + 4)`, of a grid whose cells are squares of pixels.
        targets: Maps of things, see `things_of`.
        classes: Number of classes.
        most: Things of an image.

    Returns:
        The mean for a thing.

    Raises:
        ValueError: Outputs of other channels, or of a grid that does not divide the map.

    Example:
        >>> targets = jnp.zeros((16, 16), int).at[4:12, 4:12].set(1)
        >>> right = jnp.full((4, 4, 5), -20.).at[2, 2].set(jnp.array([20., 0., 0., jnp.log(8.), jnp.log(8.)]))
        >>> round(float(detection_loss(right, targets, classes=1, most=1)), 4)
        0.0
        >>> float(detection_loss(0 * right, targets, classes=1, most=1)) > 1
        True
    """
    things, stride = things_of(targets, classes=classes, most=most), _stride(outputs, targets, classes)
    height, width = outputs.shape[-3:-1]
    first, last = jnp.split(things.boxes / stride, 2, axis=-1)
    centre, extent = (first + last) / 2, last - first
    cell = jnp.floor(centre)
    spread = jnp.maximum(extent / 6, 0.5)
    bump = draw_centres(things.there, things.label, cell, spread, sizes=(height, width), classes=classes)
    focal = centre_loss(outputs[..., :classes], bump)
    place = cell.astype(jnp.int32)
    flat = outputs[..., classes:].reshape(*outputs.shape[:-3], height * width, GEOMETRY)
    said = jnp.take_along_axis(flat, (place[..., 0] * width + place[..., 1])[..., None], -2)
    wanted = jnp.concatenate([centre - cell, jnp.log(jnp.maximum(extent * stride, 1.0))], -1)
    errors = jnp.abs(said - wanted).sum(-1).sum(where=things.there)
    return (errors + focal) / jnp.maximum(things.there.sum(), 1)


class Detections(NamedTuple):
    """The likeliest things of each image, the likeliest first.

    Example:
        >>> detections(jnp.zeros((2, 8, 8, 14)), stride=4, most=5).boxes.shape
        (2, 5, 4)
    """

    scores: Float[Array, "*batch most"]
    """Probabilities; 0 where there are no more."""
    label: Int[Array, "*batch most"]
    """Classes."""
    boxes: Float[Array, "*batch most 4"]
    """First row and column, and one past the last of both, in pixels."""


def detections(outputs: Float[Array, "*batch rows columns channels"], *, stride: int, most: int = 16) -> Detections:
    """Read boxes from a detector's maps: at cells that no neighbour exceeds, of each class.

    Args:
        outputs: `(*batch, rows, columns, classes + 4)`.
        stride: Pixels between two cells.
        most: Boxes of an image.

    Returns:
        Scores, classes and boxes.

    Example:
        >>> outputs = jnp.full((4, 4, 6), -9.).at[2, 3].set(jnp.array([-9., 9., 0., 0., jnp.log(8.), jnp.log(8.)]))
        >>> found = detections(outputs, stride=4, most=1)
        >>> int(found.label[0]), found.boxes[0].round(2).tolist()
        (1, [4.0, 8.0, 12.0, 16.0])
    """
    *batch, height, width, channels = outputs.shape
    logits, classes = outputs[..., :-GEOMETRY], channels - GEOMETRY
    ones = (1,) * len(batch)
    highest = lax.reduce_window(logits, -jnp.inf, lax.max, (*ones, 3, 3, 1), (*ones, 1, 1, 1), "SAME")
    peaks = jnp.where(logits == highest, logits, -jnp.inf)
    values, index = lax.top_k(peaks.reshape(*batch, -1), min(most, peaks.shape[-1] * height * width))
    cell, label = index // classes, index % classes
    flat = outputs[..., classes:].reshape(*batch, height * width, GEOMETRY)
    geometry = jnp.take_along_axis(flat, cell[..., None], -2)
    centre = (jnp.stack([cell // width, cell % width], -1) + geometry[..., :2]) * stride
    half = jnp.exp(geometry[..., 2:]) / 2
    return Detections(jax.nn.sigmoid(values), label, jnp.concatenate([centre - half, centre + half], -1))


def detection_f1(
    outputs: Float[Array, "*batch rows columns channels"],
    targets: Int[Array, "*batch height width"],
    *,
    classes: int,
    most: int,
) -> Float[Array, ""]:
    """Return the mean over images of `2 hits / (things found + things there)`.

    A thing is hit by a box of its class, of a probability above 0.3, that overlaps its own by half and more
    (intersection over union). A second box on it is one found too much.

    Args:
        outputs: See `detection_loss`.
        targets: See `detection_loss`.
        classes: Number of classes.
        most: Things of an image; twice as many may be found.

    Returns:
        A fraction, float32; 1 where nothing is there and nothing is found.

    Example:
        >>> targets = jnp.zeros((16, 16), int).at[4:12, 4:12].set(1)
        >>> float(detection_f1(jnp.full((4, 4, 5), -9.), targets, classes=1, most=1))
        0.0
    """
    things = things_of(targets, classes=classes, most=most)
    found = detections(outputs, stride=_stride(outputs, targets, classes), most=2 * most)
    likely = found.scores > LIKELY
    same = (found.label[..., None, :] == things.label[..., None]) & likely[..., None, :] & things.there[..., None]
    hits = (same & (overlap(things.boxes[..., None, :], found.boxes[..., None, :, :]) >= 0.5)).any(-1).sum(-1)
    there = likely.sum(-1) + things.there.sum(-1)
    return jnp.mean(jnp.where(there > 0, 2 * hits / jnp.maximum(there, 1), 1.0), dtype=jnp.float32)


def average_precision(found: Detections, things: Things, *, classes: int, least: float = 0.5) -> np.ndarray:
    """Measure each class's average precision: the area under its curve of precision over recall.

    A box is right where it overlaps a thing of its class that no likelier box has.

    Args:
        found: Of `detections`, of all images.
        things: The truth.
        classes: Number of classes.
        least: Smallest intersection over union.

    Returns:
        float64, `(classes,)`; NaN of a class without things.

    Example:
        >>> things = things_of(jnp.zeros((1, 16, 16), int).at[0, 4:12, 4:12].set(1), classes=2, most=1)
        >>> right = Detections(jnp.ones((1, 1)), jnp.zeros((1, 1), int), things.boxes)
        >>> average_precision(right, things, classes=2).tolist()
        [1.0, nan]

    Reference:
        Everingham et al., The PASCAL Visual Object Classes Challenge, 2010 (the area, without interpolation).
    """
    overlaps = np.asarray(overlap(found.boxes[:, :, None], things.boxes[:, None]))
    scores, said, label, there = (np.asarray(x) for x in (found.scores, found.label, things.label, things.there))
    precision = np.full(classes, np.nan)
    for of in range(classes):
        free = there & (label == of)
        total, hits = free.sum(), []
        candidates = np.argwhere((said == of) & (scores > 0))
        for image, box in candidates[np.argsort(-scores[tuple(candidates.T)], kind="stable")]:
            shared = overlaps[image, box] * free[image]
            best = shared.argmax()
            hits.append(shared[best] >= least)
            free[image, best] &= not hits[-1]
        if total:
            right = np.cumsum(hits)
            precision[of] = (right / np.arange(1, len(hits) + 1))[np.asarray(hits, bool)].sum() / total
    return precision


def _stride(outputs: Array, targets: Array, classes: int) -> int:
    """Return the pixels between two cells, after a look at shapes."""
    rows, columns, channels = outputs.shape[-3:]
    height, width = targets.shape[-2:]
    if channels != classes + GEOMETRY or outputs.shape[:-3] != targets.shape[:-2]:
        raise ValueError(
            f"`outputs` must be (*batch, rows, columns, {classes + GEOMETRY}), {classes} classes and {GEOMETRY} "
            f"numbers of boxes, for `targets` {targets.shape}; got {outputs.shape}"
        )
    stride = height // rows
    if (rows * stride, columns * stride) != (height, width):
        raise ValueError(f"a grid of {rows}x{columns} cells does not divide maps of {height}x{width} into squares")
    return stride
