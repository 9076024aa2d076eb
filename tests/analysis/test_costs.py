"""Costs: multiply-accumulates, FLOPs and bytes, against loops that count, and against XLA."""

import functools
import importlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from jax import lax
from references.convolutions import Case, convolutions

from jaxcnn import functional as F
from jaxcnn.analysis import costs, trace
from jaxcnn.functional import bias

norm = importlib.import_module("jaxcnn.functional.batch_norm")  # which the function of that name hides
gelu = importlib.import_module("jaxcnn.functional.gelu")


def struct(*shape, dtype="float32"):
    return jax.ShapeDtypeStruct(shape, dtype)


def total(fn, *args):
    return costs.total(trace(fn, *args, spatial_axes=()).steps)


def products(case: Case) -> int:
    """Count, one by one, the taps of every output that do not fall on a hole."""
    p, (lhs, rhs, _) = case.parameters, case.parameters["dimension_numbers"]
    count = case.lhs[lhs[0]] // p["batch_group_count"] * case.rhs[rhs[0]] * case.rhs[rhs[1]]
    amounts = zip(p["window_strides"], p["lhs_dilation"], p["rhs_dilation"], p["padding"], strict=True)
    for axis, (stride, holes, dilation, (low, high)) in enumerate(amounts, 2):
        n, window = case.lhs[lhs[axis]], case.rhs[rhs[axis]]
        first, end = -low, (n - 1) * holes + 1 + high
        taps = 0
        while first + (window - 1) * dilation < end:
            taps += sum((first + tap * dilation) % holes == 0 for tap in range(window))
            first += stride
        count *= taps
    return count


@settings(max_examples=200, deadline=None)
@given(convolutions())
def test_a_convolution_of_any_kind(case):
    def fn(kernel, x):
        return case.convolve(x, kernel)

    assert total(fn, struct(*case.rhs), struct(*case.lhs)).macs == products(case)


@pytest.mark.parametrize(
    ("x", "kernel", "options"),
    [
        ((2, 9, 7, 3), (3, 2, 3, 5), {}),
        ((2, 9, 7, 4), (3, 2, 2, 6), {"groups": 2, "strides": (2, 3)}),
        ((9, 9, 4), (3, 3, 1, 8), {"groups": 4, "dilation": 2}),
        ((17, 3), (5, 3, 4), {"strides": 4, "dilation": 3}),
        ((5, 6, 7, 1), (2, 3, 1, 1, 2), {"strides": (1, 2, 3)}),
    ],
)
def test_a_convolution_of_ones_sums_to_its_products(x, kernel, options):
    conv = functools.partial(F.conv, padding="VALID", **options)
    assert total(lambda w, x: conv(x, w), struct(*kernel), struct(*x)).macs == conv(jnp.ones(x), jnp.ones(kernel)).sum()


@pytest.mark.parametrize(
    ("padding", "outputs"), [("SAME", 8), ([(1, 1)], 8), ([(5, 5)], 16), ([(-1, -2)], 3), ("VALID", 6)]
)
def test_taps_on_padding_count(padding, outputs):
    conv = functools.partial(lax.conv_general_dilated, window_strides=(1,), padding=padding)
    assert total(lambda w, x: conv(x, w), struct(1, 1, 3), struct(1, 1, 8)).macs == 3 * outputs


@pytest.mark.parametrize(("strides", "window", "padding"), [(2, 4, 1), (2, 2, 0), (3, 5, 1), (4, 8, 2)])
def test_a_transposed_convolution_costs_one_product_for_each_element_and_tap(strides, window, padding):
    """Of the paddings that scale a map by the stride."""
    up = functools.partial(F.conv_transpose, strides=strides, padding=padding)
    x, kernel = struct(6, 6, 3), struct(window, window, 3, 5)
    assert jax.eval_shape(up, x, kernel).shape == (6 * strides, 6 * strides, 5)
    assert total(lambda w, x: up(x, w), kernel, x).macs == (6 * window) ** 2 * 3 * 5


