"""The anti-aliased activation against waves in NumPy, and the shifts that it answers to, whole and fractional."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from references.arrays import normal
from references.resample import all_rolls, between
from references.tolerance import TOLERANCE

from jaxcnn import functional as F

ROW = {"spatial_axes": (-2,)}


def reference(x: np.ndarray, activation: Callable[[np.ndarray], np.ndarray], up: int) -> np.ndarray:
    """One axis: read between the positions, activate, keep what lies below Nyquist."""
    n = len(x)
    dense = activation(between(x, np.arange(n * up) / up))
    spectrum = np.fft.fft(dense, axis=0)
    k = np.fft.fftfreq(n * up, 1 / (n * up))
    spectrum[np.abs(k) >= n / 2] = 0
    return np.fft.ifft(spectrum, axis=0).real[::up]


def moved(x: np.ndarray, shift: float) -> np.ndarray:
    """x shifted along its first axis by any amount, its wave at Nyquist left out."""
    return between(x, np.arange(len(x)) - shift)


def relu(x: Any) -> Any:
    return x * (x > 0)


@settings(deadline=None, max_examples=12)
@given(st.sampled_from([1, 2, 5, 8]), st.integers(1, 4), st.integers(0, 999), st.sampled_from([relu, jnp.tanh]))
def test_it_equals_waves(n: int, up: int, seed: int, activation: Callable[[Any], Any]) -> None:
    with jax.enable_x64(True):
        x = normal(seed, (n, 2), "float64")
        y = F.antialiased_activation(x, activation, up=up, **ROW)
        expected = reference(np.asarray(x), lambda x: np.asarray(activation(x)), up)
        np.testing.assert_allclose(y, expected, **TOLERANCE["float64"])


@pytest.mark.parametrize("shape", [(4, 6, 2), (5, 3, 2), (1, 7, 2)])
def test_every_whole_circular_shift(shape: tuple[int, ...]) -> None:
    x = normal(0, shape)
    for up in (1, 2, 3):
        ys = jax.jit(partial(F.antialiased_activation, activation=relu, up=up))(all_rolls(x))
        np.testing.assert_allclose(ys, all_rolls(np.asarray(ys[0])), **TOLERANCE["float32"])


def error(activation: Callable[[Any], Any], up: int, n: int, seed: int = 0) -> float:
    """How far a shift by 0.3 before the activation is from one after it, of the largest value."""
    with jax.enable_x64(True):
        x = np.asarray(normal(seed, (n, 3), "float64"))
        activate = partial(F.antialiased_activation, activation=activation, up=up, **ROW)
        y = np.asarray(activate(jnp.asarray(x)))
        return np.abs(np.asarray(activate(jnp.asarray(moved(x, 0.3)))) - moved(y, 0.3)).max() / np.abs(y).max()


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 4), st.sampled_from([6, 7, 8, 9]), st.integers(1, 3), st.integers(0, 999))
def test_fractional_shifts_of_polynomials(degree: int, n: int, up: int, seed: int) -> None:
    """The highest wave of a power is `degree` times that of the map; read too sparsely, it looks like one of these."""
    highest = (n - 1) // 2
    exact = (degree + 1) * highest < up * n
    assert exact or up < (degree + 1) / 2
    worst = error(partial(lambda x, d: x**d, d=degree), up, n, seed)
    assert worst < 1e-11 if exact else worst > 1e-5


@pytest.mark.parametrize("n", [8, 9])
def test_of_a_square_twice_as_dense_is_enough_and_as_dense_is_not(n: int) -> None:
    assert error(jnp.square, 2, n) < 1e-13
    assert error(jnp.square, 1, n) > 1e-2


def test_fractional_shifts_of_a_relu_are_never_exact() -> None:
    errors = [np.mean([error(relu, up, 16, seed) for seed in range(8)]) for up in (1, 2, 4, 16)]
    assert sorted(errors, reverse=True) == errors
    assert errors[1] < errors[0] / 2
    assert errors[-1] > 1e-6


def test_a_map_below_nyquist_stays_as_it_is() -> None:
    x = jnp.asarray(moved(np.asarray(normal(0, (8, 2), "float32")), 0), "float32")
    np.testing.assert_allclose(F.antialiased_activation(x, lambda x: x, **ROW), x, **TOLERANCE["float32"])
    checkers = jnp.tile(jnp.array([[1.0], [-1.0]]), (4, 1))
    np.testing.assert_allclose(F.antialiased_activation(checkers, lambda x: x, **ROW), 0 * checkers, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_types_batches_and_gradients(dtype: str) -> None:
    x = normal(0, (2, 3, 4, 5, 2), dtype)
    activate = jax.jit(partial(F.antialiased_activation, activation=jax.nn.relu))
    y = activate(x)
    assert (y.dtype, y.shape) == (x.dtype, x.shape)
    wide = activate(x.astype("float32"))
    np.testing.assert_allclose(np.asarray(y, np.float32), wide, **TOLERANCE[dtype])
    if dtype == "float32":
        np.testing.assert_allclose(jax.vmap(jax.vmap(activate))(x), y, **TOLERANCE[dtype])
        other = F.antialiased_activation(jnp.moveaxis(x, 0, 3), jax.nn.relu, spatial_axes=(1, 2))
        np.testing.assert_allclose(jnp.moveaxis(other, 3, 0), y, **TOLERANCE[dtype])
        with jax.enable_x64(True):
            smooth = jax.jit(partial(F.antialiased_activation, activation=jnp.tanh))
            check_grads(smooth, (jnp.asarray(x[0, 0], "float64"),), order=1)


BAD = {
    "up": (lambda x: F.antialiased_activation(x, jnp.tanh, up=0), ValueError, r"`up` \(=0\)"),
    "axes": (
        lambda x: F.antialiased_activation(x, jnp.tanh, spatial_axes=(-1,)), ValueError, "the last is its channels"
    ),
    "integers": (lambda x: F.antialiased_activation(x.astype(int), jnp.tanh), TypeError, "`x` must be floating point"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        call(jnp.zeros((4, 4, 1)))
