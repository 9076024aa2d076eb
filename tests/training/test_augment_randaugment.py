import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from jaxcnn import training
from jaxcnn.training.augment_randaugment import OPERATIONS, operate
from jaxcnn.training.augment_warps import rotated, warped

STRENGTHS = [-1.0, -0.3, 0.0, 0.5, 1.0]


def images():
    """Noise, a narrow histogram, an even image, and one that is nearly so: for the tables of `equalize`."""
    random = np.random.default_rng(0)
    narrow = random.integers(90, 110, (48, 40, 3))
    nearly = np.full((48, 40, 3), 7)
    nearly[:4] = random.integers(0, 256, (4, 40, 3))
    return np.stack([random.integers(0, 256, (48, 40, 3)), narrow, np.full((48, 40, 3), 50), nearly]).astype("uint8")


def operations(x, count, magnitude):
    change = functools.partial(training.random_operations, count=count, magnitude=magnitude)
    return np.asarray(jax.jit(change)(jax.random.key(0), jnp.asarray(x)))


def applied(name, strength, x):
    numbers = jnp.full(len(x), OPERATIONS.index(name))
    return np.asarray(operate(jnp.asarray(x, "float32"), numbers, jnp.full(len(x), strength, "float32")))


PILLOW = {
    "identity": lambda image, s: image,
    "brightness": lambda image, s: ImageEnhance.Brightness(image).enhance(1 + 0.9 * s),
    "colour": lambda image, s: ImageEnhance.Color(image).enhance(1 + 0.9 * s),
    "contrast": lambda image, s: ImageEnhance.Contrast(image).enhance(1 + 0.9 * s),
    "sharpness": lambda image, s: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * s),
    "posterize": lambda image, s: ImageOps.posterize(image, 8 - round(4 * abs(s))),
    "solarize": lambda image, s: ImageOps.solarize(image, 256 * (1 - abs(s))),
    "autocontrast": lambda image, s: ImageOps.autocontrast(image),
    "equalize": lambda image, s: ImageOps.equalize(image),
}


@pytest.mark.parametrize("name", PILLOW)
def test_operations_on_colours_are_those_of_pillow(name):
    x = images()
    exact = name in ("identity", "posterize", "solarize", "equalize")
    for strength in STRENGTHS:
        for image, changed in zip(x, applied(name, strength, x), strict=True):
            expected = np.asarray(PILLOW[name](Image.fromarray(image), strength), float)
            np.testing.assert_allclose(changed, expected, atol=0 if exact else 2)  # Pillow cuts decimals off


def test_moves_are_rotations_shears_and_translations():
    x = jnp.asarray(images(), "float32")
    height, width = x.shape[1:3]
    for s in STRENGTHS:
        matrices = {
            "shear_x": [[1, 0, 0], [0.3 * s, 1, 0]],
            "shear_y": [[1, 0.3 * s, 0], [0, 1, 0]],
            "translate_x": [[1, 0, 0], [0, 1, 150 / 331 * width * s]],
            "translate_y": [[1, 0, 150 / 331 * height * s], [0, 1, 0]],
        }
        for name, matrix in matrices.items():
            expected = warped(x, jnp.tile(jnp.array(matrix, "float32"), (len(x), 1, 1)))
            np.testing.assert_allclose(applied(name, s, x), expected, atol=1e-2)
        np.testing.assert_allclose(applied("rotate", s, x), rotated(x, jnp.full(len(x), 30 * s)), atol=1e-2)


def test_all_are_tested():
    assert len(OPERATIONS) == 14
    assert {*PILLOW, "rotate", "shear_x", "shear_y", "translate_x", "translate_y"} == set(OPERATIONS)


def test_every_operation_is_drawn_either_way():
    """Of 600 copies of one image come all the results that there are, and nothing else."""
    image = images()[1:2]  # whose contrast can be stretched
    ways = {applied(name, sign * 0.8, image).round().tobytes() for name in OPERATIONS for sign in (-1, 1)}
    changed = operations(np.repeat(image, 600, axis=0), 1, 24).astype("float32")
    assert {one[None].tobytes() for one in changed} == ways
    assert len(ways) == 23  # 9 operations go either way; identity, posterize, solarize, autocontrast, equalize do not


def test_operations_follow_one_another_and_none_is_none():
    x = images()
    np.testing.assert_array_equal(operations(x, 0, 30), x)
    twice = operations(np.repeat(x[:1], 600, axis=0), 2, 24)
    assert len({one.tobytes() for one in twice}) > 100


@pytest.mark.parametrize("shape", [(8, 8, 1), (2, 1, 3), (5, 4, 4)])
def test_grey_images_and_tiny_ones_have_all_operations(shape):
    x = np.random.default_rng(0).integers(0, 256, (56, *shape)).astype("uint8")
    y = operations(x, 1, 20)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)


def test_arguments_out_of_range_are_named():
    x = jnp.asarray(images())
    with pytest.raises(ValueError, match=r"`count` \(=-1\) must not be negative"):
        training.random_operations(jax.random.key(0), x, count=-1, magnitude=9)
    for magnitude in (-1, 31, float("nan")):
        with pytest.raises(ValueError, match=rf"`magnitude` \(={magnitude}\) must be from 0 to 30"):
            training.random_operations(jax.random.key(0), x, count=1, magnitude=magnitude)
