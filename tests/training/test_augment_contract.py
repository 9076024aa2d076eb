"""What holds for every augmentation that a config can ask for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import training
from jaxcnn.config import AugmentConfig
from jaxcnn.training import Batch

SHAPE, CLASSES = (8, 9, 7, 3), 5
KEYS = jax.random.split(jax.random.key(0), 2)
CASES = {
    "resized_crop": {"resized_crop": 0.3},
    "crop": {"crop": 3},
    "translate": {"translate": 3},
    "rotate": {"rotate": 40.0},
    "random flip": {"flip": "random"},
    "alternating flip": {"flip": "alternating"},
    "brightness": {"brightness": 0.6},
    "contrast": {"contrast": 0.6},
    "saturation": {"saturation": 0.6},
    "hue": {"hue": 0.4},
    "randaugment": {"randaugment": 1, "magnitude": 20.0},
    "cutout": {"cutout": 4},
    "mixup": {"mixup": 1.0},
    "cutmix": {"cutmix": 1.0},
}
MIXES, DRAWS_NOTHING = ("mixup", "cutmix"), ("alternating flip",)


def make(changes):
    augment = training.make_augment(AugmentConfig(**changes), classes=CLASSES)
    assert augment is not None
    return augment


def compiled(function):
    """Without the optimisations of LLVM, which take most of the time that these tests do."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def program(name, dtype):
    """Compiled and mapped over keys, on bytes; compiled alone, on floats."""
    augment = make(CASES[name])
    return compiled(jax.vmap(augment, (0, None)) if dtype == "uint8" else augment)


def batch(dtype="uint8"):
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, SHAPE), "uint8")
    images = images if dtype == "uint8" else (images / 255).astype(dtype)
    return Batch(images, jnp.arange(8, dtype=jnp.int32) % CLASSES, jnp.arange(8) * 3, jnp.int32(1))


@pytest.mark.parametrize("name", CASES)
def test_shape_type_range_and_keys(name):
    given, changed = batch(), program(name, "uint8")
    once, again = changed(KEYS, given), changed(KEYS, given)
    assert (once.inputs.shape, once.inputs.dtype) == ((2, *SHAPE), jnp.uint8)
    jax.tree.map(np.testing.assert_array_equal, once, again)
    assert np.array_equal(once.inputs[0], once.inputs[1]) == (name in DRAWS_NOTHING)
    assert not np.array_equal(once.inputs[0], given.inputs)
    np.testing.assert_array_equal(once.numbers[0], given.numbers)

    floats = program(name, "float32")(KEYS[0], batch("float32"))  # with the same draws
    assert (floats.inputs.shape, floats.inputs.dtype) == (SHAPE, jnp.float32)
    assert floats.inputs.min() >= 0
    assert floats.inputs.max() <= 1
    off = jnp.abs(255 * floats.inputs - once.inputs[0])
    assert (off > 1.5).mean() < (0.02 if name == "randaugment" else 1e-9), "thresholds, where a float is not exact"
    if name in MIXES:
        assert floats.targets.shape == (8, CLASSES)
        np.testing.assert_allclose(floats.targets.sum(1), 1, rtol=1e-5)
    else:
        np.testing.assert_array_equal(floats.targets, given.targets)


@pytest.mark.parametrize("name", CASES)
def test_images_do_not_leak_into_others_but_where_they_are_mixed(name):
    given, change = batch(), program(name, "uint8")
    before = change(KEYS, given).inputs
    after = change(KEYS, given._replace(inputs=given.inputs.at[4].set(255 - given.inputs[4]))).inputs
    changed = set(np.flatnonzero((before != after).any((0, 2, 3, 4))).tolist())
    assert 4 in changed
    assert changed <= ({3, 4} if name in MIXES else {4})


