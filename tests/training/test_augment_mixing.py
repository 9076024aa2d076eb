import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import mixing as reference

from jaxcnn import training
from jaxcnn.training import Batch
from jaxcnn.training.augment_mixing import as_shares, cutmix, mixup

CLASSES = 6


def batch(n=8, shape=(9, 7, 3), dtype="uint8"):
    random = np.random.default_rng(0)
    images = jnp.asarray(random.integers(0, 256, (n, *shape)), dtype)
    return Batch(images, jnp.asarray(random.integers(0, CLASSES, n), jnp.int32))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_mixup_is_the_mean_of_neighbours(dtype):
    given, share = batch(dtype=dtype), np.random.default_rng(1).random(8).astype("float32")
    mixed = mixup(given, jnp.asarray(share), classes=CLASSES)
    labels = reference.one_hot(given.targets, CLASSES)
    images, shares = reference.mixup(np.asarray(given.inputs), labels, share)
    assert mixed.inputs.dtype == dtype
    np.testing.assert_allclose(mixed.inputs, images, atol=0.5001 if dtype == "uint8" else 1e-4)
    np.testing.assert_allclose(mixed.targets, shares, atol=1e-6)


def test_cutmix_pastes_rectangles_and_counts_their_pixels():
    given = batch(60)
    random = np.random.default_rng(2)
    centres = np.stack([random.integers(0, 9, 60), random.integers(0, 7, 60)], 1)
    sides = np.stack([random.integers(0, 10, 60), random.integers(0, 8, 60)], 1)
    mixed = cutmix(given, jnp.asarray(centres), jnp.asarray(sides), classes=CLASSES)
    labels = reference.one_hot(given.targets, CLASSES)
    images, shares = reference.cutmix(np.asarray(given.inputs), labels, centres, sides)
    np.testing.assert_array_equal(mixed.inputs, images)
    np.testing.assert_allclose(mixed.targets, shares, atol=1e-6)


def test_what_is_mixed_can_be_mixed_again():
    given, share = batch(), jnp.linspace(0, 1, 8)
    centres, sides = jnp.full((8, 2), 3), jnp.full((8, 2), 4)
    mixed = cutmix(mixup(given, share, classes=CLASSES), centres, sides, classes=CLASSES)
    _, shares = reference.mixup(np.asarray(given.inputs), reference.one_hot(given.targets, CLASSES), share)
    _, shares = reference.cutmix(np.asarray(given.inputs), shares, np.asarray(centres), np.asarray(sides))
    np.testing.assert_allclose(mixed.targets, shares, atol=1e-6)


@pytest.mark.parametrize("side", [0, 1, 3, 4, 5])
def test_cutout_is_a_square_about_any_pixel(side):
    images = 1 + batch(300, (5, 6, 2)).inputs // 2
    cut = np.asarray(training.random_cutout(jax.random.key(0), images, side=side))
    centres = [(y, x) for y in range(5) for x in range(6)]
    times = np.zeros(len(centres), int)
    for before, after in zip(np.asarray(images), cut, strict=True):
        same = [np.array_equal(after, reference.covered(before, centre, side)) for centre in centres]
        assert any(same)
        times += same
    assert (times > 0).all(), "every pixel is a centre"


def test_shares_are_drawn_from_a_symmetric_beta():
    n, alpha = 4000, 0.4
    given = Batch(jnp.zeros((n, 1)), jnp.zeros((n, 1)).at[::2].set(1))
    mixed = np.asarray(training.random_mixup(jax.random.key(0), given, alpha=alpha).targets)[::2]
    assert mixed.mean() == pytest.approx(0.5, abs=0.03)
    assert mixed.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=0.01)


def test_pasted_areas_are_those_of_the_method():
    """Against the authors' own lines, for squares of 10 pixels and shares that are uniform."""
    n, size, random = 4000, 10, np.random.default_rng(0)
    side = (size * np.sqrt(1 - random.random(n))).astype(int)
    bounds = [
        [np.clip(at + sign * (side // 2), 0, size) for sign in (-1, 1)] for at in random.integers(0, size, (2, n))
    ]
    expected = np.prod([high - low for low, high in bounds], axis=0) / size**2
    given = Batch(jnp.zeros((n, size, size, 1)), jnp.arange(n, dtype=jnp.float32) % 2)
    mixed = np.asarray(training.random_cutmix(jax.random.key(0), given, alpha=1.0).targets)
    pasted = np.where(np.arange(n) % 2, 1 - mixed, mixed)
    assert pasted.mean() == pytest.approx(expected.mean(), abs=0.02)
    np.testing.assert_allclose(
        np.quantile(pasted, [0.25, 0.5, 0.75]), np.quantile(expected, [0.25, 0.5, 0.75]), atol=0.04
    )


def test_targets_of_every_kind_are_mixed_as_floats():
    labels = {
        "labels": (jnp.array([2, 0]), 3, [[0, 0, 1], [1, 0, 0]]),
        "shares": (jnp.array([[0.5, 0.5], [1.0, 0.0]]), None, [[0.5, 0.5], [1, 0]]),
        "several labels": (jnp.array([[1, 1], [0, 1]]), 2, [[1, 1], [0, 1]]),
        "numbers": (jnp.array([3.0, 5.0]), None, [3, 5]),
        "maps": (jnp.ones((2, 4, 4)), None, np.ones((2, 4, 4))),
    }
    for name, (targets, classes, expected) in labels.items():
        shares = as_shares(targets, classes)
        assert jnp.issubdtype(shares.dtype, jnp.floating), name
        np.testing.assert_array_equal(shares, expected)
        mixed = mixup(Batch(jnp.zeros((2, 4)), targets), jnp.array([1.0, 0.0]), classes=classes)
        np.testing.assert_array_equal(mixed.targets, np.asarray(expected)[[0, 0]])
    with pytest.raises(ValueError, match="`classes` must be given to mix labels"):
        as_shares(jnp.array([2, 0]), None)
    with pytest.raises(ValueError, match=r"integer targets of shape \(2, 4, 4\) cannot be mixed"):
        as_shares(jnp.ones((2, 4, 4), int), 3)


@pytest.mark.parametrize("mix", [training.random_mixup, training.random_cutmix])
@pytest.mark.parametrize("alpha", [0.0, -1.0, float("inf"), float("nan")])
def test_an_alpha_out_of_range_is_named(mix, alpha):
    with pytest.raises(ValueError, match=rf"`alpha` \(={alpha}\) must be above 0"):
        mix(jax.random.key(0), batch(), alpha=alpha, classes=CLASSES)
