"""RandAugment: on each image some operations of a fixed list, all of one strength."""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int, Num

from jaxcnn.functional.traced import is_traced
from jaxcnn.training.augment_colour import away_from, black, even_grey, grey
from jaxcnn.training.augment_pixels import check_images, clipped, in_floats, stored_as, white_of
from jaxcnn.training.augment_warps import warped

OPERATIONS = (
    "identity", "rotate", "shear_x", "shear_y", "translate_x", "translate_y",
    "brightness", "colour", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip
"""The 14 of the paper."""
_STRONGEST = 30


def random_operations(
    key: Array,
    images: Num[Array, "batch height width channels"],
    *,
    count: int,
    magnitude: float | Array,
    white: float | None = None,
) -> Num[Array, "batch height width channels"]:
    """Apply to each image operations drawn from `OPERATIONS`, one after another.

    Args:
        key: Random key.
        images: `(batch, height, width, channels)`; 0 is black.
        count: Operations on an image.
        magnitude: Their strength, 0 to 30; which way is drawn for each, see `operate`.
        white: The number that means white; by default 255 for bytes and 1 for floats.

    Returns:
        Images of the same shape and dtype, rounded once, after the last operation.

    Raises:
        ValueError: Images of another rank, or an argument out of range.

    Example:
        >>> import jax
        >>> images = jnp.zeros((2, 8, 8, 3), "uint8")
        >>> random_operations(jax.random.key(0), images, count=2, magnitude=9).shape
        (2, 8, 8, 3)

    Reference:
        Cubuk et al., RandAugment: Practical Automated Data Augmentation with a Reduced Search Space, 2020.
    """
    check_images(images)
    if count < 0:
        raise ValueError(f"`count` (={count}) must not be negative")
    if not is_traced(magnitude) and not 0 <= magnitude <= _STRONGEST:
        raise ValueError(f"`magnitude` (={magnitude}) must be from 0 to {_STRONGEST}")
    levels = 255 / white_of(images, white)
    changed = in_floats(images) * levels
    strength = magnitude / _STRONGEST
    for operation_key, sign_key in jax.random.split(key, (count, 2)):
        operation = jax.random.randint(operation_key, (len(images),), 0, len(OPERATIONS))
        signs = jnp.where(jax.random.bernoulli(sign_key, shape=(len(images),)), 1, -1)
        changed = operate(changed, operation, strength * signs)
    return stored_as(images, changed / levels)


@jax.jit
def operate(
    images: Float[Array, "batch height width channels"],
    operation: Int[Array, " batch"],
    strength: Float[Array, " batch"],
) -> Float[Array, "batch height width channels"]:
    """Apply to each image one operation; the strongest s = 1, and s = -1, do this.

    Rotate by 30 degrees s; shear by 0.3 s; translate by 150 / 331 s of the side: bilinearly, zeros moving in.
    Brightness, colour, contrast and sharpness move by a factor of 1 + 0.9 s away from black, grey, even grey and the
    smoothed image. Posterize keeps 8 - round(4 |s|) bits; solarize inverts what is at least 256 (1 - |s|).
    Autocontrast stretches each channel from 0 to 255, and equalize evens out its histogram.

    Args:
        images: Floats from 0, black, to 255, white.
        operation: Positions in `OPERATIONS`.
        strength: s, -1 to 1.

    Returns:
        Images of the same shape and dtype.

    Example:
        >>> image = jnp.array([10.0, 200.0]).reshape(1, 1, 2, 1)
        >>> operate(image, jnp.array([OPERATIONS.index("solarize")]), jnp.array([0.5])).ravel().tolist()
        [10.0, 55.0]
    """
    amount = jnp.abs(strength)[:, None, None, None].astype(images.dtype)
    factor = 1 + 0.9 * strength
    drawn = {name: operation == number for number, name in enumerate(OPERATIONS)}
    levels = jnp.clip(jnp.round(images), 0, 255)
    step = 2 ** jnp.round(4 * amount)
    bright = {"brightness": black, "colour": grey, "contrast": even_grey, "sharpness": _smooth}
    changed = {
        **{name: clipped(images, away_from(other(images), images, factor), 255.0) for name, other in bright.items()},
        "posterize": jnp.floor(levels / step) * step,
        "solarize": jnp.where(images >= 256 * (1 - amount), 255 - images, images),
        "autocontrast": _stretch(images),
        "equalize": _equalize(levels.astype(jnp.int32)).astype(images.dtype),
    }
    moved = warped(images, _matrices(drawn, strength, images.shape[1:3]))  # one resampling serves all moves
    chosen = [drawn[name][:, None, None, None] for name in changed]
    return jnp.select(chosen, list(changed.values()), moved)


def _matrices(drawn: dict[str, Array], strength: Array, size: tuple[int, ...]) -> Array:
    """Return the maps of the moves, and for all other operations the identity."""

    def amount(name: str, most: float) -> Array:
        return jnp.where(drawn[name], most * strength, 0)

    angle = amount("rotate", jnp.pi / 6)
    shifts = [amount(f"translate_{axis}", 150 / 331 * length) for axis, length in zip("yx", size, strict=True)]
    shears = [amount(f"shear_{axis}", 0.3) for axis in "yx"]
    rows = [
        [jnp.cos(angle), jnp.sin(angle) + shears[0], shifts[0]],
        [shears[1] - jnp.sin(angle), jnp.cos(angle), shifts[1]],
    ]
    return jnp.stack([jnp.stack(row, -1) for row in rows], 1)


def _smooth(images: Array) -> Array:
    """Weigh each pixel 5 and its eight neighbours 1; the outermost pixels stay as they are."""
    sums = images
    for axis in (1, 2):
        at = jnp.arange(images.shape[axis])
        sums = sums + sum(jnp.take(sums, at + step, axis, mode="clip") for step in (-1, 1))
    _, height, width, _ = images.shape
    y, x = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
    inside = (y > 0) & (y < height - 1) & (x > 0) & (x < width - 1)
    return jnp.where(inside[..., None], (4 * images + sums) / 13, images)


def _stretch(images: Array) -> Array:
    low, high = (extreme(images, axis=(1, 2), keepdims=True) for extreme in (jnp.min, jnp.max))
    return jnp.where(high > low, (images - low) * (255 / jnp.where(high > low, high - low, 1)), images)


def _equalize(levels: Array) -> Array:
    """Look each level up in its channel's table: how many pixels are below it, in 255ths of those not in the last."""
    batch, height, width, channels = levels.shape
    index = (levels + 256 * jnp.arange(channels)).reshape(batch, -1)  # of a channel's level in all tables end to end
    empty = jnp.zeros(256 * channels)
    counts = jax.vmap(lambda index: empty.at[index].add(1, mode="promise_in_bounds"))(index)
    counts = counts.reshape(batch, channels, 256)
    below = counts @ jnp.triu(jnp.ones((256, 256)), 1)  # on a CPU a cumulative sum is slower
    last = jnp.max(jnp.where(below + counts == height * width, counts, 0), -1, keepdims=True)
    step = lax.div((height * width - last).astype(jnp.int32), 255)
    table = lax.div(below.astype(jnp.int32) + lax.div(step, 2), jnp.broadcast_to(jnp.maximum(step, 1), below.shape))
    table = jnp.where(step > 0, jnp.minimum(table, 255), jnp.arange(256)).reshape(batch, -1)
    # Not to be computed for each pixel anew, fused into the look-up.
    table = lax.optimization_barrier(table)
    found = jax.vmap(lambda table, index: table.at[index].get(mode="promise_in_bounds"))(table, index)
    return found.reshape(levels.shape)
