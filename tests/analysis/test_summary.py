"""Summaries: what a trace tells of a network's layers."""

import json

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from jaxcnn import models, nn
from jaxcnn.analysis import Layer, summarize


def struct(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def abstract(name, **options):
    return nn.functionalize(nnx.eval_shape(lambda: models.create(name, **options)))


def test_lenet_is_the_textbook_table():
    summary = summarize(*abstract("lenet5", input_shape=(32, 32, 1)), struct(32, 32, 1))
    assert summary.layers == (
        Layer("conv1", "conv", (28, 28, 6), 156),
        Layer("activation1", "relu", (28, 28, 6), 0),
        Layer("pool1", "max pool", (14, 14, 6), 0),
        Layer("conv2", "conv", (10, 10, 16), 2_416),
        Layer("activation2", "relu", (10, 10, 16), 0),
        Layer("pool2", "max pool", (5, 5, 16), 0),
        Layer("head/flatten", "reshape", (400,), 0),
        Layer("head/dense1", "dense", (120,), 48_120),
        Layer("head/activation1", "relu", (120,), 0),
        Layer("head/dense2", "dense", (84,), 10_164),
        Layer("head/activation2", "relu", (84,), 0),
        Layer("head/dense", "dense", (10,), 850),
    )
    assert summary.totals == {"parameters": 61_706}
    assert summary.input == (32, 32, 1)


@pytest.mark.parametrize("batch", [(), (1,), (7,), (2, 3)])
def test_shapes_leave_batch_axes_out(batch):
    fn, params = abstract("resnet9", width=8)
    alone = summarize(fn, params, struct(32, 32, 3))
    assert summarize(fn, params, struct(*batch, 32, 32, 3)) == alone


@pytest.mark.parametrize(("name", "count"), [("resnet18", 11_689_512), ("resnet50", 25_557_032)])
def test_large_networks_are_counted_without_memory(name, count):
    fn, params = abstract(name, num_classes=1000, input_shape=(224, 224, 3))
    summary = summarize(fn, params, struct(224, 224, 3))
    by_name = {layer.name: layer for layer in summary.layers}
    assert summary.totals["parameters"] == count == sum(layer.parameters for layer in summary.layers)
    assert by_name["conv1"] == Layer("conv1", "conv", (112, 112, 64), 9_408)
    assert by_name["stage1/block0"].op == "add", "the sum of a residual block stands in the block's own scope"
    assert by_name["head/pool"].shape == (512 if name == "resnet18" else 2048,)
    assert "unused" not in {layer.op for layer in summary.layers}


def test_operations_inside_calls_belong_to_their_scope():
    def fn(params, x):
        with jax.named_scope("outer"):
            x = jax.checkpoint(lambda y: jnp.sin(y) * params["outer"]["scale"])(x)
            with jax.named_scope("inner"):
                x = jax.jit(jax.nn.relu)(x)
        return jax.lax.fori_loop(0, 3, lambda _, y: 2 * y, x)

    summary = summarize(fn, {"outer": {"scale": struct(4)}}, struct(4), spatial_axes=())
    assert [(layer.name, layer.shape, layer.parameters) for layer in summary.layers] == [
        ("outer", (4,), 4),
        ("", (4,), 0),
    ]


def test_parameters_that_nothing_uses_are_counted():
    summary = summarize(lambda params, x: 2 * x, {"lost": {"kernel": struct(3, 3)}}, struct(8, 8, 1))
    assert summary.layers[-1] == Layer("lost", "unused", (), 9)
    assert summary.totals == {"parameters": 9}


def test_json_and_table_tell_the_same():
    summary = summarize(*abstract("lenet5", input_shape=(28, 28, 1)), struct(28, 28, 1))
    document = json.loads(summary.to_json())
    assert document["totals"] == {"parameters": 61_706}
    assert document["layers"][0] == {"name": "conv1", "op": "conv", "shape": [28, 28, 6], "parameters": 156}
    lines = str(summary).splitlines()
    assert lines[0].split() == ["Layer", "Operation", "Output", "Parameters"]
    assert lines[3].split() == ["conv1", "conv", "28x28x6", "156"]
    assert lines[-1].split() == ["total", "61,706"]
    assert len(lines) == len(document["layers"]) + 5
