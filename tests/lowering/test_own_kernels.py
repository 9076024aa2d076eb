"""Convolutions that our own kernels compute, beside oneDNN: whole tiles by AMX, and few channels by vectors."""

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax
from references.arrays import normal
from references.convolutions import Case, assert_close

from jaxcnn import functional as F
from jaxcnn import lowering


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    yield
    lowering.disable()


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
    case = Case(x_shape, kernel_shape, dtype, parameters, 0)
    expected = case.reference()
    assert lowering.enable("onednn").tier == "onednn", lowering.status().reason
    for ours, theirs in zip(case.value_and_gradients(), expected, strict=True):
        assert_close(ours, theirs, dtype)


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
