"""Random changes of images: pure in (key, images), one draw an image, dtype kept."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Num

from jaxcnn.config import AugmentConfig

Augment = Callable[[Array, Array], Array]
"""`augment(key, images) -> images`, on raw images."""


def random_flip(
    key: Array, images: Num[Array, "batch height width channels"]
) -> Num[Array, "batch height width channels"]:
    """Mirror each image left to right with probability 1/2.

    Args:
        key: Random key.
        images: `(batch, height, width, channels)`.

    Returns:
        Images of the same shape and dtype.

    Raises:
        ValueError: Images of another rank.

    Example:
        >>> import jax
        >>> images = jax.numpy.arange(6).reshape(2, 1, 3, 1)
        >>> random_flip(jax.random.key(1), images).squeeze((1, 3)).tolist()
        [[2, 1, 0], [3, 4, 5]]
    """
    _check(images, 0)
    batch, height, width, _ = images.shape
    mirrored = jax.random.bernoulli(key, shape=(batch, 1))
    columns = jnp.where(mirrored, jnp.arange(width)[::-1], jnp.arange(width))
    return _gather(images, jnp.arange(height)[None], columns)


def random_crop(
    key: Array, images: Num[Array, "batch height width channels"], *, pixels: int
) -> Num[Array, "batch height width channels"]:
    """Pad each image by reflection and crop it to its size at random.

    The reflection does not repeat the border pixel. Each of the (2 pixels + 1)^2 crops is equally likely.

    Args:
        key: Random key.
        images: `(batch, height, width, channels)`.
        pixels: Padding on each side, below the height and the width.

    Returns:
        Images of the same shape and dtype.

    Raises:
        ValueError: Images of another rank, or `pixels` negative or not below the size.

    Example:
        >>> import jax
        >>> images = jax.numpy.arange(4).reshape(1, 1, 4, 1).repeat(4, axis=1)
        >>> random_crop(jax.random.key(0), images, pixels=1)[0, 0, :, 0].tolist()
        [1, 0, 1, 2]
    """
    rows, columns = _moved(key, images, pixels)
    return _gather(images, _reflected(rows, images.shape[1]), _reflected(columns, images.shape[2]))


def random_translate(
    key: Array, images: Num[Array, "batch height width channels"], *, pixels: int
) -> Num[Array, "batch height width channels"]:
    """Shift each image at random, zeros moving in: the zeros of the raw image, before any normalisation.

    Each of the (2 pixels + 1)^2 shifts is equally likely.

    Args:
        key: Random key.
        images: `(batch, height, width, channels)`.
        pixels: Largest shift along an axis, below the height and the width.

    Returns:
        Images of the same shape and dtype.

    Raises:
        ValueError: Images of another rank, or `pixels` negative or not below the size.

    Example:
        >>> import jax
        >>> images = jax.numpy.arange(1, 5).reshape(1, 1, 4, 1).repeat(4, axis=1)
        >>> random_translate(jax.random.key(0), images, pixels=1)[0, 1, :, 0].tolist()
        [0, 1, 2, 3]
    """
    rows, columns = _moved(key, images, pixels)
    _, height, width, _ = images.shape
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    return jnp.where(inside[..., None], _gather(images, rows, columns), jnp.zeros((), images.dtype))


def make_augment(config: AugmentConfig) -> Augment | None:
    """Build the augmentation that a config asks for: crop, then translation, then flip.

    Args:
        config: Which changes, and by how much.

    Returns:
        `augment(key, images) -> images`, or None where the config asks for nothing.

    Raises:
        ValueError: A negative number of pixels.

    Example:
        >>> import jax
        >>> from jaxcnn.config import AugmentConfig
        >>> augment = make_augment(AugmentConfig(flip=True, crop=2))
        >>> augment(jax.random.key(0), jax.numpy.zeros((5, 8, 8, 3), "uint8")).dtype.name
        'uint8'
    """
    for name in ("crop", "translate"):
        if getattr(config, name) < 0:
            raise ValueError(f"`{name}` (={getattr(config, name)}) must not be negative")
    changes: list[Augment] = []
    if config.crop:
        changes.append(lambda key, images: random_crop(key, images, pixels=config.crop))
    if config.translate:
        changes.append(lambda key, images: random_translate(key, images, pixels=config.translate))
    if config.flip:
        changes.append(random_flip)
    if not changes:
        return None

    def augment(key: Array, images: Array) -> Array:
        for change, change_key in zip(changes, jax.random.split(key, len(changes)), strict=True):
            images = change(change_key, images)
        return images

    return augment


def _moved(key: Array, images: Array, pixels: int) -> tuple[Array, Array]:
    """Draw, for every image, the rows and the columns it is read from; some lie outside of it."""
    _check(images, pixels)
    batch, height, width, _ = images.shape
    offset = jax.random.randint(key, (2, batch, 1), -pixels, pixels + 1)
    return offset[0] + jnp.arange(height), offset[1] + jnp.arange(width)


def _reflected(index: Array, size: int) -> Array:
    return (size - 1) - jnp.abs(size - 1 - jnp.abs(index))


def _gather(images: Array, rows: Array, columns: Array) -> Array:
    # On a CPU a gather is faster than padding and slicing, or one-hot products. The gathers of several changes
    # fuse into one loop, in which a reversal would compute everything before it twice. Image by image, so that on
    # several devices none needs the others' images.
    def gather(image: Array, rows: Array, columns: Array) -> Array:
        return image.at[rows[:, None], columns].get(mode="clip")

    return jax.vmap(gather)(images, jnp.broadcast_to(rows, (len(images), rows.shape[1])), columns)


def _check(images: Array, pixels: int) -> None:
    if images.ndim != 4:
        raise ValueError(f"`images` must be (batch, height, width, channels), got shape {images.shape}")
    if not 0 <= pixels < min(images.shape[1:3]):
        height, width = images.shape[1:3]
        raise ValueError(f"`pixels` (={pixels}) must be from 0 to below the size of the {height}x{width} images")
