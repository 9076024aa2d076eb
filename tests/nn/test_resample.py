"""Sampling layers are their functions, every option passed on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references.arrays import normal

from jaxcnn import functional as F
from jaxcnn import nn

AXES = {"spatial_axes": (-4, -2)}
BLUR = {"strides": (1, 2), "taps": 5, "padding_mode": "reflect"}
CASES = {
    "activation": (nn.AntialiasedActivation("relu"), F.antialiased_activation, {"activation": jax.nn.relu}),
    "activation options": (
        nn.AntialiasedActivation(jnp.square, up=3, **AXES),
        F.antialiased_activation,
        {"activation": jnp.square, "up": 3, **AXES},
    ),
    "blur": (nn.BlurPool(), F.blur_pool, {}),
    "blur options": (nn.BlurPool(**BLUR, **AXES), F.blur_pool, {**BLUR, **AXES}),
    "polyphase": (nn.PolyphasePool(), F.polyphase_pool, {}),
    "polyphase options": (nn.PolyphasePool(strides=(3, 2), **AXES), F.polyphase_pool, {"strides": (3, 2), **AXES}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_layer_is_its_function(name: str) -> None:
    layer, function, options = CASES[name]
    x = normal(0, (2, 6, 4, 8, 3))
    np.testing.assert_array_equal(layer(x, training=True), function(x, **options))
    assert layer(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_phases_are_handed_over() -> None:
    x, layer = normal(0, (3, 4, 6, 2)), nn.PolyphasePool()
    y, index = layer.choose(x)
    np.testing.assert_array_equal(y, layer(x))
    np.testing.assert_array_equal(layer(-2 * x[::-1], index=index), F.polyphase_pool(-2 * x[::-1], index=index))
