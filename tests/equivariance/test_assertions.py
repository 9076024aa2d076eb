"""What the assertions let pass and what they do not, over layouts, strides, shifts and dtypes."""

import re
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from references import equivariance as reference
from references.arrays import normal

from jaxcnn import functional as F
from jaxcnn.equivariance import assert_equivariant, assert_invariant, shifts


def conv(channels: int = 2, size: int = 3, **options):
    kernel = normal(7, (size, size, channels, 3))
    return lambda x: F.conv(x, kernel.astype(x.dtype), padding="SAME", **options)


@settings(deadline=None, max_examples=6)
@given(st.data())
def test_circular_convolutions_pass_where_the_stride_divides(data) -> None:
    strides = tuple(data.draw(st.integers(1, 3)) for _ in range(2))
    sizes = tuple(s * data.draw(st.integers(1, 4)) for s in strides)
    size = data.draw(st.integers(1, min(3, *sizes)))
    dtype = data.draw(st.sampled_from(["float32", "bfloat16"]))
    fn = conv(size=size, strides=strides, padding_mode="circular")
    x = normal(data.draw(st.integers(0, 99)), (*sizes, 2), dtype)
    assert_equivariant(fn, x, strides=strides)
    assert reference.worst_shift(
        lambda x: np.asarray(fn(jnp.asarray(x)), "float32"), np.asarray(x), (0, 1), strides
    ) < (1e-5 if dtype == "float32" else 0.1)


@settings(deadline=None, max_examples=4)
@given(st.data())
def test_outside_the_lattice_they_fail(data) -> None:
    stride, count = data.draw(st.integers(2, 3)), data.draw(st.integers(2, 4))
    axis = data.draw(st.integers(0, 1))
    sizes = [5, 5]
    sizes[axis] = stride * count
    strides = [1, 1]
    strides[axis] = stride
    fn = conv(strides=tuple(strides), padding_mode="circular")
    x = normal(data.draw(st.integers(0, 99)), (*sizes, 2))
    assert_equivariant(fn, x, strides=tuple(strides))
    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(fn, x)


LAYOUTS = [
    ((6, 5, 2), (-3, -2), "HWC"),
    ((2, 6, 5), (1, 2), "CHW"),
    ((6, 2, 5), (2, 0), "HCW"),
    ((2, 3, 6, 5), (-2, -1), "NCHW"),
    ((3, 6, 5, 2), (-3, -2), "NHWC"),
]


@pytest.mark.parametrize(("shape", "axes", "name"), LAYOUTS, ids=[name for *_, name in LAYOUTS])
def test_any_layout(shape, axes, name) -> None:
    def fn(x):
        return sum((n + 1) * jnp.roll(x, n, axis) for n, axis in enumerate([*axes, axes[0]])) ** 2

    x = normal(0, shape)
    assert_equivariant(fn, x, spatial_axes=axes, tolerance=0)
    with pytest.raises(AssertionError):
        assert_equivariant(
            lambda x: (
                fn(x)
                + jnp.arange(x.shape[axes[0]]).reshape(
                    [-1 if axis == axes[0] % x.ndim else 1 for axis in range(x.ndim)]
                )
            ),
            x,
            spatial_axes=axes,
        )
    assert_equivariant(lambda x: jnp.moveaxis(fn(x), axes, (0, 1)), x, spatial_axes=axes, output_axes=(0, 1))


@pytest.mark.parametrize("rank", [1, 3])
def test_any_rank(rank) -> None:
    x = normal(0, (4, 3, 2)[:rank])
    axes = tuple(range(rank))
    assert_equivariant(lambda x: x - jnp.roll(x, 1, rank - 1), x, spatial_axes=axes, tolerance=0)
    assert_invariant(lambda x: x.max(), x, spatial_axes=axes, tolerance=0)


def test_the_failure_names_shift_error_tolerance_and_position() -> None:
    x = jnp.arange(1.0, 21.0).reshape(5, 4, 1)

    def fn(x):
        return x.at[2, 3, 0].multiply(1.5)

    with pytest.raises(AssertionError) as caught:
        assert_equivariant(fn, x, tolerance=0.125)
    says = str(caught.value)
    # By one row up, (1, 3) has 12 where 12 x 1.5 is asked for, and (2, 3), the worst, has 16 x 1.5 instead of 16.
    assert says == (
        "not equivariant: the input's roll by (-1, 0) is not the output's by (-1, 0): error 0.4 of the largest value, "
        "20; tolerance 0.12; first at output position (1, 3, 0)"
    )
    assert_equivariant(fn, x, tolerance=0.51)


def test_the_smallest_failing_shift_is_named() -> None:
    x = normal(0, (8, 3, 1))
    with pytest.raises(AssertionError, match=re.escape("shift by (0, -1)")):
        assert_invariant(lambda x: x.max(0), x)

    def only_far(moved):
        return jnp.where((moved == jnp.roll(x, 4, 0)).all(), 2.0, 1.0)

    with pytest.raises(AssertionError, match=re.escape("shift by (4, 0) changes")):
        assert_invariant(only_far, x)
    assert_invariant(only_far, x, shifts=[1, (3, 0)])


