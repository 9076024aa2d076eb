import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import images as reference

from jaxcnn import training
from jaxcnn.config import AugmentConfig
from jaxcnn.training import Batch


def images(shape=(64, 5, 7, 2), dtype="uint8"):
    # Every pixel differs from the others of its image and from zero.
    values = 1 + np.arange(np.prod(shape[1:])) + np.zeros((shape[0], 1))
    return jnp.asarray(values.reshape(shape), dtype)


MOVES = [
    (training.random_crop, "reflect", {"crop": 2}),
    (training.random_translate, "constant", {"translate": 2}),
]


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bfloat16"])
@pytest.mark.parametrize(("move", "border", "config"), MOVES)
def test_moves_are_padding_and_slicing(move, border, config, dtype):
    x = images((400, 5, 7, 2), dtype)
    y = move(jax.random.key(0), x, pixels=2)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    candidates = reference.moved(np.asarray(x, "float32"), 2, border)
    same = (np.asarray(y, "float32")[:, None] == candidates).all((2, 3, 4))
    assert (same.sum(1) == 1).all(), "each image is exactly one of its 25 shifts"
    assert same.any(0).all(), "every shift is drawn"
    key = jax.random.split(jax.random.key(3), 1)[0]
    augment = training.make_augment(AugmentConfig(**config))
    assert augment is not None
    given = Batch(x, jnp.arange(len(x)))
    assert jnp.array_equal(augment(jax.random.key(3), given).inputs, move(key, x, pixels=2))


def test_flip_mirrors_about_half_of_the_images():
    x = images((400, 5, 7, 2))
    y = training.random_flip(jax.random.key(0), x)
    same, mirrored = ((y == other).all((1, 2, 3)) for other in (x, x[:, :, ::-1]))
    assert y.dtype == x.dtype
    assert (same ^ mirrored).all()
    assert 160 < mirrored.sum() < 240


@pytest.mark.parametrize("size", [1, 2])
def test_a_crop_may_be_as_wide_as_the_reflection_allows(size):
    x = images((9, size, 4, 1))
    y = training.random_crop(jax.random.key(0), x, pixels=size - 1)
    candidates = reference.moved(np.asarray(x), size - 1, "reflect")
    assert (np.asarray(y)[:, None] == candidates).all((2, 3, 4)).any(1).all()


def test_an_alternating_flip_shows_each_image_either_way_in_two_epochs():
    """In any two, whatever the batch is; in the first about half of the images are mirrored, the same in every run."""
    x, index = images((400, 5, 7, 2)), jnp.arange(400)
    shown = [
        np.asarray((training.alternating_flip(x, index, epoch) == x[:, :, ::-1]).all((1, 2, 3))) for epoch in range(4)
    ]
    assert 160 < shown[0].sum() < 240
    np.testing.assert_array_equal(shown, [shown[0], ~shown[0], shown[0], ~shown[0]])
    some = jnp.array([17, 3, 399])
    again = (training.alternating_flip(x[some], some, jnp.int32(2)) == x[some][:, :, ::-1]).all((1, 2, 3))
    np.testing.assert_array_equal(again, shown[0][some])


def test_augmentation_is_pure_and_compiles():
    augment = training.make_augment(AugmentConfig(flip="random", crop=1, translate=1))
    assert augment is not None
    x = images()
    given = Batch(x, jnp.arange(len(x)))
    once, again = augment(jax.random.key(0), given), jax.jit(augment)(jax.random.key(0), given)
    assert jnp.array_equal(once.inputs, again.inputs)
    assert not jnp.array_equal(once.inputs, augment(jax.random.key(1), given).inputs)
    assert jnp.array_equal(x, images())


def test_no_augmentation_is_none():
    assert training.make_augment(AugmentConfig()) is None


@pytest.mark.parametrize("change", [training.random_crop, training.random_translate])
@pytest.mark.parametrize("pixels", [-1, 5])
def test_pixels_out_of_range_are_named(change, pixels):
    with pytest.raises(ValueError, match=rf"`pixels` \(={pixels}\) .* 5x7"):
        change(jax.random.key(0), images(), pixels=pixels)


def test_rank_is_named():
    for change in (training.random_flip, lambda key, x: training.random_crop(key, x, pixels=1)):
        with pytest.raises(ValueError, match=r"`images` must be \(batch, height, width, channels\), got shape"):
            change(jax.random.key(0), images()[0])
    with pytest.raises(ValueError, match="`images` must be"):
        training.random_translate(jax.random.key(0), images()[0], pixels=1)
