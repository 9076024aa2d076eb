"""The lowering rules against NumPy and XLA's own: every convolution, every transformation, in and out of loops."""

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, example, given, seed, settings
from jax import Array, lax
from references.arrays import normal
from references.campaigns import record
from references.convolutions import Case, assert_close, convolutions

from jaxcnn import functional as F
from jaxcnn import lowering
from jaxcnn.lowering.describe import FORWARD, INPUT_GRADIENT, KERNEL_GRADIENT

TIERS = ["canonical", "onednn"]
# Its input gradient has negative padding: XLA's own rule reads memory that is not the map's.
GROUPED_AND_CROPPED = Case((1, 2, 2), (2, 1, 10), "float32", {
    "window_strides": [1], "padding": [(2, 0)], "lhs_dilation": [1], "rhs_dilation": [1],
    "dimension_numbers": lax.ConvDimensionNumbers((0, 2, 1), (2, 1, 0), (0, 2, 1)),
    "feature_group_count": 2, "batch_group_count": 1,
}, 0)  # fmt: skip


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    yield
    lowering.disable()


def compare(case: Case, tier: str) -> float:
    """Value and both gradients under a tier, against NumPy in float64; return the largest relative error."""
    expected = case.reference()
    assert lowering.enable(tier).tier == tier, lowering.status().reason
    pairs = zip(case.value_and_gradients(), expected, strict=True)
    return max(assert_close(ours, theirs, case.dtype) for ours, theirs in pairs)


@pytest.mark.parametrize("tier", TIERS)
@settings(deadline=None, max_examples=12)
@given(case=convolutions())
@example(case=GROUPED_AND_CROPPED)
def test_a_tier_equals_numpy(tier: str, case: Case) -> None:
    compare(case, tier)


@pytest.mark.campaign
def test_onednn_takes_nearly_the_whole_grid_and_equals_numpy() -> None:
    drawn, number, dtypes = 0, 300, ("float32", "bfloat16", "float16")
    examples, refused = Counter(), Counter()
    largest = dict.fromkeys(dtypes, 0.0)

    @seed(drawn)
    @settings(deadline=None, max_examples=number, database=None, phases=[Phase.generate])
    @given(case=convolutions(dtypes))
    def examine(case: Case) -> None:
        largest[case.dtype] = max(largest[case.dtype], compare(case, "onednn"))
        examples[case.dtype] += 1
        refused.update(lowering.status().refused)

    examine()
    lowered = 3 * examples.total()  # the value and both gradients
    share = 1 - refused.total() / lowered
    command = "pytest -m campaign -n0 tests/lowering/test_lowering.py"
    facts = {"seed": drawn, "examples": examples, "convolutions": lowered, "refused": refused}
    record("lowering_grid", command, **facts, share_taken=share, largest_relative_error=largest, failures=0)
    assert share >= 0.95


def loop_convolutions(tier: str) -> list[str]:
    """Layouts of the convolutions in the compiled loop body of a gradient step."""
    lowering.enable(tier)

    def step(kernel: Array, _: None) -> tuple[Array, None]:
        def energy(kernel: Array) -> Array:
            y = x
            for _ in range(2):
                y = lax.conv_general_dilated(y, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            return (y**2).mean()

        return kernel - jax.grad(energy)(kernel), None

    x = jnp.ones((2, 8, 8, 4))
    run = jax.jit(lambda kernel: lax.scan(step, kernel, None, length=3)[0])
    hlo = run.lower(jnp.ones((3, 3, 4, 4))).compile().as_text()
    return re.findall(r"dim_labels=(\S+?)[,\s]", hlo)


def test_every_convolution_in_a_loop_is_canonical() -> None:
    stock, ours = loop_convolutions("xla"), loop_convolutions("canonical")
    assert len(ours) == len(stock) > 0
    assert set(ours) == {"b01f_01io->b01f"}
    assert set(stock) != {"b01f_01io->b01f"}, "XLA has learnt it: the canonical rule is no longer needed"


X, KERNELS = normal(0, (4, 2, 6, 6, 2)), normal(1, (4, 3, 3, 2, 3))


def energy(x: Array, kernel: Array) -> Array:
    layout = ("NHWC", "HWIO", "NHWC")
    return jnp.tanh(lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=layout)).sum()


