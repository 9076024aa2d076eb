"""Norms against NumPy in float64, and what PyTorch's batch norm promises."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import Array
from jax.test_util import check_grads
from references import norm as reference
from references.arrays import normal
from references.tolerance import TOLERANCE

from jaxcnn import functional as F

DTYPES = ("float32", "bfloat16", "float16")


def train(x: Array, scale: Array | None = None, offset: Array | None = None, **options) -> Array:
    zeros = jnp.zeros(x.shape[-1])
    return F.batch_norm(x, scale, offset, zeros, zeros + 1, training=True, **options)[0]


NORMS = {  # ours, of a (batch, height, width, 4) map; the reference
    "batch": (train, lambda x, epsilon: reference.batch_norm(x, epsilon)[0]),
    "layer": (F.layer_norm, reference.layer_norm),
    "group": (partial(F.group_norm, groups=2), partial(reference.group_norm, groups=2)),
    "one group": (partial(F.group_norm, groups=1), partial(reference.group_norm, groups=1)),
    "instance": (F.instance_norm, partial(reference.group_norm, groups=4)),
}


def close(ours: Array, expected: np.ndarray, dtype: str = "float32") -> None:
    assert ours.dtype == jnp.dtype(dtype)
    scale = max(1.0, float(np.abs(expected).max()))
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(
        np.asarray(ours, np.float64), expected, rtol=tolerance["rtol"], atol=scale * tolerance["atol"]
    )


@settings(deadline=None, max_examples=12)
@given(
    st.sampled_from(sorted(NORMS)),
    st.tuples(*[st.integers(2, 4)] * 3),
    st.sampled_from(DTYPES),
    st.booleans(),
    st.integers(0, 999),
)
def test_norms_equal_numpy(kind: str, shape: tuple[int, ...], dtype: str, affine: bool, seed: int) -> None:
    norm, expected = NORMS[kind]
    x = 3 + 2 * normal(seed, (*shape, 4), dtype)
    scale, offset = (normal(seed + 1, (4,), dtype), normal(seed + 2, (4,), "float32")) if affine else (None, None)
    y = expected(x, epsilon=0.1)
    if affine:
        y = y * np.asarray(scale, np.float64) + np.asarray(offset, np.float64)
    close(jax.jit(partial(norm, epsilon=0.1))(x, scale, offset), y, dtype)


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_batch_norm_of_any_rank_keeps_statistics(rank: int) -> None:
    x = 5 + normal(0, (6, *(3,) * rank, 2), "bfloat16")
    mean, variance = jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0], "float16")
    y, new_mean, new_variance = F.batch_norm(x, None, None, mean, variance, training=True, momentum=0.7)
    expected, batch_mean, unbiased = reference.batch_norm(x, 1e-5)
    close(y, expected, "bfloat16")
    close(new_mean, 0.7 * np.array([1, 2]) + 0.3 * batch_mean)
    close(new_variance, 0.7 * np.array([3, 4]) + 0.3 * unbiased, "float16")


@pytest.mark.parametrize("training", [True, False])
def test_the_activation_is_a_relu_after_the_norm(training: bool) -> None:
    x, scale, offset = normal(0, (4, 3, 2)), normal(1, (2,)), normal(2, (2,))

    def f(x: Array, scale: Array, offset: Array, activation: str | None) -> Array:
        y = F.batch_norm(x, scale, offset, 0 * scale, scale**2, training=training, activation=activation)[0]
        return y if activation else jax.nn.relu(y)

    args, weights = (x, scale, offset), normal(3, x.shape)
    fused, plain = (jax.value_and_grad(lambda *a, n=n: (weights * f(*a, n)).sum(), (0, 1, 2)) for n in ("relu", None))
    for ours, theirs in zip(jax.tree.leaves(fused(*args)), jax.tree.leaves(plain(*args)), strict=True):
        close(ours, np.asarray(theirs, np.float64))
    assert (f(*args, "relu") >= 0).all()


def test_evaluation_uses_the_running_statistics() -> None:
    x, mean, variance = normal(0, (2, 3, 4)), normal(1, (4,)), jnp.array([1.0, 2.0, 3.0, 4.0])
    y, *after = F.batch_norm(x, 2 * variance, mean, mean, variance, training=False, epsilon=0.5)
    expected = (x - mean) / np.sqrt(variance + 0.5) * 2 * variance + mean
    close(y, np.asarray(expected))
    assert after[0] is mean
    assert after[1] is variance
    close(F.batch_norm(x[0, 0], None, None, mean, variance, training=False)[0], (x[0, 0] - mean) / np.sqrt(variance))


def test_no_gradient_flows_through_the_running_statistics() -> None:
    def statistics(x: Array) -> Array:
        _, mean, variance = F.batch_norm(x, None, None, jnp.zeros(3), jnp.ones(3), training=True)
        return (mean + variance).sum()

    assert not jax.grad(statistics)(normal(0, (5, 3))).any()


@pytest.mark.parametrize(("kind", "outlier"), [*((kind, False) for kind in NORMS), ("batch", True)])
def test_a_large_mean_costs_no_precision(kind: str, outlier: bool) -> None:
    x = 1000 + normal(0, (32, 14, 14, 4))
    x = x.at[0, 0, 0].set(0) if outlier else x
    ct = np.asarray(normal(1, x.shape))

    @jax.jit
    def value_and_gradient(x: Array, ct: Array) -> tuple[Array, Array]:
        y, vjp = jax.vjp(partial(NORMS[kind][0], epsilon=1e-5), x)
        return y, vjp(ct)[0]

    y, gradient = value_and_gradient(x, ct)
    with jax.enable_x64(True):
        exact_y, exact_gradient = value_and_gradient(*(jnp.asarray(np.asarray(a, np.float64)) for a in (x, ct)))
    np.testing.assert_allclose(exact_y, NORMS[kind][1](x, epsilon=1e-5), rtol=1e-7, atol=1e-7)
    few = 1e-4 if kind == "layer" else 1e-5
    np.testing.assert_allclose(y, exact_y, rtol=few, atol=few)
    np.testing.assert_allclose(gradient, exact_gradient, rtol=few, atol=few * float(jnp.abs(gradient).max()))


@pytest.mark.parametrize("kind", NORMS)
def test_constant_values_become_the_offset(kind: str) -> None:
    x, offset = jnp.full((2, 3, 3, 4), 1234.567), jnp.arange(4.0)
    y, vjp = jax.vjp(lambda x: NORMS[kind][0](x, None, offset), x)
    np.testing.assert_array_equal(y, jnp.broadcast_to(offset, x.shape))
    assert jnp.isfinite(vjp(normal(0, x.shape))[0]).all()


@pytest.mark.parametrize("kind", NORMS)
def test_first_and_second_derivatives(kind: str) -> None:
    with jax.enable_x64(True):
        x, scale, offset = normal(0, (2, 2, 3, 4), "float64"), normal(1, (4,), "float64"), normal(2, (4,), "float64")
        norm = NORMS[kind][0]

        @jax.jit
        def f(x: Array, scale: Array, offset: Array) -> Array:
            return norm(x, scale, offset, epsilon=1.0) ** 2

        check_grads(f, (x, scale, offset), order=2, modes=("fwd", "rev"))


def test_the_running_statistics_of_evaluation_have_gradients() -> None:
    with jax.enable_x64(True):
        args = [normal(i, (4,), "float64") for i in range(4)]

        @jax.jit
        def f(x: Array, scale: Array, offset: Array, mean: Array, root: Array) -> Array:
            return F.batch_norm(x, scale, offset, mean, root**2, training=False, epsilon=0.1)[0]

        check_grads(f, (normal(5, (3, 4), "float64"), *args), order=1, modes=("fwd", "rev"))


@pytest.mark.parametrize("kind", NORMS)
def test_jit_vmap_and_dtype(kind: str) -> None:
    norm = NORMS[kind][0]
    x = normal(0, (2, 3, 4, 5, 4))
    y = jnp.stack([norm(image) for image in x])
    close(jax.jit(jax.vmap(norm))(x), y)
    if kind != "batch":
        close(norm(x), y)
    with jax.enable_x64(True):
        wide = jnp.asarray(np.asarray(x[0], np.float64))
        close(norm(wide, jnp.ones(4, "float32")), NORMS[kind][1](x[0], epsilon=1e-5), "float64")


x2, ones = jnp.zeros((2, 8, 8, 4)), jnp.ones(4)
bn = partial(F.batch_norm, training=True)
BAD = {
    "one value": (lambda: bn(jnp.ones((1, 4)), ones, ones, ones, ones), ValueError, "more than one value a channel"),
    "scale": (lambda: bn(x2, ones[:3], ones, ones, ones), ValueError, r"`scale` \(shape \(3,\)\) must be \(4,\)"),
    "offset": (lambda: F.layer_norm(x2, ones, ones[:3]), ValueError, r"`offset` \(shape \(3,\)\)"),
    "mean": (lambda: bn(x2, ones, ones, ones[:1], ones), ValueError, r"`mean` \(shape \(1,\)\)"),
    "statistics": (lambda: bn(x2, ones, ones, ones, ones.astype(int)), TypeError, "`variance` must be floating"),
    "momentum": (lambda: bn(x2, ones, ones, ones, ones, momentum=1.1), ValueError, r"`momentum` \(=1.1\)"),
    "activation": (lambda: bn(x2, ones, ones, ones, ones, activation="rleu"), ValueError, "did you mean 'relu'"),
    "third type": (
        lambda: F.layer_norm(x2.astype("bfloat16"), ones.astype("float16")),
        TypeError,
        "`scale` is float16 and `x` is bfloat16",
    ),
    "narrow scale": (lambda: F.layer_norm(x2, ones.astype("float16")), TypeError, "must be that, or float32"),
    "integers": (lambda: F.layer_norm(x2.astype(int)), TypeError, "`x` must be floating point"),
    "groups": (lambda: F.group_norm(x2, groups=3), ValueError, r"`channels` \(=4\) must be divisible by `groups` \(=3"),
    "no groups": (lambda: F.group_norm(x2, groups=0), ValueError, r"`groups` \(=0\) must be at least 1"),
    "axes": (lambda: F.instance_norm(x2, spatial_axes=(-1,)), ValueError, "the last is its channels"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        call()
