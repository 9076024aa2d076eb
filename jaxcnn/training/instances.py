"""Instance segmentation by votes: the loss of a segmenter's maps, and the things in them.

For every pixel a segmenter gives logits of the classes and of the ground, a logit that a thing's centre is here, and
how far away the centre of the pixel's own thing lies. A pixel belongs to the centre that is nearest to where it points.

Reference: Cheng et al., Panoptic-DeepLab, 2020 (the votes); Kirillov et al., Panoptic Segmentation, 2019 (the quality).
"""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int

from jaxcnn.training.centres import centre_loss, draw_centres
from jaxcnn.training.things import things_of

VOTES = 4
"""Channels beside the classes: the ground, the centre, and the rows and columns to the centre in units of REACH."""
REACH = 8.0
"""Pixels: votes are numbers of the size of logits."""
LIKELY = 0.3
"""Least probability of a centre."""


def instance_loss(
    outputs: Float[Array, "*batch height width channels"],
    targets: Int[Array, "*batch height width"],
    *,
    classes: int,
    most: int,
) -> Float[Array, ""]:
    """Return the cross-entropy of pixels, the focal loss of centres, and the absolute error of votes.

    A centre's bump is an eighth as wide as its box, and a pixel at least.

    Args:
        outputs: `(*batch, height, width, classes + 4)`.
        targets: Maps of things, see `things_of`.
        classes: Number of classes.
        most: Things of an image.

    Returns:
        The sum of four means: over pixels of things and over those of the ground, which are many more, a tenth of that
        over things (see `centre_loss`), and of votes over pixels of things.

    Raises:
        ValueError: Outputs of another shape.

    Example:
        >>> targets = jnp.zeros((8, 8), int).at[2:5, 2:5].set(1)
        >>> float(instance_loss(jnp.zeros((8, 8, 5)), targets, classes=1, most=1)) > 1
        True
    """
    if outputs.shape != (*targets.shape, classes + VOTES):
        raise ValueError(f"`outputs` must be of shape {(*targets.shape, classes + VOTES)}; got {outputs.shape}")
    things = things_of(targets, classes=classes, most=most)
    kind, centre, votes = _parts(outputs, classes)
    middle, spread = _middle(things.boxes), jnp.maximum((things.boxes[..., 2:] - things.boxes[..., :2]) / 8, 1.0)
    every = jnp.zeros_like(things.label)
    bump = draw_centres(
        things.there, every, jnp.floor(middle), spread, sizes=(targets.shape[-2], targets.shape[-1]), classes=1
    )
    centres = centre_loss(centre[..., None], bump) / jnp.maximum(things.there.sum(), 1)
    on = things.which >= 0
    kinds = -jnp.take_along_axis(jax.nn.log_softmax(kind), things.labels[..., None], -1)[..., 0]
    pixels = sum(kinds.sum(where=part) / jnp.maximum(part.sum(), 1) for part in (on, ~on))
    flat = jnp.maximum(things.which, 0).reshape(*targets.shape[:-2], -1, 1)
    own = jnp.take_along_axis(middle, flat, -2).reshape(*targets.shape, 2)
    errors = jnp.abs(votes - (own - _positions(targets.shape[-2:])) / REACH).sum(-1)
    return pixels + 0.1 * centres + errors.sum(where=on) / jnp.maximum(on.sum(), 1)


