"""Blocks with and without shortcuts: what is added, what is dropped and how often."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxcnn import models, nn
from jaxcnn.models.blocks import Style
from jaxcnn.models.residual import Residual, Subsample, add, rates, shortcut

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (6, 5, 5, 4))


class Seen(nn.Module):
    """A layer that notes what it was called with."""

    def __call__(self, x, *, training=False, key=None):
        self.called = (training, None if key is None else tuple(jax.random.key_data(key).tolist()))
        return x


@pytest.mark.parametrize("pool", ["stride", "polyphase"])
def test_body_and_shortcut_are_told_of_training_and_draw_apart(pool):
    sampled = {"sample": nn.PolyphasePool()} if pool == "polyphase" else {}
    block = add({"one": Seen(), "two": Seen(), **sampled}, Seen(), nn.Identity(), style=Style(pool=pool))
    block(jnp.ones((4, 4, 1)), training=True, key=KEY)
    training, keys = zip(*(layer.called for layer in (block.one, block.two, block.shortcut)), strict=True)
    assert training == (True,) * 3
    assert len(set(keys)) == 3
    block(jnp.ones((4, 4, 1)))
    assert {layer.called for layer in (block.one, block.two, block.shortcut)} == {(False, None)}


@pytest.mark.parametrize(
    ("padded", "expected"),
    [
        (True, lambda x, _: np.concatenate([x[:, ::2, ::2], np.zeros((6, 3, 3, 3))], -1)),
        (False, lambda x, short: x[:, ::2, ::2] @ np.asarray(short.conv.kernel[0, 0])),
    ],
    ids=["option A", "option B"],
)
def test_shortcuts(padded, expected):
    short = shortcut(Style(norm="layer"), 4, 7, 2, padded=padded, normalized=False, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(short(X), expected(np.asarray(X), short), atol=1e-6)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_positions_are_those_that_a_strided_convolution_reads(rank):
    x = jax.random.normal(KEY, (2, *range(7, 7 + rank), 3))
    axes = tuple(range(-1 - rank, -1))
    np.testing.assert_array_equal(Subsample(2, spatial_axes=axes)(x), x[(slice(None), *[slice(None, None, 2)] * rank)])


def test_without_a_shortcut_the_body_is_all():
    layers = {"double": nn.Activation(lambda x: 2 * x)}
    plain = add(layers, nn.Identity(), nn.Activation("relu"), style=Style(), residual=False)
    assert not isinstance(plain, Residual)
    np.testing.assert_array_equal(plain(X), jax.nn.relu(2 * X))


def test_a_dropped_body_leaves_the_shortcut_and_a_kept_one_is_scaled():
    block = add({"triple": nn.Activation(lambda x: 3 * x)}, nn.Identity(), nn.Identity(), style=Style(), rate=0.25)
    x = jnp.ones((4000, 2, 2, 1))
    y = np.asarray(block(x, training=True, key=KEY)).reshape(4000, -1)
    assert (y == y[:, :1]).all()  # the whole example
    assert set(y[:, 0].tolist()) == {1.0, 5.0}  # x, or x + 3 x / 0.75
    assert abs((y[:, 0] == 1).mean() - 0.25) < 0.03
    assert abs(y.mean() - 4) < 0.12
    np.testing.assert_array_equal(block(x), 4 * x)  # evaluation


def test_one_example_without_a_batch_axis_is_dropped_whole():
    layer = nn.DropPath(0.5, spatial_axes=(-2,))
    drawn = [np.unique(layer(jnp.ones((7, 3)), training=True, key=jax.random.key(i))).tolist() for i in range(16)]
    assert sorted(map(tuple, drawn))[0] == (0.0,)
    assert sorted(map(tuple, drawn))[-1] == (2.0,)
    with pytest.raises(ValueError, match="`key`"):
        layer(X, training=True)


@pytest.mark.parametrize(
    ("name", "options", "blocks"),
    [
        ("small_resnet", {}, 3),
        ("resnet20", {"pool": "polyphase"}, 9),
        ("resnet50", {}, 16),
        ("preact_resnet20", {}, 9),
        ("convnext_tiny", {}, 18),
        ("resnet9", {}, 2),
    ],
)
def test_rates_rise_from_nothing_to_the_last_block(name, options, blocks):
    module = nnx.eval_shape(lambda: models.create(name, width=4, drop_path=0.3, **options))
    drops = [layer for _, layer in nnx.iter_graph(module) if isinstance(layer, nn.DropPath)]
    expected = [0.3 * i / (blocks - 1) for i in range(1, blocks)]  # the first block has none
    np.testing.assert_allclose(sorted(layer.rate for layer in drops), expected)
    np.testing.assert_allclose(rates(0.3, blocks), [0, *expected])
    assert {layer.spatial_axes for layer in drops} == {(-3, -2)}


def test_training_draws_paths_and_evaluation_does_not():
    module = models.create("small_resnet", width=4, norm="layer", drop_path=0.9, input_shape=(8, 8, 3))
    apply, params, statistics = nn.split(module)
    run = functools.partial(jax.jit, static_argnames="training")(apply)
    x = jax.random.normal(KEY, (8, 8, 8, 3))
    first, same, other = (run(params, statistics, x, training=True, key=jax.random.key(i))[0] for i in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
    evaluated = [run(params, statistics, x, training=False, key=key)[0] for key in (None, KEY)]
    np.testing.assert_array_equal(*evaluated)


def test_shortcuts_do_not_change_the_parameters():
    """With and without them, the two networks of a comparison start from the same kernels."""
    with_them, without = (
        nn.functionalize(models.create("small_resnet", width=4, residual=residual))[1] for residual in (True, False)
    )
    jax.tree.map(np.testing.assert_array_equal, with_them, without)
