import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from jaxcnn import training
from jaxcnn.training.augment_colour import away_from, black, even_grey, grey, turned

FACTORS = np.array([0.0, 0.4, 1.0, 1.3, 2.0])


def images():
    return np.random.default_rng(0).integers(0, 256, (len(FACTORS), 6, 5, 3)).astype("uint8")


@pytest.mark.parametrize(
    ("other", "enhance"),
    [(black, ImageEnhance.Brightness), (even_grey, ImageEnhance.Contrast), (grey, ImageEnhance.Color)],
)
def test_factors_are_those_of_pillow(other, enhance):
    x = images()
    floats = jnp.asarray(x, jnp.float32)
    got = jnp.clip(away_from(other(floats), floats, jnp.asarray(FACTORS, "float32")), 0, 255)
    for image, factor, changed in zip(x, FACTORS, np.asarray(got), strict=True):
        expected = np.asarray(enhance(Image.fromarray(image)).enhance(factor), float)
        np.testing.assert_allclose(changed, expected, atol=2)  # Pillow rounds the grey, and cuts decimals off


def test_hues_turn_as_in_the_standard_library():
    x, shares = images() / 255, np.array([-0.5, -0.2, 0.0, 0.25, 0.5])
    got = np.asarray(turned(jnp.asarray(x, "float32"), jnp.asarray(shares, "float32")))
    for image, share, changed in zip(x, shares, got, strict=True):
        for before, after in zip(image.reshape(-1, 3), changed.reshape(-1, 3), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*before)
            np.testing.assert_allclose(after, colorsys.hsv_to_rgb((hue + share) % 1, saturation, value), atol=1e-5)


def test_each_image_draws_its_own_factor_from_the_whole_range():
    n = 2000
    x = jnp.tile(jnp.array([10.0, 30.0])[:, None, None], (n, 1, 1, 1))
    bright = np.asarray(training.random_colour(jax.random.key(0), x, brightness=0.4, white=100.0))[..., 0]
    strong = np.asarray(training.random_colour(jax.random.key(0), x, contrast=0.4, white=100.0))[..., 0]
    for factor in (bright[:, 0, 0] / 10, (strong[:, 1, 0] - strong[:, 0, 0]) / 20):
        np.testing.assert_allclose(np.quantile(factor, [0, 0.25, 0.5, 0.75, 1]), [0.6, 0.8, 1, 1.2, 1.4], atol=0.03)
    np.testing.assert_allclose(strong.mean((1, 2)), 20, rtol=1e-5)
    red = jnp.tile(jnp.array([1.0, 0.0, 0.0]), (n, 1, 1, 1))
    turns = [
        colorsys.rgb_to_hsv(*pixel)[0]
        for pixel in np.asarray(training.random_colour(jax.random.key(0), red, hue=0.1)).reshape(n, 3)
    ]
    turns = (np.array(turns) + 0.5) % 1 - 0.5
    np.testing.assert_allclose(np.quantile(turns, [0, 0.25, 0.5, 0.75, 1]), [-0.1, -0.05, 0, 0.05, 0.1], atol=0.01)
    faded = np.asarray(training.random_colour(jax.random.key(0), red, saturation=0.5)).reshape(n, 3)
    assert faded[:, 1].max() == pytest.approx(0.5 * 0.299, abs=0.01)
    assert faded[:, 1].min() == 0, "clipped at black"


@pytest.mark.parametrize(
    ("values", "white", "expected"),
    [((-2.0, 0.5), None, (-2.0, 1.0)), ((0.0, 9.0), None, (0.0, 9.0)), ((1, 12), 16.0, (0, 16))],
)
def test_what_is_beyond_black_and_white_is_clipped_and_what_came_in_is_not(values, white, expected):
    x = jnp.tile(jnp.asarray(values)[:, None, None], (200, 1, 1, 1))
    x = x.astype("uint8") if white else x
    y = np.asarray(training.random_colour(jax.random.key(1), x, brightness=1.0, contrast=1.0, white=white))
    low, high = expected
    assert y.min() >= low
    assert y.max() == high


def test_grey_images_have_no_saturation_and_no_hue():
    x = jnp.zeros((2, 4, 4, 1), "uint8")
    assert training.random_colour(jax.random.key(0), x, brightness=0.5, contrast=0.5).shape == x.shape
    for name in ("saturation", "hue"):
        with pytest.raises(ValueError, match=rf"`{name}` \(=0.25\) needs images of 3 channels, got 1"):
            training.random_colour(jax.random.key(0), x, **{name: 0.25})


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_an_amount_out_of_range_is_named(name):
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=rf"`{name}` \(={value}\) must be from 0 to"):
            training.random_colour(jax.random.key(0), jnp.asarray(images()), **{name: value})
