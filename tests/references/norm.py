"""Normalisation in NumPy, float64, one set of values at a time."""

import numpy as np


def normalize(values, epsilon):
    """Subtract the mean and divide by the root of the biased variance, of all the values."""
    values = np.asarray(values, np.float64)
    return (values - values.mean()) / np.sqrt(values.var() + epsilon)


def group_norm(x, groups, epsilon):
    """x (batch, *spatial, channels)."""
    x = np.asarray(x, np.float64)
    y, width = np.zeros_like(x), x.shape[-1] // groups
    for example in range(len(x)):
        for group in range(groups):
            channels = slice(group * width, (group + 1) * width)
            y[example, ..., channels] = normalize(x[example, ..., channels], epsilon)
    return y


def layer_norm(x, epsilon):
    """Every position over the last axis."""
    x = np.asarray(x, np.float64)
    rows = [normalize(row, epsilon) for row in x.reshape(-1, x.shape[-1])]
    return np.stack(rows).reshape(x.shape)


def batch_norm(x, epsilon):
    """Return the normalised x, and each channel's mean and unbiased variance."""
    x = np.asarray(x, np.float64)
    channels = [x[..., c] for c in range(x.shape[-1])]
    y = np.stack([normalize(values, epsilon) for values in channels], -1)
    return y, np.array([v.mean() for v in channels]), np.array([v.var(ddof=1) for v in channels])