@pytest.mark.parametrize("name", MIXES)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_labels_are_mixed_as_images_are(name, dtype):
    """The mean of an image that began as even, its value its label, is the mean of its labels."""
    labels = jnp.arange(8, dtype=jnp.int32) % CLASSES
    images = jnp.asarray(labels[:, None, None, None] * jnp.full((1, *SHAPE[1:]), 50), dtype)
    given = batch()._replace(inputs=images, targets=labels)
    mixed = program(name, dtype)(KEYS if dtype == "uint8" else KEYS[0], given)
    means, expected = mixed.inputs.mean((-3, -2, -1)), 50 * mixed.targets @ jnp.arange(CLASSES)
    np.testing.assert_allclose(means, expected, atol=0.51 if dtype == "uint8" else 1e-3)
    assert len(np.unique(np.asarray(mixed.targets).round(3))) > 6


@pytest.mark.parametrize("name", sorted({*CASES} - {"mixup", "many"}))
@pytest.mark.parametrize("rank", [3, 5])
def test_other_ranks_than_that_of_images_are_refused(name, rank):
    given = batch()._replace(inputs=jnp.zeros((8, 9, 7, 2, 1)[:rank], "uint8"))
    message = r"^augment\.\w+: `images` must be \(batch, height, width, channels\), got shape \(8, 9, 7"
    with pytest.raises(ValueError, match=message):
        make(CASES[name])(jax.random.key(0), given)


@pytest.mark.parametrize(
    ("field", "values"),
    {
        "resized_crop": (0.0, 1.5), "crop": (-1,), "translate": (-1,), "rotate": (-1.0, 200.0), "cutout": (-2,),
        "brightness": (-0.1, 1.1), "contrast": (-0.1, 1.1), "saturation": (-0.1, 1.1), "hue": (-0.1, 0.6),
        "randaugment": (-1,), "magnitude": (-1.0, 30.5), "mixup": (-0.1, float("inf")), "cutmix": (-0.1, float("nan")),
    }.items(),
)  # fmt: skip
def test_a_setting_out_of_range_is_named(field, values):
    for value in values:
        with pytest.raises(ValueError, match=rf"^`{field}` \(={value}\) must be (from .* to|at least 0)"):
            training.make_augment(AugmentConfig(**{field: value}))


def test_an_unknown_flip_is_named():
    with pytest.raises(ValueError, match=r"unknown flip 'alternate': did you mean 'alternating'\?"):
        training.make_augment(AugmentConfig(flip="alternate"))


@pytest.mark.parametrize("name", ["crop", "translate", "cutout"])
def test_an_image_that_is_too_small_is_refused(name):
    with pytest.raises(ValueError, match=r"to (below )?the size of the 9x2 images"):
        make({name: 3})(jax.random.key(0), batch()._replace(inputs=jnp.zeros((8, 9, 2, 3), "uint8")))


def test_the_changes_come_in_the_order_of_the_fields():
    """Zeros that a cutout puts are not brightened, nor those moved that a translation brings."""
    given = Batch(jnp.full((64, 6, 6, 1), 100, "uint8"), jnp.zeros(64, "int32"), jnp.arange(64), jnp.int32(0))
    changes = {"cutout": 2, "translate": 1, "flip": "alternating", "brightness": 0.5}

    def expected(key, given):
        keys = jax.random.split(key, 4)
        x = training.random_translate(keys[0], given.inputs, pixels=1)
        x = training.alternating_flip(x, given.numbers, given.epoch)
        x = training.random_colour(keys[2], x, brightness=0.5)
        return training.random_cutout(keys[3], x, side=2)

    got, wanted = (compiled(function)(jax.random.key(0), given) for function in (make(changes), expected))
    np.testing.assert_array_equal(got.inputs, wanted)


def test_black_and_white_are_told():
    dark = Batch(jnp.full((64, 4, 4, 1), 10, "uint8"), jnp.zeros(64, "int32"))
    augment = training.make_augment(AugmentConfig(brightness=1.0, randaugment=1), white=16.0)
    assert augment is not None
    assert 12 < compiled(augment)(jax.random.key(0), dark).inputs.max() <= 16
