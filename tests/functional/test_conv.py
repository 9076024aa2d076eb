"""Convolution against loops in NumPy, against its adjoint, and against the lectures."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import Array
from jax.test_util import check_grads
from references import conv as reference
from references.arrays import normal
from references.tolerance import TOLERANCE

from jaxcnn import functional as F

MODES = ("zeros", "circular", "reflect", "replicate")


def close(ours: Array, expected: np.ndarray, dtype: str = "float32") -> None:
    assert ours.dtype == jnp.dtype(dtype)
    scale = max(1.0, float(np.abs(expected).max()) if expected.size else 1.0)
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(
        np.asarray(ours, np.float64), expected, rtol=tolerance["rtol"], atol=scale * tolerance["atol"]
    )


@st.composite
def cases(draw):
    rank = draw(st.integers(1, 3))
    most = {1: 9, 2: 7, 3: 5}[rank]
    groups = draw(st.sampled_from([1, 2, 3]))
    sizes = tuple(draw(st.integers(3, most)) for _ in range(rank))
    window = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    strides = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    dilation = tuple(draw(st.integers(1, 2)) for _ in range(rank))
    padding = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(rank))
    padding = tuple(
        (low, high if d * (w - 1) < n + low + high else high + d * w)
        for n, w, d, (low, high) in zip(sizes, window, dilation, padding, strict=True)
    )
    channels = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    return sizes, window, strides, dilation, padding, groups, channels, draw(st.integers(0, 999))


@settings(deadline=None, max_examples=30)
@given(cases(), st.sampled_from(MODES), st.booleans(), st.sampled_from(["float32", "bfloat16", "float16"]))
def test_conv_equals_loops(case, mode: str, flip: bool, dtype: str) -> None:
    sizes, window, strides, dilation, padding, groups, (inputs, outputs), seed = case
    if mode in ("circular", "reflect") and any(max(p) >= n for p, n in zip(padding, sizes, strict=True)):
        mode = "zeros"
    x = normal(seed, (2, *sizes, inputs * groups), dtype)
    kernel, bias = (
        normal(seed + 1, (*window, inputs, outputs * groups), dtype),
        normal(seed + 2, (outputs * groups,), dtype),
    )
    convolve = partial(
        F.conv, strides=strides, padding=padding, padding_mode=mode, dilation=dilation, groups=groups, flip_kernel=flip
    )
    expected = reference.conv(
        x, kernel, bias, strides=strides, padding=padding, mode=mode, dilation=dilation, groups=groups, flip=flip
    )
    close(jax.jit(convolve)(x, kernel, bias), expected, dtype)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_same_padding_is_its_definition(n: int, window: int, stride: int, dilation: int, lower: bool) -> None:
    x, kernel = normal(0, (1, n, 1)), normal(1, (window, 1, 1))
    amounts = reference.same_padding(n, window, stride, dilation, lower=lower)
    ours = F.conv(x, kernel, strides=stride, padding="SAME_LOWER" if lower else "SAME", dilation=dilation)
    assert ours.shape[1] == -(-n // stride)
    close(ours, reference.conv(x, kernel, strides=(stride,), padding=[amounts], dilation=(dilation,)))


@settings(deadline=None, max_examples=25)
@given(cases(), st.integers(0, 1))
def test_conv_transpose_equals_scatter(case, more: int) -> None:
    sizes, window, strides, dilation, padding, groups, (inputs, outputs), seed = case
    padding = tuple((min(p[0], d * (w - 1)), 0) for p, d, w in zip(padding, dilation, window, strict=True))
    extra = tuple(min(more, max(s, d) - 1) for s, d in zip(strides, dilation, strict=True))
    x, kernel = normal(seed, (2, *sizes, inputs * groups)), normal(seed + 1, (*window, inputs, outputs * groups))
    bias = normal(seed + 2, (outputs * groups,))
    options = {"strides": strides, "padding": padding, "dilation": dilation, "output_padding": extra, "groups": groups}
    ours = jax.jit(partial(F.conv_transpose, **options))(x, kernel, bias)
    close(ours, reference.conv_transpose(x, kernel, bias, **options))


@pytest.mark.parametrize(
    ("stride", "dilation", "padding"), [*itertools.product((1, 2, 3), (1, 2), ("SAME", "SAME_LOWER", "VALID", 1))]
)
def test_conv_transpose_is_the_adjoint(stride: int, dilation: int, padding: str | int) -> None:
    size = 6 * stride if padding in ("SAME", "SAME_LOWER") else 5 * stride + 2 * dilation + 1 - 2 * (padding == 1)
    u, kernel = normal(0, (size, size, 2)), normal(1, (3, 3, 2, 4))
    options = {"strides": stride, "dilation": dilation, "padding": padding}
    forward = F.conv(u, kernel, **options)
    v = normal(2, forward.shape)
    back = F.conv_transpose(v, jnp.swapaxes(kernel, -1, -2), **options)
    assert back.shape == u.shape
    np.testing.assert_allclose((forward * v).sum(), (u * back).sum(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_gradients(mode: str) -> None:
    with jax.enable_x64(True):
        x, kernel = normal(0, (1, 5, 4, 2), "float64"), normal(1, (3, 2, 1, 4), "float64")
        bias = normal(2, (4,), "float64")

        def f(x: Array, kernel: Array, bias: Array) -> Array:
            x, kernel, bias = jnp.asarray(x), jnp.asarray(kernel), jnp.asarray(bias)  # check_grads passes NumPy arrays
            return F.conv(x, kernel, bias, strides=(2, 1), padding=1, padding_mode=mode, groups=2, dilation=(1, 2))

        check_grads(f, (x, kernel, bias), order=2, modes=("fwd", "rev"))
        check_grads(
            lambda x, k: F.conv_transpose(jnp.asarray(x), jnp.asarray(k), strides=2, groups=2), (x, kernel), order=2
        )
        expected = reference.conv(
            x, kernel, bias, strides=(2, 1), padding=[(1, 1)] * 2, mode=mode, dilation=(1, 2), groups=2
        )
        close(f(x, kernel, bias), expected, "float64")


def test_jit_vmap_and_any_batch_axes() -> None:
    x, kernel = normal(0, (2, 3, 6, 6, 2)), normal(1, (3, 3, 2, 4))
    y = F.conv(x, kernel)
    assert y.shape == (2, 3, 6, 6, 4)
    np.testing.assert_allclose(jax.jit(F.conv)(x, kernel), y, **TOLERANCE["float32"])
    np.testing.assert_allclose(jax.vmap(F.conv, (0, None))(x, kernel), y, **TOLERANCE["float32"])
    np.testing.assert_allclose(F.conv(x[0, 1], kernel), y[0, 1], **TOLERANCE["float32"])
    assert F.conv(jnp.zeros((0, 6, 6, 2)), kernel).shape == (0, 6, 6, 4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_accumulates_in_float32(dtype: str) -> None:
    x, kernel = jnp.ones((1, 1, 4096), dtype), jnp.ones((1, 1, 4096, 1), dtype)
    assert float(F.conv(x[None], kernel)[0, 0, 0, 0]) == 4096.0  # a half-precision sum of ones stops at 256 or 2048
    gradient = jax.grad(lambda k: F.conv(jnp.ones((1, 64, 64, 1), dtype), k).astype("float32").sum())
    assert float(gradient(jnp.ones((1, 1, 1, 1), dtype))[0, 0, 0, 0]) == 4096.0


def test_depthwise_keeps_channels_apart() -> None:
    x, kernel = normal(0, (1, 5, 5, 3)), normal(1, (3, 3, 1, 6))
    expected = reference.conv(x, kernel, strides=(1, 1), padding=[(1, 1)] * 2, dilation=(1, 1), groups=3)
    close(F.depthwise_conv(x, kernel), expected)


LECTURE_IMAGE = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]


def test_the_lectures_worked_example() -> None:
    x = jnp.array(LECTURE_IMAGE, "float32")[..., None]
    kernel = jnp.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], "float32")[..., None, None]
    assert F.conv(x, kernel, padding="VALID")[..., 0].tolist() == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]


@pytest.mark.parametrize(
    ("size", "filters", "window", "strides", "padding", "expected"),
    [
        (32, 6, 5, 1, 0, 28), (28, 10, 5, 1, 0, 24), (32, 6, 3, 1, 0, 30), (32, 10, 5, 1, 2, 32), (7, 1, 3, 1, 0, 5),
        (7, 1, 3, 2, 0, 3), (7, 1, 3, 3, 0, 2), (7, 1, 3, 1, 1, 7), (9, 1, 5, 1, 2, 9), (9, 1, 7, 1, 3, 9),
        (56, 32, 1, 1, 0, 56),
    ],
)  # fmt: skip
def test_the_lectures_sizes(size: int, filters: int, window: int, strides: int, padding: int, expected: int) -> None:
    x, kernel = jnp.zeros((size, size, 3)), jnp.zeros((window, window, 3, filters))
    assert F.conv(x, kernel, strides=strides, padding=padding).shape == (expected, expected, filters)


def test_convolution_is_a_constrained_dense_layer() -> None:
    x, kernel = normal(0, (4, 5, 2)), normal(1, (3, 3, 1, 4))
    options = {"strides": (1, 2), "padding": 1, "padding_mode": "circular", "groups": 2, "flip_kernel": True}
    matrix = F.conv_matrix(kernel, x.shape, **options)
    expected = reference.conv(
        x[None], kernel, strides=(1, 2), padding=[(1, 1)] * 2, mode="circular", dilation=(1, 1), groups=2, flip=True
    )
    np.testing.assert_allclose(matrix @ x.ravel(), expected.ravel(), **TOLERANCE["float32"])
    assert int((matrix != 0).sum(axis=1).max()) == 9  # zeroed: an output sees 9 of 40 inputs
    assert len(np.unique(np.asarray(matrix))) <= kernel.size + 1  # shared: no weights but the kernel's


def test_dense_layer_is_a_convolution_with_the_whole_map_as_window() -> None:
    x, kernel = normal(0, (3, 4, 2)), normal(1, (24, 5))
    y = F.conv(x, F.dense_to_conv(kernel, (3, 4)), padding="VALID")
    close(y[0, 0], np.asarray(x, np.float64).ravel() @ np.asarray(kernel, np.float64))


x2, k2 = jnp.zeros((1, 8, 8, 4)), jnp.zeros((3, 3, 4, 6))

BAD = {
    "rank": (lambda: F.conv(jnp.zeros((8, 4)), k2), ValueError, r"`x` \(shape \(8, 4\)\) must have at least 3 axes"),
    "kernel rank": (lambda: F.conv(x2, jnp.zeros((4, 6))), ValueError, "1 to 3 window axes, got 2 axes"),
    "channels": (lambda: F.conv(x2[..., :3], k2), ValueError, "reads 4 channels .* but `x` has 3"),
    "groups": (
        lambda: F.conv(x2, k2, groups=3),
        ValueError,
        r"`in_channels` \(=4\) must be divisible by `groups`",
    ),
    "groups zero": (lambda: F.conv(x2, k2, groups=0), ValueError, r"`groups` \(=0\) must be at least 1"),
    "window": (
        lambda: F.conv(x2, jnp.zeros((9, 9, 4, 6)), padding="VALID"),
        ValueError,
        r"`window` \(=9\) does not fit on spatial axis 0: size 8 with padding \(0, 0\) is 8",
    ),
    "dilated window": (
        lambda: F.conv(x2, k2, dilation=4, padding="VALID"),
        ValueError,
        "9 with its dilation 4, does not fit",
    ),
    "padding name": (lambda: F.conv(x2, k2, padding="SAMEE"), ValueError, "did you mean 'SAME'"),
    "padding count": (lambda: F.conv(x2, k2, padding=(1, 1, 1)), ValueError, "each of the 2 spatial axes, got 3"),
    "padding negative": (lambda: F.conv(x2, k2, padding=-1), ValueError, "none of them negative"),
    "padding mode": (lambda: F.conv(x2, k2, padding_mode="circula"), ValueError, "did you mean 'circular'"),
    "reflect": (lambda: F.conv(x2, k2, padding=8, padding_mode="reflect"), ValueError, "at most 7 for `padding_mode`"),
    "strides": (lambda: F.conv(x2, k2, strides=0), ValueError, r"`strides` \(=0\) must be at least 1"),
    "strides count": (lambda: F.conv(x2, k2, strides=(1, 1, 1)), ValueError, "2 entries"),
    "fraction": (lambda: F.conv(x2, k2, dilation=(1.5, 1)), ValueError, "and whole"),
    "zero size": (lambda: F.conv(jnp.zeros((1, 0, 8, 4)), k2), ValueError, "spatial size of `x`"),
    "bias": (lambda: F.conv(x2, k2, jnp.zeros(4)), ValueError, r"must be \(6,\), one an output channel"),
    "integers": (lambda: F.conv(x2.astype(int), k2), TypeError, "`x` must be floating point, got int32"),
    "mixed": (lambda: F.conv(x2.astype("bfloat16"), k2), TypeError, "`x` is bfloat16 and `kernel` is float32"),
    "output padding": (
        lambda: F.conv_transpose(x2, k2, padding=0, output_padding=1),
        ValueError,
        "less than the stride",
    ),
    "cropped": (lambda: F.conv_transpose(x2, k2, padding=5), ValueError, "crops the whole output"),
    "dense": (lambda: F.dense_to_conv(jnp.zeros((10, 2)), (3, 3)), ValueError, "a multiple of the 9 positions"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        call()
