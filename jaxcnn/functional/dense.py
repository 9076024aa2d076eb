"""Dense layers: every output sees every input."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Num

from jaxcnn.functional import window as win


def dense(
    x: Num[Array, "*batch in_features"],
    kernel: Num[Array, "kernel_in out_features"],
    bias: Num[Array, " bias_features"] | None = None,
    *,
    precision: lax.PrecisionLike = None,
) -> Num[Array, "*batch out_features"]:
    """Multiply features by a matrix and add a bias: `y = x kernel + bias`.

    Args:
        x: Features, `(*batch, in_features)`, any number of batch axes.
        kernel: `(in_features, out_features)`.
        bias: `(out_features,)`, or None.
        precision: As in `lax.dot_general`.

    Returns:
        Features, `(*batch, out_features)`, of x's dtype; half precision accumulates in float32.

    Raises:
        ValueError: Shapes that do not fit.
        TypeError: Arrays that are not floating point, or of different types.

    Example:
        The lecture's classifier: a 32x32x3 image stretched to 3072, W of 3072x10, ten scores.

        >>> image, kernel = jnp.ones((32, 32, 3)), jnp.ones((3072, 10))
        >>> dense(flatten(image), kernel).shape
        (10,)

    Reference:
        CS231n, "Linear classification".
    """
    x, kernel, bias = win.floating(x=x, kernel=kernel, bias=bias)
    if not x.ndim or kernel.ndim != 2 or kernel.shape[0] != x.shape[-1]:
        raise ValueError(
            f"`kernel` (shape {kernel.shape}) must be (in_features, out_features), with as many rows as `x` "
            f"(shape {x.shape}) has features"
        )
    if bias is not None and bias.shape != kernel.shape[1:]:
        raise ValueError(f"`bias` (shape {bias.shape}) must be {kernel.shape[1:]}, one an output")
    y = jnp.matmul(x, kernel, precision=precision)
    return y if bias is None else y + bias


def flatten(
    x: Num[Array, "*batch_and_spatial channels"], *, spatial_axes: Sequence[int] = (-3, -2)
) -> Num[Array, "*batch features"]:
    """Stretch every map to one vector: merge spatial axes and channels, and keep the batch axes.

    Args:
        x: Map, `(*batch, *spatial, channels)`.
        spatial_axes: The axes to merge with the channels, in ascending order.

    Returns:
        Features, `(*batch, prod(spatial) * channels)`, the channels of a position side by side.

    Raises:
        ValueError: A spatial axis that is not there, is named twice, or is the channel axis.

    Example:
        >>> flatten(jnp.ones((8, 32, 32, 3))).shape
        (8, 3072)
    """
    positions = win.spatial_positions(x.ndim, spatial_axes)
    batch = tuple(n for axis, n in enumerate(x.shape[:-1]) if axis not in positions)
    x = jnp.moveaxis(x, positions, range(len(batch), x.ndim - 1))
    return x.reshape(*batch, math.prod(x.shape[len(batch) :]))
