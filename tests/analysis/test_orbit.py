"""Adaptive polyphase sampling: equivariant up to a roll that the data choose."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcnn import analysis
from jaxcnn import functional as F

SHAPE = (12, 8, 2)
KERNEL = np.random.default_rng(0).standard_normal((3, 3, 2, 2))


def circular(x: Any) -> Any:
    return F.conv(x, jnp.asarray(KERNEL, x.dtype), padding=1, padding_mode="circular")


def polyphase(x: Any) -> Any:
    """The phase of stride 2 that has the largest norm."""
    h, w, c = x.shape
    phases = x.reshape(h // 2, 2, w // 2, 2, c).transpose(1, 3, 0, 2, 4).reshape(4, h // 2, w // 2, c)
    return lax.dynamic_index_in_dim(phases, jnp.argmax((phases**2).sum((1, 2, 3))), keepdims=False)


def phases_of_rows(x: Any) -> tuple[Any, Any]:
    h, w, c = x.shape
    phases = x.reshape(h // 2, 2, w, c).transpose(1, 0, 2, 3)
    return phases, jnp.argmax((phases**2).sum((1, 2, 3)))


def polyphase_rows(x: Any) -> Any:
    """The same of rows alone, chosen by the least norm, with an index that counts from behind."""
    h, w, c = x.shape
    phases = x.reshape(h // 2, 2, w, c)
    return lax.dynamic_index_in_dim(phases, jnp.argmin((phases**2).sum((0, 2, 3))) - 2, 1, keepdims=False)


def with_shortcut(x: Any) -> Any:
    """A residual block: the shortcut is sampled at the phase that the body chose."""
    y, index = F.polyphase_pool(circular(x), return_index=True)
    return circular(jnp.tanh(y)) + F.polyphase_pool(x, index=index)


def with_mirrored_shortcut(x: Any) -> Any:
    y, index = F.polyphase_pool(circular(x), return_index=True)
    return y + F.polyphase_pool(x[::-1], index=index)


def merged_phases(x: Any) -> Any:
    """Element-wise operations on the norms of the four phases, whose axis is a product of two."""
    h, w, c = x.shape
    phases = x.reshape(h // 2, 2, w // 2, 2, c).transpose(1, 3, 0, 2, 4).reshape(4, h // 2, w // 2, c)
    norms = (phases**2).sum((1, 2, 3))
    return jnp.where(norms == norms.max(), norms, 0).reshape(2, 2).sum(0)


def kinds(fn: Any) -> list[str]:
    facts = analysis.trace(fn, jax.ShapeDtypeStruct(SHAPE, jnp.float32)).outputs[0]
    return [str(axis.circular) for axis in facts.axes]


def stays(x: Any, *, indexed: bool = False) -> Any:
    """One of three maps, by a norm that no shift changes."""
    y = circular(x)
    maps = jnp.stack([jnp.sin(y), jnp.cos(y), y])
    index = jnp.argmax((maps**2).sum((1, 2, 3)))
    return maps[index] if indexed else lax.dynamic_index_in_dim(maps, index, keepdims=False)


def stays_twice(x: Any) -> Any:
    """One of two times two maps."""
    y = circular(x)
    maps = jnp.stack([jnp.stack([jnp.sin(y), y]), jnp.stack([jnp.cos(y), y**2])])
    norms = (maps**2).sum((2, 3, 4))
    starts = (jnp.argmax(norms.max(1)), jnp.argmax(norms.max(0)), 0, 0, 0)
    return lax.dynamic_slice(maps, starts, (1, 1, *y.shape))[0, 0]


def put_back(between: Any = circular, *, strides: Any = 2, index_of: Any = None) -> Any:
    """What is computed of the phase, back at the index that it was taken from, or that another map chooses."""

    def fn(x: Any) -> Any:
        y, index = F.polyphase_pool(circular(x), strides=strides, return_index=True)
        if index_of is not None:
            index = index_of(x, index)
        return circular(F.polyphase_unpool(between(y), index, strides=strides))

    return fn


def two_levels(x: Any) -> Any:
    """A U-Net of polyphase sampling, with what was left on the way down."""
    y, outer = F.polyphase_pool(circular(x), return_index=True)
    z, inner = F.polyphase_pool(circular(jnp.tanh(y)), strides=(3, 2), return_index=True)
    up = y + circular(F.polyphase_unpool(jnp.tanh(z), inner, strides=(3, 2)))
    return jnp.concatenate([x, circular(F.polyphase_unpool(up, outer))], -1)


def put_in_order(x: Any, order: Any) -> Any:
    """The same written out, with the phases' numbers in any order."""
    y, index = F.polyphase_pool(x, return_index=True)
    h, w, c = y.shape
    phases = jnp.where((jnp.asarray(order) == index).reshape(4, 1, 1, 1), y, 0)
    return phases.reshape(2, 2, h, w, c).transpose(2, 0, 3, 1, 4).reshape(2 * h, 2 * w, c)


