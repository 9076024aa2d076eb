from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import losses as reference
from references.tolerance import TOLERANCE

from jaxcnn import training
from jaxcnn.config import LossConfig

RANDOM = np.random.default_rng(0)


def example(batch, classes=4):
    return RANDOM.normal(size=(*batch, classes)).astype("float32"), RANDOM.integers(0, classes, batch)


@pytest.mark.parametrize("batch", [(7,), (2, 3, 5), ()])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("shares", [False, True])
def test_cross_entropy_is_the_formula(batch, smoothing, weighted, gamma, shares):
    outputs, targets = example(batch)
    targets = RANDOM.dirichlet(np.ones(4), batch).astype("float32") if shares else targets
    weights = np.array([0.5, 1.0, 2.0, 3.0]) if weighted else None
    loss = partial(
        training.cross_entropy,
        label_smoothing=smoothing,
        class_weights=None if weights is None else jnp.asarray(weights, jnp.float32),
        gamma=gamma,
    )
    got = jax.jit(loss)(outputs, targets)
    expected = reference.cross_entropy(outputs, targets, smoothing, weights, gamma)
    np.testing.assert_allclose(got, expected, **TOLERANCE["float32"])


def test_cross_entropy_of_large_logits_is_finite():
    loss = training.cross_entropy(jnp.array([[1e4, -1e4]]), jnp.array([1]))
    assert float(loss) == 2e4


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_the_focal_loss_of_certain_outputs_has_a_gradient(gamma):
    loss = partial(training.cross_entropy, targets=jnp.array([0]), gamma=gamma)
    value, gradient = jax.value_and_grad(loss)(jnp.array([[200.0, 0.0, 0.0]]))
    assert value == 0
    assert np.isfinite(gradient).all()


def test_a_multi_label_loss_is_of_labels():
    targets = np.array([[0, 1, 1], [0, 0, 1]])
    loss = training.make_loss(LossConfig("multi_label", label_smoothing=0.2), targets, 3)
    outputs = RANDOM.normal(size=(2, 3)).astype("float32")
    expected = reference.sigmoid_binary_cross_entropy(outputs, 0.8 * targets + 0.1)
    np.testing.assert_allclose(loss(jnp.asarray(outputs), jnp.asarray(targets)), expected, rtol=1e-5)


@pytest.mark.parametrize("label", [-1, 4, 100])
def test_cross_entropy_of_a_label_out_of_range_is_nan(label):
    outputs, _ = example((3,))
    targets = jnp.array([0, label, 1])
    for smoothing in (0.0, 0.1):
        loss = jax.jit(lambda y, t, s=smoothing: training.cross_entropy(y, t, label_smoothing=s))
        assert jnp.isnan(loss(jnp.asarray(outputs), targets))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_losses_are_computed_in_float32_or_wider(dtype):
    with jax.enable_x64(dtype == "float64"):
        outputs, targets = example((5,))
        outputs = jnp.asarray(outputs, dtype)
        truth = jnp.asarray(outputs > 0, dtype)
        expected = {
            training.cross_entropy: (targets, reference.cross_entropy(np.float64(outputs), targets)),
            training.mean_squared_error: (truth, np.mean((np.float64(outputs) - np.float64(truth)) ** 2)),
            training.sigmoid_binary_cross_entropy: (
                truth,
                reference.sigmoid_binary_cross_entropy(np.float64(outputs), np.float64(truth)),
            ),
        }
        wide = "float64" if dtype == "float64" else "float32"
        for loss, (target, value) in expected.items():
            got = jax.jit(loss)(outputs, target)
            assert got.dtype == wide
            np.testing.assert_allclose(got, value, **TOLERANCE[wide])


def test_balanced_weights_make_classes_count_alike():
    targets = np.array([0] * 6 + [1] * 3 + [3] * 1)
    weights = np.asarray(training.balanced_class_weights(targets, 4))
    np.testing.assert_allclose(weights, [10 / 24, 10 / 12, 0, 10 / 4], rtol=1e-6)
    loss = training.make_loss(LossConfig(class_weights="balanced"), targets, 4)
    outputs, _ = example((10,))
    expected = reference.cross_entropy(outputs, targets, class_weights=weights)
    np.testing.assert_allclose(loss(jnp.asarray(outputs), jnp.asarray(targets)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: training.cross_entropy(jnp.ones((2, 3)), jnp.ones(2)), TypeError, "integers.*float32"),
        (lambda: training.cross_entropy(jnp.ones((2, 3)), jnp.zeros(3, int)), ValueError, r"shape \(2,\)"),
        (
            lambda: training.cross_entropy(jnp.ones((2, 3)), jnp.zeros(2, int), label_smoothing=1.5),
            ValueError,
            r"`label_smoothing` \(=1.5\)",
        ),
        (
            lambda: training.cross_entropy(jnp.ones((2, 3)), jnp.zeros(2, int), class_weights=jnp.ones(2)),
            ValueError,
            r"`class_weights` must have shape \(3,\)",
        ),
        (lambda: training.cross_entropy(jnp.ones((2, 3)), jnp.zeros(2, int), gamma=-1.0), ValueError, r"`gamma` \(=-1"),
        (lambda: training.cross_entropy(jnp.ones((2, 3)), jnp.ones((2, 2))), ValueError, r"shape \(2,\).*\(2, 2\)"),
        (lambda: training.make_loss(LossConfig("focus"), np.array([0]), 1), ValueError, "did you mean 'focal'"),
        (
            lambda: training.make_loss(LossConfig("multi_label"), np.array([0, 2]), 3),
            ValueError,
            r"one for each of 3 labels; got shape \(2,\), from 0 to 2",
        ),
        (
            lambda: training.make_loss(LossConfig("multi_label", class_weights="balanced"), np.eye(2), 2),
            ValueError,
            "for one class an image",
        ),
        (lambda: training.mean_squared_error(jnp.ones((2, 1)), jnp.ones(2)), ValueError, r"shape \(2, 1\)"),
        (
            lambda: training.sigmoid_binary_cross_entropy(jnp.ones((2, 1)), jnp.ones(2)),
            ValueError,
            r"shape \(2, 1\)",
        ),
        (lambda: training.check_labels(np.array([0, 1, -1]), 3), ValueError, "label -1 of example 2"),
        (lambda: training.check_labels(np.array([0, 3, 7]), 3), ValueError, "label 3 .* 0 to 2"),
        (lambda: training.balanced_class_weights(np.array([5]), 3), ValueError, "label 5 of example 0"),
        (lambda: training.make_loss(LossConfig(), np.array([5]), 3), ValueError, "label 5 of example 0"),
        (
            lambda: training.make_loss(LossConfig(class_weights="balance"), np.array([0]), 1),
            ValueError,
            "did you mean 'balanced'",
        ),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LossConfig(label_smoothing=1.5), r"`label_smoothing` \(=1.5\) must be from 0 to 1"),
        (LossConfig("multi_label", label_smoothing=-0.1), r"`label_smoothing` \(=-0.1\) must be"),
        (LossConfig("focal", gamma=-1.0), r"`gamma` \(=-1.0\) must be finite, and not negative"),
    ],
)
def test_a_value_out_of_range_is_told_before_a_loss_is_computed(config, message):
    with pytest.raises(ValueError, match=message):
        training.make_loss(config, np.zeros((2, 3)) if config.name == "multi_label" else np.array([0, 1]), 3)
