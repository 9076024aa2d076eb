"""Summaries: what a trace tells of a network's layers."""

import json
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from jaxcnn import functional as F
from jaxcnn import models, nn
from jaxcnn.analysis import Layer, Summary, summarize
from jaxcnn.analysis.network import network


def struct(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def abstract(name, **options):
    return nn.functionalize(nnx.eval_shape(lambda: models.create(name, **options)))


def rows(summary):
    return [(layer.name, layer.op, layer.shape, layer.parameters) for layer in summary.layers]


def test_lenet_is_the_textbook_table():
    summary = summarize(*abstract("lenet5", input_shape=(32, 32, 1)), struct(32, 32, 1))
    assert rows(summary) == [
        ("conv1", "conv", (28, 28, 6), 156),
        ("activation1", "relu", (28, 28, 6), 0),
        ("pool1", "max pool", (14, 14, 6), 0),
        ("conv2", "conv", (10, 10, 16), 2_416),
        ("activation2", "relu", (10, 10, 16), 0),
        ("pool2", "max pool", (5, 5, 16), 0),
        ("head/flatten", "flatten", (400,), 0),
        ("head/dense1", "dense", (120,), 48_120),
        ("head/activation1", "relu", (120,), 0),
        ("head/dense2", "dense", (84,), 10_164),
        ("head/activation2", "relu", (84,), 0),
        ("head/dense", "dense", (10,), 850),
    ]
    assert summary.totals["parameters"] == 61_706
    assert summary.totals["parameter_bytes"] == 4 * 61_706
    assert summary.totals["macs"] == 28 * 28 * 6 * 25 + 10 * 10 * 16 * 6 * 25 + 400 * 120 + 120 * 84 + 84 * 10
    assert summary.totals["macs"] == sum(layer.macs for layer in summary.layers)
    assert summary.totals["flops"] == sum(layer.flops for layer in summary.layers) > 2 * summary.totals["macs"]
    assert summary.totals["activation_bytes"] == 4 * sum(math.prod(layer.shape) for layer in summary.layers)
    assert (summary.input, summary.unknown) == ((32, 32, 1), {})
    by_name = {layer.name: layer for layer in summary.layers}
    assert by_name["conv2"].worked == "(14 - 5)/1 + 1 = 10"
    assert [by_name[name].receptive_field for name in ("conv1", "pool1", "conv2", "pool2")] == [5, 6, 14, 16]
    assert [by_name[name].jump for name in ("conv1", "pool1", "conv2", "pool2")] == [1, 2, 2, 4]
    assert by_name["pool1"].center == Fraction(5, 2)
    assert by_name["conv1"].dense_parameters == 28 * 28 * 6 * (32 * 32 + 1)
    assert by_name["pool1"].dense_parameters is None


@pytest.mark.parametrize("batch", [(), (1,), (7,), (2, 3)])
def test_rows_are_those_of_one_example(batch):
    fn, params = abstract("resnet9", width=8)
    alone, several = summarize(fn, params, struct(32, 32, 3)), summarize(fn, params, struct(*batch, 32, 32, 3))
    assert (several.layers, several.input, several.examples) == (alone.layers, alone.input, math.prod(batch))
    of_the_batch = {"arithmetic_intensity": several.totals["arithmetic_intensity"]}
    assert {**alone.totals, **of_the_batch} == several.totals
    assert (f"one of {math.prod(batch)} examples" in str(several)) == (math.prod(batch) > 1)


def test_a_map_that_shows_nothing_but_padding_is_computed_for_every_example():
    rngs = nnx.Rngs(0)
    blind = nn.Conv(1, 2, (1, 1), strides=(3, 1), padding=((1, 1), (0, 0)), rngs=rngs)
    fn, params = nn.functionalize(nn.Sequential(blind, jax.nn.relu, nn.Conv(2, 3, (1, 3), rngs=rngs)))
    alone, several = summarize(fn, params, struct(1, 4, 1)), summarize(fn, params, struct(5, 1, 4, 1))
    assert [layer.macs for layer in several.layers] == [4 * 2, 0, 4 * 2 * 3 * 3]
    assert several.layers == alone.layers
    assert several.totals["macs"] == alone.totals["macs"] == 80


@pytest.mark.parametrize(
    ("name", "count", "macs", "field"),
    [("resnet18", 11_689_512, 1.81e9, 435), ("resnet50", 25_557_032, 4.09e9, 427)],
)
def test_large_networks_are_counted_without_memory(name, count, macs, field):
    fn, params = abstract(name, num_classes=1000, input_shape=(224, 224, 3))
    summary = summarize(fn, params, struct(224, 224, 3))
    by_name = {layer.name: layer for layer in summary.layers}
    assert summary.totals["parameters"] == count == sum(layer.parameters for layer in summary.layers)
    assert summary.totals["macs"] == pytest.approx(macs, rel=0.01)
    assert rows(summary)[0] == ("conv1", "conv", (112, 112, 64), 9_408)
    assert by_name["conv1"].worked == "floor((224 + 2*3 - 7)/2) + 1 = 112"
    assert by_name["stage1/block0"].op == "add", "the sum of a residual block stands in the block's own scope"
    assert by_name["stage4/block1"].jump == 32
    assert max(layer.receptive_field for layer in summary.layers if layer.name.startswith("stage4")) == field
    assert by_name["head/pool"].shape == (512 if name == "resnet18" else 2048,)
    assert by_name["head/pool"].op == "global avg pool"
    assert "unused" not in {layer.op for layer in summary.layers}


@pytest.mark.parametrize("name", models.available())
def test_every_model_is_counted_whole(name):
    side = 64 if name == "alexnet" else 32  # the least that it takes is 63
    fn, params = abstract(name, input_shape=(side, side, 3))
    summary = summarize(fn, params, struct(side, side, 3))
    assert sum(layer.parameters for layer in summary.layers) == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert summary.totals["macs"] == sum(layer.macs for layer in summary.layers)
    maps = {"unet": (side, side), "detector": (side // 4, side // 4), "captioner": (5,)}
    assert summary.layers[-1].shape == (*maps.get(name, ()), 10)
    assert len({layer.name for layer in summary.layers}) == len(summary.layers)
    assert summary.unknown == {}


@pytest.mark.parametrize("mode", ["circular", "reflect", "replicate"])
def test_padding_that_is_written_out_counts(mode):
    module = nn.Sequential(conv=nn.Conv(3, 10, (5, 5), padding=2, padding_mode=mode, rngs=nnx.Rngs(0)))
    (conv,) = summarize(*nn.functionalize(module), struct(32, 32, 3)).layers
    assert conv.worked == "(32 + 2*2 - 5)/1 + 1 = 32"
    assert conv.notes[0].startswith(f"{mode} padding: ")
    assert conv.dense_parameters == 31_467_520


def test_axes_that_differ_are_told_apart():
    fn, params = network("conv3x5(4) s1x2 circular p1x2", (8, 9, 1))
    (conv,) = summarize(fn, params, struct(8, 9, 1)).layers
    assert conv.worked == "height: (8 + 2*1 - 3)/1 + 1 = 8; width: (9 + 2*2 - 5)/2 + 1 = 5"
    assert (conv.receptive_field, conv.jump, conv.padding) == ((3, 5), (1, 2), (0, 0))
    assert conv.contract[0] == "equivariant"
    assert "3x5" in str(summarize(fn, params, struct(8, 9, 1)))


def plain(params, x):
    x = jax.nn.relu(F.conv(x, params[0]["w"], params[0]["b"], padding=1))
    x = F.avg_pool(x, (2, 2))
    y = F.conv(x, params[1])
    y = (y - params[2]) * jax.lax.rsqrt(params[3] + 1e-5) * params[4]
    x = jax.nn.gelu(x + y)
    x = x.reshape(*x.shape[:-3], -1) @ params[5]["w"] + params[5]["b"]
    return jax.nn.softmax(x)


PLAIN = [
    {"w": struct(3, 3, 3, 4), "b": struct(4)}, struct(3, 3, 4, 4), struct(4), struct(4), struct(4),
    {"w": struct(64, 10), "b": struct(10)},
]  # fmt: skip


@pytest.mark.parametrize("wrap", [lambda fn: fn, jax.jit, jax.checkpoint])
def test_a_function_without_scopes_is_cut_where_operations_end(wrap):
    summary = summarize(wrap(plain), PLAIN, struct(8, 8, 3))
    assert rows(summary) == [
        ("0", "conv", (8, 8, 4), 112),
        ("relu1", "relu", (8, 8, 4), 0),
        ("avg_pool1", "avg pool", (4, 4, 4), 0),
        ("conv1", "conv", (4, 4, 4), 144),
        ("norm1", "norm", (4, 4, 4), 12),
        ("add1", "add", (4, 4, 4), 0),
        ("gelu1", "gelu", (4, 4, 4), 0),
        ("flatten1", "flatten", (64,), 0),
        ("5", "dense", (10,), 650),
        ("softmax1", "softmax", (10,), 0),
    ]


def test_channels_first():
    def fn(params, x):
        return jax.nn.relu(jax.lax.conv(x, params["kernel"], (2, 2), "SAME"))

    summary = summarize(fn, {"kernel": struct(8, 3, 3, 3)}, struct(5, 3, 32, 30), spatial_axes=(-2, -1))
    assert summary.input == (3, 32, 30)
    assert [(layer.op, layer.shape) for layer in summary.layers] == [("conv", (8, 16, 15)), ("relu", (8, 16, 15))]
    assert summary.layers[0].worked.startswith("height: (32 + 0 + 1 - 3)/2 + 1 = 16; width: ")


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
        ("mul1", (4,), 0),
    ]


def test_a_scope_that_comes_again_has_rows_of_its_own():
    def fn(params, x):
        for _ in range(2):
            with jax.named_scope("shared"):
                x = F.conv(x, params["shared"]["kernel"])
            x = jax.nn.relu(x)
        return x

    summary = summarize(fn, {"shared": {"kernel": struct(3, 3, 2, 2)}}, struct(8, 8, 2))
    assert [(layer.name, layer.op, layer.parameters) for layer in summary.layers] == [
        ("shared/conv1", "conv", 36),
        ("relu1", "relu", 0),
        ("shared/conv2", "conv", 0),
        ("relu2", "relu", 0),
    ]
    assert summary.layers[0].macs == summary.layers[2].macs == 8 * 8 * 2 * 18
    assert [layer.receptive_field for layer in summary.layers] == [3, 3, 5, 5]


def test_loops_are_rows_of_their_body():
    def fn(params, x):
        return jax.lax.scan(lambda y, kernel: (jax.nn.relu(F.conv(y, kernel)), None), x, params["kernels"])[0]

    summary = summarize(fn, {"kernels": struct(4, 3, 3, 2, 2)}, struct(8, 8, 2))
    assert [(layer.op, layer.parameters, layer.macs) for layer in summary.layers] == [
        ("conv", 144, 4 * 8 * 8 * 2 * 18),
        ("relu", 0, 0),
    ]
    assert summary.layers[-1].receptive_field == 9


def attention(params, x):
    tokens = x.reshape(-1, 3)
    query, key = tokens @ params["query"], tokens @ params["key"]
    return jax.nn.softmax(query @ key.T) @ tokens


def test_a_row_ends_with_its_own_output():
    params = {"query": struct(3, 8), "key": struct(3, 8)}
    summary = summarize(attention, params, struct(4, 4, 3))
    assert [(layer.op, layer.shape) for layer in summary.layers] == [
        ("dense", (16, 8)),
        ("dense", (8, 16)),  # and its transpose
        ("matmul", (16, 16)),
        ("softmax", (16, 16)),
        ("matmul", (16, 3)),
    ]
    branches = summarize(lambda p, x: F.conv(x, p) + 2 * x, struct(3, 3, 3, 3), struct(4, 4, 3))
    assert [layer.op for layer in branches.layers] == ["conv", "add"]
    beside = summarize(lambda p, x: F.conv(x, p) + F.conv(2 * x, p), struct(3, 3, 3, 3), struct(4, 4, 3))
    assert [layer.op for layer in beside.layers] == ["conv", "mul", "conv", "add"]


def test_what_only_adds_an_axis_is_no_row():
    def fn(params, x):
        x = x[None]
        with jax.named_scope("conv1"):
            x = F.conv(x, params["kernel"])
        return x[0]

    summary = summarize(fn, {"kernel": struct(3, 3, 2, 4)}, struct(8, 8, 2))
    assert rows(summary) == [("conv1", "conv", (8, 8, 4), 72)]


def test_vmap_leaves_names_alone():
    fn, params = network("conv3(4) > relu > dense2", (8, 8, 1))
    names = [layer.name for layer in summarize(jax.vmap(fn, (None, 0)), params, struct(5, 8, 8, 1)).layers]
    assert names == ["conv1", "relu1", "flatten1", "dense1"]


def test_what_a_loop_carries_depends_on_the_input_from_its_second_turn_on():
    def fn(params, x):
        return jax.lax.scan(lambda total, row: (jnp.tanh(total) + row, None), jnp.zeros(3), x)[0]

    assert [layer.op for layer in summarize(fn, {}, struct(8, 3), spatial_axes=(-2,)).layers] == ["tanh", "add"]


def test_parameters_that_nothing_uses_are_counted():
    summary = summarize(lambda params, x: 2 * x, {"lost": {"kernel": struct(3, 3)}}, struct(8, 8, 1))
    assert rows(summary)[-1] == ("lost", "unused", (), 9)
    assert summary.totals["parameters"] == 9


def test_what_is_unknown_is_said():
    summary = summarize(lambda params, x: jnp.linalg.svd(x, compute_uv=False), {}, struct(8, 8, 1))
    assert summary.unknown
    assert summary.layers[-1].receptive_field is None
    assert "unknown" in summary.layers[-1].contract
    assert "operations of which something is unknown: " in str(summary)


def test_arrays_that_are_no_parameters_are_told():
    statistics = jnp.arange(24.0).reshape(8, 1, 3)
    assert summarize(lambda params, x: x - statistics, {}, struct(8, 8, 3)).totals["constants"] == 24


def test_json_markdown_and_table_tell_the_same():
    fn, params = network("conv3(4) s2 same > relu > pool2", (9, 8, 1))
    summary = summarize(fn, params, struct(9, 8, 1))
    document = json.loads(summary.to_json())
    conv, relu, pool = document["layers"]
    assert document["totals"]["parameters"] == conv["parameters"] == 40
    assert (conv["name"], conv["op"], conv["shape"], conv["receptive_field"]) == ("conv1", "conv", [5, 4, 4], 3)
    assert (conv["center"], pool["center"]) == ([0, 1], [1, 2])
    assert relu["worked"] == ""
    assert len(conv["notes"]) == 1
    lines = str(summary).splitlines()
    assert lines[0].split() == ["Layer", "Operation", "Output", "Parameters", "MACs", "Field", "Jump", "Contract"]
    assert lines[3].split()[:7] == ["conv1", "conv", "5x4x4", "40", "720", "3", "2"]
    assert lines[4].strip() == conv["worked"]
    markdown = summary.to_markdown().splitlines()
    assert markdown[3].startswith(
        "| conv1 | conv | height: (9 + 2*1 - 3)/2 + 1 = 5; width: (8 + 0 + 1 - 3)/2 + 1 = 4 |"
    )
    assert {line.count("|") for line in markdown[: markdown.index("")]} == {10}
    assert markdown[-2].startswith("- conv1: width: SAME: ceil(8/2) = 4 outputs need")


@pytest.mark.parametrize("width", [120, 100, 80, 72])
def test_the_table_is_as_wide_as_asked_for(width):
    fn, params = abstract("resnet18", num_classes=1000, input_shape=(64, 64, 3))
    summary = summarize(fn, params, struct(64, 64, 3))
    lines = summary.to_text(width).splitlines()
    assert max(map(len, lines)) <= width
    for text in ("floor((64 + 2*3 - 7)/2) + 1 = 32", "11,689,512", "position-dependent"):
        assert any(text in line for line in lines)
    assert str(summary) == summary.to_text(120)


def test_half_precision_takes_half_the_bytes():
    layer = summarize(lambda params, x: jnp.sin(x), {}, jax.ShapeDtypeStruct((8, 8, 3), jnp.bfloat16)).layers[0]
    assert layer.activation_bytes == 2 * 8 * 8 * 3


def test_an_empty_network():
    summary = summarize(lambda params, x: x, {}, struct(8, 8, 1))
    assert isinstance(summary, Summary)
    assert summary.layers == ()
    assert str(summary).splitlines()[2].split() == ["input", "8x8x1", "1", "1"]
    assert Layer("conv1", "conv", (28, 28, 6), 156).receptive_field is None


def test_a_reshape_in_a_scope_of_its_own_is_a_layer():
    """So are a transpose and a flip; where the scope is that of the layer before, it belongs to that."""

    def fn(_, x):
        with jax.named_scope("first"):
            x = jnp.tanh(x).reshape(6, 4, 2)
        with jax.named_scope("second"):
            x = x.reshape(4, 6, 2)
        with jax.named_scope("third"):
            return jnp.exp(x)

    summary = summarize(fn, {}, struct(4, 6, 2))
    assert [(layer.name, layer.shape) for layer in summary.layers] == [
        ("first", (6, 4, 2)), ("second", (4, 6, 2)), ("third", (4, 6, 2)),
    ]  # fmt: skip
