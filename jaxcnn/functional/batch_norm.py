"""Batch normalisation, with or without the ReLU or GELU after it: one operation, and one in its gradient."""

import math
from collections.abc import Hashable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.interpreters import ad
from jaxtyping import Num

from jaxcnn.config import unknown
from jaxcnn.functional import window as win
from jaxcnn.functional.gelu import gelu_slope
from jaxcnn.functional.norm import centre, check_channels, widened
from jaxcnn.functional.primitive import merge, primitive, split

ACTIVATIONS = (None, "relu", "gelu")
"""What may follow in the same operation; the kernels know them by their places here."""
Axes = tuple[Hashable, ...]
"""Names of mapped axes."""


def batch_norm(
    x: Num[Array, "*batch_and_spatial channels"],
    scale: Num[Array, " scale_channels"] | None,
    offset: Num[Array, " offset_channels"] | None,
    mean: Num[Array, " mean_channels"],
    variance: Num[Array, " variance_channels"],
    *,
    training: bool,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    activation: str | None = None,
    axis_name: Hashable | Axes | None = None,
) -> tuple[Num[Array, "*batch_and_spatial channels"], Num[Array, " mean_channels"], Num[Array, " variance_channels"]]:
    """Normalise every channel over all other axes, and keep running statistics.

    `y = scale (x - m) / sqrt(v + epsilon) + offset`. In training m and v are the batch's mean and biased variance,
    and `mean <- momentum mean + (1 - momentum) m`, `variance <- momentum variance + (1 - momentum) v n / (n - 1)`:
    the unbiased one is stored, as in PyTorch. In evaluation m and v are the running ones.

    Args:
        x: Map, `(*batch_and_spatial, channels)`.
        scale: `(channels,)`, of x's dtype or float32; None is 1.
        offset: `(channels,)`, of x's dtype or float32; None is 0.
        mean: Running mean, `(channels,)`, of any floating-point type, which it keeps.
        variance: Running variance, `(channels,)`, likewise.
        training: Normalise by the batch, and move the running statistics.
        momentum: Share of the old statistic that is kept: 0.9 is PyTorch's 0.1.
        epsilon: Added to the variance.
        activation: `relu` returns `max(y, 0)`, which in training costs nothing more than y, and `gelu` `gelu(y)`, which
            costs little more.
        axis_name: Axes of a surrounding `shard_map` or `vmap` that divide the batch, one name or several: in training
            the statistics, and the gradients through them, are then those of all shards together, of equal size.

    Returns:
        The normalised map, of x's dtype, and the running mean and variance, through which no gradient flows.

    Raises:
        ValueError: Shapes that do not fit, a momentum outside [0, 1], one value a channel in training, or an unknown
            activation.
        TypeError: Arrays that are not floating point, or a scale or offset of a third type.

    Example:
        >>> x = jnp.array([[1.], [3.]])
        >>> y, mean, variance = batch_norm(x, None, None, jnp.zeros(1), jnp.ones(1), training=True, epsilon=0.)
        >>> y.ravel().tolist(), f"{mean[0]:.2f}", f"{variance[0]:.2f}"
        ([-1.0, 1.0], '0.20', '1.10')

    Reference:
        Ioffe and Szegedy, "Batch normalization", 2015.
    """
    x, scale, offset = widened(x, scale, offset)
    for name, statistic in (("mean", mean), ("variance", variance)):
        check_channels(name, statistic, x)
        win.floating(**{name: statistic})
    if not 0 <= momentum <= 1:
        raise ValueError(f"`momentum` (={momentum}) must be in [0, 1]: it is the share of the old statistic kept")
    if activation not in ACTIVATIONS:
        raise ValueError(unknown("`activation`", activation, ("relu", "gelu")))
    if not training:
        y = (x - mean) * (lax.rsqrt(variance.astype(scale.dtype) + epsilon) * scale) + offset
        return _activated(y, activation).astype(x.dtype), mean, variance
    across = axis_name if isinstance(axis_name, tuple) else () if axis_name is None else (axis_name,)
    count = math.prod(x.shape[:-1]) * (lax.axis_size(across) if across else 1)
    if count < 2:
        raise ValueError(
            f"`x` (shape {x.shape}) must have more than one value a channel in training: the variance of "
            f"{count} is not defined"
        )
    zeros = jnp.zeros_like(x, scale.dtype, shape=x.shape[-1:])  # of x's kind: in a `shard_map`, varying as x does
    scale, offset = scale + zeros, offset + zeros
    settings: dict[str, Any] = {"epsilon": float(epsilon), "activation": activation}
    if across:
        y, first, error, biased = _shared(x, scale, offset, across, **settings)
    else:
        y, first, error, biased = FORWARD.bind(x, scale, offset, **settings)
    unbiased = biased * (count / (count - 1))
    mean, variance = (
        lax.stop_gradient(old + (1 - momentum) * (new - old)).astype(old.dtype)
        for old, new in ((mean, first + error), (variance, unbiased))
    )
    return y, mean, variance


def _activated(y: Array, activation: str | None) -> Array:
    # Not `jnp.maximum`: its derivative asks whether y equals the result, and XLA may have computed y twice, in two
    # ways, which lost most of a gradient in a run of two processes.
    return y if activation is None else jax.nn.relu(y) if activation == "relu" else jax.nn.gelu(y)


