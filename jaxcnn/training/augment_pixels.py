"""What changes of images share: their shape, and the way from stored numbers to floats and back."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Num

from jaxcnn.training.forward import wide


def check_images(images: Num[Array, "batch height width channels"]) -> None:
    """Raise where an array is no batch of images: other spatial ranks have changes of their own.

    Args:
        images: `(batch, height, width, channels)`.

    Raises:
        ValueError: Another rank.

    Example:
        >>> check_images(jnp.zeros((8, 8, 3)))
        Traceback (most recent call last):
        ValueError: `images` must be (batch, height, width, channels), got shape (8, 8, 3)
    """
    if images.ndim != 4:
        raise ValueError(f"`images` must be (batch, height, width, channels), got shape {images.shape}")


def in_floats(images: Num[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return images in the type that they are computed with: float32, or float64 where they are.

    Args:
        images: Of any type.

    Returns:
        The same values.

    Example:
        >>> in_floats(jnp.zeros((1, 2, 2, 1), "uint8")).dtype.name
        'float32'
    """
    return images.astype(wide(images.dtype))


def stored_as(images: Num[Array, "*shape"], changed: Float[Array, "*shape"]) -> Num[Array, "*shape"]:
    """Return changed images in the type that they had: bytes rounded to the nearest, halves to the even one.

    Args:
        images: As they came.
        changed: What became of them, floats.

    Returns:
        `changed`, in the type of `images`.

    Example:
        >>> stored_as(jnp.zeros(3, "uint8"), jnp.array([-3.0, 1.5, 300.0])).tolist()
        [0, 2, 255]
    """
    if not jnp.issubdtype(images.dtype, jnp.integer):
        return changed.astype(images.dtype)
    limits = jnp.iinfo(images.dtype)
    return jnp.clip(jnp.round(changed), limits.min, limits.max).astype(images.dtype)


def white_of(images: Num[Array, "*shape"], white: float | None) -> float:
    """Return the number that means white; black is 0.

    Args:
        images: Of any type.
        white: What it is, where one is told.

    Returns:
        `white`; where it is None, 255 for integers and 1 for floats.

    Example:
        >>> white_of(jnp.zeros(1, "uint8"), None), white_of(jnp.zeros(1, "uint8"), 16.0)
        (255.0, 16.0)
    """
    if white is None:
        return 255.0 if jnp.issubdtype(images.dtype, jnp.integer) else 1.0
    return white


def clipped(
    images: Float[Array, "batch height width channels"],
    changed: Float[Array, "batch height width channels"],
    white: float,
) -> Float[Array, "batch height width channels"]:
    """Clip what became of images to black and white, or to the image's own smallest and largest value beyond them.

    So do floats that are no colours, such as standardised ones, keep their range.

    Args:
        images: As they came.
        changed: What became of them.
        white: The number that means white.

    Returns:
        `changed`, clipped.

    Example:
        >>> image = jnp.array([-1.0, 0.5]).reshape(1, 1, 2, 1)
        >>> clipped(image, 4 * image, 1.0).ravel().tolist()
        [-1.0, 1.0]
    """
    low, high = (extreme(images, axis=(1, 2, 3), keepdims=True) for extreme in (jnp.min, jnp.max))
    return jnp.clip(changed, jnp.minimum(low, 0), jnp.maximum(high, white))
