"""Worked lines: they are arithmetic that comes out, at the size that the operation itself has."""

import math

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcnn import functional as F
from jaxcnn.analysis.borders import Border, border
from jaxcnn.analysis.equations import flatten
from jaxcnn.analysis.worked import Place, line, notes, per_axis, places


def worked(fn, *arrays):
    """Worked lines and notes of the one window of a function, a line an axis, and the result's shape."""
    equations, _, outputs = flatten(jax.make_jaxpr(fn)(*arrays))
    (found,) = [place for equation in equations if equation.depends and (place := places(equation, equations))]
    return [line(place) for place in found], notes(found), outputs[0].shape


def value(text):
    """Work a line out: both sides."""
    left, right = text.split(" = ")
    return eval(left, {"floor": math.floor, "ceil": math.ceil}), int(right)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (Place(32, 5, 32, padding=(2, 2)), "(32 + 2*2 - 5)/1 + 1 = 32"),
        (Place(32, 5, 28), "(32 - 5)/1 + 1 = 28"),
        (Place(7, 3, 3, stride=2), "(7 - 3)/2 + 1 = 3"),
        (Place(7, 3, 2, stride=3), "floor((7 - 3)/3) + 1 = 2"),
        (Place(32, 3, 16, stride=2, padding=(0, 1)), "(32 + 0 + 1 - 3)/2 + 1 = 16"),
        (Place(9, 3, 1, dilation=4), "(9 - (4*(3 - 1) + 1))/1 + 1 = 1"),
        (Place(7, 2, 4, stride=2), "ceil((7 - 2)/2) + 1 = 4"),
        (Place(9, 3, 5, padding=(-1, -1)), "(9 - 2*1 - 3)/1 + 1 = 5"),
        (Place(9, 3, 7, padding=(1, -1)), "(9 + 1 - 1 - 3)/1 + 1 = 7"),
        (Place(7, 3, 14, spread=2, padding=(2, 1)), "2*(7 - 1) + 3 - 0 - 1 = 14"),
        (Place(16, 4, 32, spread=2, padding=(2, 2)), "2*(16 - 1) + 4 - 2*1 = 32"),
        (Place(7, 3, 17, spread=2, padding=(3, 3)), "2*(7 - 1) + 3 + 2*1 = 17"),
        (Place(7, 3, 6, spread=2, stride=2), "(2*(7 - 1) + 1 - 3)/2 + 1 = 6"),
    ],
)
def test_lines_are_the_textbooks(place, expected):
    assert line(place) == expected
    assert len(set(value(expected))) == 1


def test_rests_are_explained():
    assert notes([Place(7, 3, 3, stride=2)]) == []
    assert notes([Place(8, 3, 2, stride=3)] * 2) == [
        "(8 - 3)/3 = 1.67: a stride of 3 leaves a rest of 2, so the last 2 positions of the map are never seen"
    ]
    (padding,) = notes([Place(224, 7, 112, stride=2, padding=(3, 3))])
    assert padding == "a stride of 2 leaves a rest of 1, all of it padding: no position of the map is lost"
    rest, _ = notes([Place(11, 4, 3, stride=3, padding=(0, 1))] * 2)
    assert rest == (
        "(11 + 0 + 1 - 4)/3 = 2.67: a stride of 3 leaves a rest of 2, so the last position of the map is never seen"
    )
    (other,) = notes([Place(7, 3, 2, stride=3), Place(9, 3, 3, stride=3)])
    assert other.startswith("height: (7 - 3)/3 = 1.33")
    (over,) = notes([Place(7, 2, 4, stride=2)])
    assert over.startswith("ceil_mode")


def test_the_split_of_same_is_explained():
    (even,) = notes([Place(32, 3, 16, stride=2, padding=(0, 1))])
    assert even == (
        "SAME: ceil(32/2) = 16 outputs need (16 - 1)*2 + 3 - 32 = 1 of padding: 0 before the map and 1 after it, "
        "the odd one after"
    )
    (lower,) = notes([Place(8, 2, 8, padding=(1, 0))])
    assert lower.startswith("SAME_LOWER: ")
    assert lower.endswith("1 before the map and 0 after it, the odd one before")
    (pool,) = notes([Place(7, 2, 4, stride=2, padding=(0, 1), pool=True)])
    assert pool.startswith("SAME or ceil_mode")
    (uneven,) = notes([Place(8, 3, 11, padding=(1, 4))])
    assert uneven == "padding is uneven: 1 before the map and 4 after it"
    assert notes([Place(32, 5, 32, padding=(2, 2))]) == []


