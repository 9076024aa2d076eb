"""The arrays of a program, against the program itself run piece by piece."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax
from references.arrays import normal

from jaxcnn import models, nn
from jaxcnn.analysis import trace
from jaxcnn.equivariance.intermediates import intermediates, steps_of


@jax.custom_vjp
def own_backward(x: Array) -> Array:
    return jnp.tanh(x) * 2


own_backward.defvjp(lambda x: (own_backward(x), x), lambda x, g: (g,))


def winding(x: Array) -> Array:
    """Calls inside calls, both kinds of loop, a branch that the data choose and one that they do not."""
    x = jax.nn.relu(jnp.roll(x, 1))
    x = own_backward(jax.checkpoint(jnp.sin)(x))
    x = lax.scan(lambda c, t: (jax.nn.silu(c) + t, c.sum()), x, jnp.arange(3.0))[0]
    x = lax.cond(x.sum() > 0, lambda x: jnp.exp(-x) + 1, lambda x: x, x)
    x = lax.fori_loop(0, 2, lambda i, x: x * 2 - 1, x)
    x = lax.while_loop(lambda x: x.max() < 9, lambda x: x + 1, x)
    x = lax.switch(jnp.int32(1), [jnp.cos, lambda x: jnp.exp(x) - 1, jnp.sin], x)
    return (x @ jnp.ones((x.shape[-1], 2))).sum(0)


def test_the_last_array_is_the_result() -> None:
    x = normal(0, (4, 5))
    found, evaluate = intermediates(winding, x)
    arrays = jax.jit(evaluate)(x)
    np.testing.assert_array_equal(arrays[-1], jax.jit(winding)(x))
    assert [array.shape for array in arrays] == [one.shape for one in found]
    assert [array.dtype for array in arrays] == [one.dtype for one in found]
    assert {"scan", "cond", "while"} <= {one.primitive for one in found}
    assert "jit" not in {one.primitive for one in found}


def test_every_array_is_what_the_program_computes() -> None:
    def fn(x: Array) -> tuple[Array, ...]:
        a = jnp.sin(x)
        b = jax.jit(lambda a: a * 3)(a)
        return a, b, jnp.argsort(b), b.sum()

    x = normal(1, (6,))
    found, evaluate = intermediates(fn, x)
    sines, products = (next(i for i, one in enumerate(found) if one.primitive == name) for name in ("sin", "mul"))
    a, b, _, total = fn(x)
    np.testing.assert_array_equal(evaluate(x, chosen=[products, sines])[0], b)
    np.testing.assert_array_equal(evaluate(x, chosen=[products, sines])[1], a)
    np.testing.assert_array_equal(evaluate(x)[-1], total)


def test_steps_are_those_of_the_trace() -> None:
    found, _ = intermediates(winding, normal(0, (4, 5)))
    steps = trace(winding, jax.ShapeDtypeStruct((4, 5), "float32"), spatial_axes=(0,)).steps
    matched = steps_of(found, steps)
    assert len(matched) == len(found)
    for one, step in zip(found, matched, strict=True):
        assert (step is None) == (one.primitive in ("scan", "while", "cond"))
        assert step is None or (step.scope, step.primitive, step.calls) == (one.scope, one.primitive, one.calls)
    with pytest.raises(ValueError, match="not those of the program"):
        steps_of(found, steps[:-1])


def test_steps_of_a_network_and_its_fused_operations() -> None:
    model = models.create("resnet9", width=4)
    fn, params = nn.functionalize(model)
    x = normal(0, (32, 32, 3))
    found, evaluate = intermediates(fn, params, x)
    matched = steps_of(found, trace(fn, params, x).steps)
    assert [step.scope for step in matched if step] == [one.scope for one in found]
    np.testing.assert_allclose(jax.jit(evaluate)(params, x)[-1], jax.jit(fn)(params, x), rtol=1e-5, atol=1e-6)


def test_transforms_go_through() -> None:
    x = normal(0, (4, 5))
    found, evaluate = intermediates(lambda x: own_backward(jax.nn.relu(x)) * 2, x)
    chosen = range(len(found))
    _, slopes = jax.jvp(lambda x: evaluate(x, chosen=chosen), (x,), (jnp.ones_like(x),))
    np.testing.assert_allclose(slopes[-1], 4 * (x > 0) / np.cosh(np.maximum(x, 0)) ** 2, rtol=1e-5)
    batched = jax.vmap(evaluate)(jnp.stack([x, -x]))
    np.testing.assert_allclose(batched[-1][1], own_backward(jax.nn.relu(-x)) * 2, rtol=1e-6)
