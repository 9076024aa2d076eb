"""Theorems of pooling: a global pool of an equivariant map is invariant, a local one in part."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references.arrays import normal

from jaxcnn import functional as F
from jaxcnn.equivariance import assert_equivariant, assert_invariant, unchanged_fraction


def circular_map(channels: int = 2, seed: int = 0):
    """Element-wise operations and rolls alone: exactly equivariant, bit by bit."""
    weights = np.random.default_rng(seed).normal(size=(3, 3, channels))

    def fn(x):
        total = 0.0
        for i in range(3):
            for j in range(3):
                total = total + jnp.maximum(jnp.roll(x, (i, j), (-3, -2)), 0) * jnp.asarray(weights[i, j], x.dtype)
        return total

    return fn


@settings(deadline=None, max_examples=4)
@given(st.integers(3, 7), st.integers(3, 7), st.integers(0, 99), st.sampled_from(["float32", "bfloat16"]))
def test_a_global_maximum_of_an_equivariant_map_is_invariant_bit_by_bit(height, width, seed, dtype) -> None:
    fn, x = circular_map(seed=seed), normal(seed, (height, width, 2), dtype)
    assert_equivariant(fn, x, shifts=6, tolerance=0)
    assert_invariant(lambda x: F.global_max_pool(fn(x)), x, shifts=12, tolerance=0)


def test_of_a_map_that_is_not_equivariant_it_is_not() -> None:
    kernel = normal(1, (3, 3, 2, 4))
    with pytest.raises(AssertionError, match="not invariant"):
        assert_invariant(lambda x: F.global_max_pool(F.conv(x, kernel, padding=1)), normal(0, (6, 6, 2)))


def test_a_global_mean_is_invariant_up_to_rounding_but_not_in_bits() -> None:
    """The same numbers in another order have another sum: most rolls of a 32x32 map change the last bits."""
    x = normal(0, (32, 32, 1))
    mean = F.global_avg_pool
    assert_invariant(mean, x)
    with pytest.raises(AssertionError, match="tolerance 0;"):
        assert_invariant(mean, x, tolerance=0)
    _, kept = unchanged_fraction(mean, x)
    assert kept[0] == 1
    assert 0.5 < 1 - kept.mean() < 1  # of all rolls


def reference_fraction(x: np.ndarray, window: int, shift: tuple[int, int]) -> float:
    def pool(x):
        views = [np.roll(x, (-i, -j), (0, 1)) for i in range(window) for j in range(window)]
        return np.max(views, 0)

    return float((pool(np.roll(x, shift, (0, 1))) == pool(x)).mean())


def test_a_local_maximum_is_invariant_in_part() -> None:
    x = normal(0, (9, 8, 2))

    def pool(x):
        return F.max_pool(x, (3, 3), strides=1, padding=((0, 2), (0, 2)), padding_mode="circular")

    shifts, kept = unchanged_fraction(pool, x)
    expected = [reference_fraction(np.asarray(x), 3, tuple(shift)) for shift in shifts]
    np.testing.assert_allclose(kept, expected, rtol=0, atol=1e-12)
    assert kept[0] == 1
    assert 0.2 < kept[1] < 0.8
    assert kept[1:].max() < 1


def test_the_part_is_that_of_the_windows_overlap() -> None:
    """On a long row of independent values: (F - k) / (F + k), within three standard errors."""
    x, window = normal(0, (40_000, 1)), 4

    def pool(x):
        return jnp.stack([jnp.roll(x, -i, 0) for i in range(window)]).max(0)

    shifts, kept = unchanged_fraction(pool, x, shifts=[0, 1, 2, 3, 4], spatial_axes=(0,))
    for (shift,), fraction in zip(shifts.tolist(), kept, strict=True):
        assert fraction == pytest.approx(max(0, (window - shift) / (window + shift)), abs=0.02)
