"""The kernels of batch norm, bias and max pool against the pure functions that they stand for, and against NumPy."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.test_util import check_grads
from references import norm as norm_reference
from references import pool as pool_reference
from references.arrays import gelu, normal
from references.kernels import DTYPES, close, handlers, pure, registered

from jaxcnn import functional as F
from jaxcnn.functional.batch_norm import FORWARD

LOOSE = {"float32": 10, "bfloat16": 3}  # what a chain of operations may add to the tolerance


@pytest.fixture(scope="module", autouse=True)
def kernels() -> Iterator[None]:
    with registered():
        yield


def norm(x: Array, scale: Array, offset: Array, activation: Any = "relu") -> tuple[Array, Array, Array]:
    zeros = jnp.zeros(x.shape[-1])
    return F.batch_norm(x, scale, offset, zeros, zeros, training=True, momentum=0.0, activation=activation)


def norm_gradients(x: Array, scale: Array, offset: Array, dy: Array, activation: Any = "relu") -> Any:
    y, back = jax.vjp(lambda *args: norm(*args, activation)[0], x, scale, offset)
    return y, back(dy)


def arguments(shape: tuple[int, ...], dtype: str, seed: int = 0) -> tuple[Array, Array, Array, Array]:
    x, dy = 3 + 2 * normal(seed, shape, dtype), normal(seed + 1, shape, dtype)
    return x, normal(seed + 2, shape[-1:]), normal(seed + 3, shape[-1:]), dy


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 1), (2, 64), (3, 1, 5, 3), (31, 4, 4, 17), (16, 33, 37, 64)])
def test_batch_norm_equals_numpy(shape: tuple[int, ...], dtype: str) -> None:
    x, scale, offset, dy = arguments(shape, dtype)
    for activation, function in ((None, lambda y: y), ("relu", lambda y: np.maximum(y, 0)), ("gelu", gelu)):
        y, mean, variance = jax.jit(partial(norm, activation=activation))(x, scale, offset)
        expected, expected_mean, unbiased = norm_reference.batch_norm(x, 1e-5)
        expected = expected * np.asarray(scale) + np.asarray(offset)
        expected = function(expected)
        close(y, expected, dtype)
        if dtype == "bfloat16":  # rounded, not cut off
            assert np.mean(np.asarray(y == expected.astype(y.dtype))) > 0.97
        close((mean, variance), (expected_mean, unbiased))
        gradients = jax.jit(partial(norm_gradients, activation=activation))
        close(gradients(x, scale, offset, dy), pure(gradients, x, scale, offset, dy), dtype, 10)
    assert handlers(norm_gradients, x, scale, offset, dy) == {"jaxcnn_batch_norm", "jaxcnn_batch_norm_backward"}


@pytest.mark.parametrize("outlier", [1000.0, 0.0, -1e6])
def test_batch_norm_keeps_its_digits(outlier: float) -> None:
    x = (1000 + normal(0, (32, 14, 14, 4))).at[0, 0, 0].set(outlier)
    ones, dy = jnp.ones(4), normal(1, x.shape)
    y, (dx, *_) = jax.jit(partial(norm_gradients, activation=None))(x, ones, 0 * ones, dy)
    with jax.enable_x64(True):
        wide = [jnp.asarray(np.asarray(a, np.float64)) for a in (x, ones, 0 * ones, dy)]
        exact, (exact_dx, *_) = norm_gradients(*wide, activation=None)
    np.testing.assert_allclose(y, exact, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dx, exact_dx, rtol=1e-5, atol=1e-5 * float(jnp.abs(dx).max()))


def test_the_statistics_have_gradients() -> None:
    x, scale, offset, _ = arguments((5, 6, 32), "float32")

    def of_statistics(x: Array) -> Array:
        y, mean, error, variance = FORWARD.bind(x, scale, offset, epsilon=0.1, activation="relu")
        return (y * y).sum() + jnp.sin(mean + error).sum() + (variance**2).sum()

    close(jax.jit(jax.grad(of_statistics))(x), pure(jax.grad(of_statistics), x))
    with jax.enable_x64(True):
        wide, scale, offset = (jnp.asarray(np.asarray(a, np.float64)) for a in (x, scale, offset))
        check_grads(jax.jit(of_statistics), (wide,), order=2, modes=("fwd", "rev"))


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_norm_passes_on_what_is_not_finite(bad: float, dtype: str, activation: str) -> None:
    x, scale, offset, dy = arguments((5, 6, 32), dtype)
    x, offset = x.at[3, 2, 1].set(bad), offset.at[2].set(np.uint32(0x7FFFFFFF).view("float32"))  # a NaN that rounds up
    gradients = partial(norm_gradients, activation=activation)
    ours, expected = jax.jit(gradients)(x, scale, offset, dy), pure(gradients, x, scale, offset, dy)
    close(ours, expected, dtype, 10)
    assert jnp.isnan(ours[0][..., 1:3]).all()


POOLS = {
    "2x2": ((6, 8), (2, 2), {}),
    "leftover": ((7, 9), (2, 2), {}),
    "stride over window": ((9, 9), (2, 2), {"strides": 3}),
    "overlap": ((9, 8), (3, 3), {"strides": 2, "padding": 1}),
    "dilated": ((9, 8), (2, 3), {"strides": (1, 2), "dilation": (3, 2), "padding": ((1, 0), (2, 1))}),
    "ceil": ((7, 7), (3, 3), {"strides": 2, "ceil_mode": True}),
    "line": ((11,), (4,), {"strides": 2, "padding": "SAME"}),
    "space": ((4, 5, 6), (2, 2, 3), {"strides": (2, 1, 3), "padding": ((1, 0), (0, 1), (1, 1))}),
    "wrapped": ((6, 6), (3, 3), {"strides": 3, "padding": 1, "padding_mode": "circular"}),
    "many taps": ((9, 9), (5, 5), {"strides": 4}),
}


def pool_gradients(pool: Callable[[Array], Array], x: Array) -> tuple[Array, Array]:
    y, back = jax.vjp(pool, x)
    return y, back(jnp.cos(jnp.arange(y.size, dtype="float32")).reshape(y.shape).astype(y.dtype))[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", POOLS)
def test_max_pool_equals_the_pure_one(name: str, dtype: str) -> None:
    sizes, window, options = POOLS[name]
    x = jax.random.randint(jax.random.key(0), (33, *sizes, 32), 0, 3).astype(dtype)  # many ties
    x = x.at[::4, ..., 3].set(-jnp.inf).at[1::4, 1].set(jnp.nan).at[2::4, :2].multiply(-0.0).at[3::4, 2].set(-jnp.nan)

    def step(x: Array) -> tuple[Array, Array, Array]:
        pool = partial(F.max_pool, window=window, **options)
        return pool(x), *pool_gradients(pool, x)

    (*y, dx), (*expected, expected_dx) = jax.jit(step)(x), pure(step, x)
    for ours, theirs in zip(y, expected, strict=True):
        close(ours, theirs, dtype, 0)
    close(dx, expected_dx, dtype)
    assert handlers(step, x) == {"jaxcnn_max_pool_winners", "jaxcnn_pool_scatter"}


def test_max_pool_equals_loops() -> None:
    x = jax.random.randint(jax.random.key(0), (2, 5, 7, 32), 0, 3).astype("float32")
    place = {"strides": (2, 1), "padding": ((1, 0), (0, 1)), "dilation": (1, 2)}
    y, dx = jax.jit(partial(pool_gradients, lambda x: F.max_pool(x, (2, 2), **place)))(x)
    dy = np.cos(np.arange(y.size)).reshape(y.shape)
    close(y, pool_reference.pool(x, (2, 2), lambda values: values.max(0), **place))
    close(dx, pool_reference.max_pool_gradient(x, dy, (2, 2), **place))


def network(x: Array, scale: Array, offset: Array) -> Array:
    return F.max_pool(norm(x, scale, offset)[0], (2, 2)).astype("float32")


def loss(x: Array, scale: Array, offset: Array) -> Array:
    return jnp.sin(network(x, scale, offset)).sum()


@pytest.mark.parametrize("dtype", DTYPES)
def test_transformations(dtype: str) -> None:
    args = arguments((4, 6, 4, 32), dtype)[:3]
    gradient = jax.grad(loss, (0, 1, 2))

    def descend(x: Array, scale: Array, offset: Array) -> Array:
        step = jax.checkpoint(lambda x, _: (x - gradient(x, scale, offset)[0], None))
        return jax.lax.scan(step, x, None, length=2)[0]

    members = jax.tree.map(lambda a: jnp.stack([a, 2 * a, -a], 1), args)
    cases = {
        "jvp": lambda *args: jax.jvp(network, args, args),
        "second": lambda *args: jax.jvp(lambda *a: gradient(*a), args, args),
        "reverse twice": lambda *args: jax.grad(lambda x: sum(g.sum() for g in gradient(x, *args[1:])[1:]))(args[0]),
        "scan": descend,
        "linear": lambda *args: jax.linearize(lambda *a: gradient(*a), *args)[1](*args),
    }

    def all_cases(*args: Array) -> dict[str, Any]:
        return {name: case(*args) for name, case in cases.items()}

    close(jax.jit(all_cases)(*args), pure(all_cases, *args), dtype, LOOSE[dtype])
    each = [gradient(*(a[:, i] for a in members)) for i in range(3)]
    expected = jax.tree.map(lambda *parts: jnp.stack(parts), *each)
    close(jax.jit(jax.vmap(gradient, 1))(*members), expected, dtype, LOOSE[dtype])
    shared = (args[0], members[1], args[2])
    axes = (None, 1, None)
    close(jax.jit(jax.vmap(gradient, axes))(*shared), pure(jax.vmap(gradient, axes), *shared), dtype, LOOSE[dtype])


def test_a_vmap_keeps_the_kernels() -> None:
    members = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), arguments((4, 6, 4, 32), "bfloat16")[:3])
    expected = {"jaxcnn_batch_norm", "jaxcnn_batch_norm_backward", "jaxcnn_max_pool_winners", "jaxcnn_pool_scatter"}
    assert handlers(jax.vmap(jax.grad(loss, (0, 1, 2))), *members) == expected


@pytest.mark.parametrize(
    ("shape", "dtype"), [((0, 4, 4, 32), "float32"), ((2, 4, 4, 32), "float16"), ((2, 4, 4, 31), "float32")]
)
def test_what_is_not_covered_is_xlas(shape: tuple[int, ...], dtype: str) -> None:
    x = jnp.ones(shape, dtype)
    pool = partial(F.max_pool, window=(2, 2), strides=1)
    assert not handlers(partial(pool_gradients, pool), x)
    assert jax.jit(pool)(x).shape == (shape[0], 3, 3, shape[-1])


def test_the_same_bits_twice_and_from_many_threads() -> None:
    args = arguments((16, 32, 32, 64), "bfloat16")
    step = jax.jit(lambda *args: (norm_gradients(*args), pool_gradients(lambda x: F.max_pool(x, (2, 2)), args[0])))
    first = jax.tree.map(np.asarray, step(*args))
    same: list[bool] = []

    def work() -> None:
        for _ in range(20):
            leaves = zip(jax.tree.leaves(step(*args)), jax.tree.leaves(first), strict=True)
            same.append(all(np.array_equal(a, b) for a, b in leaves))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same == [True] * 80


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 6, 16])
@pytest.mark.parametrize("size", [4, 5])
def test_halving_max_pool_of_few_channels(size: int, channels: int, dtype: str) -> None:
    x = jnp.round(2 * normal(0, (3, size, size, channels))).astype(dtype)  # rounded: many ties
    x = x.at[0, 0, 1, 0].set(jnp.nan)
    pool = partial(F.max_pool, window=(2, 2))
    g = normal(1, jax.eval_shape(pool, x).shape, dtype)

    def run(x: Array, g: Array) -> Any:
        y, back = jax.vjp(pool, x)
        return y, back(g)

    close(jax.jit(run)(x, g), pure(jax.jit(run), x, g), dtype)
    assert handlers(run, x, g) == {"jaxcnn_max_pool_winners", "jaxcnn_pool_scatter"}