def _through(y: Array, dy: Array, activation: str | None) -> Array:
    """Return the gradient, or the tangent, behind the activation of a normalised map."""
    if activation is None:
        return dy
    return jnp.where(y > 0, dy, 0) if activation == "relu" else gelu_slope(y) * dy


def _forward(x: Array, scale: Array, offset: Array, *, epsilon: float, activation: str | None) -> tuple[Array, ...]:
    """Return the map, each channel's mean and what rounding took from it, and its biased variance."""
    centred, first, error, variance = centre(x.astype(scale.dtype), tuple(range(x.ndim - 1)))
    y = centred * (lax.rsqrt(variance + epsilon) * scale) + offset
    return _activated(y, activation).astype(x.dtype), *(statistic.reshape(-1) for statistic in (first, error, variance))


def _tangent(
    x: Array,
    scale: Array,
    offset: Array,
    mean: Array,
    error: Array,
    variance: Array,
    dx: Array,
    dscale: Array,
    doffset: Array,
    *,
    epsilon: float,
    activation: str | None,
) -> tuple[Array, Array, Array]:
    """Return the tangents of the map, of the mean and of the variance; linear in `dx`, `dscale` and `doffset`."""
    axes = tuple(range(x.ndim - 1))
    centred, inverse = (x.astype(scale.dtype) - mean) - error, lax.rsqrt(variance + epsilon)
    dx = dx.astype(scale.dtype)
    dmean, dvariance = dx.mean(axes), 2 * (centred * dx).mean(axes)
    slope = inverse * dscale - 0.5 * inverse**3 * scale * dvariance
    dy = inverse * scale * dx + centred * slope + (doffset - inverse * scale * dmean)
    dy = _through(centred * (inverse * scale) + offset, dy, activation)
    return dy.astype(x.dtype), dmean, dvariance


def _backward(
    x: Array,
    scale: Array,
    offset: Array,
    mean: Array,
    error: Array,
    variance: Array,
    dy: Array,
    dmean: Array,
    dvariance: Array,
    *,
    epsilon: float,
    activation: str | None,
) -> tuple[Array, Array, Array]:
    """Return the cotangents of x, scale and offset: `_tangent`'s transpose, two reductions and one pass."""
    axes, count = tuple(range(x.ndim - 1)), math.prod(x.shape[:-1])
    centred, inverse = (x.astype(scale.dtype) - mean) - error, lax.rsqrt(variance + epsilon)
    dy = _through(centred * (inverse * scale) + offset, dy.astype(scale.dtype), activation)
    total, moment = dy.sum(axes), (dy * centred).sum(axes)
    slope = (2 * dvariance - inverse**3 * scale * moment) / count
    dx = inverse * scale * dy + centred * slope + (dmean - inverse * scale * total) / count
    return dx.astype(x.dtype), inverse * moment, total


def _shared(
    x: Array, scale: Array, offset: Array, across: Axes, *, epsilon: float, activation: str | None
) -> tuple[Array, ...]:
    """Do as `_forward` with the statistics of all shards. It is no primitive: it talks to other devices within."""
    axes, wide = tuple(range(x.ndim - 1)), x.astype(scale.dtype)
    # The first mean is but a shift that saves digits (see `centre`): nothing depends on it, so no gradient needs to
    # flow through it, and what JAX derives from the rest is two reductions and one pass, as `_backward` is.
    first = lax.stop_gradient(lax.pmean(wide.mean(axes), across))
    rest = wide - first
    error, square = lax.pmean((rest.mean(axes), jnp.square(rest).mean(axes)), across)
    variance = jax.nn.relu(square - jnp.square(error))  # `_activated` tells why
    y = (rest - error) * (lax.rsqrt(variance + epsilon) * scale) + offset
    return _activated(y, activation).astype(x.dtype), first, error, variance


def _members_are_channels(arrays: Any, axes: Any) -> tuple[Any, Any] | None:
    """Normalise the maps of all members of a vmap as the channels of one map; None where they share a map."""
    if axes[0] is None:
        return None
    size = arrays[0].shape[axes[0]]
    merged = [merge(array, axis, size, -1) for array, axis in zip(arrays, axes, strict=True)]
    return merged, lambda output: split(output, size, -1)


def _jvp(primals: Any, tangents: Any, **parameters: Any) -> tuple[Any, Any]:
    outputs = FORWARD.bind(*primals, **parameters)
    tangents = [ad.instantiate_zeros(tangent) for tangent in tangents]
    dy, dmean, dvariance = TANGENT.bind(*primals, *outputs[1:], *tangents, **parameters)
    return outputs, [dy, dmean, jnp.zeros_like(outputs[2]), dvariance]  # mean + error moves as mean does


def _transpose(cotangents: Any, *arrays: Any, **parameters: Any) -> list[Any]:
    known, linear = arrays[:6], arrays[6:]
    gradients = BACKWARD.bind(*known, *map(ad.instantiate_zeros, cotangents), **parameters)
    return [None] * 6 + [g if ad.is_undefined_primal(a) else None for a, g in zip(linear, gradients, strict=True)]


BACKWARD = primitive("batch_norm_backward", _backward, fold=_members_are_channels)
TANGENT = primitive("batch_norm_tangent", _tangent, transpose=_transpose)
FORWARD = primitive("batch_norm", _forward, jvp=_jvp, fold=_members_are_channels)
