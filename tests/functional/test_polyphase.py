"""Adaptive polyphase sampling: whatever the map, a roll of it gives a roll of the sample."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from references import resample as reference
from references.arrays import normal
from references.resample import all_rolls, is_roll

from jaxcnn import analysis
from jaxcnn import functional as F

KINDS = ("normal", "bits", "signs", "constant", "periodic", "one", "mirror", "equal norms")


def image(kind: str, seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Maps whose phases tie, in most kinds: equal norms, some of them of the same map, some of others."""
    rng = np.random.default_rng(seed)
    if kind == "normal":
        return rng.standard_normal(shape).astype("float32")
    if kind == "bits":
        return rng.integers(0, 2, shape).astype("float32")
    if kind == "signs":
        return rng.choice([-1.5, 1.5], shape).astype("float32")
    if kind == "constant":
        return np.full(shape, rng.standard_normal(), "float32")
    if kind == "periodic":
        return np.resize(rng.integers(0, 3, 4), shape).astype("float32")
    if kind == "one":
        return (np.arange(np.prod(shape)).reshape(shape) == rng.integers(np.prod(shape))).astype("float32")
    if kind == "mirror":
        half = rng.integers(0, 3, shape).astype("float32")
        return half + half[::-1]
    x = np.zeros(shape, "float32").reshape(-1)  # phases of norm 5: a 5 here, a 3 and a 4 there
    places = rng.permutation(x.size)[:6]
    x[places] = [5, 3, 4, -5, 4, 3][: len(places)]
    return x.reshape(shape)


@st.composite
def cases(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...], str, int]:
    """Sizes with channels, strides that divide them, what the map is like, a seed."""
    strides, factors = draw(
        st.sampled_from([
            ((2, 2), (3, 4)), ((2, 2), (2, 2)), ((2, 3), (4, 3)), ((1, 4), (5, 2)), ((3, 3), (3, 1)), ((4, 1), (2, 3)),
            ((2,), (6,)), ((4,), (5,)), ((3,), (3,)), ((2, 1, 2), (2, 3, 3)),
        ])
    )  # fmt: skip
    sizes = tuple(s * n for s, n in zip(strides, factors, strict=True))
    return (*sizes, 2), strides, draw(st.sampled_from(KINDS)), draw(st.integers(0, 999))


@partial(jax.jit, static_argnums=(1,))
def sampled(x: Any, strides: tuple[int, ...]) -> Any:
    axes = tuple(range(-len(strides) - 1, -1))
    return F.polyphase_pool(x, strides=strides, spatial_axes=axes, return_index=True)


@partial(jax.jit, static_argnums=(1,))
def there_and_back(x: Any, strides: tuple[int, ...]) -> Any:
    axes = tuple(range(-len(strides) - 1, -1))
    y, index = F.polyphase_pool(x, strides=strides, spatial_axes=axes, return_index=True)
    return F.polyphase_unpool(y, index, strides=strides, spatial_axes=axes)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_every_roll_gives_a_roll(case: Any) -> None:
    shape, strides, kind, seed = case
    rank = len(strides)
    x = image(kind, seed, shape)
    ys, indices = map(np.asarray, sampled(all_rolls(x, rank), strides))
    phases = reference.phases(x, strides)
    np.testing.assert_array_equal(ys[0], phases[indices[0]])
    norms = [(phase.astype(float) ** 2).sum() for phase in phases]
    assert norms[indices[0]] >= max(norms) * (1 - 1e-6)
    assert all(is_roll(ys[0], y, rank) for y in ys)


def looks_the_same_elsewhere(rolls: np.ndarray, strides: tuple[int, ...]) -> bool:
    """Whether a map equals itself shifted by amounts that the strides do not divide."""
    shifts = np.ndindex(rolls.shape[1 : 1 + len(strides)])
    return any(
        np.array_equal(roll, rolls[0]) and any(k % s for k, s in zip(shift, strides, strict=True))
        for shift, roll in zip(shifts, rolls, strict=True)
    )


@settings(deadline=None, max_examples=40)
@given(cases())
def test_unpool_of_pool_moves_exactly(case: Any) -> None:
    shape, strides, kind, seed = case
    rank = len(strides)
    x = image(kind, seed, shape)
    rolls = all_rolls(x, rank)
    back = np.asarray(there_and_back(rolls, strides))
    assert np.array_equal(back, all_rolls(back[0], rank)) or looks_the_same_elsewhere(rolls, strides)
    start = np.unravel_index(int(sampled(rolls, strides)[1][0]), strides)
    kept = tuple(slice(k, None, s) for k, s in zip(start, strides, strict=True))
    np.testing.assert_array_equal(back[0][kept], x[kept])
    assert (np.delete(back[0].ravel(), np.arange(x.size).reshape(shape)[kept].ravel()) == 0).all()


def test_phases_that_are_rolls_of_one_another_are_told_apart() -> None:
    """Two equal entries, of the same phase but for a roll, in a map that no shift leaves as it is."""
    x = np.zeros((4, 8, 1), "float32")
    x[0, 0], x[1, 3] = 1, 1
    back = np.asarray(there_and_back(all_rolls(x), (2, 2)))
    np.testing.assert_array_equal(back, all_rolls(back[0]))


def plain(x: Any) -> Any:
    """The phase of largest norm, summed as it comes, the first of equals."""
    phases = jnp.stack([x[i::2, j::2] for i in range(2) for j in range(2)])
    return phases[jnp.argmax((phases**2).sum((1, 2, 3)))]


def tied() -> np.ndarray:
    x = np.zeros((12, 8, 2), "float32")
    x[0, 0, 0], x[1, 1, 0], x[3, 3, 0] = 5, 3, 4  # norms of 5 and 5
    return x


