"""Random changes of an image's colours."""

import dm_pix
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Num

from jaxcnn.functional.traced import is_off, is_traced
from jaxcnn.training.augment_pixels import check_images, clipped, in_floats, stored_as, white_of

_LUMA = 0.299, 0.587, 0.114


def random_colour(
    key: Array,
    images: Num[Array, "batch height width channels"],
    *,
    brightness: float | Array = 0.0,
    contrast: float | Array = 0.0,
    saturation: float | Array = 0.0,
    hue: float | Array = 0.0,
    white: float | None = None,
) -> Num[Array, "batch height width channels"]:
    """Change the brightness, then the contrast, the saturation and the hue of each image.

    Each of the first three draws a factor f, uniform from 1 - its argument to 1 + its argument, and moves the image
    away from another one, o + f (x - o): from black, from the even grey of the image's mean, from the image in grey
    (0.299 R + 0.587 G + 0.114 B). Hues turn by a share of the circle that is uniform from -`hue` to `hue`. Bytes are
    rounded once, at the end; what is beyond black and white is clipped after each change.

    Args:
        key: Random key.
        images: `(batch, height, width, channels)`; 3 channels for saturation and hue. 0 is black.
        brightness: 0 to 1.
        contrast: 0 to 1.
        saturation: 0 to 1.
        hue: 0 to 0.5.
        white: The number that means white; by default 255 for bytes and 1 for floats.

    Returns:
        Images of the same shape and dtype.

    Raises:
        ValueError: Images of another rank, an argument out of range, or images without colour whose saturation or
            hue is to change.

    Example:
        >>> import jax
        >>> grey = jnp.full((2, 1, 1, 3), 100, "uint8")
        >>> random_colour(jax.random.key(0), grey, contrast=0.5, saturation=0.5, hue=0.5).ravel().tolist()
        [100, 100, 100, 100, 100, 100]
    """
    check_images(images)
    for name, amount, most in (
        ("brightness", brightness, 1), ("contrast", contrast, 1), ("saturation", saturation, 1), ("hue", hue, 0.5)
    ):  # fmt: skip
        if not is_traced(amount) and not 0 <= amount <= most:
            raise ValueError(f"`{name}` (={amount}) must be from 0 to {most}")
        if not is_off(amount) and name in ("saturation", "hue") and images.shape[3] != 3:
            raise ValueError(f"`{name}` (={amount}) needs images of 3 channels, got {images.shape[3]}")
    white, changed = white_of(images, white), in_floats(images)
    keys = jax.random.split(key, 4)
    amounts, others = (brightness, contrast, saturation), (black, even_grey, grey)
    for change_key, amount, other in zip(keys[:3], amounts, others, strict=True):
        if not is_off(amount):
            factor = jax.random.uniform(change_key, (len(images),), minval=1 - amount, maxval=1 + amount)
            changed = clipped(changed, away_from(other(changed), changed, factor), white)
    if not is_off(hue):
        changed = turned(changed, jax.random.uniform(keys[3], (len(images),), minval=-hue, maxval=hue))
    return stored_as(images, changed)


def away_from(
    other: Float[Array, "batch height width channels"],
    images: Float[Array, "batch height width channels"],
    factor: Float[Array, " batch"],
) -> Float[Array, "batch height width channels"]:
    """Move images away from others, `other + factor (images - other)`, or towards them where the factor is below 1.

    Args:
        other: What a factor of 0 gives, of a shape that can be broadcast.
        images: What a factor of 1 gives.
        factor: One an image.

    Returns:
        The moved images.

    Example:
        >>> image = jnp.full((1, 1, 1, 1), 3.0)
        >>> away_from(jnp.ones_like(image), image, jnp.array([2.0])).item()
        5.0
    """
    return other + factor[:, None, None, None].astype(images.dtype) * (images - other)


def black(images: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
    """Return black images.

    Args:
        images: What they are to be like.

    Returns:
        Zeros.

    Example:
        >>> black(jnp.ones((1, 1, 1, 3))).sum().item()
        0.0
    """
    return jnp.zeros_like(images)


def grey(images: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width 1"]:
    """Return images in grey: 0.299 R + 0.587 G + 0.114 B, or the mean of any other number of channels.

    Args:
        images: `(batch, height, width, channels)`.

    Returns:
        `(batch, height, width, 1)`.

    Example:
        >>> round(grey(jnp.array([1.0, 0.0, 0.0]).reshape(1, 1, 1, 3)).item(), 3)
        0.299
    """
    channels = images.shape[3]
    weights = _LUMA if channels == 3 else [1 / channels] * channels
    # Channel by channel: a sum over an axis as short as this is compiled to a loop ten times slower.
    parts = [weight * images[..., number] for number, weight in enumerate(weights)]
    return sum(parts[1:], parts[0])[..., None]


def even_grey(images: Float[Array, "batch height width channels"]) -> Float[Array, "batch 1 1 1"]:
    """Return the mean of each image in grey.

    Args:
        images: `(batch, height, width, channels)`.

    Returns:
        `(batch, 1, 1, 1)`.

    Example:
        >>> even_grey(jnp.array([1.0, 3.0]).reshape(1, 1, 2, 1)).item()
        2.0
    """
    return grey(images.mean((1, 2), keepdims=True))


def turned(
    images: Float[Array, "batch height width 3"], share: Float[Array, " batch"]
) -> Float[Array, "batch height width 3"]:
    """Turn the hues of images; neither saturation nor value (the largest channel) changes.

    Args:
        images: Not negative, `(batch, height, width, 3)`.
        share: Of the colour circle, one an image: 1/3 turns red into green.

    Returns:
        Images of the same shape and range.

    Example:
        >>> turned(jnp.array([9.0, 0.0, 0.0]).reshape(1, 1, 1, 3), jnp.array([1 / 3])).ravel().round(3).tolist()
        [0.0, 9.0, 0.0]
    """
    return jnp.asarray(jax.vmap(dm_pix.adjust_hue)(images, share.astype(images.dtype)))
