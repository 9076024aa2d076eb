"""Published numbers: receptive fields, strides and paddings of TF-Slim's networks, parameters, multiply-accumulates."""

import functools
import logging
import math
import tracemalloc

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from references import slim
from references.receptive_fields import FLOPS, published

from jaxcnn import analysis, models, nn
from jaxcnn import functional as F
from jaxcnn.analysis import costs

PUBLISHED = published()
SIZES = (224, 321)


def struct(*shape):
    return jax.ShapeDtypeStruct(shape, "float32")


def abstract(name, size=224, classes=1000, **options):
    """A registered model that owns no memory: its function, its parameters' shapes, and an image's."""
    shape = (size, size, 3)

    def make():
        return models.create(name, num_classes=classes, input_shape=shape, **options)

    return *nn.functionalize(nnx.eval_shape(make)), struct(*shape)


def convolutions(trace):
    return [step for step in trace.steps if step.primitive == "conv_general_dilated"]


@functools.cache
def read(name, size):
    """One of TF-Slim's networks: its trace, the facts of its named maps, and how many convolutions each has taken."""
    fn, kernels, x, counts = slim.network(name, size)
    trace = analysis.trace(fn, kernels, x)
    return trace, dict(zip(sorted(counts), trace.outputs, strict=True)), counts  # jax.tree sorts the keys of a dict


def padding(axis):
    """Effective padding, as that library defines it: by how much unit 0's receptive field begins before the image."""
    return (axis.receptive_field - 1) / 2 - axis.center


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PUBLISHED)
def test_every_map_has_the_published_receptive_field_stride_and_padding(name, size):
    trace, maps, _ = read(name, size)
    assert trace.unknown == {}
    found = {
        end: [(axis.axis, axis.receptive_field, axis.jump, padding(axis)) for axis in maps[end].axes]
        for end in PUBLISHED[name]
    }
    assert found == {
        end: [(axis, field, stride, paddings[size]) for axis in (1, 2)]
        for end, (field, stride, paddings) in PUBLISHED[name].items()
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PUBLISHED)
def test_floating_point_operations_are_the_published_ones(name, size):
    """Theirs count norms or biases too: at most a hundredth. Ours are twice the multiply-accumulates."""
    trace, _, counts = read(name, size)
    steps = convolutions(trace)[: counts[list(PUBLISHED[name])[-1]]]
    assert 2e-9 * costs.total(steps).macs == pytest.approx(FLOPS[name][SIZES.index(size)], rel=0.01)


@pytest.mark.parametrize(
    ("name", "field", "macs"), [("resnet18", 435, 1.814e9), ("resnet34", 899, 3.664e9), ("resnet50", 427, 4.089e9)]
)
def test_residual_networks_of_the_registry(name, field, macs):
    """ResNet-50 has its strides in the 3x3 convolutions, as torchvision has, whose figures the MACs are."""
    trace = analysis.trace(*abstract(name))
    last = convolutions(trace)[-1]
    assert [(axis.receptive_field, axis.jump) for axis in last.facts.axes] == [(field, 32)] * 2
    assert costs.total(trace.steps).macs == pytest.approx(macs, rel=0.01)
    assert trace.unknown == {}


def test_multiply_accumulates_of_vgg_16():
    _, kernels, _, _ = slim.network("vgg_16", 224)
    assert costs.total(read("vgg_16", 224)[0].steps).macs == pytest.approx(15.5e9, rel=0.01)
    assert sum(math.prod(kernel.shape) for kernel in kernels) == 138_357_544 - 13_416  # less its biases


def test_multiply_accumulates_by_hand():
    fn, params = nn.functionalize(nnx.eval_shape(lambda: models.create("lenet5", input_shape=(32, 32, 1))))
    steps = analysis.trace(fn, params, struct(32, 32, 1)).steps
    dense = 400 * 120 + 120 * 84 + 84 * 10
    assert costs.total(steps).macs == 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + dense
    assert costs.total(analysis.trace(*abstract("linear", 32, 10)).steps).macs == 3072 * 10
    resnet9 = 32**2 * 9 * (3 * 64 + 64 * 128) + 16**2 * 9 * (2 * 128 * 128 + 128 * 256)
    resnet9 += 8**2 * 9 * 256 * 512 + 4**2 * 9 * 2 * 512 * 512 + 512 * 10
    assert costs.total(analysis.trace(*abstract("resnet9", 32, 10)).steps).macs == resnet9


LARGE = (
    "alexnet",
    "vgg16",
    "vgg19",
    "resnet101",
    "resnet152",
    "resnet110",
    "preact_resnet110",
    "wrn28_10",
    "densenet100",
)
DRAWN = [pytest.param(name, marks=pytest.mark.campaign if name in LARGE else ()) for name in models.available()]


@pytest.mark.parametrize("name", DRAWN)
def test_parameters_are_those_of_the_real_tree(name):
    real = nnx.state(models.create(name, input_shape=(side(name), side(name), 3)), nnx.Param)
    count = sum(leaf.size for leaf in jax.tree.leaves(real))
    assert analysis.summarize(*abstract(name, side(name), 10)).totals["parameters"] == count > 0


def side(name):
    """A size of image that a model takes: 63 is the least that AlexNet does."""
    return 64 if name == "alexnet" else 32


def test_a_trace_compiles_nothing_and_allocates_nothing_like_its_parameters(caplog):
    """Arrays come only from compiled operations, none of which is at hand, or from NumPy, which tracemalloc sees."""
    fn, params, x = abstract("resnet50")
    jax.clear_caches()
    before = {id(array) for array in jax.live_arrays()}
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        tracemalloc.start()
        try:
            costs.total(analysis.trace(fn, params, x).steps)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert compilations(caplog) == []
        assert {id(array) for array in jax.live_arrays()} <= before
        assert peak < 0.5 * 4 * 25_557_032
        jax.jit(jnp.sin)(1.0).block_until_ready()
    assert len(compilations(caplog)) == 1, "a compilation is logged"


def compilations(caplog):
    return [message for message in caplog.messages if message.startswith("Compiling")]


def test_kernels_that_no_memory_holds():
    features = 2**16
    kernels = [struct(3, 3, 3, features), struct(3, 3, features, features), struct(features, features)]

    def fn(kernels, x):
        first, second, last = kernels
        x = F.max_pool(F.conv(jax.nn.relu(F.conv(x, first)), second, strides=2), (2, 2))
        return F.dense(x, last)

    trace = analysis.trace(fn, kernels, struct(16, 16, 3))
    assert [axis.receptive_field for axis in trace.outputs[0].axes] == [7, 7]
    assert costs.total(trace.steps).macs == features * (16**2 * 27 + 8**2 * 9 * features + 4**2 * features)
