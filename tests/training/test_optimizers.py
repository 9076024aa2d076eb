import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from references import optimizers as reference
from references.tolerance import TOLERANCE

from jaxcnn import training
from jaxcnn.config import OptimConfig

RANDOM = np.random.default_rng(0)
SHAPES = {"kernel": (3, 2), "bias": (2,)}
NAMES = list(reference.OPTIMIZERS)


def values():
    return {name: RANDOM.normal(size=shape) for name, shape in SHAPES.items()}


def float32(tree):
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)


def trained(optimizer, start, grads):
    params = float32(start)
    state = optimizer.init(params)
    for g in grads:
        updates, state = optimizer.update(float32(g), state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize(
    ("weight_decay", "decay", "clip"),
    [(0.0, None, None), (0.3, None, 100.0), (0.3, "l2", 0.5), (0.3, "decoupled", 0.5)],
)
@pytest.mark.parametrize("name", NAMES)
def test_optimizers_are_the_formulas(name, weight_decay, decay, clip):
    options = {"momentum": 0.8, "weight_decay": weight_decay, "decay": decay, "clip": clip}
    config = OptimConfig(name, lr=0.1, schedule="step", step_epochs=1, **options)
    optimizer = training.make_optimizer(config, steps_per_epoch=2, epochs=2)
    start, grads = values(), [values() for _ in range(3)]
    params = trained(optimizer, start, grads)
    expected = reference.train(name, start, grads, [0.1, 0.1, 0.01], **options)
    for leaf in SHAPES:
        np.testing.assert_allclose(params[leaf], expected[leaf], **TOLERANCE["float32"])


@pytest.mark.parametrize("share", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("name", ["sgd", "nesterov", "adamw"])
def test_lookahead_is_the_formula(name, share):
    config = OptimConfig(name, lr=0.1, schedule="constant", lookahead=3, lookahead_share=share)
    start, grads = values(), [values() for _ in range(8)]
    params = trained(training.make_optimizer(config, steps_per_epoch=8, epochs=1), start, grads)
    expected = reference.train(name, start, grads, [0.1] * 8, lookahead=(3, share))
    for leaf in SHAPES:
        np.testing.assert_allclose(params[leaf], expected[leaf], **TOLERANCE["float32"])


def test_muons_steps_are_nearly_orthogonal_and_as_large_as_adams():
    config = OptimConfig("muon", lr=1.0, schedule="constant")
    optimizer = training.make_optimizer(config, steps_per_epoch=1, epochs=1)
    params = {"kernel": jnp.zeros((3, 3, 8, 32))}
    grads = {"kernel": jnp.asarray(RANDOM.normal(size=(3, 3, 8, 32)), jnp.float32)}
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    matrix = np.asarray(updates["kernel"]).reshape(72, 32) / (0.2 * np.sqrt(72))
    singular = np.linalg.svd(matrix, compute_uv=False)
    assert ((singular > 0.6) & (singular < 1.25)).all(), singular
    assert 0.6 * 0.2 < np.sqrt(np.mean(np.square(updates["kernel"]))) < 1.25 * 0.2  # Adam's are about 0.2


def test_frozen_parameters_stay_and_cost_nothing():
    frozen = {"kernel": True, "bias": False}
    config = OptimConfig("adamw", lr=0.1, weight_decay=0.5, clip=1e-3, schedule="constant", lookahead=2)
    optimizer = training.make_optimizer(config, steps_per_epoch=1, epochs=1, frozen=frozen)
    start, grads = values(), [values() for _ in range(3)]
    params = trained(optimizer, start, grads)
    np.testing.assert_array_equal(params["kernel"], start["kernel"].astype("float32"))
    alone = training.make_optimizer(config, steps_per_epoch=1, epochs=1)
    expected = trained(alone, {"bias": start["bias"]}, [{"bias": g["bias"]} for g in grads])
    np.testing.assert_array_equal(params["bias"], expected["bias"])  # the frozen gradients clip nothing
    shapes = {leaf.shape for leaf in jax.tree.leaves(optimizer.init(float32(start)))}
    assert shapes == {(), SHAPES["bias"]}


@pytest.mark.parametrize("name", NAMES)
def test_weight_decay_moves_kernels_alone(name):
    config = OptimConfig(name, lr=0.1, weight_decay=0.5, schedule="constant")
    optimizer = training.make_optimizer(config, steps_per_epoch=1, epochs=1)
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2), "scale": jnp.ones(2)}
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    assert (updates["kernel"] < 0).all()
    assert not updates["bias"].any()
    assert not updates["scale"].any()


@pytest.mark.parametrize("gradient", [1e-4, 1e-12, 0.0])
def test_adagrad_scales_tiny_gradients_too(gradient):
    config = OptimConfig("adagrad", lr=0.1, schedule="constant")
    optimizer = training.make_optimizer(config, steps_per_epoch=1, epochs=1)
    params = jnp.ones(1)
    updates, _ = optimizer.update(jnp.full(1, gradient), optimizer.init(params), params)
    expected = -0.1 * gradient / (gradient + 1e-10)
    np.testing.assert_allclose(updates, [expected], rtol=2e-2, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "adamm"}, "unknown optimizer 'adamm': did you mean 'adam'"),
        ({"momentum": 1.0}, r"`momentum` \(=1.0\)"),
        ({"weight_decay": -0.1}, r"`weight_decay` \(=-0.1\)"),
        ({"clip": 0.0}, r"`clip` \(=0.0\)"),
        ({"decay": "l1"}, "unknown decay 'l1'"),
        ({"lookahead": -1}, r"`lookahead` \(=-1\)"),
        ({"lookahead": 5, "lookahead_share": 0.0}, r"`lookahead_share` \(=0.0\)"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
    ],
)
def test_bad_settings_are_named(change, message):
    config = dataclasses.replace(OptimConfig(), **change)
    with pytest.raises(ValueError, match=message):
        training.make_optimizer(config, steps_per_epoch=1, epochs=1)
