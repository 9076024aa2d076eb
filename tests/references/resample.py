"""Sampling layers as loops over NumPy arrays, and the rolls that they answer to."""

import itertools
import math

import numpy as np


def all_rolls(x, rank=2):
    """Every circular shift of the first axes, `(shifts, *x.shape)`, in reading order of the shifts."""
    axes = tuple(range(rank))
    return np.stack([np.roll(x, shift, axes) for shift in itertools.product(*map(range, x.shape[:rank]))])


def is_roll(a, b, rank=2):
    """Whether b is a roll of a along its first axes, entry for entry."""
    axes = tuple(range(rank))
    shifts = itertools.product(*map(range, a.shape[:rank]))
    return any(np.array_equal(np.roll(a, shift, axes), b) for shift in shifts)


def phases(x, strides):
    """All phases of a map, in the order of their numbers."""
    starts = itertools.product(*map(range, strides))
    return [x[tuple(slice(k, None, s) for k, s in zip(start, strides, strict=True))] for start in starts]


def binomial(taps):
    """The weights of a binomial low-pass."""
    return np.array([math.comb(taps - 1, k) for k in range(taps)]) / 2 ** (taps - 1)


def blur(x, strides, taps, source):
    """x (*spatial, channels); `source(i, n)` is the position that stands at i of an axis of size n, or None."""
    x = np.asarray(x, np.float64)
    for axis, stride in enumerate(strides):
        n = x.shape[axis]
        rows = []
        outputs = -(-n // stride)
        low = (taps - 1) // 2
        for i in range(outputs):
            at = [source(i * stride + k - low, n) for k in range(taps)]
            terms = zip(binomial(taps), at, strict=True)
            rows.append(sum(w * np.take(x, j, axis) for w, j in terms if j is not None) + 0 * np.take(x, 0, axis))
        x = np.stack(rows, axis)
    return x


def fourier(n, k):
    """The wave of frequency k at n positions, as it stands between them: a function of the place."""
    return lambda place: np.exp(2j * np.pi * k * np.asarray(place) / n)


def between(x, places):
    """Values between the positions of a circle, by its waves below the Nyquist frequency; x (n, channels)."""
    n = len(x)
    spectrum = {
        k: (x * fourier(n, -k)(np.arange(n))[:, None]).sum(0) / n for k in range(-((n - 1) // 2), n // 2 + n % 2)
    }
    return sum(wave * fourier(n, k)(places)[:, None] for k, wave in spectrum.items()).real
