"""Pools against loops in NumPy, PyTorch's recorded answers, and the lectures."""

import itertools
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax import Array
from jax.test_util import check_grads
from references import pool as reference
from references.arrays import normal
from references.conv import same_padding
from references.tolerance import TOLERANCE

from jaxcnn import functional as F

MODES = ("zeros", "circular", "reflect", "replicate")
DTYPES = ("float32", "bfloat16", "float16")


def mean(values: np.ndarray) -> np.ndarray:
    return values.mean(0)


def norm(values: np.ndarray, p: float) -> np.ndarray:
    return (np.abs(values) ** p).sum(0) ** (1 / p)


KINDS = {
    "max": (F.max_pool, lambda values: values.max(0), False),
    "min": (F.min_pool, lambda values: values.min(0), False),
    "avg": (F.avg_pool, mean, False),
    "avg, padding counted": (partial(F.avg_pool, count_include_pad=True), mean, True),
    "l1": (partial(F.lp_pool, p=1), partial(norm, p=1), True),
    "l2": (F.lp_pool, partial(norm, p=2), True),
    "l2.5": (partial(F.lp_pool, p=2.5), partial(norm, p=2.5), True),
}
"""The operation, its reference on the values of a window, and whether padded zeros are among these."""


def close(ours: Array, expected: np.ndarray, dtype: str = "float32") -> None:
    assert ours.dtype == jnp.dtype(dtype)
    np.testing.assert_allclose(np.asarray(ours, np.float64), expected, **TOLERANCE[dtype])


def weights(shape: tuple[int, ...]) -> np.ndarray:
    return np.cos(np.arange(np.prod(shape))).reshape(shape).astype("float32")


def weighted_gradient(f: Callable[[Array], Array], x: Array) -> tuple[Array, Array]:
    """Return f(x), and the gradient of its sum weighted by `weights`."""

    def loss(x: Array) -> tuple[Array, Array]:
        y = f(x)
        return (y * weights(y.shape)).sum(), y

    gradient, y = jax.jit(jax.grad(loss, has_aux=True))(x)
    return y, gradient


def sees_nothing(sizes, window, place) -> bool:
    return any(all(tap is None for tap in taps) for _, taps in reference.windows(sizes, window, **place))


