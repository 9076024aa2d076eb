"""Actions and symmetries, slow and obvious, in NumPy."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np


def shifted(x: np.ndarray, shift: Sequence[int], axes: Sequence[int], fill: float | None = None) -> np.ndarray:
    """Shift position by position: circularly, or with a fill."""
    y = np.empty_like(x)
    for position in np.ndindex(*x.shape):
        source = list(position)
        for axis, amount in zip(axes, shift, strict=True):
            source[axis] = position[axis] - amount
        inside = all(0 <= place < size for place, size in zip(source, x.shape, strict=True))
        wrapped = tuple(place % size for place, size in zip(source, x.shape, strict=True))
        y[position] = x[wrapped] if inside or fill is None else fill
    return y


def fourier_shifted(x: np.ndarray, shift: float, axis: int) -> np.ndarray:
    """Sum the cosines and sines that go through the samples, at the shifted positions."""
    n = x.shape[axis]
    where = np.arange(n)
    signal = np.moveaxis(np.asarray(x, np.float64), axis, 0)
    spectrum = np.tensordot(np.exp(-2j * np.pi * np.outer(where, where) / n), signal, 1) / n
    waves = np.zeros((n, n), complex)  # (position, frequency)
    for k in range(n):
        if 2 * k == n:
            waves[:, k] = np.cos(np.pi * (where - shift))
        else:
            frequency = k if 2 * k < n else k - n
            waves[:, k] = np.exp(2j * np.pi * frequency * (where - shift) / n)
    return np.moveaxis(np.tensordot(waves, spectrum, 1).real, 0, axis)


def without_highest(x: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Take the highest frequency of even sizes out of a signal."""
    for axis in axes:
        n = x.shape[axis]
        if n % 2 == 0:
            signs = np.where(np.arange(n) % 2, -1.0, 1.0).reshape(-1, *[1] * (x.ndim - axis - 1))
            x = x - signs * (signs * x).mean(axis, keepdims=True)
    return x


def circular_shifts(sizes: Sequence[int], strides: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All shifts that the strides divide."""
    return itertools.product(*(range(0, n, s) for n, s in zip(sizes, strides, strict=True)))


def worst_shift(
    fn: Callable[[np.ndarray], np.ndarray], x: np.ndarray, axes: Sequence[int], strides: Sequence[int]
) -> float:
    """The largest difference between f of a roll of x by k s, and the roll by k of f(x), over all k."""
    y, worst = fn(x), 0.0
    for shift in circular_shifts([x.shape[axis] for axis in axes], strides):
        answer = [amount // stride for amount, stride in zip(shift, strides, strict=True)]
        worst = max(worst, float(np.abs(fn(np.roll(x, shift, axes)) - np.roll(y, answer, axes)).max()))
    return worst
