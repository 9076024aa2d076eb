"""The trace walks into what runs another jaxpr, and claims nothing of what it does not know."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from references.told import ANY, EVERYWHERE, NONE, UNKNOWN, Told, facts, half, padded, part, shift

from jaxcnn import analysis

N = 12


def blur(x, taps=3):
    return lax.reduce_window(x, 0.0, lax.add, (taps,), (1,), "SAME")


def circular_blur(x):
    return x + jnp.roll(x, 1) + jnp.roll(x, -1)


@jax.custom_jvp
def with_jvp(x):
    return blur(x)


with_jvp.defjvp(lambda primals, tangents: (blur(*primals), tangents[0]))


@jax.custom_vjp
def with_vjp(x):
    return blur(x)


with_vjp.defvjp(lambda x: (blur(x), None), lambda _, g: (g,))


def loop(body, count):
    return lambda p, x: lax.fori_loop(0, count, lambda _, x: body(x), x)


def scanned(p, x):
    return lax.scan(lambda x, w: (w * blur(x), None), x, p[:3])[0]


CALLS = {
    "jit": (lambda p, x: jax.jit(blur)(x), Told(3, **padded(1, 1))),
    "jit in jit": (lambda p, x: jax.jit(jax.jit(blur))(blur(x)), Told(5, **padded(2, 2))),
    "remat": (lambda p, x: jax.checkpoint(blur)(x), Told(3, **padded(1, 1))),
    "custom jvp": (lambda p, x: with_jvp(x), Told(3, **padded(1, 1))),
    "custom vjp": (lambda p, x: with_vjp(x), Told(3, **padded(1, 1))),
    "relu": (lambda p, x: jax.nn.relu(x), Told()),
    "scan over layers": (scanned, Told(7, **padded(3, 3))),
    "loop": (loop(blur, 4), Told(9, **padded(4, 4))),
    "loop, circular": (loop(circular_blur, 2), Told(5, interior=shift(margin=(2, 2)))),
    "loop of none": (loop(blur, 0), Told()),
    "cond": (
        lambda p, x: lax.cond(p[0] > 0, blur, lambda x: blur(x, 5), x),
        Told(5, **padded(2, 2)),
    ),
    "cond of a roll": (
        lambda p, x: lax.cond(p[0] > 0, lambda x: jnp.roll(x, 1), lambda x: x, x),
        Told(2, half(-1), ANY, (0, 0), ANY, ANY),
    ),
    "switch": (
        lambda p, x: lax.switch(jnp.int32(p[0]), [lambda x: x, blur, lambda x: -x], x),
        Told(3, **padded(1, 1)),
    ),
    "cond on the input": (  # which branch runs may change when content comes in
        lambda p, x: lax.cond(x.sum() > 0, lambda x: x, lambda x: -x, x),
        Told(ANY, ANY, ANY, (0, 0), EVERYWHERE, NONE, ANY),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_call(name):
    fn, told = CALLS[name]
    told.check(*facts(fn, N))


def test_a_scan_repeats_its_steps():
    traced = analysis.trace(
        scanned, jax.ShapeDtypeStruct((2000,), "float32"), jax.ShapeDtypeStruct((N,), "float32"), spatial_axes=(0,)
    )
    assert [step.repeats for step in traced.steps if step.primitive.startswith("reduce_window")] == [3]
    assert traced.unknown == {}


def test_scopes_go_into_calls():
    def fn(x):
        with jax.named_scope("stage"):
            return jax.jit(lambda x: jax.named_scope("inner")(blur)(x))(x)

    traced = analysis.trace(fn, jax.ShapeDtypeStruct((N,), "float32"), spatial_axes=(0,))
    assert [step.scope for step in traced.steps if step.primitive.startswith("reduce_window")] == ["stage/inner"]
    assert all(step.known and step.depends for step in traced.steps if step.scope == "stage/inner")


# Each with the contracts that would be true of it, circular and interior; to say that nothing is known is as right.
SAFE = {
    "data-dependent slice": (lambda p, x: lax.dynamic_slice(x, (x.argmax(),), (4,)), (), ()),
    "slice at a parameter": (lambda p, x: lax.dynamic_slice(x, (jnp.int32(p[0]),), (4,)), (), (shift(margin=(0, 0)),)),
    "update": (lambda p, x: lax.dynamic_update_slice(x, p[:2], (0,)), (), (shift(margin=(2, 0)),)),
    "scatter": (lambda p, x: x.at[3].set(0), (), (shift(margin=(4, 0)), shift(margin=(0, 9)))),
    "gather at parameters": (lambda p, x: x[jnp.int32(p[:5])], (), ()),
    "gather at the input": (lambda p, x: p[jnp.int32(x)], (shift(),), (shift(margin=(0, 0)),)),
    "sorted": (lambda p, x: jnp.sort(x), (("invariant", 1),), ()),
    "sum with the sorted": (lambda p, x: x + jnp.sort(x), (), ()),
    "mask": (
        lambda p, x: x * jnp.concatenate([jnp.zeros(6), jnp.ones(6)]), (), (shift(margin=(0, 6)), shift(margin=(6, 0)))
    ),
    "after a ramp": (lambda p, x: jnp.concatenate([np.arange(20.0), x]), (), (shift(margin=(20, 0)),)),
    "repeated mask": (
        lambda p, x: x * jnp.concatenate([p[:6], p[:6]]), (shift(6, 6),), (shift(6, 6, (0, 0)),)
    ),
    "convolved with the input": (
        lambda p, x: lax.conv_general_dilated(p[None, None, :40], x[None, None], (1,), "VALID"), (), ()
    ),
    "attention": (
        lambda p, x: jax.nn.softmax(x[:, None] * x[None, :]) @ x, (shift(),), ()
    ),
    "outer sum": (lambda p, x: x[:, None] + x[None, :], (), ()),
    "flattened": (lambda p, x: (x[:, None] * p[:3]).ravel(), (shift(1, 3),), (shift(1, 3, (0, 0)),)),
    "recurrent": (lambda p, x: lax.scan(lambda s, a: (s + a, s * a), p[0], x)[1], (), ()),
    "while on a parameter": (
        lambda p, x: lax.while_loop(lambda c: c[0] < p[0], lambda c: (c[0] + 1, 2 * c[1]), (0.0, x))[1],
        (shift(),), (shift(margin=(0, 0)),),
    ),
    "while on the input": (
        lambda p, x: lax.while_loop(lambda x: x.sum() < 9, lambda x: 2 * x, x), (shift(),), ()
    ),
    "while of convolutions": (
        lambda p, x: lax.while_loop(lambda c: c[0] < p[0], lambda c: (c[0] + 1, blur(c[1])), (0.0, x))[1], (), ()
    ),
    "while of rolls": (
        lambda p, x: lax.while_loop(lambda c: c[0] < p[0], lambda c: (c[0] + 1, jnp.roll(c[1], 1)), (0.0, x))[1],
        (shift(),), (),
    ),
    "Fourier": (lambda p, x: jnp.abs(jnp.fft.fft(x)), (("invariant", 1),), ()),
    "triangular": (lambda p, x: jnp.tril(part(p, N, N)) @ x, (), ()),
    "top": (lambda p, x: lax.top_k(x, 3)[0], (("invariant", 1),), ()),
    "positions": (lambda p, x: x * jnp.arange(N), (), ()),
    "ones": (lambda p, x: x + jnp.ones(N), (shift(),), (shift(margin=(0, 0)),)),
    "adaptive phase": (  # equivariant up to a roll: the phase with the larger sum
        lambda p, x: jnp.where(x[::2].sum() > x[1::2].sum(), x[::2], x[1::2]),
        (shift(2), ("orbit",)), (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAFE)
def test_no_more_is_claimed_than_is_true(name):
    fn, circular, interior = SAFE[name]
    (told,) = facts(fn, N)
    allowed = [NONE, UNKNOWN]
    for contract, true in ((told.circular, circular), (told.interior, interior)):
        claim = (contract.kind, contract.lattice, contract.step, contract.margin)
        assert any(all(t in (ANY, c) for t, c in zip(one, claim, strict=False)) for one in (*allowed, *true)), claim


def test_what_has_no_rule_is_unknown_and_so_is_what_follows():
    def fn(p, x):
        return blur(jnp.fft.fft(x).real), jnp.sin(x), jnp.fft.fft(p[:8]).real

    p, x = jax.ShapeDtypeStruct((2000,), "float32"), jax.ShapeDtypeStruct((N,), "float32")
    traced = analysis.trace(fn, p, x, spatial_axes=(0,))
    after, beside, without = (output.axes[0] for output in traced.outputs)
    assert traced.unknown["fft"] >= 1
    assert (after.receptive_field, after.contract.kind, after.contract.guarantees) == (None, "unknown", False)
    Told().check(beside)
    assert without.receptive_field == 0
    assert [step.known for step in traced.steps if step.primitive == "fft" and step.depends] == [False]


def test_a_recursion_of_calls_is_quick():
    """Twenty calls deep is no deeper than twenty calls."""
    fn = functools.reduce(lambda f, _: jax.jit(lambda x, f=f: f(x) + 1), range(20), lambda x: x)
    Told().check(*facts(lambda p, x: fn(x), N))