def second(x: Array, kernel: Array) -> Array:
    return jax.grad(lambda kernel: (jax.grad(energy, 1)(x, kernel) ** 2).sum())(kernel)


def repeated(x: Array, kernel: Array) -> Array:
    def step(_: int, kernel: Array) -> Array:
        return kernel - 0.1 * jax.grad(energy, 1)(x, kernel)

    return lax.fori_loop(0, 3, step, kernel)


both = jax.grad(energy, (0, 1))
TRANSFORMED = {
    "jvp": lambda: jax.jvp(energy, (X[0], KERNELS[0]), (X[1], KERNELS[1])),
    "jvp of the gradient": lambda: jax.jvp(both, (X[0], KERNELS[0]), (X[1], KERNELS[1])),
    "second derivative": lambda: second(X[0], KERNELS[0]),
    "remat": lambda: jax.grad(jax.checkpoint(energy), (0, 1))(X[0], KERNELS[0]),
    "vmap over maps": lambda: jax.vmap(both, (0, None))(X, KERNELS[0]),
    "vmap over kernels": lambda: jax.vmap(both, (None, 0))(X[0], KERNELS),
    "vmap over both": lambda: jax.vmap(both)(X, KERNELS),
    "vmap of the second derivative": lambda: jax.vmap(second)(X, KERNELS),
    "vmap of vmap": lambda: jax.vmap(jax.vmap(both, (None, 0)), (0, None))(X, KERNELS),
    "scan": lambda: lax.scan(lambda k, x: (k - 0.1 * both(x, k)[1], both(x, k)[0]), KERNELS[0], X),
    "lax.map": lambda: lax.map(lambda pair: both(*pair), (X, KERNELS)),
    "while_loop": lambda: repeated(X[0], KERNELS[0]),
    "scan of vmap": lambda: lax.scan(lambda k, _: (k - 0.1 * jax.vmap(both)(X, k)[1], None), KERNELS, length=2),
}


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", TRANSFORMED)
def test_transformations(name: str, tier: str) -> None:
    lowering.disable()
    expected = jax.jit(TRANSFORMED[name])()
    lowering.enable(tier)
    for ours, theirs in zip(*map(jax.tree.leaves, (jax.jit(TRANSFORMED[name])(), expected)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    if tier == "onednn":
        assert not lowering.status().refused


def kinds(function: Callable[..., Any], *arrays: Array) -> list[int]:
    """Which of oneDNN's primitives a program calls: the first number of each call's description."""
    lowering.enable("onednn")
    text = jax.jit(function).lower(*arrays).as_text()
    assert "stablehlo.convolution" not in text
    return [int(kind) for kind in re.findall(r"description = dense<\[(\d)", text)]


GRADIENTS = {
    "plain": (KERNEL_GRADIENT, (2, 9, 9, 4), (3, 3, 4, 5), {}),
    "one tap": (KERNEL_GRADIENT, (2, 9, 9, 4), (1, 1, 4, 5), {}),
    "whole map": (KERNEL_GRADIENT, (2, 5, 5, 4), (5, 5, 4, 6), {"padding": "VALID"}),
    "strided": (KERNEL_GRADIENT, (2, 9, 9, 4), (3, 3, 4, 5), {"window_strides": (2, 2)}),
    "dilated": (KERNEL_GRADIENT, (2, 9, 9, 4), (3, 3, 4, 5), {"rhs_dilation": (2, 2)}),
    "grouped": (KERNEL_GRADIENT, (2, 9, 9, 4), (3, 3, 2, 6), {"feature_group_count": 2}),
    "depthwise": (KERNEL_GRADIENT, (2, 9, 9, 4), (3, 3, 1, 4), {"feature_group_count": 4}),
    "transposed": (KERNEL_GRADIENT, (2, 4, 4, 4), (3, 3, 4, 5), {"lhs_dilation": (2, 2), "padding": [(2, 1)] * 2}),
    "1-D": (KERNEL_GRADIENT, (2, 9, 4), (3, 4, 5), {}),
    "3-D": (KERNEL_GRADIENT, (2, 5, 5, 5, 4), (3, 3, 3, 4, 5), {}),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_run_as_gradients(name: str) -> None:
    kind, x_shape, kernel_shape, options = GRADIENTS[name]
    rank = len(x_shape) - 2
    layout = [letters.replace("S", "DHW"[-rank:]) for letters in ("NSC", "SIO", "NSC")]
    options = {"window_strides": (1,) * rank, "padding": "SAME", **options}
    convolve = functools.partial(lax.conv_general_dilated, dimension_numbers=layout, **options)
    x, kernel = jnp.ones(x_shape), jnp.ones(kernel_shape)
    y = jax.eval_shape(convolve, x, kernel)
    pull = {axis: lambda x, k, g, axis=axis: jax.vjp(convolve, x, k)[1](g)[axis] for axis in (0, 1)}
    arrays = (x, kernel, jnp.ones(y.shape))
    assert kinds(convolve, x, kernel) == [INPUT_GRADIENT if name == "transposed" else FORWARD]
    assert kinds(pull[1], *arrays) == [kind]
    assert kinds(pull[0], *arrays) == [INPUT_GRADIENT if name == "strided" else FORWARD]
    assert kinds(jax.vmap(pull[1]), *(jnp.stack([array] * 2) for array in arrays)) == [kind]


def test_what_onednn_does_not_take_is_counted_by_its_reason() -> None:
    lowering.enable("onednn")
    x, kernel = jnp.ones((1, 1, 4, 4), "int32"), jnp.ones((1, 1, 2, 2), "int32")
    np.testing.assert_array_equal(jax.jit(lambda: lax.conv(x, kernel, (1, 1), "VALID"))(), np.full((1, 1, 3, 3), 4))
    assert lowering.status().refused == {"int32 is not oneDNN's": 1}


@pytest.mark.parametrize("tier", TIERS)
def test_nan_and_infinity_in_the_map_spread_as_in_xla(tier: str) -> None:
    x = jnp.ones((1, 9, 9, 2)).at[0, 4, 4, 0].set(jnp.nan).at[0, 0, 0, 1].set(jnp.inf)
    kernel = normal(0, (3, 3, 2, 3))
    layout = ("NHWC", "HWIO", "NHWC")
    results = []
    for name in ("xla", tier):
        lowering.enable(name)
        results.append(jax.jit(lambda: lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout))())
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "shapes", [((0, 5, 5, 2), (3, 3, 2, 4)), ((2, 5, 5, 0), (3, 3, 0, 4)), ((2, 5, 5, 2), (3, 3, 2, 0))]
)
def test_empty_arrays(shapes: tuple[tuple[int, ...], ...]) -> None:
    lowering.enable()
    layout = ("NHWC", "HWIO", "NHWC")
    x, kernel = map(jnp.ones, shapes)
    y = jax.jit(lambda: lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout))()
    np.testing.assert_array_equal(y, np.zeros((shapes[0][0], 5, 5, shapes[1][3])))