def test_gradients_cost_what_the_convolution_does():
    conv = functools.partial(F.conv, strides=2, padding="SAME")
    x, kernel = struct(2, 12, 12, 3), struct(3, 3, 3, 4)
    forward = 2 * (6 * 3) ** 2 * 3 * 4
    assert total(lambda w, x: conv(x, w), kernel, x).macs == forward
    both = jax.grad(lambda w, x: jnp.sin(conv(x, w)).sum(), (0, 1))
    assert total(both, kernel, x).macs == 3 * forward


@pytest.mark.parametrize(
    "spec", ["ij,jk->ik", "bij,bjk->bik", "ij,j->i", "i,i->", "bhqd,bhkd->bhqk", "abc,cbd->ad", "hwc,cf->hwf"]
)
def test_a_product_of_arrays_has_one_for_every_value_of_all_indices(spec):
    sizes = dict(zip("abcdfhijkqw", (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), strict=True))
    operands = [struct(*(sizes[i] for i in part)) for part in spec.split("->")[0].split(",")]
    expected = math.prod(sizes[i] for i in set(spec) & set(sizes))
    found = total(functools.partial(jnp.einsum, spec), *operands)
    assert found.macs == expected
    assert found.flops == 2 * expected


def test_counts_are_exact_beyond_64_bits():
    huge = struct(2**16, 2**16, 2**16, 2**16)
    product = functools.partial(lax.dot_general, dimension_numbers=(((2, 3), (0, 1)), ((), ())))
    assert total(product, huge, huge).macs == 2**96


def test_loops_repeat():
    product = 4 * 4 * 4

    def rounds(count):
        return lambda w, x: lax.fori_loop(0, count, lambda _, x: w @ x, x)

    def nested(w, x):
        return lax.scan(lambda x, _: (rounds(3)(w, x), None), x, length=5)[0]

    def unknown(w, x):
        return lax.while_loop(lambda x: x.sum() < 100, lambda x: w @ x, x)

    def convolved(w, x):
        return lax.fori_loop(0, 6, lambda _, x: F.conv(x, w), x)

    assert total(convolved, struct(3, 1, 1), struct(8, 1)).macs == 6 * 8 * 3
    w = x = struct(4, 4)
    assert total(rounds(7), w, x).macs == 7 * product
    assert total(rounds(1000), w, x).macs == 1000 * product
    assert total(rounds(7), w, x).bytes >= 7 * 3 * 64
    assert total(nested, w, x).macs == 15 * product
    assert total(jax.jit(jax.checkpoint(nested)), w, x).macs == 15 * product
    assert total(nested, w, x).unknown_repeats == 0
    once = total(unknown, w, x)
    assert once.macs == product
    assert once.unknown_repeats > 0


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (jnp.exp, 24), (jnp.negative, 24), (lambda x: x * x + 1, 48), (lambda x: x > 0, 24), (lax.rsqrt, 24),
        (jnp.sum, 24), (lambda x: x.max(1), 24), (lambda x: jnp.argmax(x, 0), 24), (lambda x: lax.cumsum(x, 1), 24),
        (lambda x: x.reshape(6, 4).T, 0), (lambda x: x[:, ::2], 0), (lambda x: jnp.pad(x, 1), 0), (jnp.sort, 0),
        (lambda x: x.astype(jnp.bfloat16), 0), (lambda x: lax.rev(x, (0,)), 0), (lambda x: lax.iota(int, 9) + 1, 0),
        (lambda x: lax.reduce_window(x, -np.inf, lax.max, (2, 3), (1, 1), "VALID"), 3 * 4 * 6),
        (lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 3), (2, 2), "SAME"), 2 * 3 * 6),
        (lambda x: lax.reduce_window(x, 1.0, lax.mul, (2, 3), (1, 1), "SAME"), 24 * 6),
        (lambda x: F.max_pool(x[..., None], (2, 2)), 2 * 3 * 4),
        (lambda x: x.at[jnp.array([0, 2])].add(x[:2]), 12 + 0),
    ],
)  # fmt: skip
def test_flops_of_single_operations(fn, expected):
    assert total(fn, struct(4, 6)).flops == expected


def test_the_gradient_of_a_window_finds_its_winners():
    def pool(x):
        return lax.reduce_window(x, -np.inf, lax.max, (2, 3), (2, 3), "VALID").sum()

    steps = trace(jax.grad(pool), struct(4, 6), spatial_axes=(0, 1)).steps
    assert [costs.flops(step) for step in steps if step.primitive == "select_and_scatter_add"] == [4 * (6 + 1)]


