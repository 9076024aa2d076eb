"""Networks in a line: what they say, and where they are wrong."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import analysis
from jaxcnn import functional as F
from jaxcnn.analysis.network import network
from jaxcnn.analysis.one_line import ALIASES, GRAMMAR, OPTIONS, parse

LECTURE = "conv5x5(10) p2 > relu > pool2 > dense10"


def made(line, shape):
    """The function, and parameters drawn for it."""
    fn, params = network(line, shape)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(0), max(len(leaves), 1))
    drawn = [jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=False)]
    return fn, jax.tree.unflatten(tree, drawn)


def test_the_lecture_counts():
    fn, params = network(LECTURE, (32, 32, 3))
    summary = analysis.summarize(fn, params, jax.ShapeDtypeStruct((32, 32, 3), jnp.float32))
    conv = summary.layers[0]
    assert [layer.name for layer in summary.layers] == ["conv1", "relu1", "pool1", "flatten1", "dense1"]
    assert (conv.shape, conv.parameters, conv.dense_parameters) == ((32, 32, 10), 760, 31_467_520)
    assert (conv.worked, summary.layers[2].worked) == ("(32 + 2*2 - 5)/1 + 1 = 32", "(32 - 2)/2 + 1 = 16")
    assert summary.layers[-1].parameters == (16 * 16 * 10 + 1) * 10
    assert "conv1: 760 parameters; a dense layer between the same arrays has 31,467,520" in summary.to_text(dense=True)


X = jax.random.normal(jax.random.key(1), (2, 12, 11, 4))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("conv3(6)", lambda p, x: F.conv(x, p["kernel"], p["bias"], padding=0)),
        ("conv3x2(6) s2x1 p1x0", lambda p, x: F.conv(x, p["kernel"], p["bias"], strides=(2, 1), padding=(1, 0))),
        ("conv3(6) same d2 nobias", lambda p, x: F.conv(x, p["kernel"], dilation=2)),
        ("CONV3(6) same_lower s2", lambda p, x: F.conv(x, p["kernel"], p["bias"], padding="SAME_LOWER", strides=2)),
        ("conv3(6) p2 circular", lambda p, x: F.conv(x, p["kernel"], p["bias"], padding=2, padding_mode="circular")),
        ("conv3(6) p1 reflect", lambda p, x: F.conv(x, p["kernel"], p["bias"], padding=1, padding_mode="reflect")),
        ("conv3(6) p1 g2", lambda p, x: F.conv(x, p["kernel"], p["bias"], padding=1, groups=2)),
        ("depthwise3(2) valid", lambda p, x: F.depthwise_conv(x, p["kernel"], p["bias"], padding="VALID")),
        ("transposed3(5) s2 p1", lambda p, x: F.conv_transpose(x, p["kernel"], p["bias"], strides=2, padding=1)),
        ("tconv4(5) s3 same", lambda p, x: F.conv_transpose(x, p["kernel"], p["bias"], strides=3)),
        ("pool2", lambda p, x: F.max_pool(x, (2, 2))),
        ("maxpool3 s2 p1 ceil", lambda p, x: F.max_pool(x, (3, 3), strides=2, padding=1, ceil_mode=True)),
        ("maxpool3 s2 p1 circular", lambda p, x: F.max_pool(x, (3, 3), strides=2, padding=1, padding_mode="circular")),
        ("minpool2 s1", lambda p, x: F.min_pool(x, (2, 2), strides=1)),
        ("avgpool3 s2 p1", lambda p, x: F.avg_pool(x, (3, 3), strides=2, padding=1)),
        ("avgpool3 s2 same", lambda p, x: F.avg_pool(x, (3, 3), strides=2, padding="SAME")),
        ("globalavg", lambda p, x: F.global_avg_pool(x)),
        ("globalmax", lambda p, x: F.global_max_pool(x)),
        ("flatten", lambda p, x: F.flatten(x)),
        ("dropout", lambda p, x: x),
        ("gelu", lambda p, x: jax.nn.gelu(x)),
        ("softmax", lambda p, x: jax.nn.softmax(x)),
        ("bn", lambda p, x: x / np.sqrt(1 + 1e-5) * p["scale"] + p["offset"]),
        ("dense7", lambda p, x: F.dense(F.flatten(x), p["kernel"], p["bias"])),
    ],
)  # fmt: skip
def test_a_layer_is_the_function_of_its_name(line, expected):
    fn, params = made(line, X.shape[1:])
    (own,) = params.values() or ({},)
    np.testing.assert_allclose(fn(params, X), expected(own, X), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(fn(params, X[0]), fn(params, X)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("line", "shape", "expected"),
    [
        ("conv5(10) > pool2 > dense3", (30, 2), [(26, 10), (13, 10), (130,), (3,)]),
        ("conv3(4) > conv3x1x1(2)", (6, 6, 6, 1), [(4, 4, 4, 4), (2, 4, 4, 2)]),
    ],
)
def test_the_rank_is_the_inputs(line, shape, expected):
    fn, params = network(line, shape)
    axes = tuple(range(-len(shape), -1))
    summary = analysis.summarize(fn, params, jax.ShapeDtypeStruct(shape, jnp.float32), spatial_axes=axes)
    assert [layer.shape for layer in summary.layers] == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("conv3(9) > rellu > relu", "unknown layer 'rellu': did you mean 'relu'? At column 12: conv3(9) > ^rellu >"),
        ("cnv3(8)", "unknown layer 'cnv': did you mean 'conv'? At column 1: ^cnv3(8)"),
        ("5x5", "unknown layer '5x5'"),
        ("conv5x5(10 > relu", "(a parenthesis is open): write it as conv5x5(10). At column 5: conv^5x5(10"),
        ("conv5*5(10)", "cannot be read"),
        ("conv3", "'conv3' lacks its number of filters, in parentheses: write it as conv5x5(10). At column 1: ^conv3"),
        ("conv 3x3 (8)", "'conv' lacks the size of its window"),
        ("relu > pool", "'pool' lacks the size of its window: write it as pool2. At column 8: relu > ^pool"),
        ("dense", "'dense' lacks its number of outputs: write it as dense10"),
        ("dense10x3", "must have one number of outputs"),
        ("relu3", "'relu3' takes no number: write relu"),
        ("pool2(3)", "'pool2(3)' takes no number in parentheses: write pool2"),
        ("conv0(3)", "'conv0(3)' has a zero"),
        ("relu > > relu", "a layer is missing. At column 7"),
        ("relu >", "a layer is missing. At column 7: relu >^"),
        ("", "a layer is missing. At column 1: ^"),
        ("conv3(8) sane", "unknown option 'sane': did you mean 'same'? conv takes s2, p2"),
        ("conv3(8) q2", "unknown option 'q2'"),
        ("bn s2", "unknown option 's2': bn takes no options. At column 4: bn ^s2"),
        ("conv3(8) relu", "'relu' is a layer: put > before it. At column 10: conv3(8) ^relu"),
        ("conv3(8) s", "'s' lacks its number"),
        ("conv3(8) same2", "'same2' takes no number"),
        ("conv3(8) s0", "'s0' must be at least 1"),
        ("conv3(8) g2x2", "'g2x2' must be one number of groups"),
        ("conv3(8) s2 s2", "'s' is given twice. At column 13: conv3(8) s2 ^s2"),
        ("conv3(8) p1 same", "'same' contradicts 'p' before it"),
        ("conv3(8) circular reflect", "'reflect' contradicts 'circular' before it"),
    ],
)  # fmt: skip
def test_a_typo_is_pointed_at(line, expected):
    with pytest.raises(ValueError, match="At column") as caught:
        parse(line)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "shape", "expected"),
    [
        ("conv3(4) > pool9", (9, 9, 1), "pool9: `window` (=9) does not fit on spatial axis 0: size 7"),
        ("conv3(4) > globalavg > conv3(8)", (9, 9, 1), "it takes a map, but 4 features come in"),
        ("conv3(4) > dense5 > flatten", (9, 9, 1), "At column 21: conv3(4) > dense5 > ^flatten"),
        ("conv5x5(4)", (9, 1), "window 5x5 has 2 sizes, but its input has 1 spatial axis."),
        ("conv5(4) s2x2x2", (9, 9, 1), "s 2x2x2 has 3 sizes, but its input has 2 spatial axes."),
        ("conv3(4) g2", (9, 9, 1), "g2 must divide its 1 channels"),
        ("transposed2(3) p5", (9, 1), "p5 crops the whole output"),
        ("relu", (3,), "`input_shape` (=(3,)) must be 1 to 3 spatial sizes and the channels"),
        ("relu", (9, 0, 3), "`input_shape` (=(9, 0, 3))"),
    ],
)
def test_what_does_not_fit_is_pointed_at(line, shape, expected):
    with pytest.raises(ValueError, match=re.escape(expected)):
        network(line, shape)


def test_the_grammar_tells_every_word():
    for word in {*OPTIONS, *(option for options in OPTIONS.values() for option in options if len(option) > 1)}:
        assert word in GRAMMAR
    assert set(ALIASES.values()) <= set(OPTIONS)
