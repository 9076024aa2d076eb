"""Multiply-accumulates of random networks, against a count that enumerates every one of them and shares no code.

Sizes come of sliding a window until it no longer fits. What counts is what `costs.macs` says that it counts: taps on
padding do, taps on the holes of a transposed convolution do not.
"""

import itertools
import math

import jax
import numpy as np
import pytest
from flax import nnx

from jaxcnn import nn
from jaxcnn.analysis import summarize

LONGEST = {1: 12, 2: 7, 3: 4}
"""Positions along an axis of the input, by spatial rank."""
MOST = 150
"""Positions of a map: a pure Python count has to be over soon."""
POOLS = (nn.MaxPool, nn.MinPool, nn.AvgPool, nn.LpPool)


class Residual(nn.Module):
    """What a branch adds to a shortcut."""

    def __init__(self, branch, shortcut):
        self.branch = branch
        self.shortcut = shortcut

    def __call__(self, x, *, training=False, key=None):
        return self.branch(x) + self.shortcut(x)


def each(value, rank):
    return tuple(value) if np.iterable(value) else (value,) * rank


def pairs(padding, rank):
    return tuple(each(amount, 2) for amount in each(padding, rank))


def slid(layer, window, sizes):
    """Slide a window along every axis until it no longer fits; return how often it did."""
    rank, ceil = len(window), getattr(layer, "ceil_mode", False)
    strides = each(window if layer.strides is None else layer.strides, rank)
    if layer.padding in ("SAME", "SAME_LOWER"):
        return tuple(len(range(0, n, stride)) for n, stride in zip(sizes, strides, strict=True))
    amounts = pairs(0 if layer.padding == "VALID" else layer.padding, rank)
    found = []
    for n, taps, stride, dilation, (low, high) in zip(
        sizes, window, strides, each(layer.dilation, rank), amounts, strict=True
    ):
        last, end, first, times = (taps - 1) * dilation, low + n + high, 0, 0
        while first + last < end:
            times, first = times + 1, first + stride
        if ceil:  # one more may overhang, but none begins behind the map
            times += times > 0 and first - stride + last < end - 1
            times = sum(start * stride < low + n for start in range(times))
        found.append(times)
    return tuple(found)


def conv(layer, shape):
    """Count a convolution's products: each output position and channel, each tap, each channel of its group."""
    *window, per_group, outputs = layer.kernel.shape
    sizes, count = slid(layer, window, shape[:-1]), 0
    for _ in itertools.product(*map(range, sizes)):
        for _ in itertools.product(*map(range, window)):
            for _ in itertools.product(range(outputs), range(per_group)):
                count += 1
    return count, (*sizes, outputs)