def test_integers_are_no_floating_point_operations():
    assert total(lambda x: (x + 1) * x, struct(4, dtype="int32")).flops == 0


def test_flops_agree_with_xla_where_nothing_is_padded_or_simplified():
    conv = functools.partial(F.conv, padding="VALID", strides=2)
    cases = [(jnp.matmul, struct(16, 24), struct(24, 8)), (conv, struct(2, 11, 11, 3), struct(3, 3, 3, 4))]
    cases += [(lambda x: x * x + 1, struct(64, 32))]
    for fn, *args in cases:
        assert costs.compiled_cost(fn, *args)["xla_flops"] == total(fn, *args).flops


def test_xla_leaves_padded_taps_out():
    x, kernel = struct(1, 8, 8, 4), struct(3, 3, 4, 8)
    found = costs.compiled_cost(F.conv, x, kernel)
    inside = (8 * 3 - 2) ** 2 * 4 * 8
    assert found["xla_flops"] == 2 * inside < total(F.conv, x, kernel).flops == 2 * 24**2 * 4 * 8
    assert found["xla_peak_bytes"] >= 4 * (8 * 8 * 4 + 3 * 3 * 4 * 8 + 8 * 8 * 8)


@pytest.mark.parametrize("name", [None, "list", "nothing"])
def test_a_backend_that_tells_less(name, monkeypatch):
    told = {None: {"flops": 6.0}, "list": [{"flops": 6.0}], "nothing": None}[name]
    monkeypatch.setattr(jax.stages.Compiled, "cost_analysis", lambda _: told)
    monkeypatch.setattr(jax.stages.Compiled, "memory_analysis", lambda _: None)
    expected = None if name == "nothing" else 6
    assert costs.compiled_cost(jnp.sin, struct(3)) == {"xla_flops": expected, "xla_peak_bytes": None}


ROWS, CHANNELS = 4000, 5
MAP, CHANNEL = struct(ROWS, CHANNELS), struct(CHANNELS)


@pytest.mark.parametrize(
    ("primitive", "definition", "args"),
    [
        (bias.FORWARD, bias._forward, [MAP, CHANNEL]),
        (gelu.FORWARD, gelu._forward, [MAP, CHANNEL]),
        (gelu.BACKWARD, gelu._backward, [MAP, CHANNEL, MAP]),
        (norm.FORWARD, norm._forward, [MAP, CHANNEL, CHANNEL]),
        (norm.BACKWARD, norm._backward, [MAP, *[CHANNEL] * 5, MAP, CHANNEL, CHANNEL]),
    ],
)
def test_a_fused_operation_costs_what_its_definition_does(primitive, definition, args):
    options = {"epsilon": 1e-5, "activation": "relu"} if primitive.name.startswith("batch_norm") else {}
    fused = total(lambda *args: primitive.bind(*args, **options), *args).flops
    assert fused == total(functools.partial(definition, **options), *args).flops >= 2 * ROWS * CHANNELS


def test_bytes_and_intensity():
    x, kernel = struct(8, 8, 4, dtype="bfloat16"), struct(3, 3, 4, 16, dtype="bfloat16")
    steps = trace(lambda w, x: F.conv(x, w), kernel, x).steps
    (step,) = [step for step in steps if step.primitive == "conv_general_dilated"]
    assert costs.activation_bytes(step) == 2 * 8 * 8 * 16
    assert costs.bytes_moved(step) == 2 * (8 * 8 * 4 + 3 * 3 * 4 * 16 + 8 * 8 * 16)
    assert costs.total([step]).intensity == costs.flops(step) / costs.bytes_moved(step)
    assert sum(costs.bytes_moved(other) for other in steps if other is not step) == 0


def test_nothing_costs_nothing():
    assert total(lambda x: x, struct(4)) == costs.Costs()
    assert costs.Costs().intensity == 0


def test_random_numbers_are_data():
    key = jax.eval_shape(lambda: jax.random.key(0))
    found = total(lambda key, x: F.dropout(x, 0.5, key=key), key, struct(4, 6))
    assert 0 < found.flops <= 10 * 24
    assert found.bytes > 0
