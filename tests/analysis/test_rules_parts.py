"""Rules on what was taken apart and joined again, and on windows that hold padding alone."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from references.told import ANY, NONE, Told, facts, part, shift, still

N = 6
SHAPE = (N, 2, 2)
EDGES = ((2, 3), (0, 0), (0, 0))


def edges(x):
    return jnp.pad(x, EDGES[: x.ndim], mode="edge")


def halves(x):
    """The two halves of the channels, each as a table of two by two: equal but for what is in them."""
    flat = jnp.repeat(x, 2, -1)
    return flat.reshape(N, 8)[:, :4].reshape(SHAPE), flat.reshape(N, 8)[:, 4:].reshape(SHAPE)


def repeated(x):
    return jnp.repeat(x[:, 0].T, 2, 0)


def table(p):
    """Differences of numbers: no table that is what it is when transposed."""
    return p[:2, None] - p[:2]


# Parts are the same units where they were the same in the array that both are taken from, and only there.
JOINED = {
    "a map twice": (lambda p, x: jnp.concatenate([x, x]), shift()),
    "a map and it transposed": (lambda p, x: jnp.concatenate([x, x.swapaxes(1, 2)]), NONE),
    "rows and columns of a table": (lambda p, x: jnp.concatenate([x[:, 0], x[:, :, 0]]), NONE),
    "two entries of a table": (
        lambda p, x: jnp.concatenate([x[:, :1][:, :, 1:], x[:, :, :1][:, 1:]])[:, 0, 0],
        NONE,
    ),
    "an entry of a table, in two ways": (
        lambda p, x: jnp.concatenate([x[:, :1][:, :, 1:], x[:, :, 1:][:, :1]])[:, 0, 0],
        shift(),
    ),
    "two halves of the channels": (lambda p, x: jnp.concatenate(halves(x)), NONE),
    "a half twice": (lambda p, x: jnp.concatenate([halves(x)[0], halves(x)[0]]), shift()),
    "merged with repeated channels": (
        lambda p, x: jnp.concatenate([repeated(x)[:2].reshape(-1), repeated(x)[2:].reshape(-1)]),
        NONE,
    ),
    "with numbers in two orders": (
        lambda p, x: jnp.concatenate([x[:, 0] + table(p)[0], x[:, 0] + table(p)[:, 0]]),
        NONE,
    ),
    "with rows and columns of numbers": (
        lambda p, x: (lambda y: jnp.concatenate([y[:, 0], y[:, :, 0]]))(x[:, :1, :1] + table(p)),
        NONE,
    ),
    "the largest of a map and its edges": (lambda p, x: edges(x).max(0), still()),
    "the largest of a centred map and its edges": (lambda p, x: edges(x - x.mean(0)).max(0), still()),
    "the sum of a map and its edges": (lambda p, x: edges(x).sum(0), NONE),
    "the largest of one row and its repetitions": (lambda p, x: jnp.repeat(x[1:2], 5, 0).max(0), NONE),
}


@pytest.mark.parametrize("name", JOINED)
def test_parts_are_compared_as_what_they_are(name):
    fn, circular = JOINED[name]
    (axis,) = facts(fn, *SHAPE)
    Told(ANY, ANY, ANY, ANY, circular, ANY, ANY).check(axis)


@pytest.mark.parametrize("name", JOINED)
def test_what_is_told_of_parts_is_true(name):
    """A roll of the input by 1 is one of the output by 1, or by 0, where that is told, and by nothing where not."""
    fn, (kind, *_) = JOINED[name]
    rng = np.random.default_rng(0)
    p, x = rng.standard_normal(2).astype("float32"), rng.standard_normal(SHAPE).astype("float32")
    y, rolled = (np.asarray(fn(p, jnp.asarray(image))) for image in (x, np.roll(x, 1, 0)))
    answers = [step for step in range(len(y)) if np.allclose(np.roll(y, step, 0), rolled, rtol=1e-5)]
    first = {"equivariant": [1], "invariant": [0], "position-dependent": []}
    assert answers[:1] == first[kind]


def test_a_seam_does_not_hide_in_what_phase_units_are():
    """Units see three positions by turns, two by two; a cut and joined row is read by a window at one phase."""

    def fn(p, x):
        y = lax.conv_general_dilated(x[None, None, :18:2], part(p, 1, 1, 4), (1,), [(2, 2)], lhs_dilation=(2,))[0, 0]
        rolled = jnp.roll(y, -4)
        wide = jnp.concatenate([rolled[-1:], rolled])
        return lax.reduce_window(wide, -jnp.inf, lax.max, (3,), (2,), "VALID", window_dilation=(2,))

    (axis,) = facts(fn, 22)
    # Of 18, unit 2 k sees 2 k - 2 to 2 k, and 2 k + 1 sees 2 k to 2 k + 2: the largest of 3, 5 and 7 sees 2 to 8.
    assert (axis.receptive_field, axis.field, axis.jump) == (7, (2, 8), 2)


def largest(x, taps, stride):
    return lax.reduce_window(x, -jnp.inf, lax.max, (taps,), (stride,), "VALID")


@pytest.mark.parametrize(
    ("fn", "told"),
    [  # 0, 0, 1 and 2, 3, 3: the largest of two each; a sum would count one of them twice.
        (lambda x: largest(jnp.pad(x, 1, mode="edge"), 3, 3), shift(2)),
        (lambda x: jnp.pad(x, 1, mode="edge").reshape(2, 3).max(1), shift(2)),
        (lambda x: jnp.pad(x, 1, mode="edge").reshape(2, 3).sum(1), NONE),
        # 0, 1, 2, 3, 0 and 2, 3, 0, 1, 2: all of them.
        (lambda x: largest(jnp.pad(x, (0, 3), mode="wrap"), 5, 2), still()),
        (lambda x: jnp.pad(x, (0, 1), mode="wrap").max(), still()),
        (lambda x: jnp.pad(x, (0, 1), mode="wrap").sum(), NONE),
    ],
)
def test_the_largest_does_not_mind_how_often_it_sees_a_value(fn, told):
    (axis,) = facts(lambda p, x: fn(x), 4)
    Told(ANY, ANY, ANY, (0, 0), told, ANY, ANY).check(axis)
    x = jnp.asarray([0.3, 2.0, -1.0, 0.7])
    rolls = [np.allclose(jnp.roll(fn(x), n // 2), fn(jnp.roll(x, n))) for n in range(4)]
    assert rolls == {"invariant": [True] * 4, "equivariant": [True, False, True, False]}.get(
        told[0], [True, *rolls[1:]]
    )
    assert all(rolls) == (told[0] == "invariant")


def blind(p, x):
    """A window of two with a hole between them, on one row: it holds the rows before and after."""
    y = lax.conv_general_dilated(x[None], part(p, 2, 3, 1, 1), (1, 1), [(1, 1), (1, 1)], None, (2, 1), LAYOUT)
    return y[0]


LAYOUT = ("NHWC", "HWIO", "NHWC")
ROW = (1, 9, 1)


def test_a_window_that_holds_padding_alone_sees_nothing():
    """It saw padding, which is one value everywhere, and at the corners that of both axes."""
    height, width = facts(blind, *ROW, axes=(0, 1))
    assert (height.receptive_field, height.field, height.padding) == (0, None, (1, 1))
    assert (width.receptive_field, width.field, width.padding) == (0, None, (1, 1))
    for axis in (height, width):
        assert [str(axis.circular), str(axis.interior)] == ["invariant", "invariant"]


def test_what_sees_nothing_adds_nothing():
    """Beside a convolution, and behind one that saw padding: what is told is what is told of the other branch."""

    def both(p, x):
        return x + blind(p, blind(p, jnp.tanh(x)) + jnp.tanh(x))

    height, width = facts(both, *ROW, axes=(0, 1))
    assert (width.receptive_field, width.padding, str(width.interior)) == (1, (1, 1), "interior 1..1")
    assert height.receptive_field == 1


@pytest.mark.parametrize("pooled", [True, False])
def test_a_pool_of_padding_alone_is_a_constant(pooled):
    def fn(p, x):
        options = {"window_dilation": (2, 1)} if pooled else {}
        taps = (2, 3) if pooled else (1, 3)
        pads = [(1, 1) if pooled else (0, 0), (0, 0)]
        return lax.reduce_window(x[..., 0], 0.0, lax.add, taps, (1, 1), pads, **options)

    _, width = facts(fn, *ROW, axes=(0, 1))
    assert width.receptive_field == (0 if pooled else 3)
