"""What `summary` and `audit` tell of the models agrees with what was published, and with what they are."""

import jax
import numpy as np
import pytest
from flax import nnx

from jaxcnn import analysis, models, nn
from jaxcnn import equivariance as eq


def summary(name, input_shape, **options):
    module = nnx.eval_shape(lambda: models.create(name, input_shape=input_shape, **options))
    fn, params = nn.functionalize(module)
    x = jax.ShapeDtypeStruct(input_shape, "float32")
    axes = tuple(range(-len(input_shape), -1))
    return analysis.summarize(fn, params, x, spatial_axes=axes)


def layer(told, name):
    return next(layer for layer in told.layers if layer.name == name)


def test_a_position_of_alexnets_last_map_sees_195_pixels():
    told = summary("alexnet", (224, 224, 3), num_classes=1000)
    fields = {name: layer(told, name).receptive_field for name in ("unit1/conv", "pool1", "unit2/conv", "pool5")}
    assert fields == {"unit1/conv": 11, "pool1": 19, "unit2/conv": 51, "pool5": 195}
    assert told.totals["macs"] == 714_188_480  # torchvision's model, as fvcore and others count it


@pytest.mark.parametrize(
    ("name", "input_shape", "options", "macs"),
    [
        ("vgg16", (224, 224, 3), {"num_classes": 1000}, 15_470_264_320),
        ("resnet50", (224, 224, 3), {"num_classes": 1000}, 4_089_184_256),
        ("mobilenet_v2", (224, 224, 3), {"num_classes": 1000}, 300_774_272),
        ("resnet20", (32, 32, 3), {}, 40_551_040),
    ],
)
def test_multiplications_are_those_published(name, input_shape, options, macs):
    assert summary(name, input_shape, **options).totals["macs"] == macs


@pytest.mark.parametrize(
    ("name", "input_shape", "options"),
    [
        ("nin", (32, 32, 3), {}),
        pytest.param("densenet100", (16, 16, 3), {}, marks=pytest.mark.campaign),
        pytest.param("convnext_tiny", (32, 32, 3), {"stem": "cifar"}, marks=pytest.mark.campaign),
        pytest.param("mobilenet_v2", (32, 32, 3), {"stem": "cifar"}, marks=pytest.mark.campaign),
        ("preact_resnet20", (32, 32, 3), {"pool": "blur"}),
        ("small_resnet", (128, 3), {"pool": "polyphase"}),
        ("small_resnet", (16, 16, 16, 1), {}),
        ("detector", (32, 32, 3), {}),
        ("unet", (32, 32, 3), {}),
    ],
)
def test_nothing_in_the_models_is_unknown(name, input_shape, options):
    told = summary(name, input_shape, width=24, padding_mode="circular", **options)
    assert not told.unknown
    assert "unknown" not in str(told)


def test_an_audit_measures_what_is_told():
    options = {"width": 2, "padding_mode": "circular", "input_shape": (16, 3)}
    fn, params = nn.functionalize(models.create("small_resnet", **options))
    x = np.random.default_rng(0).standard_normal((16, 3)).astype("float32")
    found = eq.audit(lambda x: fn(params, x), x, spatial_axes=(-2,))
    assert not found.refuted
    assert found.verdict == "exact-lattice"