def test_zero_padding_holds_inside_alone() -> None:
    fn = conv()
    x = normal(0, (8, 7, 2))
    with pytest.raises(AssertionError, match=r"roll by \(-1, 0\) is not the output's by \(-1, 0\)"):
        assert_equivariant(fn, x)
    assert_equivariant(fn, x, mode="interior")
    assert_equivariant(fn, x, mode="interior", margin=1)
    assert_equivariant(fn, x, mode="interior", margin=((1, 1), 2))
    with pytest.raises(AssertionError, match=r"shift by \(.*\) is not, inside, the output's"):
        assert_equivariant(fn, x, mode="interior", margin=0)
    strided = conv(strides=(2, 1))
    assert_equivariant(strided, x, mode="interior", strides=(2, 1))
    with pytest.raises(AssertionError, match="is not, inside,"):
        assert_equivariant(strided, x, mode="interior")
    circular = conv(padding_mode="circular")
    assert_equivariant(circular, x, mode="interior")
    with pytest.raises(AssertionError, match="is not, inside,"):
        assert_equivariant(circular, x, mode="interior", margin=0)


def test_an_empty_interior_is_not_equivariant() -> None:
    with pytest.raises(AssertionError, match="not equivariant inside"):
        assert_equivariant(lambda x: conv(3)(conv(3)(conv(2)(x))), normal(0, (6, 6, 2)), mode="interior")


def test_a_position_bias_is_not_equivariant_inside() -> None:
    bias = normal(3, (6, 6, 1))
    with pytest.raises(AssertionError, match="every output position is treated differently"):
        assert_equivariant(lambda x: x + bias, normal(0, (6, 6, 1)), mode="interior")
    with pytest.raises(AssertionError, match="is not, inside,"):
        assert_equivariant(lambda x: x + bias, normal(0, (6, 6, 1)), mode="interior", margin=1)


def test_upsampling_answers_by_two() -> None:
    x = normal(0, (4, 3, 2))

    def up(x):
        return jnp.repeat(jnp.repeat(x, 2, 0), 2, 1)

    assert_equivariant(up, x, strides=Fraction(1, 2), tolerance=0)
    assert_equivariant(up, x, strides=Fraction(1, 2), mode="interior", tolerance=0)
    assert_equivariant(lambda x: up(x)[::3, ::3], normal(0, (6, 9, 2)), strides=Fraction(3, 2), tolerance=0)
    with pytest.raises(AssertionError):
        assert_equivariant(up, x)


def polyphase(x, choose=jnp.argmax):
    """Of the four phases of a stride of 2, the one that has the largest value."""
    phases = jnp.stack([x[i::2, j::2] for i in (0, 1) for j in (0, 1)])
    return phases[choose((phases**2).sum((1, 2, 3)))]


def test_polyphase_sampling_answers_by_some_roll() -> None:
    x = jnp.asarray(np.random.default_rng(0).integers(-9, 9, (6, 8, 1)), "float32")
    assert_equivariant(polyphase, x, up_to_roll=True, tolerance=0)
    with pytest.raises(AssertionError, match="is not the output's by"):
        assert_equivariant(polyphase, x)
    with pytest.raises(AssertionError, match="is not any roll of the output"):
        assert_equivariant(lambda x: x[::2, ::2], x, up_to_roll=True)
    large = jnp.asarray(np.random.default_rng(0).integers(-9, 9, (24, 22, 1)), "float32")
    assert_equivariant(polyphase, large, up_to_roll=True, tolerance=0)


def test_bits_and_rounding_are_two_claims() -> None:
    x = normal(0, (16, 16, 1))

    def mean(x):
        return x.mean((0, 1))

    assert_invariant(mean, x)
    with pytest.raises(AssertionError, match="tolerance 0;"):
        assert_invariant(mean, x, tolerance=0)
    assert_invariant(lambda x: x.max((0, 1)), x, tolerance=0)


def test_a_fault_of_one_part_in_a_thousand_is_seen() -> None:
    x = normal(0, (8, 8, 2))
    fn = conv(padding_mode="circular")
    with pytest.raises(AssertionError):
        assert_equivariant(lambda x: fn(x).at[3, 3].multiply(1.001), x)


def test_objects_on_an_even_ground_move_inside() -> None:
    image = jnp.full((8, 9, 1), 2.0).at[3:5, 2:6, 0].set(normal(0, (2, 4)))

    def fn(x):
        return F.conv(x - 2, normal(1, (3, 3, 1, 2))).max((0, 1))

    inner = image[1:-1, 1:-1]
    assert_invariant(lambda x: fn(jnp.pad(x, ((1, 1), (1, 1), (0, 0)), constant_values=2)), inner, mode="interior")
    with pytest.raises(AssertionError, match="not invariant"):
        assert_invariant(lambda x: F.conv(x, normal(1, (3, 3, 1, 2))).min((0, 1)), image, mode="interior")
    with pytest.raises(ValueError, match="which moves a part of the object out"):
        assert_invariant(fn, image, mode="interior", shifts=[(4, 0)])
    with pytest.raises(ValueError, match="holds one value everywhere"):
        assert_invariant(fn, 0 * image, mode="interior")
    with pytest.raises(ValueError, match="touches all borders"):
        assert_invariant(fn, normal(0, (4, 4, 1)), mode="interior")


