"""Random moves of images by whole pixels: pure, one draw an image, dtype kept."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int, Num

from jaxcnn.functional.traced import is_traced
from jaxcnn.training.augment_pixels import check_images


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
    return _mirror(images, jax.random.bernoulli(key, shape=(len(images),)))


def random_crop(
    key: Array, images: Num[Array, "batch height width channels"], *, pixels: int | Array
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
    key: Array, images: Num[Array, "batch height width channels"], *, pixels: int | Array
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


def alternating_flip(
    images: Num[Array, "batch height width channels"], numbers: Int[Array, " batch"], epoch: Int[Array, ""] | int
) -> Num[Array, "batch height width channels"]:
    """Mirror about half of the images in the first epoch, those that their numbers choose, and all others in the next.

    Over any two epochs in a row each image is seen once either way, where a random flip shows one image of two the
    same way twice. Nothing is drawn: the same image in the same epoch is mirrored or not in every run.

    Args:
        images: `(batch, height, width, channels)`.
        numbers: Which of the training examples they are.
        epoch: The epoch, from 0.

    Returns:
        Images of the same shape and dtype.

    Raises:
        ValueError: Images of another rank.

    Example:
        >>> import jax.numpy as jnp
        >>> images = jnp.arange(6).reshape(2, 1, 3, 1)
        >>> [alternating_flip(images, jnp.array([0, 1]), epoch).squeeze((1, 3)).tolist() for epoch in range(2)]
        [[[0, 1, 2], [5, 4, 3]], [[2, 1, 0], [3, 4, 5]]]

    Reference:
        Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024, section 3.6.
    """
    coins = jax.vmap(lambda number: jax.random.bernoulli(jax.random.fold_in(jax.random.key(0), number)))(numbers)
    return _mirror(images, coins ^ (epoch % 2 == 1))


def _mirror(images: Array, mirrored: Array) -> Array:
    check_images(images)
    _, height, width, _ = images.shape
    columns = jnp.where(mirrored[:, None], jnp.arange(width)[::-1], jnp.arange(width))
    return _gather(images, jnp.arange(height)[None], columns)


def _moved(key: Array, images: Array, pixels: int | Array) -> tuple[Array, Array]:
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


def _check(images: Array, pixels: int | Array) -> None:
    check_images(images)
    if not is_traced(pixels) and not 0 <= pixels < min(images.shape[1:3]):
        height, width = images.shape[1:3]
        raise ValueError(f"`pixels` (={pixels}) must be from 0 to below the size of the {height}x{width} images")
