"""Output sizes: the lecture's arithmetic, and what convolution itself gives."""

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcnn.analysis import output_size


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        (7, {"window": 3}, 5),
        (7, {"window": 3, "strides": 2}, 3),
        (7, {"window": 3, "strides": 3}, 2),
        (7, {"window": 3, "padding": 1}, 7),
        (32, {"window": 5, "padding": 2}, 32),
        (32, {"window": 5}, 28),
        (227, {"window": 11, "strides": 4}, 55),
        (55, {"window": 3, "strides": 2}, 27),
        (224, {"window": 2, "strides": 2}, 112),
        (9, {"window": 3, "dilation": 4}, 1),
        (7, {"window": 2, "strides": 2, "ceil_mode": True}, 4),
        (7, {"window": 3, "strides": 2, "padding": "SAME"}, 4),
        ((32, 28), {"window": 5, "padding": ((2, 2), (0, 0))}, (32, 24)),
        ((8, 6, 4), {"window": (3, 2, 1), "strides": (1, 2, 2)}, (6, 3, 2)),
    ],
)
def test_known_sizes(size, options, expected):
    assert output_size(size, **options) == expected


@pytest.mark.parametrize(
    "options", [{"window": 9}, {"window": 3, "dilation": 4}, {"window": 0}, {"window": 3, "strides": 0}]
)
def test_what_does_not_fit_is_an_error(options):
    with pytest.raises(ValueError, match=r"window|strides"):
        output_size(8, **options)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 4), st.integers(0, 3), st.integers(1, 3))
def test_sizes_are_those_of_convolution(size, window, strides, padding, dilation):
    def conv(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (strides,), [(padding, padding)], rhs_dilation=(dilation,))

    expected = jax.eval_shape(conv, jnp.zeros((1, 1, size)), jnp.zeros((1, 1, window))).shape[-1]
    if expected < 1:
        with pytest.raises(ValueError, match="does not fit"):
            output_size(size, window=window, strides=strides, padding=padding, dilation=dilation)
    else:
        assert output_size(size, window=window, strides=strides, padding=padding, dilation=dilation) == expected
