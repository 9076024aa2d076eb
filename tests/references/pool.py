"""Pooling as loops over NumPy arrays in float64: slow, and obvious."""

import itertools
import math

import numpy as np


def source(i, n, mode):
    """Which position of an axis of size n stands at i, which may lie beyond its ends; None where nothing does."""
    if 0 <= i < n:
        return i
    if mode == "circular":
        return i % n
    if mode == "replicate":
        return 0 if i < 0 else n - 1
    if mode == "reflect":
        return -i if i < 0 else 2 * (n - 1) - i
    return None


def output_size(n, window, stride, low, high, dilation, ceil_mode):
    """PyTorch's: round, then drop last windows that begin beyond the map and its low padding."""
    exact = (n + low + high - dilation * (window - 1) - 1) / stride
    size = math.ceil(exact) + 1 if ceil_mode else math.floor(exact) + 1
    while ceil_mode and (size - 1) * stride >= n + low:
        size -= 1
    return size


def windows(sizes, window, *, strides, padding, mode="zeros", dilation, ceil_mode=False):
    """Yield (position of the output, its taps): positions of the map, None for a padded zero; no overhang.

    Padding that holds values of the map makes it a larger map.
    """
    axes = []
    for n, w, s, (low, high), d in zip(sizes, window, strides, padding, dilation, strict=True):
        grown = (n, low, high) if mode == "zeros" else (n + low + high, 0, 0)
        outputs = output_size(grown[0], w, s, *grown[1:], d, ceil_mode)
        taps = [[i * s + t * d - low for t in range(w)] for i in range(outputs)]
        axes.append([[source(t, n, mode) for t in row if t < n + high] for row in taps])
    for at in itertools.product(*(range(len(rows)) for rows in axes)):
        taps = itertools.product(*(rows[i] for rows, i in zip(axes, at, strict=True)))
        yield at, [None if None in tap else tap for tap in taps]


def pool(x, window, reduce, *, include_pad=False, **place):
    """x (batch, *spatial, channels); `reduce` turns (values, batch, channels) into (batch, channels)."""
    x = np.asarray(x, np.float64)
    outputs = {}
    for at, taps in windows(x.shape[1:-1], window, **place):
        zero = np.zeros((len(x), x.shape[-1]))
        values = [zero if tap is None else x[(slice(None), *tap)] for tap in taps if include_pad or tap is not None]
        outputs[at] = reduce(np.stack(values))
    sizes = [1 + max(axis) for axis in zip(*outputs, strict=True)]
    return np.stack(list(outputs.values()), 1).reshape(len(x), *sizes, x.shape[-1])


def max_pool_gradient(x, ct, window, **place):
    """The whole of each output's cotangent goes to the first maximum of its window in reading order."""
    x, ct = np.asarray(x, np.float64), np.asarray(ct, np.float64)
    gradient = np.zeros_like(x)
    for at, taps in windows(x.shape[1:-1], window, **place):
        taps = [tap for tap in taps if tap is not None]
        for b, c in itertools.product(range(len(x)), range(x.shape[-1])):
            values = [x[(b, *tap, c)] for tap in taps]
            gradient[(b, *taps[int(np.argmax(values))], c)] += ct[(b, *at, c)]
    return gradient


def adaptive_pool(x, output_size, reduce):
    """x (batch, *spatial, channels), PyTorch's bins."""
    x = np.asarray(x, np.float64)
    y = np.zeros((len(x), *output_size, x.shape[-1]))
    for at in itertools.product(*map(range, output_size)):
        bins = tuple(
            slice(math.floor(i * n / m), math.ceil((i + 1) * n / m))
            for i, n, m in zip(at, x.shape[1:-1], output_size, strict=True)
        )
        box = x[(slice(None), *bins)].reshape(len(x), -1, x.shape[-1])
        y[(slice(None), *at)] = reduce(np.moveaxis(box, 1, 0))
    return y
