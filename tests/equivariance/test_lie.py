"""Lie derivatives against central differences in float64, of networks written twice: in JAX and in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from references import equivariance as reference
from references.arrays import normal

from jaxcnn import functional as F
from jaxcnn.equivariance import Rotate, lie_derivative

KERNEL = np.random.default_rng(4).normal(size=(3, 3))
STEP = 1e-4


def circular(x):
    """A circular convolution, in JAX or NumPy."""
    if isinstance(x, np.ndarray):
        return sum(KERNEL[i, j] * np.roll(x, (1 - i, 1 - j), (0, 1)) for i in range(3) for j in range(3))
    return F.conv(x, jnp.asarray(KERNEL)[..., None, None], padding=1, padding_mode="circular")


def padded(x):
    if not isinstance(x, np.ndarray):
        return F.conv(x, jnp.asarray(KERNEL)[..., None, None], padding=1)
    wide, (h, w) = np.pad(x, ((1, 1), (1, 1), (0, 0))), x.shape[:2]
    return sum(KERNEL[i, j] * wide[i : i + h, j : j + w] for i in range(3) for j in range(3))


def rectified(x):
    return (np if isinstance(x, np.ndarray) else jnp).maximum(circular(x), 0)


CASES = {
    "circular": (circular, 1),
    "padded": (padded, 1),
    "rectified": (rectified, 1),
    "strided": (lambda x: rectified(x)[::2, ::2], 2),
    "cut": (lambda x: circular(x)[2:, 2:], 1),
    "upsampled": (lambda x: circular(x).repeat(2, 0).repeat(2, 1), 0.5),
    "pooled": (lambda x: rectified(x).mean((0, 1)), None),
    "logits": (lambda x: rectified(x).reshape(-1) @ np.cos(np.arange(x.size * 3)).reshape(-1, 3), None),
}


def by_differences(fn, x: np.ndarray, jump: float | None) -> float:
    """`|d/dt T_{-t/s} f(T_t x)| / |f(x)|`, root sum of squares over both axes."""
    squares = 0.0
    for axis in (0, 1):
        ends = []
        for t in (STEP, -STEP):
            y = fn(reference.fourier_shifted(x, t, axis))
            ends.append(y if jump is None else reference.fourier_shifted(y, -t / jump, axis))
        squares += float((((ends[0] - ends[1]) / (2 * STEP)) ** 2).sum())
    return squares**0.5 / float((fn(x) ** 2).sum()) ** 0.5


@pytest.mark.parametrize(("fn", "jump"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("shape", [(8, 7, 1)], ids=str)
def test_derivatives_are_central_differences(fn, jump, shape) -> None:
    with jax.enable_x64(True):
        x = np.random.default_rng(1).normal(size=shape)
        found = lie_derivative(fn, jnp.asarray(x))
        expected = by_differences(fn, x, jump)
        assert found["output"].jumps == (jump, jump)
        np.testing.assert_allclose(found.error, expected, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(found["output"].norm, (fn(x) ** 2).sum() ** 0.5, rtol=1e-10)
        assert (found.error < 1e-12) == (fn is circular)


def test_what_the_grid_resolves_has_none() -> None:
    """A stride of a signal that it does not alias, and a square that makes no frequency that the grid has not."""
    with jax.enable_x64(True):
        where = 2 * np.pi * np.arange(16) / 16
        slow = jnp.asarray(np.cos(where)[:, None, None] + np.sin(2 * where)[None, :, None])
        fast = jnp.asarray(np.cos(5 * where)[:, None, None] + np.sin(6 * where)[None, :, None])
        for fn in (lambda x: x[::2, ::2], lambda x: x**2, lambda x: (x**2)[1::2, ::2]):
            assert lie_derivative(fn, slow).error < 1e-12
            assert lie_derivative(fn, fast).error > 0.1


def test_every_layer_has_a_row_that_is_its_own() -> None:
    kernels = [normal(n, (3, 3, *channels)) for n, channels in enumerate([(2, 4), (4, 4)])]

    def net(x):
        for n, kernel in enumerate(kernels):
            with jax.named_scope(f"conv{n}"):
                x = F.conv(x, kernel, padding=1, padding_mode="circular")
            with jax.named_scope(f"act{n}"):
                x = jax.nn.silu(x)
        with jax.named_scope("pool"):
            x = F.max_pool(x, (2, 2))
        return F.global_avg_pool(x)

    x = normal(9, (8, 8, 2))
    found = lie_derivative(net, x)
    assert found["conv0"].error < 1e-5 < 0.01 < found["act0"].error
    assert found["pool"].jumps == (2, 2)
    assert found["output"].jumps == (None, None)
    upto = lie_derivative(lambda x: jax.nn.silu(F.conv(x, kernels[0], padding=1, padding_mode="circular")), x)
    assert found["act0"].error == pytest.approx(upto.error, rel=1e-4)
    assert str(found).count("\n") == len(found.layers)


def test_axes_of_any_layout() -> None:
    x = normal(0, (6, 8, 1))
    one = lie_derivative(lambda x: jnp.tanh(x)[::2], x)
    other = lie_derivative(lambda x: jnp.tanh(x)[:, ::2], x.transpose(2, 0, 1), spatial_axes=(-1, -2))
    assert one.error == pytest.approx(other.error, rel=1e-5)
    assert one["output"].jumps == (2, 1)
    line = lie_derivative(jnp.tanh, x[:, 0], spatial_axes=(0,))
    assert line["output"].jumps == (1,)


def blob(size: int = 24) -> np.ndarray:
    where = np.arange(size) - (size - 1) / 2
    return np.exp(-((where - 4) ** 2)[:, None] / 6 - ((where + 2) ** 2)[None] / 6)[..., None]


def test_a_rotation_is_central_differences_too() -> None:
    def fn(x):
        return jnp.maximum(circular(x), 0)

    with jax.enable_x64(True):
        x = jnp.asarray(blob())
        found = lie_derivative(fn, x, generator="rotation")
        ends = [Rotate(-t)(fn(Rotate(t)(x))) for t in (STEP, -STEP)]
        expected = jnp.linalg.norm((ends[0] - ends[1]) / (2 * STEP)) / jnp.linalg.norm(fn(x))
        np.testing.assert_allclose(found.error, expected, rtol=1e-4)


def test_rotations_tell_isotropic_from_directed() -> None:
    """A round filter commutes with turns, a slope along one axis does not; at a stride, about the same centre."""
    where = np.arange(-3, 4)
    round_ = np.exp(-(where**2)[:, None] / 4 - (where**2)[None] / 4)
    directed = round_ * where[:, None]
    with jax.enable_x64(True):
        x = jnp.asarray(blob())

        def filtered(kernel):
            values = jnp.asarray(kernel)[..., None, None]
            return lambda x: F.conv(x, values, strides=2, padding=3)

        found = lie_derivative(filtered(round_), x, generator="rotation")
        assert found["output"].jumps == (2, 2)
        assert found.error < 0.02  # the filter is cut off at 7x7, and the stride folds a little
        assert lie_derivative(filtered(directed), x, generator="rotation").error > 0.3
        assert lie_derivative(lambda x: x.sum((0, 1)), x, generator="rotation").error < 1e-5
        shifted = lie_derivative(lambda x: jnp.roll(x, -3, 0), x, generator="rotation")
        assert shifted.error < 1e-5  # its fields are where they were, and so is the pivot


def test_loops_are_left_out_and_what_is_after_them_is_not() -> None:
    def fn(x):
        x = lax.scan(lambda c, _: (jnp.roll(c, 1, 0), None), x, length=3)[0]
        return x * 2

    found = lie_derivative(fn, normal(0, (6, 5, 1)))
    assert "scan" not in {layer.primitive for layer in found.layers}
    assert found.error < 1e-5


ERRORS = [
    ({"generator": "scale"}, ValueError, "must be one of"),
    ({"generator": "rotation", "spatial_axes": (0,)}, ValueError, "must be two axes for a rotation"),
    ({"spatial_axes": (7,)}, ValueError, "names axis 7"),
]


@pytest.mark.parametrize(("options", "kind", "says"), ERRORS, ids=[says for *_, says in ERRORS])
def test_errors_say_what_to_do(options, kind, says) -> None:
    with pytest.raises(kind, match=says):
        lie_derivative(jnp.sin, normal(0, (4, 4, 1)), **options)


def test_integers_and_many_results_are_refused() -> None:
    with pytest.raises(TypeError, match="cannot move by fractions of a pixel"):
        lie_derivative(lambda x: x, jnp.arange(4).reshape(2, 2, 1))
    with pytest.raises(TypeError, match="must return one array"):
        lie_derivative(lambda x: [x, x], normal(0, (4, 4, 1)))
