"""Batch norm of a batch that is divided: the statistics, and the gradients through them, are those of the whole."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.sharding import Mesh, PartitionSpec
from jax.test_util import check_grads
from references import norm as reference
from references.arrays import normal
from references.tolerance import TOLERANCE

from jaxcnn import functional as F
from jaxcnn import nn

SHARDS, CHANNELS = 4, 3

Outputs = tuple[Array, Array, Array]


def arguments(dtype: str, shape: tuple[int, ...] = (8, 5, 2)) -> tuple[Array, Array, Array]:
    x = 2 + 3 * normal(0, (*shape, CHANNELS), dtype)
    return x, normal(1, (CHANNELS,), dtype), normal(2, (CHANNELS,), dtype)


def norm(x: Array, scale: Array, offset: Array, *, activation: str | None = None, axis_name: Any = None) -> Outputs:
    zeros = jnp.zeros(CHANNELS, scale.dtype)
    return F.batch_norm(
        x, scale, offset, zeros, zeros + 1, training=True, epsilon=0.1, activation=activation, axis_name=axis_name
    )


def divided(axis_name: Any = "shards", **options: Any) -> Callable[..., Outputs]:
    """Norm a batch in shards, as `vmap` maps them."""
    each = partial(norm, axis_name=axis_name, **options)
    mapped = jax.vmap(each, in_axes=(0, None, None), axis_name="shards")

    def whole(x: Array, scale: Array, offset: Array) -> Outputs:
        y, mean, variance = mapped(x.reshape(SHARDS, -1, *x.shape[1:]), scale, offset)
        return y.reshape(x.shape), mean, variance

    return whole


@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
def test_a_divided_batch_is_normed_as_a_whole(activation: str | None) -> None:
    with jax.enable_x64(True):
        args, weights = arguments("float64"), normal(3, (8, 5, 2, CHANNELS), "float64")

        def loss(f: Callable[..., Outputs]) -> Callable[..., Array]:
            return lambda *args: (jnp.sin(f(*args)[0]) * weights).sum()

        (y, mean, variance), expected = divided(activation=activation)(*args), norm(*args, activation=activation)
        for shard in range(SHARDS):
            np.testing.assert_allclose(mean[shard], expected[1], **TOLERANCE["float64"])
            np.testing.assert_allclose(variance[shard], expected[2], **TOLERANCE["float64"])
        np.testing.assert_allclose(y, expected[0], **TOLERANCE["float64"])
        ours = jax.grad(loss(divided(activation=activation)), (0, 1, 2))(*args)
        theirs = jax.grad(loss(partial(norm, activation=activation)), (0, 1, 2))(*args)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_a_divided_batch_equals_numpy() -> None:
    x, _, _ = arguments("float32")
    _, batch_mean, unbiased = reference.batch_norm(x, 0.1)
    y, mean, variance = divided()(x, jnp.ones(CHANNELS), jnp.zeros(CHANNELS))
    np.testing.assert_allclose(y, reference.batch_norm(x, 0.1)[0], **TOLERANCE["float32"])
    np.testing.assert_allclose(mean[0], 0.1 * batch_mean, **TOLERANCE["float32"])
    np.testing.assert_allclose(variance[0], 0.9 + 0.1 * unbiased, **TOLERANCE["float32"])


def test_a_divided_batch_has_derivatives_in_both_modes() -> None:
    with jax.enable_x64(True):
        mapped = jax.jit(lambda *args: divided()(*args)[0])
        check_grads(mapped, arguments("float64"), order=1, modes=("fwd", "rev"))


def test_a_large_mean_costs_no_precision() -> None:
    x = 1000 + normal(0, (32, 6, CHANNELS))
    y = divided()(x, jnp.ones(CHANNELS), jnp.zeros(CHANNELS))[0]
    np.testing.assert_allclose(y, reference.batch_norm(x, 0.1)[0], rtol=1e-5, atol=1e-5)


def test_half_precision_keeps_its_type_and_float32_statistics() -> None:
    x = arguments("bfloat16")[0]
    y, mean, variance = divided()(x, jnp.ones(CHANNELS), jnp.zeros(CHANNELS))
    assert (y.dtype, mean.dtype, variance.dtype) == ("bfloat16", "float32", "float32")
    expected = reference.batch_norm(x, 0.1)[0]
    np.testing.assert_allclose(np.asarray(y, np.float64), expected, **TOLERANCE["bfloat16"])


def test_one_value_a_shard_is_enough() -> None:
    x, scale, offset = arguments("float32", (SHARDS,))
    y, _, variance = divided()(x, scale, offset)
    np.testing.assert_allclose(y, norm(x, scale, offset)[0], **TOLERANCE["float32"])
    assert jnp.isfinite(variance).all()


@pytest.mark.parametrize("checked", [False, True])
def test_a_layer_sees_the_whole_batch_within_shard_map(checked: bool) -> None:
    """On one device, with the axes that training has: the program exchanges nothing, but is the one that would."""
    mesh = Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("data", "model"))
    apply, params, statistics = nn.split(nn.BatchNorm(CHANNELS))
    x, whole, batch = arguments("float32")[0], PartitionSpec(), PartitionSpec(("data", "model"))

    def layer(params: Any, x: Array) -> Any:
        return apply(params, statistics, x, training=True)

    mapped = jax.shard_map(layer, mesh=mesh, in_specs=(whole, batch), out_specs=(batch, whole), check_vma=checked)
    text = str(jax.make_jaxpr(mapped)(params, x))
    assert text.count("psum") >= 2
    assert "psum" not in str(jax.make_jaxpr(layer)(params, x))
    gradients = [jax.grad(lambda p, f=f: (f(p, x)[0] ** 3).sum())(params) for f in (mapped, layer)]
    for ours, theirs in zip(jax.tree.leaves(gradients[0]), jax.tree.leaves(gradients[1]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)


def test_a_layer_leaves_other_axes_alone() -> None:
    """Members of an ensemble on an axis of their own are not one batch."""
    mesh = Mesh(np.array(jax.devices()[:1]), ("members",))
    apply, params, statistics = nn.split(nn.BatchNorm(CHANNELS))
    members = PartitionSpec("members")

    def layer(x: Array) -> Array:
        return apply(params, statistics, x[0], training=True)[0][None]

    mapped = jax.shard_map(layer, mesh=mesh, in_specs=members, out_specs=members, check_vma=False)
    assert "psum" not in str(jax.make_jaxpr(mapped)(arguments("float32")[0][None]))
