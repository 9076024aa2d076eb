"""Kernels: their distribution, and that a key gives the same values in every transform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import nn

SHAPE = (3, 3, 32, 64)


@pytest.mark.parametrize(("initializer", "gain"), [(nn.he_normal, 2), (nn.lecun_normal, 1)])
def test_distribution(initializer, gain):
    kernel = initializer(jax.random.key(0), SHAPE)
    assert kernel.dtype == jnp.float32
    assert abs(float(kernel.mean())) < 1e-3
    np.testing.assert_allclose(kernel.std(), (gain / (9 * 32)) ** 0.5, rtol=0.02)


def test_one_key_one_kernel():
    def draw(key):
        return nn.he_normal(key, SHAPE)

    keys = jax.random.split(jax.random.key(0), 2)
    eager = [np.asarray(draw(key)) for key in keys]
    assert (eager[0] != eager[1]).all()
    np.testing.assert_array_equal(jax.jit(draw)(keys[0]), eager[0])
    np.testing.assert_array_equal(jax.vmap(draw)(keys), eager)


def test_tracing_draws_nothing():
    assert jax.eval_shape(lambda: nn.he_normal(jax.random.key(0), (10**6, 10**6))).shape == (10**6, 10**6)
