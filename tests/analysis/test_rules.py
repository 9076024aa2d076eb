"""Every rule of the trace on functions of a line or two, against facts derived by hand from their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from references.told import ANY, NONE, Told, facts, half, interior, padded, part, shift, still

from jaxcnn import functional as F

N = 12


def conv(p, x, taps=3, strides=1, padding="SAME", groups=1, **options):
    """A convolution of maps (positions, channels)."""
    kernel = part(p, taps, x.shape[-1] // groups, 4)
    if isinstance(padding, tuple):
        padding = [padding]
    y = lax.conv_general_dilated(
        x[None],
        kernel,
        (strides,),
        padding,
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=groups,
        **options,
    )
    return y.squeeze(0)


def wrap(x, low, high):
    return jnp.concatenate([x[len(x) - low :], x, x[:high]])


def batch_norm(p, x, *, training):
    four = [part(p[i:], 4) for i in range(4)]
    return F.batch_norm(x, *four, training=training, momentum=0.9, epsilon=1e-5)[0]


def pool(x, taps=2, strides=2, padding="VALID", **options):
    return lax.reduce_window(x, -jnp.inf, lax.max, (taps,), (strides,), padding, **options)


MAPS = {
    "one tap": (lambda p, x: conv(p, x, 1), Told()),
    "one tap, strided": (lambda p, x: conv(p, x, 1, 2), Told(jump=2, circular=shift(2), interior=shift(2, 1, (0, 0)))),
    "valid": (lambda p, x: conv(p, x, padding="VALID"), Told(3, 1, **interior(0, 0))),
    "same": (lambda p, x: conv(p, x), Told(3, **padded(1, 1))),
    "same, even window": (lambda p, x: conv(p, x, 4), Told(4, half(1), **padded(1, 2))),
    "same, strided: one at the end": (lambda p, x: conv(p, x, 3, 2), Told(3, 1, 2, **padded(0, 1, 2))),
    "strided": (lambda p, x: conv(p, x, 3, 2, "VALID"), Told(3, 1, 2, **interior(0, 0, 2))),
    "window 2, stride 3": (lambda p, x: conv(p, x, 2, 3, (1, 1)), Told(2, half(-1), 3, **padded(1, 1, 3))),
    "one side": (lambda p, x: conv(p, x, 3, 1, (2, 0)), Told(3, -1, **padded(2, 0))),
    "cropped": (lambda p, x: conv(p, x, 3, 1, (-1, -1)), Told(3, 2, **interior(0, 0))),
    "dilated": (lambda p, x: conv(p, x, 3, 1, (2, 2), rhs_dilation=(2,)), Told(5, **padded(2, 2))),
    "grouped": (lambda p, x: conv(p, x, groups=2), Told(3, **padded(1, 1))),
    "depthwise": (lambda p, x: conv(p, x, groups=4), Told(3, **padded(1, 1))),
    "transposed": (  # 12 positions with a hole after each but the last, (1, 2) around: 24 units
        lambda p, x: conv(p, x, 3, 1, (1, 2), lhs_dilation=(2,)),
        Told(ANY, ANY, half(1), ANY, NONE, shift(1, 2)),
    ),
    "wrapped": (lambda p, x: conv(p, wrap(x, 1, 1), padding="VALID"), Told(3, interior=shift(margin=(1, 1)))),
    "wrapped, strided": (
        lambda p, x: conv(p, wrap(x, 1, 1), 3, 2, "VALID"),
        Told(3, 0, 2, circular=shift(2), interior=shift(2, 1, (1, 0))),  # the last unit sees 9, 10, 11
    ),
    "reflected": (
        lambda p, x: conv(p, jnp.pad(x, ((1, 1), (0, 0)), mode="reflect"), padding="VALID"),
        Told(3, **interior(1, 1)),
    ),
    "two": (lambda p, x: conv(p, conv(p, x), 5), Told(7, **padded(3, 3))),
    "two, strided": (  # 6 units of 3 at 2 j + 1, then 3 of 3 at 2 j + 1: the last sees the last, which saw padding
        lambda p, x: conv(p, conv(p, x, 3, 2), 3, 2),
        Told(7, 3, 4, **padded(0, 1, 4)),
    ),
    "residual": (lambda p, x: x + conv(p, x), Told(3, **padded(1, 1))),
    "side by side": (lambda p, x: jnp.concatenate([x, conv(p, x)], -1), Told(3, **padded(1, 1))),
    "side by side with a roll": (  # the widest field is that of both
        lambda p, x: jnp.concatenate([x, jnp.roll(x, 1, 0)], -1) @ part(p, 8, 3),
        Told(2, half(-1), interior=shift(margin=(1, 0))),
    ),
    "phases side by side": (
        lambda p, x: jnp.concatenate([x[::2], x[1::2]], -1) @ part(p, 8, 3),
        Told(2, half(1), 2, circular=shift(2), interior=shift(2, 1, (0, 0))),
    ),
    "our batch norm": (lambda p, x: batch_norm(p, x, training=False), Told()),
    "our batch norm in training": (
        lambda p, x: batch_norm(p, x, training=True),
        Told(ANY, ANY, ANY, (0, 0), interior=NONE),
    ),
    "our max pool": (  # 0 to 4, 5 to 9, and 10 to 14, of which 12 to 14 are not there
        lambda p, x: F.max_pool(x, (5,), ceil_mode=True),
        Told(5, 2, 5, **padded(0, 1, 5)),
    ),
    "our mean pool": (lambda p, x: F.avg_pool(x, (3,), strides=1, padding=1), Told(3, **padded(1, 1))),
    "our convolution": (
        lambda p, x: F.conv(x, part(p, 3, 4, 2), part(p, 2), activation="relu"),
        Told(3, **padded(1, 1)),
    ),
    "our circular convolution": (
        lambda p, x: F.conv(x, part(p, 3, 4, 2), strides=2, padding_mode="circular"),
        Told(3, 1, 2, circular=shift(2), interior=shift(2, 1, (0, 1))),  # SAME pads one at the end
    ),
    "dense on channels": (lambda p, x: x @ part(p, 4, 7), Told()),
    "einsum": (lambda p, x: jnp.einsum("hc,cd->dh", x, part(p, 4, 7)), Told(axis=1)),
    "channels last to first": (lambda p, x: x.T, Told(axis=1)),
    "over channels": (lambda p, x: x.sum(-1), Told()),
    "argmax of channels": (lambda p, x: x.argmax(-1), Told()),
    "cumulative over channels": (lambda p, x: jnp.cumsum(x, -1), Told()),
    "sorted channels": (lambda p, x: jnp.sort(x, -1), Told()),
    "softmax of channels": (lambda p, x: jax.nn.softmax(x, -1), Told()),
    "scale of each channel": (lambda p, x: x * part(p, 4) + part(p, 4), Told()),
    "gram": (
        lambda p, x: jnp.einsum("hc,hd->cd", x, x),
        Told(N, half(11), None, (0, 0), still(), NONE, None),
    ),
    "all positions, dense": (
        lambda p, x: x.ravel() @ part(p, N * 4, 5),
        Told(N, half(11), None, (0, 0), NONE, NONE, None),
    ),
    "all positions, dense with a sum of kernels": (
        lambda p, x: x.ravel() @ (part(p, N * 4, 5) + part(p[7:], N * 4, 5)),
        Told(N, half(11), None, (0, 0), NONE, NONE, None),
    ),
    "mean of same": (  # each of 12 units sees 3: -1 ... 12
        lambda p, x: conv(p, x).mean(0),
        Told(N + 2, half(11), None, (1, 1), NONE, NONE, None),
    ),
    "mean of wrapped": (
        lambda p, x: conv(p, wrap(x, 1, 1), padding="VALID").mean(0),
        Told(N + 2, half(11), None, (0, 0), still(), NONE, None),
    ),
}
"""Functions of a map of 12 positions and 4 channels."""

ROWS = {
    "relu": (lambda p, x: jax.nn.relu(x), Told()),
    "stop gradient": (lambda p, x: lax.stop_gradient(x), Told()),
    "other dtype": (lambda p, x: x.astype(jnp.bfloat16), Told()),
    "square": (lambda p, x: x * x, Told()),
    "scalar parameter": (lambda p, x: x * p[0], Told()),
    "parameter at each position": (lambda p, x: x + part(p, N), Told(circular=NONE, interior=NONE)),
    "mask": (lambda p, x: jnp.where(part(p, N) > 0, x, 0), Told(circular=NONE, interior=NONE)),
    "select": (lambda p, x: jnp.where(x > 0, x, -x), Told()),
    "clamp": (lambda p, x: jnp.clip(x, -1, 1), Told()),
    "noise": (lambda p, x: x + jax.random.normal(jax.random.key(0), (N,)), Told(circular=NONE, interior=NONE)),
    "constant": (lambda p, x: part(p, N), Told(0, ANY, ANY, (0, 0), still(), still(), ANY)),
    "max pool": (lambda p, x: pool(x), Told(2, half(1), 2, circular=shift(2), interior=shift(2, 1, (0, 0)))),
    "max pool, padded": (lambda p, x: pool(x, 3, 1, [(1, 1)]), Told(3, **padded(1, 1))),
    "max pool, one side": (lambda p, x: pool(x, 2, 1, [(1, 0)]), Told(2, half(-1), **padded(1, 0))),
    "max pool, overlapping": (lambda p, x: pool(x, 3, 2), Told(3, 1, 2, **interior(0, 0, 2))),
    "max pool, dilated": (lambda p, x: pool(x, 3, 1, window_dilation=(2,)), Told(5, 2, **interior(0, 0))),
    "sum pool": (
        lambda p, x: lax.reduce_window(x, 0.0, lax.add, (3,), (3,), "VALID"),
        Told(3, 1, 3, circular=shift(3), interior=shift(3, 1, (0, 0))),
    ),
    "any pool": (
        lambda p, x: lax.reduce_window(x, 1.0, lambda a, b: a * jnp.abs(b), (2,), (2,), "VALID"),
        Told(2, half(1), 2, circular=shift(2), interior=shift(2, 1, (0, 0))),
    ),
    "gradient of max pool": (  # each unit sees the window that it lies in
        lambda p, x: jax.grad(lambda x: pool(x).sum())(x),
        Told(ANY, ANY, 1, (0, 0), shift(2, 2), shift(2, 2, (0, 0))),
    ),
    "pool by reshape": (
        lambda p, x: x.reshape(6, 2).max(1),
        Told(2, half(1), 2, circular=shift(2), interior=shift(2, 1, (0, 0))),
    ),
    "split and merge": (lambda p, x: x.reshape(4, 3).ravel(), Told()),
    "axes of one": (lambda p, x: x[None, :, None], Told(axis=1)),
    "broadcast": (lambda p, x: jnp.broadcast_to(x, (5, N)), Told(axis=1)),
    "reversed": (lambda p, x: x[::-1], Told(1, 11, -1, (0, 0), shift(1, -1), shift(1, -1, (0, 0)))),
    "slice": (lambda p, x: x[2:10], Told(1, 2, **interior(0, 0))),
    "every other": (lambda p, x: x[::2], Told(1, 0, 2, (0, 0), shift(2), shift(2, 1, (0, 0)))),
    "every other, later": (lambda p, x: x[1::2], Told(1, 1, 2, (0, 0), shift(2), shift(2, 1, (0, 0)))),
    "one position": (lambda p, x: x[4], Told(1, 4, None, (0, 0), NONE, NONE, None)),
    "static dynamic slice": (lambda p, x: lax.dynamic_slice(x, (2,), (8,)), Told(1, 2, **interior(0, 0))),
    "take one": (lambda p, x: jnp.take(x, 4), Told(1, 4, None, (0, 0), NONE, NONE, None)),
    "take": (lambda p, x: jnp.take(x, np.arange(1, 9)), Told(1, 1, **interior(0, 0))),
    "take every other": (
        lambda p, x: jnp.take(x, np.arange(0, N, 2)),
        Told(1, 0, 2, (0, 0), shift(2), shift(2, 1, (0, 0))),
    ),
    "take backwards": (
        lambda p, x: x[np.arange(N)[::-1]],
        Told(1, 11, -1, (0, 0), shift(1, -1), shift(1, -1, (0, 0))),
    ),
    "take in disorder": (
        lambda p, x: x[np.array([3, 1, 4, 0, 5, 9, 2, 6, 8, 7, 11, 10])],
        Told(ANY, ANY, ANY, (0, 0), NONE, ANY, ANY),
    ),
    "repeat": (lambda p, x: jnp.repeat(x, 2), Told(1, ANY, half(1), (0, 0), shift(1, 2), shift(1, 2, (0, 0)))),
    "pool and repeat": (lambda p, x: jnp.repeat(pool(x), 2), Told(2, ANY, 1, (0, 0), shift(2, 2), shift(2, 2, (0, 0)))),
    "pad": (lambda p, x: jnp.pad(x, (2, 1)), Told(1, -2, **padded(2, 1))),
    "negative pad": (lambda p, x: lax.pad(x, 0.0, [(-2, -1, 0)]), Told(1, 2, **interior(0, 0))),
    "interior pad": (lambda p, x: lax.pad(x, 0.0, [(0, 1, 1)]), Told(1, ANY, half(1), ANY, shift(1, 2), shift(1, 2))),
    "padded and cropped": (lambda p, x: jnp.pad(x, (2, 1))[2:-1], Told()),
    "roll": (lambda p, x: jnp.roll(x, 3), Told(1, -3, interior=shift(margin=(3, 0)))),
    "roll back": (lambda p, x: jnp.roll(jnp.roll(x, 3), -3), Told(interior=shift())),
    "sum with a roll": (lambda p, x: x + jnp.roll(x, 1), Told(2, half(-1), interior=shift(margin=(1, 0)))),
    "sum with the reverse": (  # by 6 both go to the same place
        lambda p, x: x + x[::-1],
        Told(ANY, ANY, ANY, (0, 0), ANY, NONE, ANY),
    ),
    "twice": (lambda p, x: jnp.concatenate([x, x]), Told(1, ANY, interior=shift())),
    "centred": (lambda p, x: x - x.mean(), Told(ANY, ANY, ANY, (0, 0), shift(), NONE)),
    "sum": (lambda p, x: x.sum(), Told(N, half(11), None, (0, 0), still(), NONE, None)),
    "kept sum": (lambda p, x: x.sum(keepdims=True), Told(N, half(11), None, (0, 0), still(), NONE, None)),
    "max of pool": (lambda p, x: pool(x, 2, 2).max(), Told(N, half(11), None, (0, 0), ANY, NONE, None)),
    "max of part": (lambda p, x: x[2:6].max(), Told(4, half(7), None, (0, 0), NONE, NONE, None)),
    "product": (lambda p, x: x.prod(), Told(N, half(11), None, (0, 0), still(), NONE, None)),
    "any": (lambda p, x: (x > 0).any(), Told(N, half(11), None, (0, 0), still(), NONE, None)),
    "argmax": (lambda p, x: x.argmax(), Told(N, half(11), None, (0, 0), NONE, NONE, None)),
    "cumulative": (lambda p, x: jnp.cumsum(x), Told(ANY, ANY, ANY, (0, 0), NONE, NONE, ANY)),
    "cumulative, reversed": (lambda p, x: lax.cummax(x, reverse=True), Told(ANY, ANY, ANY, (0, 0), NONE, NONE, ANY)),
    "jit": (lambda p, x: jax.jit(lambda x: pool(x, 3, 1))(x), Told(3, 1, **interior(0, 0))),
    "remat": (lambda p, x: jax.checkpoint(lambda x: pool(x, 3, 1))(x), Told(3, 1, **interior(0, 0))),
    "vmap": (lambda p, x: jax.vmap(lambda a: a * p[0])(x), Told()),
    "gradient": (lambda p, x: jax.grad(lambda x: jnp.sum(jnp.sin(x)))(x), Told()),
}
"""Functions of a row of 12 numbers."""


@pytest.mark.parametrize("name", MAPS)
def test_map(name):
    fn, told = MAPS[name]
    told.check(*facts(fn, N, 4))


@pytest.mark.parametrize("name", ROWS)
def test_row(name):
    fn, told = ROWS[name]
    told.check(*facts(fn, N))


def spread(p, x):
    return lax.conv_general_dilated(x[None, None], part(p, 1, 1, 3), (1,), [(2, 1)], lhs_dilation=(2,))[0, 0]


@pytest.mark.parametrize(
    ("length", "fn", "told"),
    [
        # What circular shifts ask of the sizes: 11 or 13 positions are no multiple of the stride.
        (11, lambda p, x: x[::2], Told(1, 0, 2, **interior(0, 0, 2))),
        (13, lambda p, x: pool(x), Told(2, half(1), 2, **interior(0, 0, 2))),
        (11, lambda p, x: pool(wrap(x, 1, 1), 3), Told(3, 0, 2, circular=NONE, interior=shift(2, 1, (1, 1)))),
        # An interior of fewer than step + 1 units guarantees nothing.
        (6, lambda p, x: pool(pool(x, 3, 1, "SAME"), 3, 1, "SAME"), Told(5, **padded(2, 2))),
        (5, lambda p, x: pool(pool(x, 3, 1, "SAME"), 3, 1, "SAME"), Told(5, 0, 1, (2, 2), NONE, NONE)),
        (4, lambda p, x: pool(pool(x, 3, 1, "SAME"), 3, 1, "SAME"), Told(5, 0, 1, (4, 4), NONE, NONE)),
        (16, lambda p, x: pool(x, 7, 2, "SAME"), Told(7, 1, 2, **padded(1, 2, 2))),  # padding (2, 3)
        (8, lambda p, x: pool(x, 7, 2, "SAME"), Told(7, 1, 2, (1, 2), NONE, NONE)),
        # Zeros between positions, and padding: of one position as of many, there is one more before it.
        (9, lambda p, x: spread(p, x), Told(2, half(-1), half(1), (2, 1), NONE, shift(1, 2, (1, 0)))),
        (1, lambda p, x: spread(p, x), Told(2, half(-1), half(1), (2, 2), still(), NONE)),
        # Lattices multiply.
        (24, lambda p, x: pool(pool(x))[::3], Told(4, half(3), 12, (0, 0), shift(12), shift(12, 1, (0, 0)))),
    ],
)
def test_sizes_matter(length, fn, told):
    told.check(*facts(fn, length))