def test_arrays_beyond_32_bits_are_lowered_and_left_to_xla() -> None:
    lowering.enable()
    x = jax.ShapeDtypeStruct((1, 2**31 + 8, 1), "float32")
    kernel = jax.ShapeDtypeStruct((3, 1, 1), "float32")
    jax.jit(lambda x, k: lax.conv_general_dilated(x, k, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))).lower(
        x, kernel
    )
    assert sum(lowering.status().refused.values()) == (lowering.status().tier == "onednn")


def test_float64_stays_exact() -> None:
    x, kernel = np.random.default_rng(0).standard_normal((2, 1, 8)), np.random.default_rng(1).standard_normal((1, 1, 3))
    expected = np.stack([np.correlate(row[0], kernel[0, 0], "valid") for row in x])[:, None]
    lowering.enable()
    with jax.enable_x64(True):
        y = jax.jit(lambda x, k: lax.conv(x, k, (1,), "VALID"))(jnp.asarray(x), jnp.asarray(kernel))
        np.testing.assert_allclose(y, expected, rtol=1e-14, atol=1e-14)


def test_the_same_program_twice_gives_the_same_bits() -> None:
    lowering.enable()
    x, kernel = normal(0, (16, 16, 16, 32)), normal(1, (3, 3, 32, 32))
    run = jax.jit(jax.grad(energy, (0, 1)))
    first, again = run(x, kernel), run(x, kernel)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