CASES = {
    "put back": (put_back(), ["equivariant", "equivariant"]),
    "put back by other strides": (put_back(strides=(3, 4)), ["equivariant", "equivariant"]),
    "put back along one axis": (put_back(strides=(1, 2)), ["equivariant", "equivariant"]),
    "put back at two levels": (two_levels, ["equivariant", "equivariant"]),
    "put back, rolled": (put_back(lambda y: jnp.roll(y, 1, 0)), ["equivariant", "equivariant"]),
    "the mean put back": (put_back(lambda y: 0 * y + y.mean((0, 1))), ["equivariant", "equivariant"]),
    "summed up before it is put back": (put_back(lambda y: jnp.cumsum(y, 0)), ["position-dependent", "equivariant"]),
    "put back of every second row": (lambda x: put_back()(x[::2]), ["equivariant on 2Z", "equivariant"]),
    "put back one phase further": (put_back(index_of=lambda x, k: (k + 1) % 4), ["unknown", "unknown"]),
    "put back where a mirrored map chooses": (
        put_back(index_of=lambda x, k: F.polyphase_pool(x[::-1], return_index=True)[1]),
        ["unknown", "unknown"],
    ),
    "put back, written out": (lambda x: put_in_order(x, [0, 1, 2, 3]), ["equivariant", "equivariant"]),
    "put back in another order": (lambda x: put_in_order(x, [0, 2, 1, 3]), ["unknown", "unknown"]),
    "put back over the map itself": (lambda x: put_back()(x) * circular(x), ["equivariant", "equivariant"]),
    "the phase beside what is put back": (
        lambda x: put_back()(x)[:6, :4] + F.polyphase_pool(circular(x)),
        ["unknown", "unknown"],
    ),
    "polyphase": (lambda x: polyphase(circular(x)), ["orbit", "orbit"]),
    "one axis": (lambda x: polyphase_rows(circular(x)), ["orbit", "equivariant"]),
    "taken": (lambda x: jnp.take(*phases_of_rows(circular(x)), axis=0), ["orbit", "equivariant"]),
    "a shortcut of the same choice": (with_shortcut, ["orbit", "orbit"]),
    "two such blocks, then the mean": (lambda x: with_shortcut(with_shortcut(x)).mean((0, 1)), ["invariant"] * 2),
    "a mirrored shortcut": (with_mirrored_shortcut, ["unknown", "unknown"]),
    "two choices": (lambda x: polyphase(circular(x)) + polyphase(x), ["unknown", "unknown"]),
    "indexed": (lambda x: (lambda phases, k: phases[k])(*phases_of_rows(circular(x))), ["orbit", "equivariant"]),
    "then a convolution": (lambda x: circular(polyphase(circular(x))), ["orbit", "orbit"]),
    "twice": (lambda x: polyphase(circular(jnp.tanh(polyphase(circular(x)))))[:, :1], ["orbit", "position-dependent"]),
    "then the mean": (lambda x: circular(polyphase(circular(x))).mean((0, 1)), ["invariant", "invariant"]),
    "beside the mean": (lambda x: polyphase(x) + x.mean((0, 1)), ["orbit", "orbit"]),
    "then every second": (lambda x: polyphase(circular(x))[::2], ["equivariant on 4Z", "orbit"]),
    "then every third": (lambda x: polyphase(circular(x))[::3], ["equivariant on 6Z", "orbit"]),
    "then every second column": (lambda x: polyphase(circular(x))[:, ::2], ["orbit", "equivariant on 4Z"]),
    "then the mean of every second column": (
        lambda x: polyphase(circular(x))[:, ::2].mean((0, 1)),
        ["invariant", "invariant on 4Z"],
    ),
    "then every third of a choice of every second": (
        lambda x: polyphase(circular(x)[:, ::2])[::3],
        ["equivariant on 6Z", "orbit on 2Z"],
    ),
    "then every fourth": (lambda x: polyphase(circular(x))[::4], ["position-dependent", "orbit"]),
    "of every second": (lambda x: polyphase(circular(x)[::2, ::2]), ["orbit on 2Z", "orbit on 2Z"]),
    "of every second row, then the mean": (
        lambda x: polyphase_rows(circular(x)[::2]).mean((0, 1)),
        ["invariant on 2Z", "invariant"],
    ),
    "of every third row of a choice": (lambda x: polyphase_rows(polyphase_rows(circular(x))[::3]), ["unknown"] * 2),
    "beside a number that a choice of every second row gives": (
        lambda x: x + polyphase_rows(circular(x)[::2]).mean((0, 1)),
        ["unknown", "unknown"],
    ),
    "after zeros": (lambda x: polyphase(F.conv(x, jnp.asarray(KERNEL, x.dtype))), ["unknown", "unknown"]),
    "beside a corner": (lambda x: polyphase(x) + x[:6, :4], ["unknown", "unknown"]),
    "an index of all": (lambda x: lax.dynamic_index_in_dim(x, jnp.argmax(x), keepdims=False), ["unknown", "unknown"]),
    "a choice that stays": (stays, ["equivariant", "equivariant"]),
    "a choice that stays, indexed": (lambda x: stays(x, indexed=True), ["equivariant", "equivariant"]),
    "a choice of two that stays": (lambda x: stays_twice(x), ["equivariant", "equivariant"]),
    "repeated rows": (
        lambda x: F.polyphase_pool(circular(jnp.repeat(x, 2, 0)), strides=(2, 1)),
        ["equivariant", "equivariant"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_contract(name: str) -> None:
    fn, expected = CASES[name]
    assert kinds(fn) == expected


@pytest.mark.parametrize("name", [name for name, (_, expected) in CASES.items() if "unknown" not in expected])
def test_contract_is_true(name: str) -> None:
    """Every roll gives a roll of the output where the contract says so: by any amount, if it is an orbit."""
    fn, expected = CASES[name]
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(1).standard_normal(SHAPE))
        for axis, contract in enumerate(expected):
            kind, _, multiples = contract.partition(" on ")
            lattice = int(multiples[:-1] or 1)
            if lattice > 1:  # and no more than that is true
                plain, *odd = [np.sort(np.asarray(fn(jnp.roll(x, n, axis))), axis=None) for n in range(lattice)]
                assert not all(np.allclose(y, plain, rtol=1e-6) for y in odd)
            rolled = [np.asarray(fn(jnp.roll(x, shift, axis))) for shift in range(0, SHAPE[axis], lattice)]
            whole = rolled[0]
            others = [tuple(range(n)) if n > 1 else (0,) for n in whole.shape[:2]] if whole.ndim == 3 else []
            answers = [np.roll(whole, (i, j), (0, 1)) for i in others[0] for j in others[1]] if others else [whole]
            held = [any(np.allclose(y, answer, rtol=1e-9, atol=1e-12) for answer in answers) for y in rolled]
            if kind == "equivariant":
                held = [np.allclose(y, np.roll(whole, n, axis), rtol=1e-9, atol=1e-12) for n, y in enumerate(rolled)]
            assert all(held) == (kind != "position-dependent"), (axis, held)


def test_phases_of_one_axis_are_told_apart() -> None:
    """Their axis is a product of two, which element-wise operations keep."""
    assert kinds(merged_phases) == ["invariant", "equivariant"]
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(1).standard_normal(SHAPE))
        for axis, roll in ((0, 0), (1, 1)):
            np.testing.assert_allclose(merged_phases(jnp.roll(x, 1, axis)), jnp.roll(merged_phases(x), roll))


def test_equal_phases_are_not_told_apart_by_the_contract() -> None:
    """A tie is what the contract leaves out: the first of equal norms is taken, whatever the shift."""
    x = jnp.zeros(SHAPE).at[0, 0, 0].set(5.0).at[1, 1, 0].set(3.0).at[3, 3, 0].set(4.0)  # norms of 5 and 5
    plain, moved = polyphase(x), polyphase(jnp.roll(x, 1, 0))
    assert not any(np.allclose(np.roll(plain, (i, j), (0, 1)), moved) for i in range(6) for j in range(4))
