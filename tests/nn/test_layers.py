"""Layers hold parameters and options; what they compute is the function's, every option passed on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxcnn import functional as F
from jaxcnn import nn

CONV = {"strides": 2, "padding": 2, "padding_mode": "circular", "dilation": 2}
TRANSPOSE = {"strides": 2, "padding": 1, "dilation": 2, "output_padding": 1, "groups": 2}
POOL = {"strides": 1, "padding": 1, "padding_mode": "circular", "dilation": 2, "ceil_mode": False}
CEIL = {"strides": 2, "padding": 0, "ceil_mode": True}
AXES = {"spatial_axes": (-4, -3, -2)}


def rngs():
    return nnx.Rngs(0)


def weights(layer):
    return [
        getattr(layer, name)[...]
        for name in ("kernel", "bias", "scale", "offset")
        if getattr(layer, name, None) is not None
    ]


CASES = {
    "conv": (nn.Conv(4, 6, (3, 3), groups=2, **CONV, rngs=rngs()), F.conv, {"groups": 2, **CONV}),
    "conv without bias": (nn.Conv(4, 6, (3,), use_bias=False, rngs=rngs()), F.conv, {}),
    "conv rank 3": (nn.Conv(4, 6, (3, 2, 1), padding="SAME_LOWER", rngs=rngs()), F.conv, {"padding": "SAME_LOWER"}),
    "depthwise": (nn.DepthwiseConv(4, (3, 3), multiplier=2, **CONV, rngs=rngs()), F.depthwise_conv, CONV),
    "transpose": (nn.ConvTranspose(4, 6, (3, 3), **TRANSPOSE, rngs=rngs()), F.conv_transpose, TRANSPOSE),
    "dense": (nn.Dense(4, 5, rngs=rngs()), F.dense, {}),
    "flatten": (nn.Flatten(**AXES), F.flatten, AXES),
    "max pool": (nn.MaxPool((2, 3), **POOL), F.max_pool, {"window": (2, 3), **POOL}),
    "max pool ceil": (nn.MaxPool((3, 2), **CEIL), F.max_pool, {"window": (3, 2), **CEIL}),
    "min pool": (nn.MinPool((2, 2), **POOL), F.min_pool, {"window": (2, 2), **POOL}),
    "avg pool": (
        nn.AvgPool((2, 2), padding=1, count_include_pad=True),
        F.avg_pool,
        {"window": (2, 2), "padding": 1, "count_include_pad": True},
    ),
    "lp pool": (nn.LpPool((2, 2), p=3.0), F.lp_pool, {"window": (2, 2), "p": 3.0}),
    "global avg": (nn.GlobalPool("avg", **AXES), F.global_avg_pool, AXES),
    "global max": (nn.GlobalPool("max"), F.global_max_pool, {}),
    "adaptive avg": (nn.AdaptivePool("avg", (3, 2)), F.adaptive_avg_pool, {"output_size": (3, 2)}),
    "adaptive max": (nn.AdaptivePool("max", 2, **AXES), F.adaptive_max_pool, {"output_size": 2, **AXES}),
    "layer norm": (nn.LayerNorm(4, epsilon=0.1), F.layer_norm, {"epsilon": 0.1}),
    "group norm": (nn.GroupNorm(4, groups=2, epsilon=0.1, **AXES), F.group_norm, {"groups": 2, "epsilon": 0.1, **AXES}),
    "instance norm": (nn.InstanceNorm(4, epsilon=0.1), F.instance_norm, {"epsilon": 0.1}),
}


@pytest.mark.parametrize(("layer", "function", "options"), CASES.values(), ids=CASES)
def test_a_layer_is_its_function(layer, function, options):
    for variable in jax.tree.leaves(nnx.state(layer, nnx.Param), is_leaf=lambda v: isinstance(v, nnx.Variable)):
        variable[...] = variable[...] + jnp.linspace(-1, 1, variable[...].size).reshape(variable[...].shape)
    x = jax.random.normal(jax.random.key(0), (2, 7, 6, 5, 4))
    np.testing.assert_array_equal(layer(x), function(x, *weights(layer), **options))
    half = x.astype(jnp.bfloat16)
    assert layer(half).dtype == jnp.bfloat16
    assert layer(half).shape == layer(x).shape


@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_is_its_function(training):
    layer = nn.BatchNorm(4, momentum=0.7, epsilon=0.1)
    layer.scale[...], layer.mean[...] = jnp.arange(4.0), jnp.arange(4.0) + 1
    arrays = [v[...] for v in (layer.scale, layer.offset, layer.mean, layer.variance)]
    x = jax.random.normal(jax.random.key(0), (2, 3, 3, 4))
    expected = F.batch_norm(x, *arrays, training=training, momentum=0.7, epsilon=0.1)
    y = layer(x, training=training)
    jax.tree.map(np.testing.assert_array_equal, (y, layer.mean[...], layer.variance[...]), expected)


def test_dropout_is_its_function_in_training_alone():
    x, key = jnp.ones((4, 50)), jax.random.key(3)
    np.testing.assert_array_equal(nn.Dropout(0.3)(x, training=True, key=key), F.dropout(x, 0.3, key=key))
    np.testing.assert_array_equal(nn.Dropout(0.3)(x, key=key), x)


def test_sequential_draws_each_dropout_by_a_key_of_its_own():
    net = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))
    y = net(jnp.ones(4000), training=True, key=jax.random.key(0))
    assert 0.2 < float((y != 0).mean()) < 0.3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.Conv(5, 4, (3, 3), groups=2, rngs=rngs()),
            r"`in_channels` \(=5\) must be divisible by `groups` \(=2\)",
        ),
        (lambda: nn.Conv(4, 5, (3, 3), groups=2, rngs=rngs()), r"`out_channels` \(=5\) must be divisible"),
        (lambda: nn.Conv(4, 0, (3, 3), rngs=rngs()), r"`out_channels` \(=0\)"),
        (lambda: nn.Conv(4, 4, (3, -1), rngs=rngs()), r"`window` \(=\(3, -1\)\)"),
        (lambda: nn.Conv(4, 4, (3, 3), groups=0, rngs=rngs()), r"`groups` \(=0\)"),
        (lambda: nn.Dense(0, 4, rngs=rngs()), r"`in_features` \(=0\)"),
        (lambda: nn.Dense(4, -1, rngs=rngs()), r"`out_features` \(=-1\)"),
        (lambda: nn.GroupNorm(6, groups=4), r"`channels` \(=6\) must be divisible by `groups` \(=4\)"),
        (lambda: nn.BatchNorm(0), r"`channels` \(=0\)"),
        (lambda: nn.Dropout(1.0), r"`rate` \(=1.0\)"),
        (lambda: nn.Conv(3, 16, 3, rngs=rngs()), r"`window` \(=3\) must be a tuple"),
        (lambda: nn.MaxPool(2), r"`window` \(=2\) must be a tuple"),
        (lambda: nn.GlobalPool("mean"), "unknown global pool 'mean'"),
        (lambda: nn.AdaptivePool("min", 2), "unknown adaptive pool 'min'"),
        (lambda: nn.Activation("rellu"), "unknown activation 'rellu': did you mean 'relu'"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", ["relu", "gelu"])
def test_in_training_a_norm_takes_the_activation_that_follows(name: str) -> None:
    net = nn.Sequential(norm=nn.BatchNorm(3), activation=nn.Activation(name), last=nn.Activation("relu"))
    x = jax.random.normal(jax.random.key(0), (4, 5, 3))
    expected = jax.nn.relu(getattr(jax.nn, name)(nn.BatchNorm(3)(x, training=True)))
    np.testing.assert_allclose(net(x, training=True), expected, rtol=1e-6, atol=1e-7)

    def equations(training):
        apply, params, statistics = nn.split(net)
        jaxpr = jax.make_jaxpr(lambda x: apply(params, statistics, x, training=training)[0])(x)
        return [(e.primitive.name, str(e.source_info.name_stack), e.params.get("activation")) for e in jaxpr.eqns]

    assert ("batch_norm", "norm", name) in equations(True)
    assert {scope for _, scope, _ in equations(True)} - {""} == {"norm", "last"}
    assert {scope for _, scope, _ in equations(False)} - {""} == {"norm", "activation", "last"}


HALVINGS = {
    "plain": ({}, "bias_relu_pool"),
    "all said": ({"strides": (2, 2), "padding": 0, "dilation": (1, 1)}, "bias_relu_pool"),
    "overlap": ({"strides": 1}, "bias_relu"),
    "padded": ({"padding": 1}, "bias_relu"),
    "ceil": ({"ceil_mode": True}, "bias_relu"),
}


@pytest.mark.parametrize("name", HALVINGS)
def test_in_training_a_convolution_takes_the_relu_and_the_pool_that_follow(name: str) -> None:
    options, expected = HALVINGS[name]
    conv, pool = nn.Conv(2, 3, (3, 3), rngs=rngs()), nn.MaxPool((2, 2), **options)
    net = nn.Sequential(conv=conv, activation=nn.Activation("relu"), pool=pool, last=nn.Activation("tanh"))
    x = jax.random.normal(jax.random.key(0), (2, 6, 7, 2))
    np.testing.assert_array_equal(net(x, training=True), jnp.tanh(pool(jax.nn.relu(conv(x)))))
    names = [e.primitive.name for e in jax.make_jaxpr(lambda x: net(x, training=True))(x).eqns]
    assert expected in names
    assert ("max_pool" in names) == (expected == "bias_relu")
    assert "max_pool" in [e.primitive.name for e in jax.make_jaxpr(net)(x).eqns]
