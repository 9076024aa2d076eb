"""Dense layers and flattening, against NumPy and the lectures' counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from references.arrays import normal
from references.tolerance import TOLERANCE

from jaxcnn import functional as F


@pytest.mark.parametrize("batch", [(), (5,), (2, 3), (0,)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("biased", [False, True])
def test_dense_is_a_matrix_product(batch: tuple[int, ...], dtype: str, biased: bool) -> None:
    with jax.enable_x64(dtype == "float64"):
        x, kernel = normal(0, (*batch, 4), dtype), normal(1, (4, 3), dtype)
        bias = normal(2, (3,), dtype) if biased else None
        y = F.dense(x, kernel, bias)
        assert y.dtype == x.dtype
        expected = np.einsum("...i,io->...o", np.asarray(x, np.float64), np.asarray(kernel, np.float64))
        expected = expected if bias is None else expected + np.asarray(bias, np.float64)
        tolerance = {name: 4 * value for name, value in TOLERANCE[dtype].items()}
        np.testing.assert_allclose(np.asarray(y, np.float64), expected, **tolerance)


def test_gradients_jit_and_vmap() -> None:
    with jax.enable_x64(True):
        args = normal(0, (5, 4), "float64"), normal(1, (4, 3), "float64"), normal(2, (3,), "float64")
        check_grads(lambda *args: F.dense(*map(jnp.asarray, args)), args, order=2, modes=("fwd", "rev"))
        y = F.dense(*args)
        np.testing.assert_allclose(jax.jit(F.dense)(*args), y, **TOLERANCE["float64"])
        np.testing.assert_allclose(jax.vmap(F.dense, (0, None, None))(*args), y, **TOLERANCE["float64"])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_accumulates_in_float32(dtype: str) -> None:
    ones = jnp.ones(4096, dtype)
    assert F.dense(ones, ones[:, None]).item() == 4096  # a half-precision sum of ones stops at 256 or 2048
    assert jax.grad(lambda k: F.dense(ones[:, None], k).astype("float32").sum())(jnp.ones((1, 1), dtype)).item() == 4096


def test_flatten_merges_space_and_channels() -> None:
    x = jnp.arange(120.0).reshape(2, 3, 4, 5)
    assert (F.flatten(x) == x.reshape(2, 60)).all()
    assert F.flatten(x[0]).shape == (60,)
    assert F.flatten(x, spatial_axes=(-2,)).shape == (2, 3, 20)
    assert F.flatten(x, spatial_axes=(0, 1, 2)).shape == (120,)
    assert (F.flatten(x, spatial_axes=(0,))[1, 2] == x[:, 1, 2].ravel()).all()
    assert F.flatten(jnp.zeros((0, 2, 2, 3))).shape == (0, 12)


def test_the_lectures_counts() -> None:
    def parameters(inputs: int, outputs: int) -> int:
        arguments = [jax.ShapeDtypeStruct(shape, "float32") for shape in ((inputs,), (inputs, outputs), (outputs,))]
        assert jax.eval_shape(F.dense, *arguments).shape == (outputs,)
        return sum(a.size for a in arguments[1:])

    assert parameters(32 * 32 * 3, 128) == 393_344
    assert parameters(32 * 32 * 3, 32 * 32 * 10) == 31_467_520


BAD = {
    "features": (lambda: F.dense(jnp.ones((2, 3)), jnp.ones((4, 5))), ValueError, r"as many rows as `x` \(shape"),
    "bias": (lambda: F.dense(jnp.ones(4), jnp.ones((4, 5)), jnp.ones(4)), ValueError, r"`bias` .* must be \(5,\)"),
    "mixed": (
        lambda: F.dense(jnp.ones(4, "bfloat16"), jnp.ones((4, 5))),
        TypeError,
        "`x` is bfloat16 and `kernel` is float32",
    ),
    "integers": (lambda: F.dense(jnp.ones(4, int), jnp.ones((4, 5))), TypeError, "`x` must be floating point"),
    "axes": (lambda: F.flatten(jnp.ones((4, 4, 1)), spatial_axes=(-1,)), ValueError, "the last is its channels"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        call()
