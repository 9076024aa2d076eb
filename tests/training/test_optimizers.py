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


@pytest.mark.parametrize("clip", [None, 0.5, 100.0])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("name", NAMES)
def test_optimizers_are_the_formulas(name, weight_decay, clip):
    config = OptimConfig(
        name, lr=0.1, momentum=0.8, weight_decay=weight_decay, clip=clip, schedule="step", step_epochs=1
    )
    optimizer = training.make_optimizer(config, steps_per_epoch=2, epochs=2)
    start, grads = values(), [values() for _ in range(3)]
    params = float32(start)
    state = optimizer.init(params)
    for g in grads:
        updates, state = optimizer.update(float32(g), state, params)
        params = optax.apply_updates(params, updates)
    lrs = [0.1, 0.1, 0.01]
    expected = reference.train(name, start, grads, lrs, momentum=0.8, weight_decay=weight_decay, clip=clip)
    for leaf in SHAPES:
        np.testing.assert_allclose(params[leaf], expected[leaf], **TOLERANCE["float32"])


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
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
    ],
)
def test_bad_settings_are_named(change, message):
    config = dataclasses.replace(OptimConfig(), **change)
    with pytest.raises(ValueError, match=message):
        training.make_optimizer(config, steps_per_epoch=1, epochs=1)