def test_axes_that_agree_are_told_once():
    assert per_axis(["3", "3", "3"]) == "3"
    assert per_axis(["3", "4"]) == "height: 3; width: 4"
    assert per_axis(["3"]) == "3"


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(5, 17), min_size=1, max_size=3),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from(["zeros", "circular", "reflect", "replicate"]),
    st.one_of(st.sampled_from(["SAME", "SAME_LOWER", "VALID"]), st.tuples(st.integers(0, 3), st.integers(0, 3))),
    st.booleans(),
)
def test_lines_of_convolutions_come_out(sizes, window, strides, dilation, mode, padding, batch):
    rank = len(sizes)
    options = {"strides": strides, "dilation": dilation, "padding_mode": mode}
    padding = padding if isinstance(padding, str) else (padding,) * rank
    x = jax.ShapeDtypeStruct((*((2, 3) if batch else ()), *sizes, 2), jnp.float32)
    kernel = jax.ShapeDtypeStruct((*(window,) * rank, 2, 4), jnp.float32)
    try:
        jax.eval_shape(lambda k, x: F.conv(x, k, padding=padding, **options), kernel, x)
    except ValueError:  # it does not fit
        return
    lines, told, shape = worked(lambda k, x: F.conv(x, k, padding=padding, **options), kernel, x)
    assert [value(text) for text in lines] == [(size, size) for size in shape[-1 - rank : -1]]
    starts = [(f"({n} ", f"floor(({n} ") for n in sizes]
    assert all(text.startswith(start) for text, start in zip(lines, starts, strict=True))
    if mode == "zeros" or padding in ("VALID", ((0, 0),) * rank):
        assert not any("padding: beyond" in note for note in told)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(5, 17), min_size=1, max_size=3),
    st.integers(2, 4),
    st.integers(1, 3),
    st.integers(0, 1),
    st.booleans(),
    st.sampled_from([F.max_pool, F.avg_pool]),
)
def test_lines_of_pools_come_out(sizes, window, strides, padding, ceil_mode, pool):
    x = jax.ShapeDtypeStruct((*sizes, 2), jnp.float32)
    options = {"strides": strides, "padding": padding, "ceil_mode": ceil_mode}
    lines, _, shape = worked(lambda x: pool(x, (window,) * len(sizes), **options), x)
    assert [value(text)[0] for text in lines] == list(shape[:-1])


@settings(deadline=None, max_examples=40)
@given(
    st.integers(2, 9), st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.one_of(st.just("SAME"), st.just(0))
)
def test_lines_of_transposed_convolutions_come_out(size, window, strides, dilation, padding):
    x, kernel = jnp.ones((size, 2)), jnp.ones((window, 2, 3))
    options = {"strides": strides, "dilation": dilation, "padding": padding}
    (text,), _, shape = worked(lambda k, x: F.conv_transpose(x, k, **options), kernel, x)
    assert value(text) == (shape[0], shape[0])


MODES = {"constant": "zeros", "wrap": "circular", "reflect": "reflect", "edge": "replicate", "symmetric": "symmetric"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("amount", [(1, 2), (2, 0), (0, 3), (3, 3)])
@pytest.mark.parametrize("shape", [(7,), (1, 6, 8, 3), (2, 5, 4)])
def test_padding_that_is_written_out_is_read_back(mode, amount, shape):
    spatial = range(len(shape)) if len(shape) == 1 else range(1, len(shape) - 1)
    widths = [amount if axis in spatial else (0, 0) for axis in range(len(shape))]
    equations, _, (y,) = flatten(jax.make_jaxpr(lambda x: jnp.pad(x, widths, mode=mode))(jnp.ones(shape)))
    for axis in spatial:
        assert border(y, axis, equations) == Border(shape[axis], amount, MODES[mode])


NOT_PADDING = [
    lambda x: x[2:],
    lambda x: x[::-1],
    lambda x: jnp.roll(x, 2),
    lambda x: 2 * x,
    lambda x: jax.lax.pad(x, 0.0, [(1, 1, 1)]),
]


@pytest.mark.parametrize("fn", NOT_PADDING)
def test_what_is_no_padding_is_not_read_as_one(fn):
    equations, _, (y,) = flatten(jax.make_jaxpr(fn)(jnp.ones(9)))
    assert border(y, 0, equations) == Border(y.shape[0])


def test_an_unknown_padding_is_named_so():
    equations, _, (y,) = flatten(jax.make_jaxpr(lambda x: jnp.concatenate([x[3:4], x, x[:1]]))(jnp.ones(9)))
    assert border(y, 0, equations).mode == "other"
