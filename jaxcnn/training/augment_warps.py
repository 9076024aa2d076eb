"""Random changes of images between the pixels: crops of any size, rotations; one bilinear resampling each."""

import math

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Num

from jaxcnn.functional.traced import is_traced
from jaxcnn.training.augment_pixels import check_images, in_floats, stored_as

_ASPECTS = math.log(3 / 4), math.log(4 / 3)


def random_resized_crop(
    key: Array, images: Num[Array, "batch height width channels"], *, least: float
) -> Num[Array, "batch height width channels"]:
    """Crop each image at random to a share of its area, and resize the crop to the image.

    The share is uniform from `least` to 1, the crop's aspect (width / height) is from 3/4 to 4/3, uniform in its
    logarithm among those that fit, and its place is uniform; none of them is rounded to pixels. A crop is never
    larger than the image, so that it is only ever enlarged and nothing can alias.

    Args:
        key: Random key.
        images: `(batch, height, width, channels)`.
        least: Smallest share of the area, above 0 to 1.

    Returns:
        Images of the same shape and dtype.

    Raises:
        ValueError: Images of another rank, or a share out of range.

    Example:
        >>> import jax
        >>> images = jax.numpy.zeros((2, 8, 8, 3), "uint8")
        >>> random_resized_crop(jax.random.key(0), images, least=0.3).shape
        (2, 8, 8, 3)

    Reference:
        Szegedy et al., Going Deeper with Convolutions, 2015, section 6.
    """
    check_images(images)
    if not 0 < least <= 1:
        raise ValueError(f"`least` (={least}) must be above 0, to 1")
    batch, height, width, _ = images.shape
    keys = jax.random.split(key, 3)
    share = jax.random.uniform(keys[0], (batch,), minval=least, maxval=1)
    # Beyond these aspects a crop of this area is wider or higher than the image.
    fit = jnp.log(width / height * share), jnp.log(width / height / share)
    aspect = jnp.exp(
        jax.random.uniform(keys[1], (batch,), minval=jnp.clip(_ASPECTS[0], *fit), maxval=jnp.clip(_ASPECTS[1], *fit))
    )
    area = height * width * share
    size = jnp.minimum(jnp.stack([jnp.sqrt(area / aspect), jnp.sqrt(area * aspect)]), jnp.array([[height], [width]]))
    rest = jnp.array([[height], [width]]) - size
    start = rest * jax.random.uniform(keys[2], rest.shape)
    return resized_crop(images, jnp.concatenate([start, size]).T)


def resized_crop(
    images: Num[Array, "batch height width channels"], boxes: Float[Array, "batch 4"]
) -> Num[Array, "batch height width channels"]:
    """Resize a part of each image to the size of the image, bilinearly, without antialiasing.

    Args:
        images: `(batch, height, width, channels)`.
        boxes: Top, left, height and width of each part, in pixels and fractions of them, within the image.

    Returns:
        Images of the same shape and dtype.

    Example:
        >>> image = jnp.arange(4.0).reshape(1, 1, 4, 1)
        >>> resized_crop(image, jnp.array([[0.0, 0.0, 1.0, 2.0]])).ravel().tolist()
        [0.0, 0.25, 0.75, 1.25]
    """
    changed = in_floats(images)
    for axis in (1, 2):
        size = images.shape[axis]
        start, part = boxes[:, axis - 1, None], boxes[:, axis + 1, None]
        at = jnp.clip(start + (jnp.arange(size) + 0.5) * (part / size) - 0.5, 0, size - 1)
        before = jnp.floor(at)
        share = jnp.expand_dims((at - before).astype(changed.dtype), (3 - axis, 3))
        index = before.astype(jnp.int32)
        take = jax.vmap(lambda image, index, axis=axis: jnp.take(image, index, axis - 1, mode="clip"))
        changed = take(changed, index) * (1 - share) + take(changed, index + 1) * share
    return stored_as(images, changed)


def random_rotation(
    key: Array, images: Num[Array, "batch height width channels"], *, degrees: float | Array
) -> Num[Array, "batch height width channels"]:
    """Turn each image about its centre by a random angle, zeros moving in: the zeros of the raw image.

    Args:
        key: Random key.
        images: `(batch, height, width, channels)`.
        degrees: The angle is uniform from -`degrees` to `degrees`, 0 to 180.

    Returns:
        Images of the same shape and dtype.

    Raises:
        ValueError: Images of another rank, or an angle out of range.

    Example:
        >>> import jax
        >>> images = jax.numpy.zeros((2, 8, 8, 3), "uint8")
        >>> random_rotation(jax.random.key(0), images, degrees=15).dtype.name
        'uint8'
    """
    if not is_traced(degrees) and not 0 <= degrees <= 180:
        raise ValueError(f"`degrees` (={degrees}) must be from 0 to 180")
    check_images(images)
    return rotated(images, jax.random.uniform(key, (len(images),), minval=-degrees, maxval=degrees))


def rotated(
    images: Num[Array, "batch height width channels"], degrees: Float[Array, " batch"]
) -> Num[Array, "batch height width channels"]:
    """Turn each image about its centre, counter-clockwise, zeros moving in.

    Args:
        images: `(batch, height, width, channels)`.
        degrees: The angle of each.

    Returns:
        Images of the same shape and dtype.

    Example:
        >>> image = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
        >>> rotated(image, jnp.array([90.0])).squeeze().round(4).tolist()
        [[2.0, 4.0], [1.0, 3.0]]
    """
    cos, sin = jnp.cos(jnp.deg2rad(degrees)), jnp.sin(jnp.deg2rad(degrees))
    none = jnp.zeros_like(cos)
    matrices = jnp.stack([jnp.stack([cos, sin, none], -1), jnp.stack([-sin, cos, none], -1)], 1)
    return stored_as(images, warped(in_floats(images), matrices))


def warped(
    images: Float[Array, "batch height width channels"], matrices: Float[Array, "batch 2 3"]
) -> Float[Array, "batch height width channels"]:
    """Resample each image bilinearly under an affine map, zeros lying around it.

    Pixel (y, x) of the result, counted from the centre, is that at `matrix @ (y, x, 1)` of the image.

    Args:
        images: Floats, `(batch, height, width, channels)`.
        matrices: The maps, in pixels.

    Returns:
        Images of the same shape and dtype.

    Example:
        >>> image = jnp.arange(1.0, 4.0).reshape(1, 1, 3, 1)
        >>> warped(image, jnp.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.5]]])).ravel().tolist()
        [1.5, 2.5, 1.5]
    """
    _, height, width, _ = images.shape
    middle = jnp.array([(height - 1) / 2, (width - 1) / 2])
    y, x = jnp.meshgrid(jnp.arange(height) - middle[0], jnp.arange(width) - middle[1], indexing="ij")
    parts = matrices[:, :, :, None, None]
    at = parts[:, :, 0] * y + parts[:, :, 1] * x + parts[:, :, 2] + middle[:, None, None]
    before = jnp.floor(at)
    share = (at - before).astype(images.dtype)[..., None]
    first = before.astype(jnp.int32)

    def corner(down: int, right: int) -> Array:
        rows, columns = first[:, 0] + down, first[:, 1] + right
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        found = jax.vmap(lambda image, rows, columns: image.at[rows, columns].get(mode="clip"))(images, rows, columns)
        return jnp.where(inside[..., None], found, 0)

    upper, lower = (corner(down, 0) * (1 - share[:, 1]) + corner(down, 1) * share[:, 1] for down in (0, 1))
    return upper * (1 - share[:, 0]) + lower * share[:, 0]
