"""Consistency against loops over shifts, and the interval against SciPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references import equivariance as reference
from references.arrays import normal
from scipy import stats

from jaxcnn import functional as F
from jaxcnn.equivariance import Consistency, binomial_interval, consistency, consistency_table

WEIGHTS = np.random.default_rng(5).normal(size=(6 * 5 * 2, 4)).astype("float32")


def classify(x):
    return x.reshape(len(x), -1) @ WEIGHTS


def by_hand(images: np.ndarray) -> np.ndarray:
    return np.argmax(images.reshape(len(images), -1).astype(np.float64) @ WEIGHTS, -1)


@pytest.mark.parametrize("batch", [3, 7, 100])
def test_circular_predictions_are_those_of_rolled_images(batch) -> None:
    images = normal(0, (7, 6, 5, 2))
    found = consistency(classify, images, batch=batch)
    assert found.shifts.shape == (30, 2)
    for column, shift in enumerate(found.shifts):
        np.testing.assert_array_equal(found.predictions[:, column], by_hand(np.roll(images, shift, (1, 2))))
    first = found.predictions[:, :1]
    assert found.agreement == pytest.approx(float((found.predictions[:, 1:] == first).mean()))
    pairs = [[row[i] == row[j] for i in range(30) for j in range(30) if i != j] for row in found.predictions]
    assert found.pairwise == pytest.approx(np.mean(pairs))
    assert found.stable == np.mean([len(set(row)) == 1 for row in found.predictions.tolist()])


def test_crops_of_a_canvas_and_of_an_image_that_is_reflected() -> None:
    canvas = normal(1, (4, 8, 9, 2))
    found = consistency(classify, canvas, mode="crops", window=(6, 5))
    assert len(found.shifts) == 3 * 5
    for column, (down, right) in enumerate(found.shifts.astype(int)):
        crop = np.asarray(canvas)[:, 1 - down :, 2 - right :][:, :6, :5]
        np.testing.assert_array_equal(found.predictions[:, column], by_hand(crop))
    images = normal(1, (4, 6, 5, 2))
    found = consistency(classify, images, mode="crops")
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    assert len(found.shifts) == 9
    for column, (down, right) in enumerate(found.shifts.astype(int)):
        crop = padded[:, 1 - down :, 1 - right :][:, :6, :5]
        np.testing.assert_array_equal(found.predictions[:, column], by_hand(crop))


def test_half_pixels_are_fourier_shifts() -> None:
    images = normal(2, (4, 6, 5, 2))
    found = consistency(classify, images, mode="half-pixel")
    assert len(found.shifts) == 9
    for column, (down, right) in enumerate(found.shifts):
        moved = reference.fourier_shifted(reference.fourier_shifted(np.asarray(images), down, 1), right, 2)
        np.testing.assert_array_equal(found.predictions[:, column], by_hand(moved))


def test_an_invariant_classifier_is_consistent_and_the_accuracies_are_counted() -> None:
    images = normal(3, (20, 6, 6, 3))

    def invariant(x):
        return F.global_max_pool(x)

    labels = np.argmax(np.asarray(images).max((1, 2)), -1)
    labels[:5] = (labels[:5] + 1) % 3
    found = consistency(invariant, images, labels=labels)
    assert (found.agreement, found.pairwise, found.stable) == (1, 1, 1)
    assert (found.accuracy, found.shifted_accuracy, found.worst_accuracy) == (0.75, 0.75, 0.75)
    assert found.stable_interval[0] == pytest.approx(0.025 ** (1 / 20))
    as_classes = consistency(lambda x: invariant(x).argmax(-1), images)
    np.testing.assert_array_equal(as_classes.predictions, found.predictions)


def test_shifts_may_be_drawn_or_named() -> None:
    images = normal(0, (2, 6, 5, 2))
    assert len(consistency(classify, images, shifts=4).shifts) in (4, 5)  # no shift may be among those drawn
    assert consistency(classify, images, shifts=[(1, 2)]).shifts.tolist() == [[0, 0], [1, 2]]
    assert consistency(classify, normal(0, (3, 2, 6, 5)), shifts=[1], spatial_axes=(2, 3)).predictions.shape == (3, 2)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 10_000), st.floats(0, 1), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_interval_is_scipy_s(trials, share, level) -> None:
    successes = round(share * trials)
    expected = stats.binomtest(successes, trials).proportion_ci(level, method="exact")
    np.testing.assert_allclose(
        binomial_interval(successes, trials, level=level), (expected.low, expected.high), rtol=1e-9, atol=1e-12
    )


def test_the_table_has_plain_numbers() -> None:
    images = normal(0, (4, 6, 5, 2))
    rows = consistency_table(
        {"plain": consistency(classify, images), "control": consistency(lambda x: x.max((1, 2)), images)}
    )
    assert [row["name"] for row in rows] == ["plain", "control"]
    assert rows[1]["agreement"] == 1 > rows[0]["agreement"]
    assert rows[0]["accuracy"] is None
    with pytest.raises(ValueError, match="must be of the same mode"):
        consistency_table({"a": consistency(classify, images), "b": consistency(classify, images, shifts=[1])})


ERRORS = [
    ({"mode": "random"}, "must be one of"),
    ({"window": 3}, 'is of `mode` "crops"'),
    ({"mode": "crops", "window": 6}, "must be smaller than the images"),
    ({"mode": "crops", "reach": 5}, "must be 1 to 4"),
    ({"mode": "crops", "shifts": [3]}, "by which a crop leaves the canvas"),
    ({"mode": "half-pixel", "shifts": [1]}, 'must be "all" or a number'),
    ({"shifts": [0]}, "nothing but no shift"),
    ({"labels": [1, 2]}, "must be one class an image"),
    ({"spatial_axes": (0, 1)}, "which counts them"),
    ({"spatial_axes": (1, 9)}, "names axis 9"),
    ({"batch": 0}, "at least one image"),
]


@pytest.mark.parametrize(("options", "says"), ERRORS, ids=[says for _, says in ERRORS])
def test_errors_say_what_to_do(options, says) -> None:
    with pytest.raises(ValueError, match=says):
        consistency(classify, normal(0, (3, 6, 5, 2)), **options)


def test_wrong_predictions_are_refused() -> None:
    images = normal(0, (3, 6, 5, 2))
    with pytest.raises(ValueError, match=r"must return \(n, classes\) or \(n,\) for n images"):
        consistency(lambda x: x, images)
    with pytest.raises(ValueError, match="must return classes as integers"):
        consistency(lambda x: x.sum((1, 2, 3)), images)
    with pytest.raises(ValueError, match="must be 0 to `trials`"):
        binomial_interval(3, 2)
    with pytest.raises(ValueError, match=r"`level` \(=95\)"):
        binomial_interval(1, 2, level=95)


def test_a_prediction_of_one_shift_alone_is_counted() -> None:
    one = Consistency("circular", np.zeros((3, 1)), np.array([[0, 0, 1], [2, 2, 2]]))
    assert (one.agreement, one.stable, one.pairwise) == (0.75, 0.5, (2 + 6) / 12)
    assert jnp.isfinite(jnp.asarray(one.agreement_interval)).all()