def find_instances(
    outputs: Float[Array, "*batch height width channels"], *, most: int = 16
) -> tuple[Int[Array, "*batch height width"], Int[Array, "*batch most"]]:
    """Read things from a segmenter's maps.

    Args:
        outputs: `(*batch, height, width, classes + 4)`.
        most: Things of an image.

    Returns:
        Which thing each pixel belongs to, from 0, -1 on the ground; and each thing's class, that of most of its pixels,
        -1 where there is none.

    Example:
        >>> outputs = jnp.zeros((8, 8, 5)).at[..., 1].set(2.).at[..., 2].set(-9.)
        >>> outputs = outputs.at[2:5, 2:5, 0].set(9.).at[3, 3, 2].set(9.)
        >>> index, label = find_instances(outputs, most=2)
        >>> index[3].tolist(), label.tolist()
        ([-1, -1, 0, 0, 0, -1, -1, -1], [0, -1])
    """
    *batch, height, width, channels = outputs.shape
    classes = channels - VOTES
    kind, centre, votes = _parts(outputs, classes)
    ones = (1,) * len(batch)
    highest = lax.reduce_window(centre, -jnp.inf, lax.max, (*ones, 5, 5), (*ones, 1, 1), "SAME")
    scores, where = lax.top_k(
        jnp.where(centre == highest, centre, -jnp.inf).reshape(*batch, -1), min(most, height * width)
    )
    there = jax.nn.sigmoid(scores) > LIKELY
    places = jnp.stack([where // width, where % width], -1).astype(outputs.dtype)
    pointed = _positions((height, width)) + REACH * votes

    def nearer(best: tuple[Array, Array], thing: tuple[Array, ...]) -> tuple[tuple[Array, Array], None]:
        number, place, is_there = thing
        distance = jnp.square(pointed - place[..., None, None, :]).sum(-1)
        better = is_there[..., None, None] & (distance < best[0])
        return (jnp.where(better, distance, best[0]), jnp.where(better, number, best[1])), None

    axis = len(batch)
    begin = jnp.full(centre.shape, jnp.inf, outputs.dtype), jnp.full(centre.shape, -1)
    each = jnp.arange(there.shape[-1]), jnp.moveaxis(places, axis, 0), jnp.moveaxis(there, axis, 0)
    (_, nearest), _ = lax.scan(nearer, begin, each)
    said = kind.argmax(-1)
    index = jnp.where(said < classes, nearest, -1)
    counts = _pairs(index + 1, jnp.minimum(said, classes - 1), most + 1, classes)[..., 1:, :]
    return index, jnp.where(counts.sum(-1) > 0, counts.argmax(-1), -1)


def panoptic_quality(
    outputs: Float[Array, "*batch height width channels"],
    targets: Int[Array, "*batch height width"],
    *,
    classes: int,
    most: int,
) -> Float[Array, ""]:
    """Return the mean over images of the panoptic quality of their things.

    A thing found and one that is there match where they are of one class and their pixels' intersection is more than
    half of their union. The quality is the sum of these shares over the matches, divided by the mean of the numbers
    found and there.

    Args:
        outputs: See `instance_loss`.
        targets: See `instance_loss`.
        classes: Number of classes.
        most: Things of an image; twice as many may be found.

    Returns:
        A fraction, float32; 1 where nothing is there and nothing is found.

    Example:
        >>> targets = jnp.zeros((8, 8), int).at[2:5, 2:5].set(1)
        >>> outputs = jnp.zeros((8, 8, 5)).at[..., 1].set(2.).at[..., 2].set(-9.)
        >>> outputs = outputs.at[2:5, 2:5, 0].set(9.).at[3, 3, 2].set(9.)
        >>> float(panoptic_quality(outputs, targets, classes=1, most=1))
        1.0
    """
    things = things_of(targets, classes=classes, most=most)
    index, label = find_instances(outputs, most=2 * most)
    # A row for what is ground on either side: its pixels count in no match, but in a thing's own size.
    shared = _pairs(index + 1, things.which + 1, 2 * most + 1, most + 1)
    union = shared.sum(-1, keepdims=True) + shared.sum(-2, keepdims=True) - shared
    share = (shared / jnp.maximum(union, 1))[..., 1:, 1:]
    found = label >= 0
    alike = (label[..., :, None] == things.label[..., None, :]) & found[..., :, None] & things.there[..., None, :]
    matched = jnp.where(alike & (share > 0.5), share, 0).sum((-2, -1))
    total = found.sum(-1) + things.there.sum(-1)
    return jnp.mean(jnp.where(total > 0, 2 * matched / jnp.maximum(total, 1), 1.0), dtype=jnp.float32)


def _parts(outputs: Array, classes: int) -> tuple[Array, Array, Array]:
    return outputs[..., : classes + 1], outputs[..., classes + 1], outputs[..., classes + 2 :]


def _middle(boxes: Array) -> Array:
    """Return the middle of boxes, where a pixel's position is that of its own middle."""
    return (boxes[..., :2] + boxes[..., 2:] - 1) / 2


def _positions(shape: tuple[int, ...]) -> Array:
    return jnp.stack(jnp.meshgrid(*map(jnp.arange, shape), indexing="ij"), -1).astype(jnp.float32)


def _pairs(one: Array, other: Array, ones: int, others: int) -> Array:
    """Count the pixels of each pair of numbers."""
    batch = one.shape[:-2]
    flat = (one * others + other).reshape(-1, one.shape[-2] * one.shape[-1])
    counts = jax.vmap(lambda pixels: jnp.zeros(ones * others, jnp.int32).at[pixels].add(1))(flat)
    return counts.reshape(*batch, ones, others)