def test_the_first_of_equal_norms_breaks_it() -> None:
    rolls = all_rolls(tied())
    ys = np.asarray(jax.jit(jax.vmap(plain))(rolls))
    assert not all(is_roll(ys[0], y) for y in ys)
    ys = np.asarray(sampled(rolls, (2, 2))[0])
    assert all(is_roll(ys[0], y) for y in ys)


def test_on_other_sizes_no_phase_moves_as_a_whole() -> None:
    """Why they are refused: padded by wrapping to an even size, the phases mix."""
    rolls = all_rolls(image("normal", 0, (9, 8, 2)))
    ys = np.asarray(sampled(np.concatenate([rolls, rolls[:, :1]], 1), (2, 2))[0])
    assert not all(is_roll(ys[0], y) for y in ys)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_any_type_and_scale(dtype: str, scale: float) -> None:
    if dtype == "float16" and scale != 1:
        scale = scale ** (1 / 8)
    with jax.enable_x64(dtype == "float64"):
        for kind in ("normal", "equal norms"):
            x = jnp.asarray(scale * image(kind, 1, (4, 6, 3)), dtype)
            ys = sampled(jnp.asarray(all_rolls(np.asarray(x))), (2, 2))[0]
            assert ys.dtype == dtype
            assert all(is_roll(np.asarray(ys[0]), y) for y in np.asarray(ys))


def test_zeros_of_both_signs_and_what_is_not_finite() -> None:
    x = image("bits", 3, (4, 6, 1))
    for special in (-0.0, np.nan, np.inf):
        x[1, 2], x[2, 3] = special, special
        ys = np.asarray(sampled(all_rolls(x), (2, 2))[0])
        assert all(is_roll(np.nan_to_num(ys[0], nan=7), np.nan_to_num(y, nan=7)) for y in ys)


def test_every_image_chooses_its_own_phase_and_axes_may_be_any() -> None:
    x = normal(0, (2, 3, 4, 6, 2))
    y, index = F.polyphase_pool(x, return_index=True)
    for at in np.ndindex(2, 3):
        alone, k = sampled(x[at], (2, 2))
        np.testing.assert_array_equal(y[at], alone)
        assert index[at] == k
    assert len(set(index.ravel().tolist())) > 1
    moved = jnp.moveaxis(x, (0, 1), (1, 3))  # (h, 2, w, 3, c) in place of (2, 3, h, w, c)
    z, there = F.polyphase_pool(moved, spatial_axes=(0, 2), return_index=True)
    assert moved.shape == (4, 2, 6, 3, 2)
    np.testing.assert_array_equal(jnp.moveaxis(z, (1, 3), (0, 1)), y)
    np.testing.assert_array_equal(there, index)
    np.testing.assert_array_equal(F.polyphase_pool(x, index=index), y)
    back = F.polyphase_unpool(z, there, spatial_axes=(0, 2))
    np.testing.assert_array_equal(jnp.moveaxis(back, (1, 3), (0, 1)), F.polyphase_unpool(y, index))


def test_gradients_flow_through_the_samples() -> None:
    x = normal(0, (2, 4, 6, 2))
    pool = jax.jit(lambda x: F.polyphase_pool(x) ** 2)
    gradient = jax.jit(jax.grad(lambda x: pool(x).sum()))(x)
    _, index = F.polyphase_pool(x, return_index=True)
    expected = F.polyphase_unpool(2 * F.polyphase_pool(x), index)
    np.testing.assert_array_equal(gradient, expected)
    with jax.enable_x64(True):
        x = jnp.asarray(x, "float64")
        check_grads(pool, (x,), order=1)
        y = jnp.asarray(normal(1, (2, 2, 3, 2)), "float64")
        check_grads(jax.jit(lambda y: F.polyphase_unpool(y, jnp.array([3, 0])) ** 2), (y,), order=1)


def test_compiled_equals_eager_and_mapped() -> None:
    x = normal(0, (3, 4, 6, 2))
    np.testing.assert_array_equal(F.polyphase_pool(x), jax.jit(F.polyphase_pool)(x))
    np.testing.assert_array_equal(jax.vmap(F.polyphase_pool)(x), jax.jit(F.polyphase_pool)(x))
    np.testing.assert_array_equal(F.polyphase_pool(x[None, :1]), F.polyphase_pool(x)[None, :1])
    assert F.polyphase_pool(x[:0]).shape == (0, 2, 3, 2)


def test_the_analysis_sees_an_orbit() -> None:
    for shape in ((12, 8, 2), (1, 12, 8, 2)):
        facts = analysis.trace(F.polyphase_pool, jax.ShapeDtypeStruct(shape, jnp.float32)).outputs[0]
        assert [str(axis.circular) for axis in facts.axes] == ["orbit", "orbit"]


x2 = jnp.zeros((2, 8, 6, 4))
BAD = {
    "sizes": (lambda: F.polyphase_pool(x2, strides=4), ValueError, r"`strides` \(=4\) must divide .*mixes the phases"),
    "strides": (lambda: F.polyphase_pool(x2, strides=0), ValueError, r"`strides` \(=0\)"),
    "axes": (lambda: F.polyphase_pool(x2, spatial_axes=(-1,)), ValueError, "the last is its channels"),
    "integers": (lambda: F.polyphase_pool(x2.astype(int)), TypeError, "`x` must be floating point"),
    "index": (lambda: F.polyphase_pool(x2, index=0), ValueError, r"`index` \(shape \(\)\) must .* shape \(2,\)"),
    "index, a fraction": (lambda: F.polyphase_pool(x2, index=jnp.zeros(2)), TypeError, "`index` must be integers"),
    "unpool": (lambda: F.polyphase_unpool(x2, jnp.zeros(3, int)), ValueError, r"`index` \(shape \(3,\)\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        call()