def scattered(layer, sizes):
    """Return the sizes of a transposed convolution's output, and where it begins in what is scattered."""
    rank = len(sizes)
    window, strides, dilation = layer.kernel.shape[:rank], each(layer.strides, rank), each(layer.dilation, rank)
    spans = [(taps - 1) * d + 1 for taps, d in zip(window, dilation, strict=True)]
    if layer.padding in ("SAME", "SAME_LOWER"):
        spare = [max(span - stride, 0) for span, stride in zip(spans, strides, strict=True)]
        lows = [(cropped + (layer.padding == "SAME_LOWER")) // 2 for cropped in spare]
        return tuple(n * stride for n, stride in zip(sizes, strides, strict=True)), lows
    amounts = pairs(0 if layer.padding == "VALID" else layer.padding, rank)
    more = each(layer.output_padding, rank)
    ends = [
        max(i * stride for i in range(n)) + span + extra - low - high
        for n, stride, span, extra, (low, high) in zip(sizes, strides, spans, more, amounts, strict=True)
    ]
    return tuple(ends), [low for low, _ in amounts]


def conv_transpose(layer, shape):
    """Count the products that reach an output, of a map that goes on beyond its border at the same distances."""
    *window, per_group, outputs = layer.kernel.shape
    rank = len(window)
    sizes, lows = scattered(layer, shape[:-1])
    strides, dilation, count = each(layer.strides, rank), each(layer.dilation, rank), 0
    for at in itertools.product(*map(range, sizes)):
        for tap in itertools.product(*map(range, window)):
            sources = [i + low - p * d for i, low, p, d in zip(at, lows, tap, dilation, strict=True)]
            if any(source % stride for source, stride in zip(sources, strides, strict=True)):
                continue  # a hole
            for _ in itertools.product(range(outputs), range(per_group)):
                count += 1
    return count, (*sizes, outputs)


def walk(layer, shape):
    """Count the products of a layer, whatever it holds, on one example; return the shape of its result too."""
    match layer:
        case nn.Sequential():
            total = 0
            for name in layer.names:
                count, shape = walk(getattr(layer, name), shape)
                total += count
            return total, shape
        case Residual():
            branch, after = walk(layer.branch, shape)
            shortcut, same = walk(layer.shortcut, shape)
            assert after == same
            return branch + shortcut, after
        case nn.ConvTranspose():
            return conv_transpose(layer, shape)
        case nn.Conv():
            return conv(layer, shape)
        case nn.MaxPool() | nn.MinPool() | nn.AvgPool() | nn.LpPool():
            return 0, (*slid(layer, layer.window, shape[:-1]), shape[-1])
        case nn.GlobalPool():
            return 0, shape[-1:]
        case nn.Flatten():
            return 0, (sum(1 for _ in itertools.product(*map(range, shape))),)
        case nn.Dense():
            features, outputs = layer.kernel.shape
            count = sum(1 for _ in itertools.product(*map(range, (*shape[:-1], features, outputs))))
            return count, (*shape[:-1], outputs)
        case nn.BatchNorm() | nn.Activation() | nn.Identity():
            return 0, shape
    raise TypeError(layer)


def draw_amount(rng, rank, most, least=0):
    """Draw one number for all axes, or one for each."""
    amounts = rng.integers(least, most + 1, rank).tolist()
    return amounts[0] if rng.random() < 0.5 else tuple(amounts)


def draw_padding(rng, rank):
    kind = rng.choice(["VALID", "SAME", "SAME_LOWER", "amounts", "pairs"])
    if kind == "amounts":
        return draw_amount(rng, rank, 2)
    return tuple(map(tuple, rng.integers(0, 3, (rank, 2)).tolist())) if kind == "pairs" else str(kind)


def draw_place(rng, rank):
    """Draw how a window stands on a map."""
    return {
        "strides": draw_amount(rng, rank, 3 if rank < 3 else 2, 1),
        "padding": draw_padding(rng, rank),
        "dilation": draw_amount(rng, rank, 3, 1) if rng.random() < 0.6 else 1,
    }


def draw_conv(rng, shape, rngs):
    rank, channels = len(shape) - 1, shape[-1]
    groups = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    window, outputs = rng.integers(1, 4, rank).tolist(), groups * int(rng.integers(1, 3))
    options = {**draw_place(rng, rank), "use_bias": bool(rng.random() < 0.5), "rngs": rngs}
    match rng.choice(["conv", "transposed", "depthwise"], p=[0.4, 0.45, 0.15]):
        case "depthwise":
            return nn.DepthwiseConv(channels, window, multiplier=int(rng.integers(1, 3)), **options)
        case "transposed":
            if not isinstance(options["padding"], str):  # less than every stride
                options["output_padding"] = draw_amount(rng, rank, min(each(options["strides"], rank)) - 1)
            return nn.ConvTranspose(channels, outputs, window, groups=groups, **options)
        case _:
            mode = str(rng.choice(["zeros", "replicate"]))
            return nn.Conv(channels, outputs, window, groups=groups, padding_mode=mode, **options)


def draw_pool(rng, shape):
    """Draw a pool; one that would see nothing but padding somewhere is refused, and the map is passed on."""
    kind, window = POOLS[rng.integers(len(POOLS))], rng.integers(1, 4, len(shape) - 1).tolist()
    pool = kind(window, ceil_mode=bool(rng.random() < 0.3), **draw_place(rng, len(shape) - 1))
    try:
        jax.eval_shape(pool, jax.ShapeDtypeStruct(shape, "float32"))
    except ValueError:
        return nn.Identity()
    return pool


def draw_residual(rng, shape, rngs):
    rank, channels = len(shape) - 1, shape[-1]
    outputs, strides = int(rng.integers(1, 5)), draw_amount(rng, rank, 2, 1)
    branch = nn.Sequential(
        nn.Conv(channels, outputs, (3,) * rank, strides=strides, use_bias=False, rngs=rngs),
        nn.BatchNorm(outputs),
        jax.nn.relu,
        nn.Conv(outputs, outputs, (2,) * rank, rngs=rngs),
    )
    if outputs == channels and set(each(strides, rank)) == {1}:
        return Residual(branch, nn.Identity())
    return Residual(branch, nn.Conv(channels, outputs, (1,) * rank, strides=strides, rngs=rngs))


def draw_layer(rng, shape, rngs):
    channels = shape[-1]
    match rng.choice(["conv", "pool", "norm", "activation", "residual", "dense"], p=[0.5, 0.15, 0.1, 0.1, 0.1, 0.05]):
        case "conv":
            return draw_conv(rng, shape, rngs)
        case "pool":
            return draw_pool(rng, shape)
        case "norm":
            return nn.BatchNorm(channels)
        case "residual":
            return draw_residual(rng, shape, rngs)
        case "dense":
            return nn.Dense(channels, int(rng.integers(1, 5)), rngs=rngs)
        case _:
            return nn.Activation(str(rng.choice(["relu", "gelu", "tanh"])))


def draw_network(rng, shape, rngs):
    """Draw 2 to 6 layers that fit one after another, and a head."""
    layers, rank = [], len(shape) - 1
    for _ in range(rng.integers(2, 7)):
        layer = draw_layer(rng, shape, rngs)
        _, after = walk(layer, shape)
        if min(after) > 0 and math.prod(after[:-1]) <= MOST:
            layers, shape = [*layers, layer], after
    axes = tuple(range(-rank - 1, -1))
    head = nn.Flatten(spatial_axes=axes) if rng.random() < 0.5 else nn.GlobalPool("avg", spatial_axes=axes)
    features = walk(head, shape)[1][-1]
    return nn.Sequential(*layers, head, nn.Dense(features, int(rng.integers(1, 6)), rngs=rngs))


def drawn(seed):
    """Draw a network, abstract, and the shape of its input: of some examples, or of one without an axis for it."""
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 4))
    shape = (*rng.integers(2, LONGEST[rank] + 1, rank).tolist(), int(rng.integers(1, 5)))
    batch = ((), (1,), (3,))[rng.integers(3)]
    return nnx.eval_shape(lambda: draw_network(rng, shape, nnx.Rngs(0))), batch, shape


@pytest.mark.parametrize("seed", range(50))
def test_macs_are_those_that_a_loop_counts(seed):
    network, batch, shape = drawn(seed)
    expected, result = walk(network, shape)
    x = jax.ShapeDtypeStruct((*batch, *shape), "float32")
    summary = summarize(*nn.functionalize(network), x, spatial_axes=tuple(range(-len(shape), -1)))
    assert summary.layers[-1].shape == result
    assert summary.totals["macs"] == expected > 0


def test_the_networks_hold_layers_of_every_kind():
    held = {type(layer) for seed in range(50) for _, layer in nnx.iter_modules(drawn(seed)[0])}
    kinds = (nn.Conv, nn.ConvTranspose, nn.DepthwiseConv, nn.BatchNorm, nn.Activation, nn.Flatten, nn.GlobalPool)
    assert {*kinds, *POOLS, nn.Dense, Residual} <= held
