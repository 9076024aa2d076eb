"""Global and adaptive pools against loops in NumPy and PyTorch's recorded answers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from references import pool as reference
from references.arrays import normal
from references.tolerance import TOLERANCE

from jaxcnn import functional as F

KINDS = {
    "max": (F.adaptive_max_pool, F.global_max_pool, lambda values: values.max(0)),
    "avg": (F.adaptive_avg_pool, F.global_avg_pool, lambda values: values.mean(0)),
}


@settings(deadline=None, max_examples=12)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 7)), min_size=1, max_size=3),
    st.sampled_from(["float32", "bfloat16", "float16"]),
    st.integers(0, 999),
)
def test_they_equal_loops(axes: list[tuple[int, int]], dtype: str, seed: int) -> None:
    sizes, outputs = (tuple(column) for column in zip(*axes, strict=True))
    spatial_axes = tuple(range(-1 - len(axes), -1))
    x = normal(seed, (2, *sizes, 2), dtype)
    for adaptive, whole, reduce in KINDS.values():
        y = jax.jit(partial(adaptive, output_size=outputs, spatial_axes=spatial_axes))(x)
        z = jax.jit(partial(whole, spatial_axes=spatial_axes))(x)
        assert y.dtype == z.dtype == x.dtype
        expected = reference.adaptive_pool(x, outputs, reduce)
        np.testing.assert_allclose(np.asarray(y, np.float64), expected, **TOLERANCE[dtype])
        expected = reference.adaptive_pool(x, (1,) * len(axes), reduce).reshape(2, 2)
        np.testing.assert_allclose(np.asarray(z, np.float64), expected, **TOLERANCE[dtype])


PYTORCH = {  # of 1 to 6: output size -> PyTorch 2.13's answer
    ("avg", 4): [1.5, 2.5, 4.5, 5.5],
    ("max", 4): [2.0, 3.0, 5.0, 6.0],
    ("avg", 5): [1.5, 2.5, 3.5, 4.5, 5.5],
    ("max", 5): [2.0, 3.0, 4.0, 5.0, 6.0],
    ("avg", 9): [1.0, 1.5, 2.0, 3.0, 3.5, 4.0, 5.0, 5.5, 6.0],
    ("max", 9): [1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 5.0, 6.0, 6.0],
}


@pytest.mark.parametrize(("kind", "size"), PYTORCH)
def test_pytorchs_answers(kind: str, size: int) -> None:
    y = KINDS[kind][0](jnp.arange(1.0, 7.0)[:, None], size, spatial_axes=(-2,))
    np.testing.assert_allclose(y[:, 0], PYTORCH[kind, size], **TOLERANCE["float32"])


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_jit_and_vmap(kind: str) -> None:
    adaptive, whole, _ = KINDS[kind]
    with jax.enable_x64(True):
        x = jax.random.permutation(jax.random.key(0), jnp.arange(40.0)).reshape(2, 5, 4, 1) / 8
        for f in (lambda x: adaptive(x, (3, 2)) ** 2, lambda x: whole(x) ** 2):
            check_grads(jax.jit(f), (x,), order=2, modes=("fwd", "rev"))
            np.testing.assert_allclose(jax.jit(f)(x), f(x), **TOLERANCE["float64"])
            np.testing.assert_allclose(jax.vmap(f)(x), f(x), **TOLERANCE["float64"])


def test_equal_maxima_share_the_gradient() -> None:
    assert jax.grad(lambda x: F.global_max_pool(x).sum())(jnp.ones((2, 2, 1))).ravel().tolist() == [0.25] * 4


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_accumulates_in_float32(dtype: str) -> None:
    x = jnp.ones((64, 66, 1), dtype)
    assert F.global_avg_pool(x).item() == 1
    assert F.adaptive_avg_pool(x, (1, 4)).ravel().tolist() == [1] * 4


def test_any_axes() -> None:
    x = jnp.arange(24.0).reshape(4, 2, 3, 1)
    assert F.global_avg_pool(x, spatial_axes=(0,)).ravel().tolist() == [9, 10, 11, 12, 13, 14]
    assert F.adaptive_avg_pool(x, (2, 1), spatial_axes=(0, 2)).shape == (2, 2, 1, 1)


x2 = jnp.zeros((1, 8, 8, 4))
BAD = {
    "channels": (lambda: F.global_max_pool(x2, spatial_axes=(-1,)), ValueError, "the last is its channels"),
    "twice": (lambda: F.global_avg_pool(x2, spatial_axes=(1, -3)), ValueError, "none twice"),
    "rank": (lambda: F.global_avg_pool(jnp.zeros((4, 2))), ValueError, "names axis -3"),
    "empty": (lambda: F.global_avg_pool(x2[:, :0]), ValueError, "spatial size of `x`"),
    "integers": (lambda: F.global_max_pool(x2.astype(int)), TypeError, "must be floating point"),
    "size": (lambda: F.adaptive_avg_pool(x2, 0), ValueError, r"`output_size` \(=0\)"),
    "sizes": (lambda: F.adaptive_max_pool(x2, (1, 1, 1)), ValueError, "2 entries"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        call()
