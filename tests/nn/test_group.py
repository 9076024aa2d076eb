"""Group layers are their functions; other layers, on group maps, commute with the group."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from references.arrays import normal

from jaxcnn import functional as F
from jaxcnn import nn

OPTIONS = {"strides": 2, "padding": 1, "padding_mode": "circular", "dilation": 2}
GROUPS = pytest.mark.parametrize(("group", "order"), [("p4", 4), ("p4m", 8)])
AXES = {"spatial_axes": (-4, -3, -2)}


@GROUPS
@pytest.mark.parametrize("options", [{}, {**OPTIONS, "use_bias": False}])
def test_a_layer_is_its_function(group: str, order: int, options: dict) -> None:
    rngs = nnx.Rngs(0)
    image, maps = normal(0, (2, 7, 7, 3)), normal(1, (2, 7, 7, order, 3))
    lift, conv = (layer(3, 2, (3, 3), group=group, **options, rngs=rngs) for layer in (nn.GroupLiftConv, nn.GroupConv))
    given = {name: value for name, value in options.items() if name != "use_bias"}
    functions = {"p4": (F.p4_lift_conv, F.p4_conv), "p4m": (F.p4m_lift_conv, F.p4m_conv)}[group]
    for layer, function, x in zip((lift, conv), functions, (image, maps), strict=True):
        if layer.bias is not None:
            layer.bias[...] = jnp.array([1.0, -2.0])
        bias = None if layer.bias is None else layer.bias[...]
        np.testing.assert_array_equal(layer(x), function(x, layer.kernel[...], bias, **given))
        assert layer(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    assert (lift.kernel.shape, conv.kernel.shape) == ((3, 3, 3, 2), (3, 3, order, 3, 2))
    assert (lift.bias is None) == ("use_bias" in options)
    np.testing.assert_array_equal(nn.GroupPool("avg")(maps), F.group_pool(maps, "avg"))


def test_kernels_keep_the_variance_of_maps() -> None:
    conv = nn.GroupConv(16, 64, (3, 3), rngs=nnx.Rngs(0))
    assert float(conv.kernel[...].var()) == pytest.approx(2 / (9 * 4 * 16), rel=0.05)


def trained_norm(layer: nn.Module, x: jax.Array) -> jax.Array:
    """Run in training, with scales and offsets of every channel's own."""
    layer.scale[...], layer.offset[...] = jnp.array([1.0, 2.0, -1.0, 0.5]), jnp.arange(4.0)
    return layer(x, training=True)


COMMUTING = {
    "batch norm": lambda x: trained_norm(nn.BatchNorm(4), x),
    "layer norm": lambda x: trained_norm(nn.LayerNorm(4), x),
    "group norm": lambda x: trained_norm(nn.GroupNorm(4, groups=2, **AXES), x),
    "instance norm": lambda x: trained_norm(nn.InstanceNorm(4, **AXES), x),
    "activation": nn.Activation("gelu"),
    "max pool": nn.MaxPool((2, 2, 1)),
    "avg pool": nn.AvgPool((2, 2, 1)),
    "centred max pool": nn.CentredPool("max"),
    "centred avg pool": nn.CentredPool("avg"),
}


@GROUPS
@pytest.mark.parametrize("name", COMMUTING)
def test_layers_commute_with_the_group(name: str, order: int, group: str) -> None:
    layer = COMMUTING[name]
    for sizes in [(6, 6), (4, 6)] + [(5, 5), (5, 6)] * name.startswith("centred"):
        x = normal(0, (3, *sizes, order, 4))
        y = layer(x)
        for h in range(order):
            np.testing.assert_allclose(layer(F.group_action(x, h)), F.group_action(y, h), rtol=1e-5, atol=1e-5)


def test_maxima_commute_to_the_bit() -> None:
    for sizes in [(6, 6), (5, 6), (7, 7)]:
        x = normal(0, (*sizes, 8, 2))
        for h in range(8):
            pool = nn.CentredPool("max")
            np.testing.assert_array_equal(pool(F.group_action(x, h)), F.group_action(pool(x), h))


def test_a_plain_pool_of_an_odd_size_does_not_commute() -> None:
    x, pool = normal(0, (7, 7, 4, 2)), nn.MaxPool((2, 2, 1))
    assert (pool(F.group_action(x, 1)) != F.group_action(pool(x), 1)).any()


def test_group_norm_over_space_alone_has_statistics_of_each_element() -> None:
    x = normal(0, (6, 6, 4, 4)) * jnp.arange(1, 5)[:, None]
    apart, shared = nn.GroupNorm(4, groups=1, spatial_axes=(-4, -3)), nn.GroupNorm(4, groups=1, **AXES)
    assert not np.allclose(shared(x).std((0, 1, 3)), 1, atol=0.1)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(apart(x), shared(x), rtol=1e-5, atol=1e-5)


def test_batch_norm_shares_its_statistics_among_elements() -> None:
    x, norm = normal(0, (2, 5, 5, 8, 3)), nn.BatchNorm(3, momentum=0.0)
    norm(x, training=True)
    np.testing.assert_allclose(norm.mean[...], np.asarray(x).mean((0, 1, 2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(norm.variance[...], np.asarray(x).var((0, 1, 2, 3), ddof=1), rtol=1e-5)


def test_a_global_pool_over_the_group_is_invariant() -> None:
    x = normal(0, (2, 5, 6, 8, 3))
    for h in range(8):
        turned = F.group_action(x, h)
        np.testing.assert_array_equal(nn.GlobalPool("max", **AXES)(turned), nn.GlobalPool("max", **AXES)(x))
        np.testing.assert_allclose(
            nn.GlobalPool("avg", **AXES)(turned), nn.GlobalPool("avg", **AXES)(x), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.GroupConv(1, 2, (3, 3), group="p8", rngs=nnx.Rngs(0)), "unknown group 'p8'"),
        (lambda: nn.GroupLiftConv(1, 2, (3, 5), rngs=nnx.Rngs(0)), r"`window` \(=\(3, 5\)\) must be a square"),
        (lambda: nn.GroupLiftConv(1, 2, (3,), rngs=nnx.Rngs(0)), "must be a square"),
        (lambda: nn.GroupConv(1, 0, (3, 3), rngs=nnx.Rngs(0)), r"`out_channels` \(=0\)"),
        (lambda: nn.GroupPool("mean"), "unknown group pool 'mean'"),
        (lambda: nn.CentredPool("min"), "unknown pool 'min'"),
    ],
)
def test_bad_arguments(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