# Maps, kernels and padding that our own kernels take, on a processor with AMX; their results are checked on any.
TILED = {
    "a strip of one image": ((4, 9, 32, 64), (3, 3, 64, 32), 1, 1),
    "strips of many images": ((16, 6, 6, 96), (3, 3, 96, 16), 1, 1),
    "a batch that does not fill its strips": ((7, 5, 16, 96), (2, 3, 96, 48), 2, 1),
    "more rows of taps than are summed together": ((8, 9, 8, 128), (5, 1, 128, 16), 0, 1),
    "one tap": ((8, 4, 4, 32), (1, 1, 32, 64), 0, 1),
    "several chunks": ((128, 4, 4, 64), (3, 3, 64, 160), 1, 1),
    "many channels": ((8, 4, 4, 128), (3, 3, 128, 256), 1, 1),
    "many channels in one row": ((8, 5, 8, 128), (1, 2, 128, 272), 0, 1),
    "strided": ((8, 9, 9, 64), (3, 3, 64, 32), 1, 2),
}


def tiled(name: str, dtype: str) -> tuple[Array, Array, Array, Callable[[Array, Array], Array]]:
    """A map, a kernel, a cotangent and the convolution."""
    x_shape, kernel_shape, padding, stride = TILED[name]
    x, kernel = normal(0, x_shape, dtype), normal(1, kernel_shape, dtype)

    def convolve(x: Array, kernel: Array) -> Array:
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, kernel, (stride,) * 2, [(padding,) * 2] * 2, dimension_numbers=layout)

    return x, kernel, normal(2, jax.eval_shape(convolve, x, kernel).shape, dtype), convolve


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", TILED)
def test_convolutions_of_whole_tiles(name: str, dtype: str) -> None:
    x, kernel, g, convolve = tiled(name, dtype)
    _, kernel_shape, padding, stride = TILED[name]
    lowering.enable()
    y, gradient = jax.jit(lambda: (convolve(x, kernel), jax.vjp(lambda k: convolve(x, k), kernel)[1](g)[0]))()
    x, kernel, g = (np.asarray(array, np.float64) for array in (x, kernel, g))
    padded = np.pad(x, [(0, 0), *[(padding, padding)] * 2, (0, 0)])
    patches = np.lib.stride_tricks.sliding_window_view(padded, kernel_shape[:2], axis=(1, 2))[:, ::stride, ::stride]
    assert_close(np.asarray(y, np.float64), np.einsum("nhwcij,ijck->nhwk", patches, kernel, optimize=True), dtype)
    assert_close(np.asarray(gradient, np.float64), np.einsum("nhwcij,nhwk->ijck", patches, g, optimize=True), dtype)


def test_float32_keeps_its_accuracy() -> None:
    """Products of bfloat16 parts err no more than the processor's float32 products, which `highest` asks for."""
    x, kernel, _, convolve = tiled("a strip of one image", "float32")
    padded = np.pad(np.asarray(x, np.float64), [(0, 0), (1, 1), (1, 1), (0, 0)])
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    exact = np.einsum("nhwcij,ijck->nhwk", patches, np.asarray(kernel, np.float64), optimize=True)
    lowering.enable()
    errors = {}
    for precision in ("default", "highest"):
        with jax.default_matmul_precision(precision):
            errors[precision] = np.abs(np.asarray(jax.jit(convolve)(x, kernel), np.float64) - exact).mean()
    assert errors["default"] < 1.1 * errors["highest"] < 1e-6 * np.abs(exact).max()


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_numbers_that_are_not_finite(value: float) -> None:
    x, kernel, g, convolve = tiled("a strip of one image", "float32")
    x = x.at[1, 4, 7, 3].set(value)
    results = []
    for tier in ("xla", "auto"):
        lowering.enable(tier)
        results.append(jax.jit(lambda: (convolve(x, kernel), jax.vjp(lambda k: convolve(x, k), kernel)[1](g)[0]))())
    for theirs, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)
        assert not np.isfinite(ours).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_shifted_map_gives_the_shifted_result_bit_by_bit(dtype: str) -> None:
    x, kernel, _, convolve = tiled("strips of many images", dtype)
    x = jnp.pad(x[:, :3, :3], [(0, 0), (0, 3), (0, 3), (0, 0)])
    lowering.enable()
    run = jax.jit(convolve)
    shifted = run(jnp.roll(x, (2, 1), (1, 2)), kernel)
    np.testing.assert_array_equal(shifted[:, 2:, 1:], run(x, kernel)[:, :-2, :-1])