def test_integers_must_be_equal() -> None:
    x = jnp.arange(12).reshape(3, 4, 1)
    assert_equivariant(lambda x: x * 2, x)
    assert_invariant(lambda x: (x > 3).sum((0, 1)), x)
    with pytest.raises(AssertionError, match="error 1 of"):
        assert_invariant(lambda x: x.argmax(0), x)


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_chunks_do_not_matter(monkeypatch, chunk) -> None:
    monkeypatch.setattr(shifts, "MOST_BYTES", chunk * 4 * 4 * 2 * 4 * 2)
    x = normal(0, (4, 4, 2))
    assert_equivariant(lambda x: -x, x)
    twice = jnp.roll(x, (1, -1), (0, 1))
    with pytest.raises(AssertionError, match=re.escape("shift by (1, -1)")):
        assert_invariant(lambda y: (y == twice).all(), x)


def test_products_run_at_the_highest_precision() -> None:
    seen = []

    def fn(x):
        seen.append(jax.config.jax_default_matmul_precision)
        return x @ jnp.eye(2)

    assert_equivariant(fn, normal(0, (3, 3, 2)))
    assert "highest" in seen


def fine(x):
    return x


ERRORS = [
    (lambda x: assert_equivariant(fine, x, spatial_axes=(0, 5)), ValueError, "names axis 5, but `x` has shape"),
    (
        lambda x: assert_equivariant(fine, x, strides=4),
        ValueError,
        r"`strides` \(=4\) must divide the size 6 of axis 0",
    ),
    (lambda x: assert_equivariant(fine, x, strides=0.5), ValueError, "must be positive ints, or fractions"),
    (lambda x: assert_equivariant(fine, x, strides=(1, 1, 1)), ValueError, "expected 2, got 3"),
    (lambda x: assert_equivariant(lambda x: x.sum((0, 1)), x), ValueError, "take assert_invariant"),
    (lambda x: assert_equivariant(lambda x: {"y": x}, x), TypeError, "must return one array, got a dict"),
    (lambda x: assert_equivariant(lambda x: x / 0 * 0, x), ValueError, "gives NaN for x itself, first at"),
    (lambda x: assert_equivariant(lambda x: x[:0], x), ValueError, "empty array"),
    (lambda x: assert_equivariant(fine, x, mode="crops"), ValueError, r"`mode` \(='crops'\) must be"),
    (lambda x: assert_equivariant(fine, x, shifts="some"), ValueError, r"`shifts` \(='some'\) must be"),
    (lambda x: assert_equivariant(fine, x, shifts=0), ValueError, "must be at least 1"),
    (lambda x: assert_equivariant(fine, x, shifts=[]), ValueError, "nothing would be tried"),
    (lambda x: assert_equivariant(fine, x, strides=2, shifts=[(2, 1)]), ValueError, r"holds \(2, 1\), which `strides`"),
    (lambda x: assert_equivariant(fine, x, tolerance=-1), ValueError, r"`tolerance` \(=-1\) must be"),
    (lambda x: assert_equivariant(fine, x, margin=1), ValueError, 'is of `mode` "interior"'),
    (lambda x: assert_equivariant(fine, x, mode="interior", up_to_roll=True), ValueError, "does not wrap"),
    (lambda x: assert_equivariant(fine, x, output_axes=(0,)), ValueError, "must be as many as"),
    (lambda x: assert_equivariant(lambda x: jnp.fft.fft(x).real, x, mode="interior"), ValueError, "finds no `margin`"),
    (lambda x: assert_invariant(fine, x, mode="rotated"), ValueError, r"`mode` \(='rotated'\) must be"),
]


@pytest.mark.parametrize(("call", "kind", "says"), ERRORS, ids=[says for _, _, says in ERRORS])
def test_errors_say_what_to_do(call, kind, says) -> None:
    with pytest.raises(kind, match=says) as caught:
        call(normal(0, (6, 6, 2)))
    assert "\n" not in str(caught.value)


def test_nan_for_a_shift_alone_fails() -> None:
    x = normal(0, (4, 4, 1))
    first = float(x[0, 0, 0])
    with pytest.raises(AssertionError, match="error inf"):
        assert_equivariant(lambda x: jnp.where(x[0, 0, 0] == first, x, jnp.nan), x)


def test_a_sample_of_shifts_is_always_the_same() -> None:
    every = shifts.circular((9, 9))
    drawn = shifts.chosen(7, every)
    np.testing.assert_array_equal(drawn, shifts.chosen(7, every))
    assert len(np.unique(drawn, axis=0)) == 7
    assert_equivariant(lambda x: lax.rev(lax.rev(x, (0,)), (0,)), normal(0, (9, 9, 1)), shifts=7)
