"""Dropout: what it drops, how often, and that a key decides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import functional as F

KEY = jax.random.key(0)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_values_are_dropped_or_scaled_and_the_mean_stays(rate: float, dtype: str) -> None:
    x = jnp.full((100, 400), 2.0, dtype)
    y = F.dropout(x, rate, key=KEY)
    assert y.dtype == x.dtype
    scaled = np.asarray(x[0, 0] / (1 - rate), np.float64)
    assert set(np.unique(np.asarray(y, np.float64))) == {0.0, float(scaled)}
    deviation = np.sqrt(rate * (1 - rate) / x.size)
    assert abs(float((y == 0).mean()) - rate) < 4 * deviation


def test_the_key_decides_and_rate_0_drops_nothing() -> None:
    x = jnp.ones(100)
    y = F.dropout(x, 0.5, key=KEY)
    assert (F.dropout(x, 0.5, key=KEY) == y).all()
    assert (F.dropout(x, 0.5, key=jax.random.key(1)) != y).any()
    assert (jax.jit(lambda x, key: F.dropout(x, 0.5, key=key))(x, KEY) == y).all()
    assert F.dropout(x, 0.0, key=KEY) is x
    keys = jax.random.split(KEY, 3)
    batched = jax.vmap(lambda key: F.dropout(x, 0.5, key=key))(keys)
    assert (batched == jnp.stack([F.dropout(x, 0.5, key=key) for key in keys])).all()


def test_the_gradient_is_the_mask() -> None:
    x = jnp.arange(1.0, 101.0)
    gradient = jax.grad(lambda x: F.dropout(x, 0.5, key=KEY).sum())(x)
    np.testing.assert_allclose(gradient * x, F.dropout(x, 0.5, key=KEY))


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2])
def test_a_rate_outside_its_range_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"`rate` \(=.*\) must be in \[0, 1\)"):
        F.dropout(jnp.ones(3), rate, key=KEY)


def test_integers_are_refused() -> None:
    with pytest.raises(TypeError, match="`x` must be floating point"):
        F.dropout(jnp.ones(3, int), 0.5, key=KEY)
