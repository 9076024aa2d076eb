"""The kernels of bias, ReLU and max pool in one pass, against NumPy and the operations one after another."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from references import pool as pool_reference
from references.arrays import gelu, normal
from references.kernels import DTYPES, close, handlers, registered

from jaxcnn import functional as F
from jaxcnn.functional.bias import add_bias


@pytest.fixture(scope="module", autouse=True)
def kernels() -> Iterator[None]:
    with registered():
        yield


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (7, 6), (3, 5, 5, 17), (64, 20, 20, 6), (2, 600), (33, 16, 16, 64)])
def test_bias_and_relu_equal_numpy(shape: tuple[int, ...], dtype: str) -> None:
    x, dy, bias = normal(0, shape, dtype), normal(1, shape, dtype), normal(2, shape[-1:], dtype)

    def run(x: Array, bias: Array, dy: Array) -> Any:
        y, back = jax.vjp(partial(add_bias, activation="relu"), x, bias)
        return y, back(dy)

    y, (dx, dbias) = jax.jit(run)(x, bias, dy)
    x, bias, dy = (np.asarray(array, np.float64) for array in (x, bias, dy))
    expected = np.where(x + bias > 0, dy, 0)
    close(y, np.maximum(x + bias, 0), dtype)
    close(dx, expected, dtype)
    close(dbias, expected.sum(tuple(range(len(shape) - 1))), dtype, 10)
    assert handlers(run, *map(jnp.asarray, (y, dbias, y))) == {"jaxcnn_bias_relu", "jaxcnn_bias_relu_backward"}


def test_bias_and_relu_transformed() -> None:
    x, bias = normal(0, (3, 4, 6)), normal(1, (3, 6))

    def fused(x: Array, bias: Array) -> Array:
        return jnp.sin(add_bias(x, bias, activation="relu")).sum()

    def plain(x: Array, bias: Array) -> Array:
        return jnp.sin(jax.nn.relu(x + bias)).sum()

    def second(f: Any) -> Any:
        return jax.grad(lambda x, b: sum((g**2).sum() for g in jax.grad(f, (0, 1))(x, b)), (0, 1))

    for how in (
        lambda f: jax.grad(f, (0, 1))(x[0], bias[0]),
        lambda f: jax.jvp(f, (x[0], bias[0]), (x[1], bias[1])),
        lambda f: second(f)(x[0], bias[0]),
        lambda f: jax.vmap(jax.grad(f, (0, 1)), (0, None))(x, bias[0]),
        lambda f: jax.vmap(second(f))(x, bias),
        lambda f: jax.vmap(jax.grad(f, 1), (None, 0))(x[0], bias),
    ):
        close(jax.jit(how, static_argnums=0)(fused), jax.jit(how, static_argnums=0)(plain))
    assert np.isnan(jax.jit(partial(add_bias, activation="relu"))(jnp.full(6, jnp.nan), bias[0])).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (7, 6), (3, 5, 5, 17), (64, 20, 20, 6), (2, 600), (33, 16, 16, 64)])
def test_bias_and_gelu_equal_numpy(shape: tuple[int, ...], dtype: str) -> None:
    x, dy, bias = 4 * normal(0, shape, dtype), normal(1, shape, dtype), normal(2, shape[-1:], dtype)

    def run(x: Array, bias: Array, dy: Array) -> Any:
        y, back = jax.vjp(partial(add_bias, activation="gelu"), x, bias)
        return y, back(dy)

    y, (dx, dbias) = jax.jit(run)(x, bias, dy)
    wide, wide_dy = (np.asarray(x, np.float64) + np.asarray(bias, np.float64)), np.asarray(dy, np.float64)
    step = 1e-5
    slope = (gelu(wide + step) - gelu(wide - step)) / (2 * step)
    close(y, gelu(wide), dtype)
    close(dx, slope * wide_dy, dtype)
    close(dbias, (slope * wide_dy).sum(tuple(range(len(shape) - 1))), dtype, 10)
    if dtype == "bfloat16":  # rounded once; beyond 3 x + bias, or 0, is so near that ties differ
        assert np.mean(np.asarray(y == gelu(wide).astype(y.dtype))[abs(wide) < 3]) > 0.99
    assert handlers(run, *map(jnp.asarray, (y, dbias, y))) == {"jaxcnn_bias_gelu", "jaxcnn_bias_gelu_backward"}


def test_gelu_everywhere() -> None:
    x = jnp.concatenate([jnp.linspace(-30, 30, 20001), 10.0 ** jnp.arange(-30, 38), -(10.0 ** jnp.arange(-30, 38))])
    wide = np.asarray(x, np.float64)
    value, slope = jax.jit(F.gelu)(x), jax.jit(jax.vmap(jax.grad(F.gelu)))(x)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(value, gelu(wide), rtol=2e-6, atol=1e-6)
    near, step = np.clip(wide, -20, 20), 1e-5
    expected = (gelu(near + step) - gelu(near - step)) / (2 * step)
    np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-6)
    bad = jnp.array([jnp.nan, jnp.inf, -jnp.inf])
    np.testing.assert_allclose(jax.jit(F.gelu)(bad), [np.nan, np.inf, 0], atol=1e-30)
    with pytest.raises(TypeError, match="floating"):
        F.gelu(jnp.arange(3))


def test_bias_and_gelu_transformed() -> None:
    x, bias = normal(0, (3, 4, 6)), normal(1, (3, 6))

    def fused(x: Array, bias: Array) -> Array:
        return jnp.sin(add_bias(x, bias, activation="gelu")).sum()

    def plain(x: Array, bias: Array) -> Array:
        return jnp.sin(jax.nn.gelu(x + bias)).sum()

    def second(f: Any) -> Any:
        return jax.grad(lambda x, b: sum((g**2).sum() for g in jax.grad(f, (0, 1))(x, b)), (0, 1))

    for how in (
        lambda f: jax.grad(f, (0, 1))(x[0], bias[0]),
        lambda f: jax.jvp(f, (x[0], bias[0]), (x[1], bias[1])),
        lambda f: second(f)(x[0], bias[0]),
        lambda f: jax.vmap(jax.grad(f, (0, 1)), (0, None))(x, bias[0]),
        lambda f: jax.vmap(second(f))(x, bias),
        lambda f: jax.vmap(jax.grad(f, 1), (None, 0))(x[0], bias),
    ):
        close(jax.jit(how, static_argnums=0)(fused), jax.jit(how, static_argnums=0)(plain), "float32", 10)


HALVING = {"strides": (2, 2), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}


def relu_pool(x: Array, bias: Array, dy: Array) -> Any:
    y, back = jax.vjp(partial(add_bias, activation="relu_pool"), x, bias)
    return y, back(dy)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 2, 2, 1), (3, 5, 4, 6), (2, 4, 7, 16), (2, 3, 5, 33), (64, 28, 28, 6)])
def test_bias_relu_and_pool_equal_numpy(shape: tuple[int, ...], dtype: str) -> None:
    x, bias = (jnp.round(2 * normal(seed, s)).astype(dtype) for seed, s in enumerate((shape, shape[-1:])))  # many ties
    dy = normal(2, (shape[0], shape[1] // 2, shape[2] // 2, shape[3]), dtype)
    y, (dx, dbias) = jax.jit(relu_pool)(x, bias, dy)
    opened = np.maximum(np.asarray(x, np.float64) + np.asarray(bias, np.float64), 0)
    expected = pool_reference.max_pool_gradient(opened, np.asarray(dy, np.float64), (2, 2), **HALVING) * (opened > 0)
    close(y, pool_reference.pool(opened, (2, 2), lambda values: values.max(0), **HALVING), dtype, 0)
    close(dx, expected, dtype, 0)
    close(dbias, expected.sum((0, 1, 2)), dtype, 10)
    assert handlers(relu_pool, x, bias, dy) == {"jaxcnn_bias_relu_pool", "jaxcnn_bias_relu_pool_backward"}


@pytest.mark.parametrize("dtype", DTYPES)
def test_bias_relu_and_pool_round_and_pass_on_nan_as_the_operations_do(dtype: str) -> None:
    x = normal(0, (4, 6, 6, 5), dtype).at[0, 1, 2, 3].set(jnp.nan).at[1, 0, 0, 1].set(-jnp.nan).at[2, 3].set(jnp.inf)
    x = x.at[3].multiply(-0.0)
    bias, dy = normal(1, (5,), dtype), normal(2, (4, 3, 3, 5), dtype)

    def in_turn(x: Array, bias: Array, dy: Array) -> Any:
        y, back = jax.vjp(lambda x, b: F.max_pool(add_bias(x, b, activation="relu"), (2, 2)), x, bias)
        return y, back(dy)

    (y, (dx, dbias)), (expected, (expected_dx, expected_dbias)) = jax.jit(relu_pool)(x, bias, dy), in_turn(x, bias, dy)
    close((y, dx), (expected, expected_dx), dtype, 0)
    close(dbias, expected_dbias, dtype)
    assert np.isnan(y).sum() == 2


def test_bias_relu_and_pool_transformed() -> None:
    x, bias = normal(0, (3, 2, 4, 5, 6)), normal(1, (3, 6))

    def fused(x: Array, bias: Array) -> Array:
        return jnp.sin(add_bias(x, bias, activation="relu_pool")).sum()

    def plain(x: Array, bias: Array) -> Array:
        return jnp.sin(F.max_pool(jax.nn.relu(x + bias), (2, 2))).sum()

    def second(f: Any) -> Any:
        return jax.grad(lambda x, b: sum((g**2).sum() for g in jax.grad(f, (0, 1))(x, b)), (0, 1))

    for how in (
        lambda f: f(x, bias[0]),  # more than one batch axis
        lambda f: jax.grad(f, (0, 1))(x[0], bias[0]),
        lambda f: jax.grad(f, 1)(x[0, 0], bias[0]),
        lambda f: jax.jvp(f, (x[0], bias[0]), (x[1], bias[1])),
        lambda f: second(f)(x[0], bias[0]),
        lambda f: jax.vmap(jax.grad(f, (0, 1)), (0, None))(x, bias[0]),
        lambda f: jax.vmap(second(f))(x, bias),
        lambda f: jax.vmap(jax.grad(f, 1), (None, 0))(x[0], bias),
    ):
        close(jax.jit(how, static_argnums=0)(fused), jax.jit(how, static_argnums=0)(plain))
    with pytest.raises(ValueError, match="window"):
        add_bias(x[:, :, :1], bias[0], activation="relu_pool")
