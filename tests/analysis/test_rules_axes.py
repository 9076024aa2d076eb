"""The rules on several axes: every layout of a convolution, and axes that change places, split, merge and go."""

import itertools

import jax.numpy as jnp
import pytest
from jax import lax
from references.told import ANY, EVERYWHERE, NONE, Told, facts, half, padded, part, shift, still

SIZES = {"N": 2, "H": 12, "W": 9, "C": 4}
# A window of 3 by 4, strides 1 and 2, padding (1, 1) and (0, 1), dilation 1 and 2 (on W, 7 positions long). H: unit j
# sees j - 1 to j + 1. W: (9 + 1 - 7) // 2 + 1 = 2 units, which see 0, 2, 4, 6 and 2, 4, 6, 8: no padding at all.
HEIGHT, WIDTH = Told(3, **padded(1, 1)), Told(7, 3, 2, circular=NONE, interior=shift(2, 1, (0, 0)))


def check(told, axes_facts):
    assert len(told) == len(axes_facts)
    for expected, facts_of_axis in zip(told, axes_facts, strict=True):
        expected.check(facts_of_axis)


def placed(told, axis):
    return Told(**{**vars(told), "axis": axis})


@pytest.mark.parametrize("inputs", ["".join(letters) for letters in itertools.permutations("NHWC")])
@pytest.mark.parametrize(("kernel", "outputs"), [("HWIO", None), ("OIHW", "NCHW"), ("WOHI", "WCNH"), ("IOWH", "CWHN")])
def test_a_convolution_in_every_layout(inputs, kernel, outputs):
    outputs = outputs or inputs

    def fn(p, x):
        sizes = {"H": 3, "W": 4, "I": 2, "O": 6}
        turn = 1 if kernel.index("H") < kernel.index("W") else -1  # strides and padding are in the kernel's order
        return lax.conv_general_dilated(
            x,
            part(p, *(sizes[letter] for letter in kernel)),
            (1, 2)[::turn],
            ((1, 1), (0, 1))[::turn],
            rhs_dilation=(1, 2)[::turn],
            feature_group_count=2,
            dimension_numbers=(inputs, kernel, outputs),
        )

    shape = [SIZES[letter] for letter in inputs]
    order = sorted("HW", key=inputs.index)
    told = [placed({"H": HEIGHT, "W": WIDTH}[letter], outputs.index(letter)) for letter in order]
    check(told, facts(fn, *shape, axes=sorted(map(inputs.index, "HW"))))


def test_facts_are_in_order_of_position():
    """Whatever the order in which the axes were named."""
    check(
        [placed(HEIGHT, 0), Told(axis=1)],
        facts(lambda p, x: lax.reduce_window(x, 0.0, lax.add, (3, 1), (1, 1), "SAME"), 12, 9, axes=(1, 0)),
    )


def test_three_axes():
    def fn(p, x):
        kernel = part(p, 1, 3, 5, 2, 2)
        return lax.conv_general_dilated(x, kernel, (2, 1, 1), "SAME", dimension_numbers=("NDHWC", "DHWIO", "NDHWC"))

    depth = Told(1, 0, 2, circular=shift(2), interior=shift(2, 1, (0, 0)), axis=1)
    told = [depth, Told(3, **padded(1, 1), axis=2), Told(5, **padded(2, 2), axis=3)]
    check(told, facts(fn, 1, 6, 7, 8, 2, axes=(1, 2, 3)))


def test_groups_of_a_batch():
    """`batch_group_count`, as in the gradient of a grouped convolution's kernel."""

    def fn(p, x):
        return lax.conv_general_dilated(
            x, part(p, 3, 2, 2), (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"), batch_group_count=2
        )

    check([Told(3, **padded(1, 1), axis=1)], facts(fn, 2, 12, 2, axes=(1,)))


def space_to_depth(p, x):
    n, h, w, c = x.shape
    x = x.reshape(n, h // 2, 2, w // 3, 3, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h // 2, w // 3, 6 * c)
    return x @ part(p, 6 * c, 5)


def depth_to_space(p, x):
    n, h, w, _ = x.shape
    return x.reshape(n, h, w, 2, 3, -1).transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 3 * w, -1)


@pytest.mark.parametrize(
    ("fn", "told"),
    [
        (lambda p, x: x.transpose(3, 2, 0, 1), [Told(axis=3), Told(axis=1)]),
        (lambda p, x: jnp.swapaxes(x, 1, 2), [Told(axis=2), Told(axis=1)]),
        (lambda p, x: x[:, None, :, None], [Told(axis=2), Told(axis=4)]),
        (lambda p, x: x.reshape(2 * 6, 12, 6), [ANY, Told(axis=1)]),  # H is merged with the batch, as vmap does
        (lambda p, x: x.reshape(2, 6, 72), [Told(axis=1), ANY]),
        (
            lambda p, x: x.mean(1),
            [Told(6, half(5), None, circular=still(), interior=NONE, axis=None), Told(axis=1)],
        ),
        (
            lambda p, x: x[:, 2],
            [Told(1, 2, None, circular=NONE, interior=NONE, axis=None), Told(axis=1)],
        ),
        (
            lambda p, x: x[:, ::2, ::-1],
            [
                Told(1, 0, 2, circular=shift(2), interior=shift(2, 1, (0, 0)), axis=1),
                Told(1, 11, -1, circular=shift(1, -1), interior=shift(1, -1, (0, 0)), axis=2),
            ],
        ),
        (
            lambda p, x: jnp.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0))),
            [Told(1, -1, **padded(1, 0), axis=1), Told(axis=2)],
        ),
        (  # A bias for each row breaks one axis alone.
            lambda p, x: x + part(p, 6, 1, 1),
            [Told(circular=NONE, interior=NONE, axis=1), Told(axis=2)],
        ),
        (
            space_to_depth,
            [
                Told(2, half(1), 2, circular=shift(2), interior=shift(2, 1, (0, 0)), axis=1),
                Told(3, 1, 3, circular=shift(3), interior=shift(3, 1, (0, 0)), axis=2),
            ],
        ),
        (
            depth_to_space,
            [
                Told(1, ANY, half(1), circular=shift(1, 2), interior=shift(1, 2, (0, 0)), axis=1),
                Told(1, ANY, ANY, circular=shift(1, 3), interior=shift(1, 3, (0, 0)), axis=2),
            ],
        ),
        (
            lambda p, x: depth_to_space(p, x).mean((1, 2)),
            [Told(6, half(5), None, axis=None, circular=ANY, interior=NONE), ANY],
        ),
        (  # Normalised over its positions, as an instance norm: all see all.
            lambda p, x: (x - x.mean((1, 2), keepdims=True)) * lax.rsqrt(x.var((1, 2), keepdims=True) + 1),
            [Told(ANY, ANY, ANY, (0, 0), EVERYWHERE, NONE, 1), Told(ANY, ANY, ANY, (0, 0), EVERYWHERE, NONE, 2)],
        ),
    ],
)
def test_axes_move(fn, told):
    for expected, facts_of_axis in zip(told, facts(fn, 2, 6, 12, 6, axes=(1, 2)), strict=True):
        if expected is not ANY:
            expected.check(facts_of_axis)
