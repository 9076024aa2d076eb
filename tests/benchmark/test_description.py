"""Networks as plain data: what other libraries can build, and what they cannot."""

import numpy as np
import pytest
from flax import nnx

from jaxcnn import benchmark, models, nn

KNOWN = ("linear", "mlp", "lenet5", "small_cnn", "resnet9", "resnet20", "resnet18", "vgg11", "alexnet")


@pytest.mark.parametrize("name", KNOWN)
def test_every_parameter_belongs_to_a_described_layer(name: str) -> None:
    without = {"dropout": 0.0} if name in ("vgg11", "alexnet") else {}
    module = models.create(name, num_classes=10, input_shape=(64, 64, 3), **without)
    named = {}

    def walk(layers):
        for layer in layers:
            if layer["kind"] == "residual":
                for part in ("body", "shortcut", "then"):
                    walk(layer[part])
            else:
                named[layer["name"]] = layer

    walk(benchmark.describe(module))
    owners = {name.rpartition(".")[0] for name in benchmark.parameters(module)}
    assert owners == {name for name, layer in named.items() if layer["kind"] in ("conv", "dense", "batch_norm")}
    for name, array in benchmark.parameters(module).items():
        layer, kind = named[name.rpartition(".")[0]], name.rpartition(".")[2]
        if layer["kind"] == "conv" and kind == "kernel":
            inputs, outputs = layer["channels"]
            assert array.shape == (*layer["window"], inputs // layer["groups"], outputs)


def test_sizes_of_a_convolution() -> None:
    conv = nn.Conv(4, 8, (3, 5), strides=(2, 1), padding=(1, 2), groups=2, use_bias=False, rngs=nnx.Rngs(0))
    (layer,) = benchmark.describe(nn.Sequential(conv=conv))
    assert layer == {
        "kind": "conv", "name": "conv", "channels": [4, 8], "window": [3, 5], "strides": [2, 1], "padding": [1, 2],
        "dilation": [1, 1], "groups": 2, "bias": False,
    }  # fmt: skip
    same = nn.Conv(1, 1, (5, 3), dilation=2, rngs=nnx.Rngs(0))
    assert benchmark.describe(nn.Sequential(conv=same))[0]["padding"] == [4, 2]


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (nn.Conv(1, 1, (3, 3), strides=2, rngs=nnx.Rngs(0)), "`SAME` pads its two sides differently"),
        (nn.Conv(1, 1, (2, 2), padding=((0, 1), (0, 1)), rngs=nnx.Rngs(0)), "differs between two sides"),
        (nn.Conv(1, 1, (3, 3), padding=1, padding_mode="circular", rngs=nnx.Rngs(0)), "padding_mode 'circular'"),
        (nn.MaxPool((2, 2), ceil_mode=True), "ceil_mode"),
        (nn.AvgPool((2, 2), padding=1), "averages of padded maps"),
        (nn.GroupNorm(4, groups=2), "of kind GroupNorm: they know Activation, AvgPool"),
        (nn.Dropout(0.5), "`layer`, which drops at random: give --model.dropout 0"),
        (nn.Activation("gelu"), "they know relu, sigmoid, tanh"),
    ],
)
def test_what_peers_cannot_build_is_refused_by_name(layer: nn.Module, told: str) -> None:
    with pytest.raises(ValueError, match="peers cannot build `layer`") as caught:
        benchmark.describe(nn.Sequential(layer=layer))
    assert told in str(caught.value)


def test_parameters_are_the_networks() -> None:
    module = models.create("lenet5", input_shape=(28, 28, 1))
    named = benchmark.parameters(module)
    assert sum(array.size for array in named.values()) == 61_706
    np.testing.assert_array_equal(named["head.dense1.kernel"], module.head.dense1.kernel[...])
