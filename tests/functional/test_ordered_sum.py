"""The order-independent sum: the same bits for every permutation, and as near to the true sum as any other."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import Array
from jax.test_util import check_grads
from references.arrays import normal
from references.resample import all_rolls
from references.tolerance import TOLERANCE

from jaxcnn import functional as F
from jaxcnn.functional.ordered_sum import integer_sum, largest_exponent, order_independent_sum, scale

SPREADS = {"normal": 0, "wide": 8, "cancelling": 4}


def values(seed: int, count: int, spread: str) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(count) * np.exp(SPREADS[spread] * rng.standard_normal(count))
    x = np.concatenate([x, 1e-3 * x[:1], -x]) if spread == "cancelling" else x
    return x.astype("float32")


@jax.jit
def summed(x: Array) -> Array:
    return order_independent_sum(x, 0)


def test_compiled_equals_eager() -> None:
    x = jnp.asarray(values(0, 64, "wide"))
    assert np.asarray(order_independent_sum(x, -1)).tobytes() == np.asarray(summed(x)).tobytes()


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([1, 2, 64, 3000]), st.sampled_from(sorted(SPREADS)), st.integers(0, 999))
def test_every_order_gives_the_same_bits_and_the_true_sum(count: int, spread: str, seed: int) -> None:
    x = values(seed, count, spread)
    rng = np.random.default_rng(seed)
    sums = {np.asarray(summed(rng.permutation(x))).tobytes() for _ in range(5)}
    assert len(sums) == 1
    exact = math.fsum(x.astype(float).tolist())
    allowed = 2.0**-23 * (np.abs(x).max() + abs(exact))
    assert abs(float(summed(x)) - exact) <= allowed


def test_a_plain_sum_depends_on_the_order() -> None:
    rolls = all_rolls(values(0, 1000, "wide"), 1)
    assert len(set(np.asarray(jnp.sum(rolls, 1)).tolist())) > 1


def test_it_is_no_less_exact_than_a_pairwise_sum() -> None:
    errors = []
    for seed in range(20):
        x = values(seed, 3000, "normal")
        exact = math.fsum(x.astype(float).tolist())
        errors.append([abs(float(f(x)) - exact) for f in (summed, jnp.sum)])
    ours, plain = np.mean(errors, 0)
    assert ours < plain


@settings(deadline=None, max_examples=6)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=4),
    st.sampled_from(["float32", "bfloat16", "float16", "float64"]),
    st.integers(0, 999),
    st.data(),
)
def test_it_equals_numpys_over_any_axes(sizes: list[int], dtype: str, seed: int, data: st.DataObject) -> None:
    axes = tuple(data.draw(st.sets(st.integers(-len(sizes), -1), max_size=len(sizes))))
    with jax.enable_x64(dtype == "float64"):
        x = normal(seed, tuple(sizes), dtype)
        y = jax.jit(partial(order_independent_sum, axes=axes))(x)
        assert y.dtype == x.dtype
        expected = np.asarray(x, np.float64).sum(axes)
    np.testing.assert_allclose(np.asarray(y, np.float64), expected, **TOLERANCE[dtype])


def test_whole_numbers_are_summed_exactly() -> None:
    x = np.random.default_rng(0).integers(-1000, 1000, 4096)
    assert float(summed(x.astype("float32"))) == x.sum()
    assert float(summed(np.array([2.0**24, 1.0, -(2.0**24)], "float32"))) == 1


SPECIAL = {
    "an infinity": ([1.0, np.inf, 2.0], np.inf),
    "both infinities": ([np.inf, -np.inf], np.nan),
    "nan": ([np.nan, np.inf, 1.0], np.nan),
    "zeros": ([0.0, -0.0], 0.0),
    "tiny": ([2.0**-126, 2.0**-126], 2.0**-125),
    "huge, on the way": ([3e38, 3e38, -3e38], np.float32(3e38)),
    "huge": ([3e38, 3e38], np.inf),
    "none": ([], 0.0),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name: str) -> None:
    x, expected = SPECIAL[name]
    for order in (x, x[::-1]):
        np.testing.assert_array_equal(summed(np.array(order, "float32")), expected)


def test_gradients_and_vmap() -> None:
    x = normal(0, (3, 4, 5))
    np.testing.assert_array_equal(jax.grad(lambda x: order_independent_sum(x, (0, 1, 2)))(x), np.ones_like(x))
    np.testing.assert_array_equal(jax.vmap(lambda x: order_independent_sum(x, 0))(x), order_independent_sum(x, 1))
    with jax.enable_x64(True):
        x = jnp.asarray(x[0], "float64")
        check_grads(jax.jit(lambda x: order_independent_sum(x**2, 1)), (x,), order=2)


def test_words_are_the_integer_in_order() -> None:
    x = np.random.default_rng(0).integers(0, 2**30 + 1, (50, 7, 9)).astype("int32")
    words = [np.asarray(word, object) for word in integer_sum(jnp.asarray(x), (1, 2))]
    bits = 30 - 6
    numbers = sum(word * (1 << bits * place) for place, word in enumerate(reversed(words)))
    assert numbers.tolist() == x.astype(object).sum((1, 2)).tolist()
    assert all((word < 1 << bits).all() for word in words[1:])


def test_powers_of_two() -> None:
    x = jnp.array([2.0**-126, 0.75, 1.0, 3e38, 0.0])
    assert [largest_exponent(x[i : i + 1]).item() for i in range(5)] == [-125, 0, 1, 128, 0]
    np.testing.assert_array_equal(scale(x[3], jnp.int32(-250)), np.ldexp(x[3], -250))
    np.testing.assert_array_equal(scale(x[0], jnp.int32(250)), np.ldexp(x[0], 250))


@pytest.mark.parametrize(("h", "w"), [(7, 9), (1, 12), (16, 8)])
def test_a_global_mean_is_the_same_bits_under_every_roll(h: int, w: int) -> None:
    x = normal(h, (h, w, 3))
    means = np.asarray(jax.jit(partial(F.global_avg_pool, order_independent=True))(jnp.asarray(all_rolls(x))))
    assert (means == means[0]).all()
    np.testing.assert_allclose(means[0], F.global_avg_pool(x), **TOLERANCE["float32"])


def test_a_plain_global_mean_is_not() -> None:
    means = np.asarray(jax.jit(F.global_avg_pool)(jnp.asarray(all_rolls(normal(0, (32, 32, 3)), 1))))
    assert (means != means[0]).any()


BAD = {
    "axis": (lambda: order_independent_sum(jnp.ones(3), 1), ValueError, "axis 1, but the array has 1 axes"),
    "integers": (lambda: order_independent_sum(jnp.arange(3), 0), TypeError, "`x` must be floating point"),
    "too many": (
        lambda: jax.eval_shape(lambda x: order_independent_sum(x, 0), jax.ShapeDtypeStruct((2**26 + 1,), "float32")),
        ValueError,
        "at most 2.26",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        call()
