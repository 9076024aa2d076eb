"""Blurred sampling against loops in NumPy, and the shifts that it answers to."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from references import resample as reference
from references.arrays import normal
from references.pool import source
from references.resample import all_rolls
from references.tolerance import TOLERANCE

from jaxcnn import analysis
from jaxcnn import functional as F


@st.composite
def cases(draw: Any) -> Any:
    sizes, strides = draw(
        st.sampled_from([((7, 6), (1, 2)), ((9, 8), (3, 4)), ((7, 7), (2, 2)), ((9,), (2,)), ((7, 8, 9), (2, 1, 3))])
    )
    mode = draw(st.sampled_from(["circular", "zeros", "reflect", "replicate"]))
    return sizes, strides, draw(st.integers(1, 7)), mode, draw(st.sampled_from(["float32", "bfloat16", "float16"]))


@settings(deadline=None, max_examples=15)
@given(cases(), st.integers(0, 999))
def test_it_equals_loops(case: Any, seed: int) -> None:
    sizes, strides, taps, mode, dtype = case
    axes = tuple(range(-1 - len(sizes), -1))
    x = normal(seed, (*sizes, 2), dtype)
    pool = partial(F.blur_pool, strides=strides, taps=taps, padding_mode=mode, spatial_axes=axes)
    y = jax.jit(pool)(x)
    assert y.dtype == x.dtype
    expected = reference.blur(x, strides, taps, partial(source, mode=mode))
    np.testing.assert_allclose(np.asarray(y, np.float64), expected, **TOLERANCE[dtype])


def answers(x: Any, strides: tuple[int, int], taps: int, **options: Any) -> np.ndarray:
    """For every shift (in reading order) of x that the strides divide: is the output rolled with it?"""
    ys = np.asarray(jax.jit(partial(F.blur_pool, strides=strides, taps=taps, **options))(all_rolls(x)))
    ys = ys.reshape(*x.shape[:2], *ys.shape[1:])
    return np.array(
        [
            np.allclose(np.roll(ys[0, 0], (i, j), (0, 1)), y, **TOLERANCE["float32"])
            for i, row in enumerate(ys[:: strides[0]])
            for j, y in enumerate(row[:: strides[1]])
        ]
    )


@settings(deadline=None, max_examples=8)
@given(
    st.sampled_from([((6, 8), (2, 2)), ((5, 7), (1, 1)), ((6, 4), (3, 4)), ((3, 8), (1, 2))]),
    st.integers(1, 4),
    st.integers(0, 999),
)
def test_circular_shifts_that_the_strides_divide(case: Any, taps: int, seed: int) -> None:
    sizes, strides = case
    x = normal(seed, (*sizes, 2))
    assert answers(x, strides, taps).all()
    if taps > 2:  # both of the first position's neighbours count
        assert not answers(x, strides, taps, padding_mode="zeros").all()


def test_outside_its_domain_it_fails() -> None:
    x = normal(0, (7, 8, 2))
    assert not answers(x, (2, 2), 3).all()  # 2 does not divide 7
    x = normal(0, (8, 8, 2))
    one = np.asarray(F.blur_pool(jnp.roll(x, 1, 0)))  # nor a shift by 1
    y = np.asarray(F.blur_pool(x))
    assert not any(np.allclose(np.roll(y, i, 0), one, **TOLERANCE["float32"]) for i in range(4))


def test_a_low_pass_loses_less() -> None:
    """The energy of a sample, which nothing lost would leave as it is, under a shift by 1."""
    x = F.blur_pool(normal(0, (16, 16, 64)), strides=1)

    def lost(taps: int) -> float:
        energies = [(F.blur_pool(jnp.roll(x, k, 0), taps=taps) ** 2).sum((0, 1)) for k in (0, 1)]
        return float(jnp.abs(energies[0] / energies[1] - 1).mean())

    losses = [lost(taps) for taps in (1, 3, 5)]
    assert losses[0] > 2 * losses[1] > 2 * losses[2]


def test_constants_stay_and_the_highest_frequency_goes() -> None:
    np.testing.assert_array_equal(F.blur_pool(jnp.ones((6, 4, 1)), taps=5), np.ones((3, 2, 1)))
    checkers = jnp.asarray(np.indices((6, 4)).sum(0) % 2 * 2.0 - 1)[..., None].astype("float32")
    np.testing.assert_array_equal(F.blur_pool(checkers, taps=2), np.zeros((3, 2, 1)))


def test_gradients_batches_and_axes() -> None:
    with jax.enable_x64(True):
        check_grads(jax.jit(F.blur_pool), (normal(0, (4, 5, 2), "float64"),), order=2)
    x = normal(0, (2, 3, 4, 6, 2))
    y = jax.jit(F.blur_pool)(x)
    np.testing.assert_allclose(jax.vmap(jax.vmap(F.blur_pool))(x), y, **TOLERANCE["float32"])
    moved = F.blur_pool(jnp.moveaxis(x, 0, 3), spatial_axes=(1, 2))
    np.testing.assert_allclose(jnp.moveaxis(moved, 3, 0), y, **TOLERANCE["float32"])


def test_the_analysis_sees_its_lattice() -> None:
    facts = analysis.trace(F.blur_pool, jax.ShapeDtypeStruct((12, 8, 2), jnp.float32)).outputs[0]
    assert [str(axis.circular) for axis in facts.axes] == ["equivariant on 2Z", "equivariant on 2Z"]


x2 = jnp.zeros((2, 8, 6, 4))
BAD = {
    "taps": (lambda: F.blur_pool(x2, taps=8), ValueError, r"`taps` \(=8\) must be 1 to 7"),
    "strides": (lambda: F.blur_pool(x2, strides=0), ValueError, r"`strides` \(=0\)"),
    "mode": (lambda: F.blur_pool(x2, padding_mode="wrap"), ValueError, "unknown `padding_mode` 'wrap'"),
    "empty": (lambda: F.blur_pool(x2[:, :0]), ValueError, "spatial size of `x`"),
    "axes": (lambda: F.blur_pool(x2, spatial_axes=(-1,)), ValueError, "the last is its channels"),
    "integers": (lambda: F.blur_pool(x2.astype(int)), TypeError, "`x` must be floating point"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        call()
