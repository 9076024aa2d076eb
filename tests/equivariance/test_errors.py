"""Errors under actions, and the tolerances that rounding is given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from references.arrays import normal

from jaxcnn import functional as F
from jaxcnn.equivariance import Flip, Roll, Rot90, equivariance_error, invariance_error, rounding
from jaxcnn.equivariance.rolls import nearest_roll


def test_errors_are_numpy_s() -> None:
    x = normal(0, (6, 5, 2))
    kernel = normal(1, (3, 3, 2, 4))

    def fn(x):
        return F.conv(x, kernel, padding=1)

    y, moved = np.asarray(fn(x)), np.asarray(fn(jnp.roll(x, (1, 2), (0, 1))))
    expected = np.abs(moved - np.roll(y, (1, 2), (0, 1))).max() / np.abs(y).max()
    np.testing.assert_allclose(equivariance_error(fn, x, Roll((1, 2))), expected, rtol=1e-5)
    np.testing.assert_allclose(invariance_error(fn, x, Roll((1, 2))), np.abs(moved - y).max() / np.abs(y).max(), 1e-5)


def test_an_output_action_answers_another_input_action() -> None:
    x = normal(0, (6, 6, 2))

    def fn(x):
        return F.max_pool(x, (2, 2))

    assert equivariance_error(fn, x, Roll((2, 4)), Roll((1, 2))) == 0
    assert equivariance_error(fn, x, Roll((2, 4)), Roll((2, 1))) > 0
    assert equivariance_error(fn, x, Rot90(1)) == 0
    assert equivariance_error(lambda x: x.transpose(1, 0, 2), x, Flip((0,)), Flip((1,))) == 0
    errors = jax.jit(jax.vmap(lambda shift: equivariance_error(fn, x, Roll(2 * shift), Roll(shift))))(jnp.arange(3))
    assert errors.tolist() == [0, 0, 0]


def test_what_is_no_number_is_told() -> None:
    x = jnp.arange(6.0)[:, None]
    assert equivariance_error(lambda x: x / x, x, Roll(1, (0,))) == jnp.inf

    def infinite(x):
        return jnp.where(x > 2, -jnp.inf, x)

    assert equivariance_error(infinite, x, Roll(1, (0,))) == 0
    assert equivariance_error(lambda x: infinite(x).at[0].set(0), x, Roll(1, (0,))) == jnp.inf
    assert equivariance_error(lambda x: 0 * x.at[0].set(1), x, Roll(1, (0,))) == 0
    assert equivariance_error(lambda x: x.argmax(0), x, Roll(1, (0,)), lambda y: y) == 1


def test_misuse_of_errors() -> None:
    x = normal(0, (4, 5, 1))
    with pytest.raises(TypeError, match="must return one array, got a tuple"):
        equivariance_error(lambda x: (x, x), x, Roll(1))
    with pytest.raises(ValueError, match="give the `output_action` that answers `action`"):
        equivariance_error(lambda x: x, x, Rot90(1), Roll(1))


def test_a_sum_is_measured_by_its_length() -> None:
    eps = 2.0**-23
    cases = [
        (lambda x: x.sum(), (50,), 50),
        (lambda x: x @ jnp.ones((50, 3)), (2, 50), 50),
        (lambda x: F.conv(x, jnp.ones((3, 3, 4, 2))), (8, 8, 4), 36),
        (lambda x: F.conv(x, jnp.ones((3, 3, 1, 4)), groups=4), (8, 8, 4), 9),
        (lambda x: lax.reduce_window(x, 0.0, lax.add, (3, 2), (1, 1), "VALID"), (8, 8), 6),
        (lambda x: jnp.cumsum(x), (32,), 32),
        (lambda x: lax.reduce_window(x[::-1], -jnp.inf, lax.max, (2, 2), (2, 2), "VALID"), (8, 8), 0),
        (lambda x: x.max() - x.min(), (9,), 1),
        (lambda x: lax.scan(lambda c, _: (c * c, None), x, length=7)[0], (3,), 7),
        (lambda x: jax.jit(lambda y: y * y)(x) @ jnp.ones((8, 3)), (8,), 9),
        (lambda x: (x.sum() * jnp.float32(2), x * x)[1], (50,), 1),
    ]
    for fn, shape, count in cases:
        np.testing.assert_allclose(rounding(fn, normal(0, shape)), 4 * eps * count**0.5, rtol=1e-6)


def test_the_dtype_that_rounds_counts() -> None:
    x = normal(0, (4, 4))
    assert rounding(lambda x: (x.astype("bfloat16") * 2).astype("float32"), x) > 4 * 2.0**-7
    assert rounding(lambda x: x.astype("float32") * 2, x.astype("bfloat16")) == 4 * 2.0**-23
    assert rounding(lambda x: x + 1, x.astype(int)) == 0


def test_the_nearest_roll_is_found() -> None:
    for shape, axes in [((4, 5, 2), (0, 1)), ((12, 9, 2), (0, 1)), ((9, 12, 2), (1, 0)), ((2, 90), (1,))]:
        y = normal(0, shape)
        for roll in (3, 1), (0, 0), (2, 7):
            rolled = jnp.roll(y, roll[: len(axes)], axes)
            assert nearest_roll(rolled, y, axes).max() == 0
            assert nearest_roll(1000 + 1e-2 * rolled, 1000 + 1e-2 * y, axes).max() == 0
            assert nearest_roll(rolled.at[(0,) * y.ndim].add(0.5), y, axes).max() == pytest.approx(0.5, abs=1e-5)
    assert nearest_roll(jnp.flip(y, 1), y, (1,)).max() > 0.1
