"""The effective receptive field against kernels, exact convolutions of boxes, and what can go wrong."""

import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcnn import functional as F
from jaxcnn.analysis.effective import EffectiveField, effective_receptive_field


def noise(*shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


def conv(kernel, x):
    return F.conv(x, kernel)


def stack(depth):
    def fn(kernel, x):
        for _ in range(depth):
            x = F.conv(x, kernel)
        return x

    return fn


@pytest.mark.parametrize("batch", [(), (1,), (5,)])
def test_one_convolution_shows_its_kernel(batch):
    kernel = noise(3, 3, 4, 1)
    field = effective_receptive_field(conv, kernel, noise(*batch, 9, 8, 4), unit=(2, 5))
    expected = np.zeros((9, 8))
    expected[1:4, 4:7] = np.abs(np.asarray(kernel)).sum((2, 3))
    np.testing.assert_allclose(field.map, expected / expected.sum(), rtol=1e-5)
    assert field.theoretical == ((1, 3), (4, 6))
    assert field.unit == (2, 5)


def test_the_unit_is_the_centre_and_sees_what_a_stride_lets_it():
    def fn(kernel, x):
        return F.conv(x, kernel, strides=(2, 3), padding=0)

    field = effective_receptive_field(fn, noise(4, 3, 1, 6), noise(1, 16, 20, 1))  # (16 - 4) / 2 + 1 = 7 by 6
    assert field.unit == (3, 3)
    assert field.theoretical == ((6, 9), (9, 11))
    seen = np.argwhere(field.map)
    assert (seen.min(0).tolist(), seen.max(0).tolist()) == ([6, 9], [9, 11])


@pytest.mark.parametrize(("unit", "interval"), [((0, 0), (-1, 1)), ((7, 7), (6, 8))])
def test_a_unit_at_the_border_could_see_beyond_it(unit, interval):
    field = effective_receptive_field(conv, jnp.ones((3, 3, 1, 1)), noise(1, 8, 8, 1), unit=unit)
    assert field.theoretical == (interval, interval)
    assert np.count_nonzero(field.map) == 4


def test_the_theoretical_field_contains_every_measured_one():
    def fn(params, x):
        x = jax.nn.relu(F.conv(x, params[0], strides=2))
        x = F.max_pool(x, (3, 3), strides=1, padding=1)
        return x + F.conv(jax.nn.relu(x), params[1], dilation=2)

    params = [noise(5, 5, 3, 8), noise(3, 3, 8, 8, seed=1)]
    field = effective_receptive_field(fn, params, noise(4, 48, 40, 3))
    for (first, last), shares, extent in zip(field.theoretical, field.marginals, field.extent, strict=True):
        assert last - first + 1 == 5 + 2 * (2 + 4)
        seen = np.flatnonzero(shares)
        assert first <= seen[0] <= extent[0] <= extent[1] <= seen[-1] <= last


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("window", [(3,), (5,), (3, 5)])
def test_uniform_convolutions_are_powers_of_boxes(depth, window):
    size, rank = 81, len(window)
    kernel = jnp.ones((*window, 1, 1)) / math.prod(window)
    x = jnp.zeros((*[size] * rank, 1))
    field = effective_receptive_field(stack(depth), kernel, x, spatial_axes=range(rank))
    for axis, taps in enumerate(window):
        exact = np.ones(1)
        for _ in range(depth):
            exact = np.convolve(exact, np.ones(taps) / taps)
        exact = np.pad(exact, (size - len(exact)) // 2)
        np.testing.assert_allclose(field.marginals[axis], exact, atol=1e-6)
        assert field.width[axis] == pytest.approx(4 * math.sqrt(depth * (taps**2 - 1) / 12), rel=1e-4)
        assert field.center[axis] == pytest.approx(size // 2)
        deviation = field.width[axis] / 4
        gauss = np.exp(-(((np.arange(size) - size // 2) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
        assert np.abs(field.marginals[axis] - gauss).max() < 0.4 * gauss.max() / depth
        first, last = field.extent[axis]
        assert first + last == size - 1
        assert exact[first : last + 1].sum() >= 0.9545 > exact[first + 1 : last].sum()


def test_an_axis_without_a_place_in_the_output_is_seen_whole():
    def fn(params, x):
        return F.global_avg_pool(x) @ params

    field = effective_receptive_field(fn, noise(3, 10), noise(2, 6, 4, 3))
    np.testing.assert_allclose(field.map, np.full((6, 4), 1 / 24), rtol=1e-5)
    assert (field.unit, field.theoretical) == ((None, None), ((0, 5), (0, 3)))


def test_axes_may_stand_anywhere():
    kernel = noise(3, 5, 2, 4)

    def channels_first(kernel, x):
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NCHW", "HWIO", "NCHW"))

    def turned(kernel, x):
        return channels_first(kernel, x).transpose(3, 0, 2, 1)

    x = noise(1, 2, 9, 7)
    plain = effective_receptive_field(channels_first, kernel, x, spatial_axes=(2, 3), unit=(4, 2))
    last = effective_receptive_field(conv, kernel, x.transpose(0, 2, 3, 1), unit=(4, 2))
    moved = effective_receptive_field(turned, kernel, x, spatial_axes=(-1, -2), unit=(4, 2))
    assert plain.theoretical == last.theoretical == moved.theoretical == ((3, 5), (0, 4))
    assert np.array_equal(plain.map > 0, last.map > 0)
    assert np.array_equal(plain.map > 0, moved.map > 0)


def test_output_axes_stand_in_for_a_trace_that_does_not_know():
    def fn(kernel, x):
        y = F.conv(x, kernel)
        return jnp.fft.ifft2(jnp.fft.fft2(y, axes=(0, 1)), axes=(0, 1)).real

    kernel, x = noise(3, 3, 1, 1), noise(8, 8, 1)
    with pytest.raises(ValueError, match="`output_axes` must say"):
        effective_receptive_field(fn, kernel, x)
    field = effective_receptive_field(fn, kernel, x, output_axes=(0, 1))
    expected = effective_receptive_field(conv, kernel, x)
    np.testing.assert_allclose(field.map, expected.map, atol=1e-6)
    assert field.theoretical == (None, None)
    assert field.unit == expected.unit


def test_output_axes_may_be_told():
    kernel, x = noise(3, 3, 1, 1), noise(1, 8, 8, 1)
    found = effective_receptive_field(conv, kernel, x)
    assert effective_receptive_field(conv, kernel, x, output_axes=(-3, -2)).theoretical == found.theoretical
    others = effective_receptive_field(conv, kernel, x, output_axes=(2, 1))
    assert others.theoretical == (None, None), "of axes that the trace says another thing of, nothing is known"


def test_channels_that_add_up_to_a_constant_do_not_hide_the_field():
    """The first of two classes has the derivative of a sigmoid, times that of the difference of both."""
    kernel = noise(3, 3, 1, 2)
    field = effective_receptive_field(lambda kernel, x: jax.nn.softmax(conv(kernel, x)), kernel, noise(1, 9, 9, 1))
    difference = np.abs(np.asarray(kernel[:, :, 0, 0] - kernel[:, :, 0, 1]))
    np.testing.assert_allclose(field.map[3:6, 3:6], difference / difference.sum(), rtol=1e-4)


def test_the_key_draws_the_direction():
    arguments = (conv, noise(3, 3, 1, 8), noise(1, 9, 9, 1))
    first, again = effective_receptive_field(*arguments), effective_receptive_field(*arguments, key=jax.random.key(0))
    other = effective_receptive_field(*arguments, key=jax.random.key(1))
    assert np.array_equal(first.map, again.map)
    assert not np.allclose(first.map, other.map)


def test_half_precision_is_added_up_exactly():
    field = effective_receptive_field(conv, jnp.ones((3, 3, 1, 1), jnp.bfloat16), jnp.ones((9, 9, 1), jnp.bfloat16))
    assert np.unique(field.map).tolist() == [0, 1 / 9]


CONV = {"fn": conv, "params": jnp.ones((3, 3, 1, 1)), "x": jnp.ones((1, 8, 8, 1))}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": jax.ShapeDtypeStruct((8, 8, 1), "float32")}, ValueError, "`x` must hold the numbers"),
        ({"x": jnp.ones((8, 8, 1), int)}, TypeError, r"`x` must be floating point, got int32: use x.astype"),
        ({"unit": (4,)}, ValueError, r"`unit` must be a position in an output of \(8, 8\) positions, got \(4,\)"),
        ({"unit": (4, 8)}, ValueError, r"`unit` must be .* got \(4, 8\)"),
        ({"unit": (-1, 4)}, ValueError, r"`unit` must be .* got \(-1, 4\)"),
        (
            {"output_axes": (1,)},
            ValueError,
            r"`output_axes` must be 2 different axes of the output.s 4, or None, got \(1,\)",
        ),
        ({"output_axes": (1, -3)}, ValueError, "`output_axes`"),
        ({"output_axes": (1, 4)}, ValueError, "`output_axes`"),
        ({"fn": lambda params, x: (x, x)}, TypeError, r"`fn` must return one array .*float32\[1, 8, 8, 1\]"),
        ({"fn": lambda params, x: x > 0}, TypeError, r"`fn` must return one array .*bool\[1, 8, 8, 1\]"),
        ({"fn": lambda params, x: jax.nn.relu(x - 2)}, ValueError, "gradient of unit .* is 0"),
        ({"fn": lambda params, x: jnp.sqrt(x - 1)}, ValueError, "not finite"),
    ],
)
def test_bad_input_gets_one_line(change, error, message):
    arguments = CONV | change
    with pytest.raises(error, match=message) as caught:
        effective_receptive_field(arguments.pop("fn"), arguments.pop("params"), arguments.pop("x"), **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("theoretical", [(2, 6), (-4, 12), None])
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_figure_is_written(tmp_path, rank, theoretical, ending):
    field = EffectiveField(np.full((9,) * rank, 9.0**-rank), unit=(4,) * rank, theoretical=(theoretical,) * rank)
    field.plot(tmp_path / f"field.{ending}")
    start = (tmp_path / f"field.{ending}").read_bytes()[:5]
    assert start == (b"\x89PNG\r" if ending == "png" else b"<?xml")


def test_an_outline_that_nobody_knows_is_not_drawn(tmp_path):
    """An axis without a theoretical interval has no outline, rather than that of the whole input."""
    texts = []
    for theoretical in [((2, 6), (2, 6)), ((2, 6), None)]:
        EffectiveField(np.full((9, 9), 1 / 81), unit=(4, 4), theoretical=theoretical).plot(tmp_path / "field.svg")
        texts.append((tmp_path / "field.svg").read_text())
    assert ["theoretical" in text for text in texts] == [True, False]


def test_what_cannot_be_drawn_says_so(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="`map` must have 1 or 2 axes to be drawn, got 3"):
        EffectiveField(np.ones((1, 1, 1)), unit=(0,) * 3, theoretical=(None,) * 3).plot(tmp_path / "field.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"^`plot` needs matplotlib: pip install 'jaxcnn\[experiments\]'$"):
        EffectiveField(np.ones((1, 1)), unit=(0, 0), theoretical=((0, 0),) * 2).plot(tmp_path / "field.png")
