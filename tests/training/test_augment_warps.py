import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from jaxcnn import training
from jaxcnn.training.augment_warps import resized_crop, rotated, warped

SIZE = (9, 7)


def images(n=6, dtype="float32"):
    return np.random.default_rng(0).integers(0, 256, (n, *SIZE, 2)).astype(dtype)


def test_a_resized_crop_is_that_of_pillow():
    random, x = np.random.default_rng(1), images(40)
    sizes = np.stack([random.uniform(1, full, 40) for full in SIZE], 1)
    starts = random.random((40, 2)) * (np.array(SIZE) - sizes)
    got = resized_crop(jnp.asarray(x), jnp.asarray(np.concatenate([starts, sizes], 1), "float32"))
    for image, (top, left), (height, width), cropped in zip(x, starts, sizes, np.asarray(got), strict=True):
        for channel in range(2):
            expected = Image.fromarray(image[..., channel]).resize(
                SIZE[::-1], Image.Resampling.BILINEAR, box=(left, top, left + width, top + height)
            )
            np.testing.assert_allclose(cropped[..., channel], np.asarray(expected), atol=2e-2)


def test_the_whole_image_is_itself():
    x = jnp.asarray(images(dtype="uint8"))
    boxes = jnp.tile(jnp.array([0.0, 0.0, *SIZE]), (len(x), 1))
    np.testing.assert_array_equal(resized_crop(x, boxes), x)
    np.testing.assert_array_equal(rotated(x, jnp.zeros(len(x))), x)
    np.testing.assert_array_equal(training.random_rotation(jax.random.key(0), x, degrees=0), x)


def test_a_rotation_is_that_of_scipy():
    x, degrees = images(5), np.array([-170.0, -33.0, 10.0, 45.0, 90.0])
    got = np.asarray(rotated(jnp.asarray(x), jnp.asarray(degrees)))
    for image, angle, turned in zip(x, degrees, got, strict=True):
        expected = ndimage.rotate(image, angle, reshape=False, order=1, mode="grid-constant")
        np.testing.assert_allclose(turned, expected, atol=1e-2)


def test_a_warp_is_that_of_scipy():
    """Any matrix about the centre: the map from the result to the image."""
    x, matrices = images(8), np.random.default_rng(2).normal(size=(8, 2, 3))
    got = np.asarray(warped(jnp.asarray(x), jnp.asarray(matrices, "float32")))
    middle = (np.array(SIZE) - 1) / 2
    for image, matrix, moved in zip(x, matrices, got, strict=True):
        linear = matrix[:, :2]
        offset = middle + matrix[:, 2] - linear @ middle
        for channel in range(2):
            expected = ndimage.affine_transform(image[..., channel], linear, offset, order=1, mode="grid-constant")
            np.testing.assert_allclose(moved[..., channel], expected, atol=1e-2)


def plane(n, height, width):
    """Images whose pixels hold their row and their column: a crop of them tells where it was taken."""
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return jnp.asarray(np.tile(np.stack([y, x], -1), (n, 1, 1, 1)), "float32")


@pytest.mark.parametrize(("height", "width"), [(40, 40), (40, 90)])
def test_crops_have_the_areas_aspects_and_places_that_are_asked_for(height, width):
    n, least = 2000, 0.3
    crops = np.asarray(training.random_resized_crop(jax.random.key(0), plane(n, height, width), least=least))
    middle = crops[:, 5:-5, 5:-5]  # away from the border, where rows and columns are clipped
    sizes = [
        (middle[:, -1, 0, 0] - middle[:, 0, 0, 0]) / (height - 11) * height,
        (middle[:, 0, -1, 1] - middle[:, 0, 0, 1]) / (width - 11) * width,
    ]
    area, aspect = sizes[0] * sizes[1] / (height * width), sizes[1] / sizes[0]
    assert (area > least - 1e-3).all()
    assert (area < 1 + 1e-3).all()
    np.testing.assert_allclose(np.quantile(area, [0.1, 0.5, 0.9]), least + 0.7 * np.array([0.1, 0.5, 0.9]), atol=0.03)
    most = 4 / 3 if height == width else width / height
    assert (aspect > 0.75 - 1e-3).all()
    assert (aspect < most + 1e-2).all()
    for axis, full in enumerate((height, width)):
        place = middle[:, 0, 0, axis] - (5.5 * sizes[axis] / full - 0.5)
        free = full - sizes[axis]
        assert (place > -1e-2).all()
        assert (place < free + 1e-2).all()
        roomy = free > 2
        assert np.mean(place[roomy] / free[roomy]) == pytest.approx(0.5, abs=0.03)


def test_angles_are_uniform_and_either_way():
    x = plane(2000, 9, 9)
    turned = np.asarray(training.random_rotation(jax.random.key(0), x, degrees=20))
    angles = np.rad2deg(np.arctan2(turned[:, 4, 5, 0] - 4, turned[:, 4, 5, 1] - 4))
    np.testing.assert_allclose(np.quantile(angles, [0, 0.25, 0.5, 0.75, 1]), [-20, -10, 0, 10, 20], atol=1.2)


@pytest.mark.parametrize(
    ("change", "name", "values"),
    [
        (training.random_resized_crop, "least", (0.0, -0.1, 1.1, float("nan"))),
        (training.random_rotation, "degrees", (-1.0, 181.0, float("nan"))),
    ],
)
def test_an_amount_out_of_range_is_named(change, name, values):
    for value in values:
        with pytest.raises(ValueError, match=rf"`{name}` \(={value}\) must be"):
            change(jax.random.key(0), jnp.zeros((2, *SIZE, 1)), **{name: value})
