"""Normalisation: subtract a mean, divide by a standard deviation, then scale and offset each channel.

Statistics are float32 at least, whatever the type of the map: the one mix of types that is allowed here.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Num

from jaxcnn.functional import window as win


def layer_norm(
    x: Num[Array, "*batch_and_spatial channels"],
    scale: Num[Array, " scale_channels"] | None = None,
    offset: Num[Array, " offset_channels"] | None = None,
    *,
    epsilon: float = 1e-5,
) -> Num[Array, "*batch_and_spatial channels"]:
    """Normalise every position over its channels, the last axis (as Flax and ConvNeXt do on maps).

    `y = scale (x - m) / sqrt(v + epsilon) + offset`, m and v the mean and biased variance of one position.

    Args:
        x: Map, `(*batch_and_spatial, channels)`.
        scale: `(channels,)`, of x's dtype or float32; None is 1.
        offset: `(channels,)`, of x's dtype or float32; None is 0.
        epsilon: Added to the variance.

    Returns:
        The normalised map, of x's shape and dtype.

    Raises:
        ValueError: Shapes that do not fit.
        TypeError: Arrays that are not floating point, or a scale or offset of a third type.

    Example:
        >>> layer_norm(jnp.array([1., 3.]), epsilon=0.).tolist()
        [-1.0, 1.0]

    Reference:
        Ba, Kiros and Hinton, "Layer normalization", 2016.
    """
    x, scale, offset = widened(x, scale, offset)
    return _standardize(x, scale, offset, (x.ndim - 1,), epsilon)[0]


def group_norm(
    x: Num[Array, "*batch_and_spatial channels"],
    scale: Num[Array, " scale_channels"] | None = None,
    offset: Num[Array, " offset_channels"] | None = None,
    *,
    groups: int,
    epsilon: float = 1e-5,
    spatial_axes: Sequence[int] = (-3, -2),
) -> Num[Array, "*batch_and_spatial channels"]:
    """Normalise groups of neighbouring channels over the channels of the group and all positions.

    Args:
        x: Map, `(*batch, *spatial, channels)`.
        scale: `(channels,)`, of x's dtype or float32; None is 1.
        offset: `(channels,)`, of x's dtype or float32; None is 0.
        groups: Number of groups that channels are split into; 1 is the layer norm of a whole image.
        epsilon: Added to the variance.
        spatial_axes: The axes of the positions.

    Returns:
        The normalised map, of x's shape and dtype.

    Raises:
        ValueError: Shapes that do not fit, or `groups` that does not divide the channels.
        TypeError: Arrays that are not floating point, or a scale or offset of a third type.

    Example:
        >>> x = jnp.array([1., 3., 10., 30.]).reshape(1, 1, 4)
        >>> group_norm(x, groups=2, epsilon=0.).ravel().round(3).tolist()
        [-1.0, 1.0, -1.0, 1.0]

    Reference:
        Wu and He, "Group normalization", 2018.
    """
    x, scale, offset = widened(x, scale, offset)
    positions = win.spatial_positions(x.ndim, spatial_axes)
    win.per_axis("groups", groups, 1)
    channels = x.shape[-1]
    if channels % groups:
        raise ValueError(f"`channels` (={channels}) must be divisible by `groups` (={groups})")
    split = (groups, channels // groups)
    scale, offset = (jnp.broadcast_to(a, (channels,)).reshape(split) for a in (scale, offset))
    y, _, _ = _standardize(x.reshape(*x.shape[:-1], *split), scale, offset, (*positions, x.ndim), epsilon)
    return y.reshape(x.shape)


def instance_norm(
    x: Num[Array, "*batch_and_spatial channels"],
    scale: Num[Array, " scale_channels"] | None = None,
    offset: Num[Array, " offset_channels"] | None = None,
    *,
    epsilon: float = 1e-5,
    spatial_axes: Sequence[int] = (-3, -2),
) -> Num[Array, "*batch_and_spatial channels"]:
    """Normalise every channel of every example over its positions.

    Args:
        x: Map, `(*batch, *spatial, channels)`.
        scale: `(channels,)`, of x's dtype or float32; None is 1.
        offset: `(channels,)`, of x's dtype or float32; None is 0.
        epsilon: Added to the variance.
        spatial_axes: The axes of the positions.

    Returns:
        The normalised map, of x's shape and dtype.

    Raises:
        ValueError: Shapes that do not fit.
        TypeError: Arrays that are not floating point, or a scale or offset of a third type.

    Example:
        >>> instance_norm(jnp.array([[1.], [3.]]), epsilon=0., spatial_axes=(-2,)).ravel().tolist()
        [-1.0, 1.0]

    Reference:
        Ulyanov, Vedaldi and Lempitsky, "Instance normalization", 2016.
    """
    x, scale, offset = widened(x, scale, offset)
    return _standardize(x, scale, offset, win.spatial_positions(x.ndim, spatial_axes), epsilon)[0]


@partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _standardize(
    x: Array, scale: Array, offset: Array, axes: tuple[int, ...], epsilon: float
) -> tuple[Array, Array, Array]:
    """Return `scale (x - mean) / sqrt(variance + epsilon) + offset`, the mean and the variance over `axes`."""
    centred, first, error, variance = centre(x.astype(scale.dtype), axes)
    return (centred * (lax.rsqrt(variance + epsilon) * scale) + offset).astype(x.dtype), first + error, variance


@_standardize.defjvp
def _standardize_jvp(axes, epsilon, primals, tangents):
    """Write the tangent so that its transpose is two reductions and one element-wise pass.

    What autodiff derives from the formula above takes up to three times as long on XLA:CPU.
    """
    (x, scale, offset), (dx, dscale, doffset) = primals, tangents
    y, mean, variance = _standardize(x, scale, offset, axes, epsilon)
    centred, _, _, _ = centre(x.astype(scale.dtype), axes)
    inverse, dx = lax.rsqrt(variance + epsilon), dx.astype(scale.dtype)
    dmean = dx.mean(axes, keepdims=True)
    dvariance = 2 * (centred * dx).mean(axes, keepdims=True)
    slope = inverse * dscale - 0.5 * inverse**3 * scale * dvariance
    dy = inverse * scale * dx + centred * slope + (doffset - inverse * scale * dmean)
    return (y, mean, variance), (dy.astype(x.dtype), dmean, dvariance)


def centre(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array, Array, Array]:
    """Return x minus its mean over `axes`, the mean, what rounding took from it, and the variance.

    The corrected two-pass algorithm (Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983):
    the mean of what the first mean leaves is that mean's own rounding error. Neither a large mean nor a value that is
    far out costs digits, and values that are all the same have variance 0.
    """
    first = x.mean(axes, keepdims=True)
    rest = x - first
    error = rest.mean(axes, keepdims=True)
    variance = jnp.maximum(jnp.square(rest).mean(axes, keepdims=True) - jnp.square(error), 0)
    return rest - error, first, error, variance


def widened(x: Array, scale: Array | None, offset: Array | None) -> tuple[Array, Array, Array]:
    """Check a map's scale and offset, and widen them to the type that statistics have."""
    (x,) = win.floating(x=x)
    wide = jnp.promote_types(x.dtype, jnp.float32)
    widened = []
    for name, value, neutral in (("scale", scale, 1), ("offset", offset, 0)):
        if value is None:
            widened.append(jnp.full((), neutral, wide))
            continue
        check_channels(name, value, x)
        if value.dtype not in (x.dtype, jnp.float32):
            raise TypeError(f"`{name}` is {value.dtype} and `x` is {x.dtype}: it must be that, or float32")
        widened.append(value.astype(wide))
    return x, widened[0], widened[1]


def check_channels(name: str, value: Array, x: Array) -> None:
    if value.shape != x.shape[-1:]:
        raise ValueError(f"`{name}` (shape {value.shape}) must be {x.shape[-1:]}, one a channel of `x`")