@st.composite
def cases(draw):
    """Sizes, window and place of a pool; a window may see nothing but padding."""
    rank = draw(st.integers(1, 3))
    sizes = tuple(draw(st.integers(2, {1: 9, 2: 6, 3: 4}[rank])) for _ in range(rank))
    dilation = tuple(draw(st.integers(1, 2)) for _ in range(rank))
    mode = draw(st.sampled_from(MODES))
    most = min(sizes) - (mode == "reflect")
    padding = tuple((draw(st.integers(0, min(most, 2))), draw(st.integers(0, min(most, 2)))) for _ in range(rank))
    window = tuple(
        draw(st.integers(1, min(3, 1 + (n + sum(amounts) - 1) // d)))
        for n, d, amounts in zip(sizes, dilation, padding, strict=True)
    )
    place = {
        "strides": tuple(draw(st.integers(1, 4)) for _ in range(rank)),
        "padding": padding,
        "dilation": dilation,
        "ceil_mode": draw(st.booleans()),
    }
    return sizes, window, place, mode, draw(st.integers(0, 999))


# A last window of `ceil_mode` that would begin in the padding after the map.
BEGINS_AFTER_THE_MAP = (
    (2,),
    (1,),
    {"strides": (1,), "padding": ((0, 1),), "dilation": (1,), "ceil_mode": True},
    "zeros",
    0,
)


@settings(deadline=None, max_examples=25)
@given(cases(), st.sampled_from(sorted(KINDS)), st.sampled_from(DTYPES))
@example(BEGINS_AFTER_THE_MAP, "avg", "float32")
def test_pools_equal_loops(case, kind: str, dtype: str) -> None:
    sizes, window, place, mode, seed = case
    pool, reduce, include_pad = KINDS[kind]
    x = normal(seed, (2, *sizes, 2), dtype)
    if mode == "zeros" and not include_pad and sees_nothing(sizes, window, place):
        with pytest.raises(ValueError, match="nothing but padding"):
            pool(x, window, padding_mode=mode, **place)
        return
    ours = jax.jit(lambda x: pool(x, window, padding_mode=mode, **place))(x)
    close(ours, reference.pool(x, window, reduce, include_pad=include_pad, mode=mode, **place), dtype)


@settings(deadline=None, max_examples=12)
@given(cases())
def test_the_gradient_goes_to_the_first_maximum(case) -> None:
    sizes, window, place, _, seed = case
    if sees_nothing(sizes, window, place):
        return
    x = jax.random.randint(jax.random.key(seed), (2, *sizes, 2), 0, 3).astype("float32")  # many ties
    for pool, sign in ((F.max_pool, 1), (F.min_pool, -1)):
        y, gradient = weighted_gradient(lambda x, pool=pool: pool(x, window, **place), sign * x)
        close(gradient, reference.max_pool_gradient(x, weights(y.shape), window, **place))


def test_a_large_window_has_the_same_gradient() -> None:
    x = jax.random.randint(jax.random.key(0), (1, 12, 12, 2), 0, 9).astype("float32")
    place = {"strides": (3, 3), "padding": ((1, 1), (0, 0)), "dilation": (1, 1), "ceil_mode": False}
    y, gradient = weighted_gradient(lambda x: F.max_pool(x, (9, 9), **place), x)  # 81 taps are not unrolled
    close(gradient, reference.max_pool_gradient(x, weights(y.shape), (9, 9), **place))


@pytest.mark.parametrize(("kind", "mode"), [*((kind, "zeros") for kind in KINDS), ("max", "circular")])
def test_first_and_second_derivatives(kind: str, mode: str) -> None:
    with jax.enable_x64(True):
        x = jax.random.permutation(jax.random.key(0), jnp.arange(1.0, 25.0)).reshape(1, 4, 3, 2) / 5

        @jax.jit
        def f(x: Array) -> Array:
            options = {"padding": ((1, 0), (1, 1)), "padding_mode": mode, "dilation": (2, 1), "ceil_mode": True}
            return KINDS[kind][0](x, (2, 2), strides=(1, 2), **options) ** 2

        check_grads(f, (x,), order=2, modes=("fwd", "rev"))
        batched = jax.vmap(jax.grad(lambda x: f(x).sum()))(jnp.stack([x, 2 * x]))
        np.testing.assert_allclose(batched[0], jax.grad(lambda x: f(x).sum())(x), **TOLERANCE["float64"])


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_the_gradient_of_a_norm_of_zeros_is_zero(p: float) -> None:
    gradient = jax.grad(lambda x: F.lp_pool(x, (2,), p=p).sum())(jnp.array([[0.0], [0.0], [3.0], [0.0]]))
    assert gradient[:, 0].round(5).tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize(("padding", "stride", "n"), [*itertools.product(("SAME", "SAME_LOWER"), (1, 2, 3), (5, 6))])
def test_same_padding(padding: str, stride: int, n: int) -> None:
    x = normal(0, (1, n, 2))
    amounts = same_padding(n, 2, stride, 1, lower=padding == "SAME_LOWER")
    place = {"strides": (stride,), "padding": [amounts], "dilation": (1,)}
    ours = F.avg_pool(x, (2,), strides=stride, padding=padding)
    assert ours.shape[1] == -(-n // stride)
    close(ours, reference.pool(x, (2,), mean, **place))


ROW, SQUARE = np.arange(1.0, 7.0), np.arange(1.0, 10.0).reshape(3, 3)

PYTORCH = [  # pool, map, window, options, PyTorch 2.13's answer
    ("avg", ROW, (3,), {"strides": 2, "padding": 1, "count_include_pad": True}, [1.0, 3.0, 5.0, 3.0]),
    ("avg", ROW, (3,), {"strides": 2, "padding": 1}, [1.5, 3.0, 5.0, 6.0]),
    ("avg", ROW, (4,), {"strides": 3}, [2.5, 5.0]),
    ("avg", ROW, (2,), {"strides": 3, "padding": 1, "count_include_pad": True}, [0.5, 3.5, 3.0]),
    ("avg", ROW, (2,), {"strides": 4, "padding": 1, "count_include_pad": True}, [0.5, 4.5]),
    ("max", ROW, (3,), {"strides": 2, "padding": 1}, [2.0, 4.0, 6.0, 6.0]),
    ("max", ROW, (2,), {"strides": 4, "padding": 1}, [1.0, 5.0]),
    ("max", ROW, (3,), {"strides": 2, "padding": 1, "dilation": 2}, [4.0, 6.0, 6.0]),
    ("max", ROW, (2,), {"strides": 5}, [2.0, 6.0]),
    ("avg", SQUARE, (2, 2), {"padding": 1, "count_include_pad": True}, [[0.25, 1.25], [2.75, 7.0]]),
    ("avg", SQUARE, (2, 2), {"count_include_pad": True}, [[3.0, 4.5], [7.5, 9.0]]),
    ("avg", SQUARE, (3, 3), {"strides": 2, "padding": 1}, [[3.0, 4.0], [6.0, 7.0]]),
    ("avg", SQUARE, (3, 2), {"strides": 2, "padding": 1, "count_include_pad": True}, np.array([[5, 16], [11, 28]]) / 6),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "x", "window", "options", "expected"), PYTORCH)
def test_pytorchs_answers_in_ceil_mode(kind, x, window, options, expected) -> None:
    pool = {"avg": F.avg_pool, "max": F.max_pool}[kind]
    close(pool(jnp.asarray(x, "float32")[..., None], window, ceil_mode=True, **options)[..., 0], np.array(expected))


def test_the_lectures_examples() -> None:
    first = jnp.array([[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])[..., None]
    second = jnp.array([[5.0, 2, 3, 4], [2, 1, 0, 1], [3, 7, 9, 5], [1, 4, 1, 8]])[..., None]
    counting = jnp.arange(9.0).reshape(3, 3, 1)
    assert F.max_pool(first, (2, 2))[..., 0].tolist() == [[6, 8], [3, 4]]
    assert F.max_pool(second, (2, 2))[..., 0].tolist() == [[5, 4], [7, 9]]
    assert F.max_pool(counting, (2, 2), strides=1)[..., 0].tolist() == [[4, 5], [7, 8]]
    assert F.avg_pool(counting, (2, 2), strides=1)[..., 0].tolist() == [[2, 3], [5, 6]]


@pytest.mark.parametrize("kind", KINDS)
def test_jit_vmap_and_any_batch_axes(kind: str) -> None:
    pool, options = KINDS[kind][0], {"window": (2, 2), "strides": 1, "padding": "SAME", "ceil_mode": True}
    x = normal(0, (2, 3, 5, 4, 2))
    y = pool(x, **options)
    assert y.shape == x.shape
    close(jax.jit(lambda x: pool(x, **options))(x), y)
    close(jax.vmap(lambda x: pool(x, **options))(x), y)
    close(jax.vmap(lambda x: pool(x, **options), -1, -1)(x[..., None])[..., 0], y)
    close(pool(x[1, 2], **options), y[1, 2])
    assert pool(x[:0], **options).shape == (0, 3, 5, 4, 2)


@pytest.mark.parametrize("dtype", [*DTYPES, "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_dtype_stays(kind: str, dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        x = normal(0, (4, 4, 1), dtype)
        y, vjp = jax.vjp(lambda x: KINDS[kind][0](x, (2, 2)), x)
        assert y.dtype == vjp(y)[0].dtype == x.dtype


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_accumulates_in_float32(dtype: str) -> None:
    x = jnp.ones((64, 64, 1), dtype)
    assert F.avg_pool(x, (64, 64)).item() == 1
    assert F.lp_pool(x, (64, 64)).item() == 64
    gradient = jax.grad(lambda x: F.max_pool(x, (1, 1), strides=1, padding=0).astype("float32").sum())
    assert gradient(x).sum(dtype="float32") == 4096


@pytest.mark.parametrize("taps", [2, 70])
def test_nan_wins(taps: int) -> None:
    x = jnp.concatenate([jnp.array([1.0, jnp.nan]), jnp.arange(70.0), jnp.arange(70.0)])[:, None]
    for pool in (F.max_pool, F.min_pool, F.avg_pool, F.lp_pool):
        y = pool(x, (taps,))
        assert jnp.isnan(y[0, 0])
        assert not jnp.isnan(y[1, 0])
    if taps == 2:
        assert jax.grad(lambda x: F.max_pool(x, (2,))[0, 0])(x)[:2, 0].tolist() == [0, 1]


def test_nan_wins_where_xlas_own_reduction_loses_it() -> None:
    x = normal(0, (33, 6, 8, 32)).at[1, 1].set(jnp.nan)
    assert jnp.isnan(jax.jit(lambda x: F.max_pool(x, (2, 2)))(x)).sum() == 4 * 32


def test_padding_never_wins() -> None:
    x = jnp.full((3, 1), -jnp.inf)
    gradient = jax.grad(lambda x: F.max_pool(x, (2,), strides=2, padding=((1, 0),)).sum())(x)
    assert gradient[:, 0].tolist() == [1, 1, 0]
    gradient = jax.grad(lambda x: F.min_pool(x, (2,), strides=2, padding=((1, 0),)).sum())(-x)
    assert gradient[:, 0].tolist() == [1, 1, 0]


x2 = jnp.zeros((1, 8, 8, 4))
BAD = {
    "rank": (lambda: F.max_pool(jnp.zeros((8, 4)), (2, 2)), ValueError, "must have at least 3 axes"),
    "window, a number": (lambda: F.max_pool(x2, 2), ValueError, r"`window` \(=2\) must be a tuple .*: \(2, 2\)"),
    "window, of four": (lambda: F.max_pool(x2, (2, 2, 2, 2)), ValueError, "1 to 3 spatial axes"),
    "window, too large": (lambda: F.max_pool(x2, (9, 2)), ValueError, r"`window` \(=9\) does not fit"),
    "window, zero": (lambda: F.max_pool(x2, (0, 2)), ValueError, "`window` .* at least 1"),
    "strides": (lambda: F.max_pool(x2, (2, 2), strides=0), ValueError, r"`strides` \(=0\)"),
    "strides, three": (lambda: F.max_pool(x2, (2, 2), strides=(1, 1, 1)), ValueError, "2 entries"),
    "dilation": (lambda: F.max_pool(x2, (2, 2), dilation=-1), ValueError, r"`dilation` \(=-1\)"),
    "padding": (lambda: F.max_pool(x2, (2, 2), padding="SAMEE"), ValueError, "did you mean 'SAME'"),
    "padding, negative": (lambda: F.avg_pool(x2, (2, 2), padding=-1), ValueError, "none of them negative"),
    "padding, mode": (lambda: F.avg_pool(x2, (2, 2), padding_mode="reflec"), ValueError, "did you mean 'reflect'"),
    "padding, all that is seen": (lambda: F.max_pool(x2, (2, 2), padding=2), ValueError, "nothing but padding"),
    "empty": (lambda: F.max_pool(x2[:, :0], (2, 2)), ValueError, "spatial size of `x`"),
    "integers": (lambda: F.max_pool(x2.astype(int), (2, 2)), TypeError, "`x` must be floating point, got int32"),
    "p, below 1": (lambda: F.lp_pool(x2, (2, 2), p=0.5), ValueError, r"`p` \(=0.5\) must be at least 1"),
    "p, infinite": (lambda: F.lp_pool(x2, (2, 2), p=float("inf")), ValueError, r"take max_pool\(abs\(x\)\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        call()
