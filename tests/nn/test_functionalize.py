"""Modules as pure functions of plain trees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxcnn import nn


def net(rngs=0):
    rngs = nnx.Rngs(rngs)
    return nn.Sequential(
        conv=nn.Conv(2, 4, (3, 3), rngs=rngs),
        norm=nn.BatchNorm(4),
        dropout=nn.Dropout(0.5),
        pool=nn.GlobalPool("avg"),
        head=nn.Dense(4, 3, rngs=rngs),
    )


@pytest.fixture
def x():
    return jax.random.normal(jax.random.key(1), (5, 6, 6, 2))


def test_functionalize_equals_the_module(x):
    module = net()
    fn, params = nn.functionalize(module)
    np.testing.assert_array_equal(fn(params, x), module(x))


def test_params_are_plain_dicts_by_path():
    _, params = nn.functionalize(net())
    assert jax.tree.map(jnp.shape, params) == {
        "conv": {"kernel": (3, 3, 2, 4), "bias": (4,)},
        "norm": {"scale": (4,), "offset": (4,)},
        "head": {"kernel": (4, 3), "bias": (3,)},
    }
    assert type(params) is dict


def test_functionalize_closes_over_the_statistics_of_its_time(x):
    module = net()
    fn, params = nn.functionalize(module)
    before = fn(params, x)
    module.norm(3 + jnp.ones((5, 6, 6, 4)), training=True)
    np.testing.assert_array_equal(fn(params, x), before)


def test_functionalize_takes_any_flax_module():
    module = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    fn, params = nn.functionalize(module)
    np.testing.assert_array_equal(fn(params, jnp.ones((1, 3))), module(jnp.ones((1, 3))))


def test_functionalize_an_abstract_module_to_trace(x):
    fn, params = nn.functionalize(nnx.eval_shape(net))
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(params))
    assert jax.eval_shape(fn, params, x).shape == (5, 3)


def test_training_updates_statistics_and_is_pure(x):
    module = net()
    apply, params, statistics = nn.split(module)
    inputs = jax.tree.map(np.array, (params, statistics))
    step = jax.jit(apply, static_argnames="training")
    outputs, new = step(params, statistics, x, training=True, key=jax.random.key(0))
    again, _ = step(params, statistics, x, training=True, key=jax.random.key(0))
    other, _ = step(params, statistics, x, training=True, key=jax.random.key(1))
    np.testing.assert_array_equal(outputs, again)
    assert (outputs != other).any(), "another key must drop other features"
    assert jax.tree.structure(new) == jax.tree.structure(statistics)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).all()), statistics, new)))
    jax.tree.map(np.testing.assert_array_equal, (params, statistics), inputs)
    np.testing.assert_array_equal(module.norm.mean[...], np.zeros(4))


def test_evaluation_leaves_statistics_alone(x):
    module = net()
    apply, params, statistics = nn.split(module)
    outputs, new = apply(params, statistics, x, training=False)
    np.testing.assert_array_equal(outputs, module(x))
    jax.tree.map(np.testing.assert_array_equal, statistics, new)


def test_statistics_stay_float32_in_half_precision(x):
    apply, params, statistics = nn.split(net())
    outputs, new = apply(params, statistics, x.astype(jnp.bfloat16), training=True, key=jax.random.key(0))
    assert outputs.dtype == jnp.bfloat16
    assert {leaf.dtype.name for leaf in jax.tree.leaves(new)} == {"float32"}


def test_dropout_without_a_key_is_an_error(x):
    with pytest.raises(ValueError, match="`key`"):
        net()(x, training=True)


def test_a_network_is_drawn_by_its_key_alone():
    def params(module):
        return jax.tree.leaves(nn.functionalize(module)[1])

    same = [bool((a == b).all()) for a, b in zip(params(net(0)), params(net(0)), strict=True)]
    other = [bool((a != b).any()) for a, b in zip(params(net(0)), params(net(1)), strict=True) if a.ndim > 1]
    assert all(same)
    assert all(other)


def test_an_ensemble_is_drawn_by_vmap():
    fn, _ = nn.functionalize(net())

    def init(key):
        return nn.functionalize(net(key))[1]

    members = jax.vmap(init)(jax.vmap(jax.random.key)(jnp.arange(3)))
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(lambda leaf: leaf[2], members), init(2))
    assert jax.vmap(fn, in_axes=(0, None))(members, jnp.ones((1, 6, 6, 2))).shape == (3, 1, 3)
