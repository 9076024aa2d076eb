"""Kernels: their distribution, and that a key gives the same values in every transform."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxcnn import functional as F
from jaxcnn import models, nn
from jaxcnn.config import Initialization

SHAPE = (3, 3, 32, 64)


FANS = {"he": 2 / (9 * 32), "lecun": 1 / (9 * 32), "glorot": 2 / (9 * (32 + 64))}  # variances


@pytest.mark.parametrize("kind", ["normal", "uniform"])
@pytest.mark.parametrize(("name", "variance"), FANS.items())
def test_distribution(name, variance, kind):
    kernel = np.asarray(nn.INITIALIZERS[f"{name}_{kind}"](jax.random.key(0), SHAPE))
    assert kernel.dtype == jnp.float32
    assert abs(float(kernel.mean())) < 1e-3
    np.testing.assert_allclose(kernel.std(), variance**0.5, rtol=0.02)
    fourth = ((kernel / kernel.std()) ** 4).mean()  # tells a normal distribution, 3, from a uniform one, 9/5
    np.testing.assert_allclose(fourth, {"normal": 3, "uniform": 1.8}[kind], rtol=0.05)
    if kind == "uniform":
        assert abs(kernel).max() <= (3 * variance) ** 0.5


@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (1, 1, 8, 12), (5, 16), (3, 1, 4)], ids=str)
def test_orthogonal_kernels_are_so(shape):
    matrix = np.asarray(nn.orthogonal(jax.random.key(0), shape)).reshape(-1, shape[-1])
    small = min(matrix.shape)
    gram = matrix.T @ matrix if matrix.shape[1] == small else matrix @ matrix.T
    np.testing.assert_allclose(gram, np.eye(small), atol=1e-6)


def test_orthogonal_kernels_favour_no_sign():
    """The decomposition alone would give the diagonal one sign."""
    drawn = [nn.orthogonal(jax.random.key(seed), (4, 4))[0, 0] for seed in range(64)]
    assert 16 < sum(value > 0 for value in map(float, drawn)) < 48


@pytest.mark.parametrize(
    ("shape", "channels", "groups"),
    [((3, 3, 4, 4), 4, 1), ((5, 4, 4), 4, 1), ((3, 3, 3, 4, 4), 4, 1), ((4, 2, 4, 4), 4, 1), ((7, 7, 1, 4), 4, 4)],
    ids=str,
)
def test_dirac_kernels_copy(shape, channels, groups):
    x = jax.random.normal(jax.random.key(0), (2, *range(6, 4 + len(shape)), channels))
    padding = [(size // 2, size - 1 - size // 2) for size in shape[:-2]]
    kernel = nn.dirac(jax.random.key(0), shape)
    np.testing.assert_array_equal(F.conv(x, kernel, padding=padding, groups=groups), x)


def test_dirac_kernels_repeat_or_leave_out_channels():
    x = jax.random.normal(jax.random.key(0), (5, 5, 4))
    for outputs in (10, 3):
        kernel = nn.dirac(jax.random.key(0), (3, 3, 4, outputs))
        np.testing.assert_array_equal(F.conv(x, kernel), x[..., np.arange(outputs) % 4])


def test_names_are_those_of_a_config():
    assert set(nn.INITIALIZERS) == set(get_args(Initialization))
    for name, initializer in nn.INITIALIZERS.items():
        half = initializer(jax.random.key(0), (3, 3, 4, 8), jnp.bfloat16)
        assert (half.shape, half.dtype) == ((3, 3, 4, 8), jnp.bfloat16), name


@pytest.mark.parametrize("name", ["small_cnn", "small_resnet", "vgg11", "convnext_tiny", "unet"])
def test_a_model_draws_all_its_convolutions_so(name):
    module = models.create(name, width=4, init="orthogonal")
    for _, layer in nnx.iter_graph(module):
        if isinstance(layer, nn.Conv):
            matrix = np.asarray(layer.kernel[...]).reshape(-1, layer.kernel.shape[-1])
            gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
            np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-5)


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
