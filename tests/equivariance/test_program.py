"""Functions as lists of operations, against the functions themselves."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax
from references.arrays import normal

from jaxcnn import functional as F
from jaxcnn import models, nn
from jaxcnn.equivariance.operation import widened
from jaxcnn.equivariance.program import program
from jaxcnn.equivariance.windows import rewindowed, window_of


@jax.custom_vjp
def own_backward(x: Array) -> Array:
    return jnp.tanh(x) * 2


own_backward.defvjp(lambda x: (own_backward(x), x), lambda x, g: (g,))


def winding(x: Array) -> Array:
    """Calls inside calls, both kinds of loop, a branch that the data choose and one that they do not."""
    x = jax.nn.relu(jnp.roll(x, 1))
    x = own_backward(jax.checkpoint(jnp.sin)(x))
    x = lax.scan(lambda c, t: (jax.nn.silu(c) + t, c.sum()), x, jnp.arange(3.0))[0]
    x, sums = lax.scan(lambda c, t: (c * t, c.sum(0)), x, jnp.arange(1.0, 3.0), reverse=True)
    x = lax.cond(x.sum() > 0, lambda x: jnp.exp(-x) + 1, lambda x: x, x)
    x = lax.fori_loop(0, 2, lambda i, x: x * 2 - 1, x)
    x = lax.while_loop(lambda x: x.max() < 9, lambda x: x + 1, x)
    return (x @ jnp.ones((x.shape[-1], 2))).sum(0) + sums.sum()


def test_a_program_computes_what_its_function_does() -> None:
    x = normal(0, (4, 5))
    listed = program(winding, x)
    (result,) = jax.jit(lambda x: listed.run(x, listed.outputs))(x)
    np.testing.assert_allclose(result, jax.jit(winding)(x), rtol=1e-6)
    names = [operation.name for operation in listed.operations]
    assert "scan" not in names
    assert "jit" not in names
    assert {"cond", "while"} <= set(names)
    assert any("turn2" in operation.scope for operation in listed.operations)


def test_what_no_result_needs_is_left_out() -> None:
    def fn(x: Array) -> Array:
        jnp.exp(x)
        return x + 1

    assert [operation.name for operation in program(fn, 1.0).operations] == ["add"]


def test_double_precision() -> None:
    """Of a network in float32 the float64 run is that of the same numbers; NumPy says what they are."""
    kernel, x = normal(0, (3, 3, 2, 4)), normal(1, (6, 5, 2))
    listed = program(lambda x: jax.nn.relu(F.conv(x, kernel)).mean((0, 1), dtype=jnp.float32), x)
    with jax.enable_x64(True):
        (found,) = listed.run(widened(x), listed.outputs, double=True)
    wide, taps = np.pad(np.asarray(x, float), ((1, 1), (1, 1), (0, 0))), np.asarray(kernel, float)
    windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (0, 1))  # (6, 5, 2, 3, 3)
    answer = np.maximum(np.einsum("hwcij,ijco->hwo", windows, taps), 0).mean((0, 1))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, answer, rtol=1e-12)


def test_double_precision_keeps_what_depends_on_bits() -> None:
    """The choice of a polyphase pool, which reads the bits of float32 numbers."""
    x = normal(0, (8, 6, 2))
    listed = program(F.polyphase_pool, x)
    with jax.enable_x64(True):
        (found,) = listed.run(widened(x), listed.outputs, double=True)
    np.testing.assert_array_equal(found, F.polyphase_pool(x))


def test_operations_may_be_replaced() -> None:
    listed = program(lambda x: jnp.exp(2 * x).sum(), jnp.arange(3.0))
    (exp,) = (operation for operation in listed.operations if operation.name == "exp")
    given = {listed.input: jnp.arange(3.0), **listed.constants}
    (result,) = listed.replay(given, listed.outputs, instead={exp.outputs[0]: lambda x: [x + 1]})
    assert float(result) == 9
    with pytest.raises(KeyError, match="not given"):
        listed.replay({}, listed.outputs)


def test_networks() -> None:
    fn, params = nn.functionalize(models.create("resnet9", width=4))
    x = normal(0, (32, 32, 3))
    listed = program(lambda x: fn(params, x), x)
    (found,) = jax.jit(lambda x: listed.run(x, listed.outputs))(x)
    np.testing.assert_allclose(found, jax.jit(fn)(params, x), rtol=1e-5, atol=1e-6)


def test_transforms_go_through() -> None:
    x = normal(0, (4, 5))
    listed = program(lambda x: own_backward(jax.nn.relu(x)) * 2, x)

    def run(x: Array) -> Any:
        return listed.run(x, listed.outputs)[0]

    _, slope = jax.jvp(run, (x,), (jnp.ones_like(x),))
    np.testing.assert_allclose(slope, 4 * (x > 0) / np.cosh(np.maximum(x, 0)) ** 2, rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(run)(jnp.stack([x, -x]))[1], own_backward(jax.nn.relu(-x)) * 2, rtol=1e-6)


KERNEL = np.asarray(normal(5, (3, 1, 2, 2)))
WINDOWS: dict[str, tuple[Any, int, int, tuple[int, int]]] = {
    "conv": (lambda x: F.conv(x, jnp.asarray(KERNEL), strides=(2, 1), padding="SAME"), 3, 2, (0, 1)),
    "lax": (lambda x: lax.conv(x.transpose(2, 0, 1)[None], KERNEL.transpose(3, 2, 0, 1), (2, 1), "SAME"), 3, 2, (0, 1)),
    "max pool": (lambda x: F.max_pool(x, (3, 2), strides=(2, 1), padding="SAME"), 3, 2, (0, 1)),
    "avg pool": (lambda x: F.avg_pool(x, (3, 2), strides=(2, 1)), 3, 2, (0, 0)),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows(name: str) -> None:
    """What is read of a window, and what it computes on a circle, one position at a time: rolls, written out."""
    fn, taps, strides, padding = WINDOWS[name]
    x = normal(3, (6, 4, 2))
    listed = program(fn, x)
    axis = 2 if name == "lax" else 1
    operation = next(op for op in listed.operations if window_of(op, axis) is not None)
    found = window_of(operation, axis)
    assert found is not None
    assert (found.taps, found.strides, found.padding, found.holes) == (taps, strides, padding, 1)
    with jax.enable_x64(True):
        (map_,) = listed.run(widened(x), operation.inputs[:1], double=True)
        others = listed.run(widened(x), operation.inputs[1:], double=True)
        dense = np.asarray(rewindowed(operation, axis, circular=True, dense=True)(map_, *others)[0])
        strided = np.asarray(rewindowed(operation, axis, circular=True, dense=False)(map_, *others)[0])
    assert dense.shape[axis] == 6
    np.testing.assert_array_equal(np.take(dense, range(0, 6, 2), axis), strided)
    if name in ("conv", "lax"):
        rows = np.moveaxis(np.asarray(map_), axis, 0)  # (6, ...)
        rows = np.moveaxis(rows, 2, -1) if name == "lax" else rows  # (6, 1, 4, 2)
        parts = [np.roll(rows, 1 - k, 0) @ np.asarray(KERNEL[k, 0], float) for k in range(3)]
        mine = np.moveaxis(dense, axis, 0)
        mine = np.moveaxis(mine, 2, -1) if name == "lax" else mine
        np.testing.assert_allclose(mine, sum(parts), rtol=1e-9, atol=1e-12)
    else:
        plain = np.asarray(map_)
        rolled = np.stack([np.roll(plain, 1 - k, 1) for k in range(3)])
        amounts = [(0, 0)] * 3 + [(0, 1 if "max" in name else 0), (0, 0)]  # SAME, across
        across = np.pad(rolled, amounts, constant_values=-np.inf)
        pairs = np.stack([across[:, :, :, :-1], across[:, :, :, 1:]])
        answer = pairs.max((0, 1)) if "max" in name else pairs.sum((0, 1))
        np.testing.assert_allclose(dense, answer, rtol=1e-9, atol=1e-12)
