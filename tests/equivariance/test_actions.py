"""Actions on images against loops in NumPy, and their laws."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references import equivariance as reference
from references.arrays import normal
from references.tolerance import TOLERANCE

from jaxcnn.equivariance import Compose, Crop, Flip, FourierShift, Roll, Rot90, Rotate, Shift

DTYPES = ("float32", "bfloat16", "int32", "uint8", "bool", "complex64")


@st.composite
def images(draw, dtypes=DTYPES):
    """An array of any rank and dtype, and some of its axes, counted from either end."""
    rank = draw(st.integers(1, 3))
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=rank, max_size=rank)))
    axes = draw(st.permutations(range(rank)))[: draw(st.integers(1, rank))]
    named = tuple(axis - draw(st.sampled_from([0, rank])) for axis in axes)
    values = np.random.default_rng(draw(st.integers(0, 99))).normal(0, 50, shape)
    x = np.abs(values).astype(np.uint8) if draw(st.booleans()) else values
    return np.asarray(jnp.asarray(np.abs(x) if dtypes is DTYPES else x).astype(draw(st.sampled_from(dtypes)))), named


def amounts(draw, axes, low=-9, high=9):
    return tuple(draw(st.integers(low, high)) for _ in axes)


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_shifts_equal_loops_and_follow_their_laws(data) -> None:
    x, axes = data.draw(images())
    first, second = amounts(data.draw, axes), amounts(data.draw, axes)
    total = tuple(a + b for a, b in zip(first, second, strict=True))
    positions = [axis % x.ndim for axis in axes]

    def roll(shift):
        return Roll(shift, spatial_axes=axes)

    y = roll(first)(x)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, reference.shifted(x, first, positions))
    np.testing.assert_array_equal(y, np.roll(x, first, positions))
    np.testing.assert_array_equal(roll(0)(x), x)
    np.testing.assert_array_equal((roll(first) @ roll(second))(x), roll(total)(x))
    np.testing.assert_array_equal(roll(first).inverse()(y), x)
    fill = data.draw(st.sampled_from([0, 1]))
    ours = Shift(first, fill, axes)(x)
    assert ours.dtype == x.dtype
    np.testing.assert_array_equal(ours, reference.shifted(x, first, positions, fill))
    same_sign = all(a * b >= 0 for a, b in zip(first, second, strict=True))
    twice = (Shift(first, fill, axes) @ Shift(second, fill, axes))(x)
    if same_sign:
        np.testing.assert_array_equal(twice, Shift(total, fill, axes)(x))


def test_shifts_of_opposite_signs_lose_what_left() -> None:
    there_and_back = Shift(-1, spatial_axes=(0,)) @ Shift(1, spatial_axes=(0,))
    assert there_and_back(jnp.array([1, 2, 3])).tolist() == [1, 2, 0]


@settings(deadline=None, max_examples=10)
@given(st.data())
def test_crops_are_slices(data) -> None:
    x, axes = data.draw(images())
    sizes = [x.shape[axis] for axis in axes]
    outer = [data.draw(st.integers(1, n)) for n in sizes]
    inner = [data.draw(st.integers(1, n)) for n in outer]
    start = [data.draw(st.integers(0, n - m)) for n, m in zip(sizes, outer, strict=True)]
    within = [data.draw(st.integers(0, n - m)) for n, m in zip(outer, inner, strict=True)]
    expected = x
    for axis, begin, size in zip(axes, start, outer, strict=True):
        expected = np.take(expected, range(begin, begin + size), axis)
    ours = jax.jit(lambda action, x: action(x))(Crop(tuple(start), outer, axes), x)  # its amounts are traced
    np.testing.assert_array_equal(ours, expected)
    both = (Crop(tuple(within), inner, axes) @ Crop(tuple(start), outer, axes))(x)
    total = tuple(a + b for a, b in zip(start, within, strict=True))
    np.testing.assert_array_equal(both, Crop(total, inner, axes)(x))


@settings(deadline=None, max_examples=10)
@given(st.data())
def test_fourier_shifts_follow_their_laws(data) -> None:
    x, axes = data.draw(images(("float32",)))
    positions = [axis % x.ndim for axis in axes]
    x = reference.without_highest(x, positions).astype("float32")
    scale = max(float(np.abs(x).max()), 1e-3)
    close = {"rtol": 0, "atol": 2 * TOLERANCE["float32"]["atol"] * scale}
    first, second = (tuple(data.draw(st.floats(-7, 7, width=16)) for _ in axes) for _ in range(2))
    whole = amounts(data.draw, axes)
    expected = x
    for axis, amount in zip(positions, first, strict=True):
        expected = reference.fourier_shifted(expected, amount, axis)

    @jax.jit
    def run(x, first, second, whole):
        shift, other = FourierShift(first, axes), FourierShift(second, axes)
        total = FourierShift(tuple(a + b for a, b in zip(first, second, strict=True)), axes)
        return shift(x), shift.inverse()(shift(x)), (other @ shift)(x), total(x), FourierShift(whole, axes)(x)

    y, back, both, total, rolled = run(x, first, second, whole)
    np.testing.assert_allclose(y, expected, **close)
    np.testing.assert_allclose(np.sum(y**2), np.sum(x**2), rtol=2e-5, atol=1e-6)  # Parseval
    np.testing.assert_allclose(back, x, **close)
    np.testing.assert_allclose(both, total, **close)
    np.testing.assert_allclose(rolled, np.roll(x, whole, positions), **close)


def test_the_highest_frequency_is_damped() -> None:
    """Outside its domain, signals with the frequency n / 2 of an even size, a Fourier shift keeps none of its laws."""
    x = jnp.array([1.0, -1.0, 1.0, -1.0])
    shift = FourierShift(0.25, spatial_axes=(0,))
    np.testing.assert_allclose(shift(x), np.cos(np.pi / 4) * x, **TOLERANCE["float32"])
    np.testing.assert_allclose(shift.inverse()(shift(x)), x / 2, **TOLERANCE["float32"])
    np.testing.assert_allclose(shift(shift(x)), x / 2, **TOLERANCE["float32"])
    np.testing.assert_allclose(FourierShift(0.5, spatial_axes=(0,))(x), 0 * x, **TOLERANCE["float32"])
    np.testing.assert_allclose(FourierShift(3, spatial_axes=(0,))(x), -x, **TOLERANCE["float32"])


def test_fourier_shifts_of_complex_and_half_precision() -> None:
    x = normal(0, (6, 7)) + 1j * normal(1, (6, 7))
    ours = FourierShift((0.3, 1.7), (0, 1))(x)
    parts = [FourierShift((0.3, 1.7), (0, 1))(part) for part in (x.real, x.imag)]
    np.testing.assert_allclose(ours, parts[0] + 1j * parts[1], rtol=1e-5, atol=1e-5)
    half = normal(0, (6, 7), "bfloat16")
    ours = FourierShift((0.3, 1.7), (0, 1))(half)
    assert ours.dtype == jnp.bfloat16
    wide = FourierShift((0.3, 1.7), (0, 1))(half.astype("float32"))
    np.testing.assert_allclose(ours.astype("float32"), wide, **TOLERANCE["bfloat16"])


@settings(deadline=None, max_examples=10)
@given(st.data())
def test_turns_and_mirrors_are_numpy_s(data) -> None:
    x, axes = data.draw(images())
    flipped = Flip(axes)(x)
    np.testing.assert_array_equal(flipped, np.flip(x, axes))
    np.testing.assert_array_equal(Flip(axes).inverse()(flipped), x)
    if len(axes) < 2:
        return
    first, second = data.draw(st.integers(-5, 5)), data.draw(st.integers(-5, 5))
    plane = axes[:2]
    turned = Rot90(first, plane)(x)
    np.testing.assert_array_equal(turned, np.rot90(x, first, plane))
    np.testing.assert_array_equal(Rot90(first, plane).inverse()(turned), x)
    np.testing.assert_array_equal((Rot90(second, plane) @ Rot90(first, plane))(x), Rot90(first + second, plane)(x))
    mirrored = Flip(plane[:1]) @ Rot90(first, plane) @ Flip(plane[:1])
    np.testing.assert_array_equal(mirrored(x), Rot90(-first, plane)(x))


def blob(angle: float, size: int = 32) -> np.ndarray:
    """A spot beside the centre, that much further round, counted from below towards the right."""
    where = np.arange(size) - (size - 1) / 2
    row, column = 6 * np.cos(angle), 6 * np.sin(angle)
    return np.exp(-((where - row) ** 2)[:, None] / 8 - ((where - column) ** 2)[None] / 8)[..., None]


def test_rotations_turn_what_the_grid_resolves() -> None:
    x = jnp.asarray(blob(0.4), "float32")
    for angle in (-1.2, 0.3, np.pi / 4, np.pi / 2):
        np.testing.assert_allclose(Rotate(angle)(x), blob(0.4 + angle), atol=1e-4)
        odd = jnp.asarray(blob(0.4, 33), "float32")  # without the frequency that no inverse brings back
        np.testing.assert_allclose(Rotate(angle).inverse()(Rotate(angle)(odd)), odd, **TOLERANCE["float32"])
    np.testing.assert_allclose(Rotate(np.pi / 2)(x), Rot90(1)(x), atol=1e-4)
    noise = normal(0, (32, 32, 1))
    assert jnp.abs(Rotate(np.pi / 2)(noise) - Rot90(1)(noise)).max() > 0.5  # its corners and frequencies are lost


EACH = {
    "roll": lambda n: Roll((n, 2 * n)),
    "shift": lambda n: Shift((n, -n), 7),
    "crop": lambda n: Crop((n, 0), (2, 3)),
    "fourier": lambda n: FourierShift((0.5 * n, 0.1 * n)),
    "turn": lambda n: Rot90(n),
    "rotation": lambda n: Rotate(0.3 * n),
    "composed": lambda n: Roll((n, 0)) @ Flip() @ Shift((0, n)),
}


@pytest.mark.parametrize("make", EACH.values(), ids=EACH)
def test_amounts_may_be_traced_and_mapped(make) -> None:
    x = normal(0, (5, 5, 2))
    mapped = jax.vmap(lambda n: make(n)(x))(jnp.arange(3))
    for n, y in enumerate(mapped):
        np.testing.assert_allclose(y, make(n)(x), rtol=1e-5, atol=1e-6)
    as_pytree = jax.jit(lambda action: action(x))(make(2))
    np.testing.assert_allclose(as_pytree, mapped[2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shift", [2, (2, 2), [2, 2], np.array([2, 2]), jnp.array([2, 2])], ids=str)
def test_amounts_take_any_form(shift) -> None:
    x = normal(0, (5, 5, 2))
    for action in (Roll(shift), Shift(shift), FourierShift(shift)):
        assert jnp.allclose(action(x), type(action)((2, 2))(x))
    assert jnp.array_equal(Roll(shift).inverse()(Roll(shift)(x)), x)


def test_compositions_are_associative() -> None:
    x = normal(0, (4, 4, 1))
    a, b, c = Roll((1, 2)), Rot90(1), Flip()
    for one, other in itertools.pairwise([(a @ b) @ c, a @ (b @ c), Compose((a, b, c))]):
        assert one.actions == other.actions
        np.testing.assert_array_equal(one(x), a(b(c(x))))
    np.testing.assert_array_equal(Compose()(x), x)
    np.testing.assert_array_equal((a @ b @ c).inverse()((a @ b @ c)(x)), x)


def test_a_derivative_by_the_amount() -> None:
    wave = jnp.sin(2 * jnp.pi * jnp.arange(8) / 8)
    slope = jax.jacfwd(lambda t: FourierShift(t, (0,))(wave))(0.0)
    np.testing.assert_allclose(slope, -jnp.cos(2 * jnp.pi * jnp.arange(8) / 8) * 2 * np.pi / 8, atol=1e-6)


ERRORS = [
    (lambda x: Roll(1, (-4, -2))(x), ValueError, r"`spatial_axes` \(=\(-4, -2\)\) names axis -4, but `x` has shape"),
    (lambda x: Roll(1, (0, -3))(x), ValueError, "none twice"),
    (lambda x: Roll(1, 1)(x), TypeError, "must be a sequence of axes"),
    (lambda x: Roll(1, (0.5,))(x), TypeError, "must be ints"),
    (lambda x: Roll((1, 2, 3))(x), ValueError, r"`shift` \(=\(1, 2, 3\)\) must be one amount, or one an axis: expec"),
    (lambda x: Roll(0.5)(x), TypeError, r"`shift` \(=0.5\) must be whole numbers; for fractions take FourierShift"),
    (lambda x: Shift(1, 0.5)(x.astype(int)), ValueError, r"`fill` \(=0.5\) must be a value of x's dtype, int32"),
    (lambda x: Shift(1, np.zeros(2))(x), ValueError, "`fill` must be one number"),
    (lambda x: Shift(1).inverse(), ValueError, "`Shift` has no inverse: what it moves over the border is lost"),
    (lambda x: Crop(1, 2).inverse(), ValueError, "`Crop` has no inverse"),
    (lambda x: (Roll(1) @ Shift(1)).inverse(), ValueError, "`Shift` has no inverse"),
    (lambda x: Crop(4, 2)(x), ValueError, r"`start` \(=4\) must be 0 to 3: 2 of 5 positions are cut"),
    (lambda x: Crop(0, 9)(x), ValueError, r"`size` \(=9\) must be 1 to 5"),
    (lambda x: FourierShift(0.5)(x.astype(int)), TypeError, "`x` of dtype int32 has no values between samples"),
    (lambda x: Rot90(1, (0,))(x), ValueError, "must be two axes"),
    (lambda x: Rot90(0.5)(x), TypeError, r"`times` \(=0.5\) must be whole numbers"),
    (lambda x: jax.jit(lambda k: Rot90(k)(x[:4]))(1), ValueError, "is no square"),
]


@pytest.mark.parametrize(("call", "kind", "says"), ERRORS, ids=[says for _, _, says in ERRORS])
def test_errors_say_what_to_do(call, kind, says) -> None:
    with pytest.raises(kind, match=says) as caught:
        call(normal(0, (5, 5, 2)))
    assert "\n" not in str(caught.value)
