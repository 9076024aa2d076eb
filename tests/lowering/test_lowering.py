"""The lowering rules against NumPy and XLA's own: every convolution, every transformation, in and out of loops."""

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator
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

from jaxcnn import lowering
from jaxcnn.lowering.describe import FORWARD, INPUT_GRADIENT, KERNEL_GRADIENT

TIERS = ["canonical", "onednn"]
# Its input gradient has negative padding: XLA's own rule reads memory that is not the map's.
GROUPED_AND_CROPPED = Case((1, 2, 2), (2, 1, 10), "float32", {
    "window_strides": [1], "padding": [(2, 0)], "lhs_dilation": [1], "rhs_dilation": [1],
    "dimension_numbers": lax.ConvDimensionNumbers((0, 2, 1), (2, 1, 0), (0, 2, 1)),
    "feature_group_count": 2, "batch_group_count": 1,
}, 0)  # fmt: skip

# What is cut off at the end is more than the map holds, but for the padding at its begin.
CUT_BEYOND_THE_MAP = Case((1, 1, 1), (1, 1, 1), "float32", {
    "window_strides": [1], "padding": [(2, -2)], "lhs_dilation": [1], "rhs_dilation": [1],
    "dimension_numbers": lax.ConvDimensionNumbers((0, 2, 1), (2, 1, 0), (0, 2, 1)),
    "feature_group_count": 1, "batch_group_count": 1,
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
@example(case=CUT_BEYOND_THE_MAP)
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
