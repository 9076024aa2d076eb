"""Feature maps by layer name, against the same layers called by hand, in three libraries."""

import equinox as eqx
import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxcnn import analysis, explain, models, nn
from jaxcnn import functional as F


def drawn(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def test_maps_are_what_the_layers_give() -> None:
    rngs = nnx.Rngs(0)
    module = nn.Sequential(
        conv1=nn.Conv(3, 4, (3, 3), rngs=rngs),
        relu=nn.Activation("relu"),
        pool=nn.MaxPool((2, 2)),
        conv2=nn.Conv(4, 5, (3, 3), rngs=rngs),
        mean=nn.GlobalPool("avg"),
    )
    fn, params = nn.functionalize(module)
    x = drawn(2, 8, 8, 3)
    found = explain.feature_maps(lambda x: fn(params, x), x)
    assert list(found) == ["conv1", "relu", "pool", "conv2", "mean"]
    by_hand = x
    for name in found:
        by_hand = getattr(module, name)(by_hand)
        np.testing.assert_allclose(found[name], by_hand, rtol=1e-5, atol=1e-6)


def test_layers_of_other_libraries() -> None:
    x = drawn(2, 8, 8, 3)

    class Network(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = linen.relu(linen.Conv(4, (3, 3), name="first")(x))
            return linen.Dense(2, name="head")(x.mean((1, 2)))

    network = Network()
    variables = network.init(jax.random.key(0), x)
    found = explain.feature_maps(lambda x: network.apply(variables, x), x)
    _, kept = network.apply(variables, x, capture_intermediates=True)
    for name in ("first", "head"):
        (key,) = [key for key in found if key.endswith(name)]
        np.testing.assert_allclose(found[key], kept["intermediates"][name]["__call__"][0], rtol=1e-5, atol=1e-6)

    layer = eqx.nn.Conv2d(3, 4, 3, key=jax.random.key(1))
    shapes = explain.layers(lambda x: jax.vmap(lambda x: layer(x.transpose(2, 0, 1)))(x).mean((2, 3)), x)
    assert (2, 4, 6, 6) in shapes.values()


@pytest.mark.parametrize("name", ["lenet5", "resnet9", "unet"])
def test_layers_have_the_summarys_names_and_shapes(name: str) -> None:
    module = models.create(name, num_classes=10, input_shape=(32, 32, 3), rngs=0)
    fn, params = nn.functionalize(module)
    struct = jax.ShapeDtypeStruct((1, 32, 32, 3), "float32")
    summary = analysis.summarize(fn, params, struct)
    found = explain.layers(lambda x: fn(params, x).reshape(len(x), -1) if name == "unet" else fn(params, x), struct)
    summarized = {layer.name: layer.shape for layer in summary.layers}
    shared = [layer for layer in found if layer in summarized]
    assert len(shared) > 0.7 * len(summarized)
    assert all(found[layer][1:] == summarized[layer] for layer in shared)


def test_features_are_rows_whatever_the_batch() -> None:
    kernel = drawn(3, 3, 2, 4)
    images = drawn(7, 6, 6, 2)

    def fn(x):
        return jax.nn.relu(F.conv(x, kernel)).mean((1, 2))

    (name,) = [name for name, shape in explain.layers(fn, images[:1]).items() if shape == (1, 4)]
    expected = np.maximum(np.asarray(F.conv(images, kernel)), 0).mean((1, 2))
    for batch in (1, 3, 7, 100):
        np.testing.assert_allclose(explain.features(fn, images, name, batch=batch), expected, rtol=1e-5, atol=1e-6)
    assert explain.features(fn, images[:0], name).shape == (0, 4)


def test_what_has_no_layers_to_show() -> None:
    x = jnp.ones((1, 4, 4, 1))
    with pytest.raises(ValueError, match="unknown layer 'relu': did you mean 'relu1'"):
        explain.feature_maps(lambda x: jax.nn.relu(2 * x).mean((1, 2)), x, ["relu"])
    with pytest.raises(TypeError, match="floating point, got int32"):
        explain.layers(lambda x: x, jnp.ones((1, 4, 4, 1), int))
    with pytest.raises(ValueError, match=r"`x` must be \(images, \*spatial, channels\)"):
        explain.layers(lambda x: x, jnp.ones((4, 4)))
    with pytest.raises(TypeError, match="must return one array, got tuple"):
        explain.layers(lambda x: (x, x), x)
    with pytest.raises(ValueError, match="`batch`"):
        explain.features(lambda x: 2 * x, x, "mul1", batch=0)