# (map, kernel, padding, groups) that kernels for few channels take.
FEW = {
    "one to six": ((3, 28, 28, 1), (5, 5, 1, 6), 2, 1),
    "one to eight, columns beyond a vector": ((2, 5, 35, 1), (3, 1, 1, 8), 0, 1),
    "two to seven": ((17, 9, 11, 2), (2, 3, 2, 7), 1, 1),
    "seven to one": ((3, 8, 9, 7), (5, 5, 7, 1), 2, 1),
    "padding beyond the kernel": ((2, 9, 10, 1), (3, 2, 1, 3), 6, 1),
    "a kernel of seven columns": ((2, 12, 13, 1), (4, 7, 1, 5), 1, 1),
    "six to sixteen": ((19, 14, 14, 6), (5, 5, 6, 16), 0, 1),
    "seven to many, padded": ((2, 9, 13, 7), (3, 5, 7, 48), 2, 1),
    "five to sixteen, beyond the kernel": ((3, 6, 5, 5), (2, 4, 5, 16), 5, 1),
    "many to few": ((3, 10, 10, 16), (5, 5, 16, 6), 4, 1),
    "many to few without padding": ((1, 9, 8, 9), (3, 3, 9, 15), 0, 1),
    "many to few beyond the kernel": ((4, 7, 6, 8), (7, 2, 8, 5), 5, 1),
    "many to one": ((2, 6, 6, 32), (1, 1, 32, 1), 0, 1),
    "depthwise": ((3, 7, 9, 64), (3, 3, 1, 64), 1, 64),
    "depthwise beyond the kernel": ((1, 6, 3, 32), (3, 3, 1, 32), 4, 32),
    "depthwise without padding": ((2, 9, 12, 32), (3, 3, 1, 32), 0, 32),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", FEW)
def test_convolutions_of_few_channels(name: str, dtype: str) -> None:
    x_shape, kernel_shape, padding, groups = FEW[name]
    layout = lax.conv_dimension_numbers(x_shape, kernel_shape, ("NHWC", "HWIO", "NHWC"))
    parameters = {
        "window_strides": [1, 1], "padding": [(padding, padding)] * 2, "lhs_dilation": [1, 1], "rhs_dilation": [1, 1],
        "dimension_numbers": layout, "feature_group_count": groups, "batch_group_count": 1,
    }  # fmt: skip
    compare(Case(x_shape, kernel_shape, dtype, parameters, 0), "onednn")


@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("name", FEW)
def test_numbers_that_are_not_finite_stay_where_few_channels_see_them(name: str, value: float) -> None:
    x_shape, kernel_shape, padding, groups = FEW[name]
    dtype = "bfloat16" if name.startswith("depthwise") else "float32"
    x, kernel = normal(0, x_shape, dtype).at[0, 4, 2, 0].set(value), normal(1, kernel_shape, dtype)

    results = []
    for tier in ("xla", "onednn"):
        lowering.enable(tier)
        y, back = jax.vjp(functools.partial(F.conv, padding=padding, groups=groups), x, kernel)
        results.append((y, *back(jnp.ones_like(y))))
    for theirs, ours in zip(*results, strict=True):
        np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs))


def test_few_channels_from_many_threads_give_the_same_bits() -> None:
    lowering.enable()
    x, kernel, g = normal(0, (16, 28, 28, 1)), normal(1, (5, 5, 1, 6)), normal(2, (16, 28, 28, 6))
    convolve = functools.partial(F.conv, padding=2)
    run = jax.jit(lambda x, kernel: jax.vjp(convolve, x, kernel)[1](g))
    first = run(x, kernel)
    with ThreadPoolExecutor(4) as pool:
        for again in pool.map(lambda _: run(x, kernel), range(40)):
            for one, other in zip(first, again, strict=True):
                np.testing.assert_array_equal(one, other)
