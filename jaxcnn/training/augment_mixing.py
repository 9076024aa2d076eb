"""Random changes that mix examples, and their labels alike; and cutout, which mixes with nothing."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int, Num

from jaxcnn.functional.traced import is_traced
from jaxcnn.training.augment_pixels import check_images, in_floats, stored_as
from jaxcnn.training.batch import Batch


def random_cutout(
    key: Array, images: Num[Array, "batch height width channels"], *, side: int | Array
) -> Num[Array, "batch height width channels"]:
    """Put a square of zeros on each image, the zeros of the raw image.

    Its centre is uniform among all pixels, so that a part of the square may lie outside.

    Args:
        key: Random key.
        images: `(batch, height, width, channels)`.
        side: In pixels, at most the height and the width.

    Returns:
        Images of the same shape and dtype.

    Raises:
        ValueError: Images of another rank, or a side out of range.

    Example:
        >>> import jax
        >>> random_cutout(jax.random.key(0), jnp.ones((1, 4, 4, 1)), side=2).squeeze().tolist()
        [[0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]

    Reference:
        DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017.
    """
    check_images(images)
    batch, height, width, _ = images.shape
    if not is_traced(side) and not 0 <= side <= min(height, width):
        raise ValueError(f"`side` (={side}) must be from 0 to the size of the {height}x{width} images")
    inside = rectangles(_centres(key, images), jnp.full((batch, 2), side), (height, width))
    return jnp.where(inside[..., None], jnp.zeros((), images.dtype), images)


def random_mixup(key: Array, batch: Batch, *, alpha: float | Array, classes: int | None = None) -> Batch:
    """Mix each example, inputs and targets, with the next of the batch: share (own) + (1 - share) (next).

    Args:
        key: Random key.
        batch: Inputs of any shape. Its order is random, as that of an epoch is.
        alpha: Every share is drawn from Beta(alpha, alpha), alpha above 0.
        classes: Number of classes, where targets are labels.

    Returns:
        The batch, inputs in their dtype; labels become each class' share, see `as_shares`.

    Raises:
        ValueError: An `alpha` out of range, or as `as_shares`.

    Example:
        >>> import jax
        >>> batch = Batch(jnp.array([[0.0], [100.0]]), jnp.array([0, 1]))
        >>> mixed = random_mixup(jax.random.key(0), batch, alpha=1.0, classes=2)
        >>> jnp.allclose(mixed.targets[:, 1] * 100, mixed.inputs[:, 0]).item()
        True

    Reference:
        Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018.
    """
    return mixup(batch, _shares(key, batch, alpha), classes=classes)


def mixup(batch: Batch, share: Float[Array, " batch"], *, classes: int | None = None) -> Batch:
    """Mix each example with the next of the batch, the last with the first.

    Args:
        batch: Inputs of any shape.
        share: How much of each its own is.
        classes: Number of classes, where targets are labels.

    Returns:
        The batch, see `random_mixup`.

    Example:
        >>> batch = Batch(jnp.array([[0.0], [100.0]]), jnp.array([0, 1]))
        >>> mixup(batch, jnp.array([0.75, 1.0]), classes=2).inputs.tolist()
        [[25.0], [100.0]]
    """
    inputs = stored_as(batch.inputs, _mixed(in_floats(batch.inputs), share))
    return batch._replace(inputs=inputs, targets=_mixed(as_shares(batch.targets, classes), share))


def random_cutmix(key: Array, batch: Batch, *, alpha: float | Array, classes: int | None = None) -> Batch:
    """Paste on each image the same rectangle of the next one, and mix the targets by the areas.

    The rectangle is as wide and high as sqrt(1 - share) of the image, share from Beta(alpha, alpha), rounded down to an
    even number of pixels as the authors do, about a uniform pixel; of what lies outside nothing is pasted, nor counted.

    Args:
        key: Random key.
        batch: Images `(batch, height, width, channels)`. Its order is random, as that of an epoch is.
        alpha: Above 0.
        classes: Number of classes, where targets are labels.

    Returns:
        The batch, images in their dtype; labels become each class' share, see `as_shares`.

    Raises:
        ValueError: Images of another rank, an `alpha` out of range, or as `as_shares`.

    Example:
        >>> import jax
        >>> batch = Batch(jnp.stack([jnp.zeros((4, 4, 1)), jnp.ones((4, 4, 1))]), jnp.array([0, 1]))
        >>> mixed = random_cutmix(jax.random.key(1), batch, alpha=1.0, classes=2)
        >>> jnp.array_equal(mixed.targets[:, 1], mixed.inputs.mean((1, 2, 3))).item()
        True

    Reference:
        Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers, 2019.
    """
    check_images(batch.inputs)
    size = jnp.array(batch.inputs.shape[1:3])
    area_key, place_key = jax.random.split(key)
    ratio = jnp.sqrt(1 - _shares(area_key, batch, alpha))
    sides = (size * ratio[:, None]).astype(jnp.int32) // 2 * 2
    return cutmix(batch, _centres(place_key, batch.inputs), sides, classes=classes)


def cutmix(
    batch: Batch, centres: Int[Array, "batch 2"], sides: Int[Array, "batch 2"], *, classes: int | None = None
) -> Batch:
    """Paste on each image a rectangle of the next one, on the last of the first.

    Args:
        batch: Images `(batch, height, width, channels)`.
        centres: Row and column of each rectangle, see `rectangles`.
        sides: Height and width of each.
        classes: Number of classes, where targets are labels.

    Returns:
        The batch, see `random_cutmix`.

    Example:
        >>> batch = Batch(jnp.arange(2.0).reshape(2, 1, 1, 1) + jnp.zeros((1, 2, 4, 1)), jnp.array([0, 1]))
        >>> mixed = cutmix(batch, jnp.array([[1, 0], [1, 2]]), jnp.array([[2, 2], [0, 0]]), classes=2)
        >>> mixed.inputs[0].squeeze().tolist(), mixed.targets.tolist()
        ([[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]], [[0.75, 0.25], [0.0, 1.0]])
    """
    inside = rectangles(centres, sides, batch.inputs.shape[1:3])
    inputs = jnp.where(inside[..., None], jnp.roll(batch.inputs, -1, axis=0), batch.inputs)
    return batch._replace(inputs=inputs, targets=_mixed(as_shares(batch.targets, classes), 1 - inside.mean((1, 2))))


def rectangles(
    centres: Int[Array, "batch 2"], sides: Int[Array, "batch 2"], size: tuple[int, int]
) -> Bool[Array, "batch height width"]:
    """Tell which pixels lie in a rectangle, whose parts outside of the image are cut off.

    Args:
        centres: Row and column of each, from which it reaches half its sides (rounded down) up and to the left.
        sides: Height and width of each.
        size: Height and width of the images.

    Returns:
        True inside.

    Example:
        >>> rectangles(jnp.array([[0, 2]]), jnp.array([[2, 3]]), (2, 4)).astype(int).tolist()
        [[[0, 1, 1, 1], [0, 0, 0, 0]]]
    """
    first = centres - sides // 2
    within = []
    for axis, length in enumerate(size):
        at = jnp.arange(length)
        within.append((at >= first[:, axis, None]) & (at < (first + sides)[:, axis, None]))
    return within[0][:, :, None] & within[1][:, None]


def as_shares(targets: Num[Array, "*batch_and_shape"], classes: int | None) -> Float[Array, "*batch_and_shape"]:
    """Return targets as floats that can be mixed: of labels, `(batch,)` integers, each class' share.

    Args:
        targets: Labels; or floats, or `(batch, labels)` of integers, as they are.
        classes: Number of classes, where targets are labels.

    Returns:
        `(batch, classes)` for labels, else the targets' shape.

    Raises:
        ValueError: Labels without a number of classes, or a label for every pixel.

    Example:
        >>> as_shares(jnp.array([1, 0]), 3).tolist()
        [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    if jnp.issubdtype(targets.dtype, jnp.inexact):
        return targets
    if targets.ndim > 2:
        raise ValueError(f"integer targets of shape {targets.shape} cannot be mixed: expected (batch,) or floats")
    if targets.ndim == 2:
        return targets.astype(jnp.float32)
    if classes is None:
        raise ValueError("`classes` must be given to mix labels: how many there are")
    return jax.nn.one_hot(targets, classes, dtype=jnp.float32)


def _shares(key: Array, batch: Batch, alpha: float | Array) -> Array:
    if not is_traced(alpha) and not 0 < alpha < float("inf"):
        raise ValueError(f"`alpha` (={alpha}) must be above 0, and finite")
    return jax.random.beta(key, alpha, alpha, (len(batch.inputs),))


def _mixed(values: Array, share: Array) -> Array:
    share = jnp.expand_dims(share.astype(values.dtype), range(1, values.ndim))
    return share * values + (1 - share) * jnp.roll(values, -1, axis=0)


def _centres(key: Array, images: Array) -> Array:
    return jax.random.randint(key, (len(images), 2), 0, jnp.array(images.shape[1:3]))
