"""Group convolutions: maps that also have an axis for the symmetries of the square.

An element is `R^r F^m`: mirror left to right m times, then turn counter-clockwise by r quarters. It has the index
`4 m + r`, and acts on an image by `L x = rot90^r(flip^m(x))`. p4 has the four turns, p4m all eight. With translations,
they are the groups that a lattice of pixels allows.

Everything here commutes with its group, `layer(L_h x) = L_h layer(x)`, where on maps with a group axis

    (L_h y)[..., g, :] = L_h y[..., h^-1 g, :]

(`group_action`): a quarter turn of the input turns the map and moves its group axis on by one, cyclically. That is
exact in arithmetic, and to rounding in floating point, if the windows lie symmetrically on both axes: with equal
strides S, dilation D and padding (low, high), and N positions on an axis,

    high - low = (N + low + high - D (F - 1) - 1) mod S,

padding is larger at the end by just as much as the stride drops there. In particular

    S = 1: equal padding; so "SAME" for odd windows, "VALID" and an int for all;
    odd windows that keep the size (padding D (F - 1) / 2): S divides N - 1;
    "VALID": S divides N - 1 - D (F - 1), so a 2x2 window of stride 2 fits even sizes.

Elsewhere it fails: "SAME" with an even window, or S = 2 with padding 1 and a 3x3 window on an even size. Every
`padding_mode` is symmetric. (Differences that are multiples of N with `circular`, and some that are multiples of N - 1
with `reflect`, do no harm; windows that see nothing but padding do not count. Element 5, a transposition, needs equal
options on both axes alone.)

Reference:
    Cohen and Welling, "Group equivariant convolutional networks", 2016.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array
from jaxtyping import Num

from jaxcnn.functional import window as win
from jaxcnn.functional.conv import conv
from jaxcnn.functional.group_maps import GROUPS, preimages, turn


def p4_lift_conv(
    x: Num[Array, "*batch_and_spatial in_channels"],
    kernel: Num[Array, "*window_and_channels out_channels"],
    bias: Num[Array, " bias_channels"] | None = None,
    **options: Any,
) -> Num[Array, "*batch_and_output elements out_channels"]:
    """Convolve an image with a kernel in its four orientations.

    `y[..., g, o] = bias[o] + (x * L_g kernel)[..., o]`, where `*` is `conv`. Its domain is at the top of this module.

    Args:
        x: Images, `(*batch, height, width, in_channels)`.
        kernel: `(size, size, in_channels, out_channels)`.
        bias: `(out_channels,)`, or None.
        **options: Those of `conv`, but for `groups` and `flip_kernel`.

    Returns:
        Maps, `(*batch, height, width, 4, out_channels)`.

    Raises:
        ValueError: Shapes or sizes that do not fit, or a window that is not square.
        TypeError: Arrays that are not floating point, or of different types.

    Example:
        A quarter turn of the image is a quarter turn of the map, whose group axis moves on by one.

        >>> x, kernel = jnp.arange(16.).reshape(4, 4, 1), jnp.arange(9.).reshape(3, 3, 1, 1)
        >>> y, turned = p4_lift_conv(x, kernel), p4_lift_conv(jnp.rot90(x), kernel)
        >>> y.shape, bool((turned == jnp.roll(jnp.rot90(y), 1, axis=-2)).all())
        ((4, 4, 4, 1), True)
    """
    return _lift(x, kernel, bias, "p4", **options)


def p4m_lift_conv(
    x: Num[Array, "*batch_and_spatial in_channels"],
    kernel: Num[Array, "*window_and_channels out_channels"],
    bias: Num[Array, " bias_channels"] | None = None,
    **options: Any,
) -> Num[Array, "*batch_and_output elements out_channels"]:
    """Convolve an image with a kernel in its four orientations, and with their mirror images.

    As `p4_lift_conv`, for eight elements: four turns, then the same after a mirror left to right.

    Args:
        x: Images, `(*batch, height, width, in_channels)`.
        kernel: `(size, size, in_channels, out_channels)`.
        bias: `(out_channels,)`, or None.
        **options: As in `p4_lift_conv`.

    Returns:
        Maps, `(*batch, height, width, 8, out_channels)`.

    Raises:
        ValueError: Shapes or sizes that do not fit, or a window that is not square.
        TypeError: Arrays that are not floating point, or of different types.

    Example:
        >>> p4m_lift_conv(jnp.ones((5, 28, 28, 1)), jnp.ones((3, 3, 1, 10))).shape
        (5, 28, 28, 8, 10)
    """
    return _lift(x, kernel, bias, "p4m", **options)


def p4_conv(
    x: Num[Array, "*batch_and_spatial in_channels"],
    kernel: Num[Array, "*window_and_channels out_channels"],
    bias: Num[Array, " bias_channels"] | None = None,
    **options: Any,
) -> Num[Array, "*batch_and_output elements out_channels"]:
    """Convolve maps over translations and quarter turns.

    `y[..., g, o] = bias[o] + sum_s (x[..., s, :] * L_g kernel[:, :, g^-1 s])[..., o]`, where `*` is `conv`: one
    convolution of the channels of all elements with all turned kernels. Its domain is at the top of this module.

    Args:
        x: Maps, `(*batch, height, width, 4, in_channels)`.
        kernel: `(size, size, 4, in_channels, out_channels)`.
        bias: `(out_channels,)`, or None.
        **options: Those of `conv`, but for `groups` and `flip_kernel`.

    Returns:
        Maps, `(*batch, height, width, 4, out_channels)`.

    Raises:
        ValueError: Shapes or sizes that do not fit, or a window that is not square.
        TypeError: Arrays that are not floating point, or of different types.

    Example:
        >>> p4_conv(jnp.ones((28, 28, 4, 10)), jnp.ones((3, 3, 4, 10, 20)), strides=3).shape
        (10, 10, 4, 20)
    """
    return _convolve(x, kernel, bias, "p4", **options)


def p4m_conv(
    x: Num[Array, "*batch_and_spatial in_channels"],
    kernel: Num[Array, "*window_and_channels out_channels"],
    bias: Num[Array, " bias_channels"] | None = None,
    **options: Any,
) -> Num[Array, "*batch_and_output elements out_channels"]:
    """Convolve maps over translations, quarter turns and mirrors: `p4_conv` for eight elements.

    Args:
        x: Maps, `(*batch, height, width, 8, in_channels)`.
        kernel: `(size, size, 8, in_channels, out_channels)`.
        bias: `(out_channels,)`, or None.
        **options: As in `p4_conv`.

    Returns:
        Maps, `(*batch, height, width, 8, out_channels)`.

    Raises:
        ValueError: Shapes or sizes that do not fit, or a window that is not square.
        TypeError: Arrays that are not floating point, or of different types.

    Example:
        >>> p4m_conv(jnp.ones((28, 28, 8, 10)), jnp.ones((3, 3, 8, 10, 20)), padding=0).shape
        (26, 26, 8, 20)
    """
    return _convolve(x, kernel, bias, "p4m", **options)


def _lift(x: Array, kernel: Array, bias: Array | None, group: str, **options: Any) -> Array:
    x, kernel, bias = win.floating(x=x, kernel=kernel, bias=bias)
    _check_window(kernel, group, "")
    turned = [turn(kernel, g, (0, 1)) for g in range(GROUPS[group])]
    return _stacked(x, turned, bias, **options)


def _convolve(x: Array, kernel: Array, bias: Array | None, group: str, **options: Any) -> Array:
    x, kernel, bias = win.floating(x=x, kernel=kernel, bias=bias)
    order = GROUPS[group]
    _check_window(kernel, group, f"{order}, ")
    if x.ndim < 4 or x.shape[-2] != order or kernel.shape[2] != order or x.shape[-1] != kernel.shape[3]:
        raise ValueError(
            f"`x` (shape {x.shape}) and `kernel` (shape {kernel.shape}) must be (*batch, height, width, {order}, "
            f"in_channels) and (size, size, {order}, in_channels, out_channels) for {group}; lift an image first"
        )
    parts = [turn(kernel[:, :, row], g, (0, 1)) for g, row in enumerate(preimages(order))]
    flat = [part.reshape(*part.shape[:2], -1, part.shape[-1]) for part in parts]
    return _stacked(x.reshape(*x.shape[:-2], -1), flat, bias, **options)


def _stacked(x: Array, kernels: list[Array], bias: Array | None, **options: Any) -> Array:
    """Convolve with all kernels at once; they become the axis before the channels."""
    for name in ("groups", "flip_kernel"):
        if name in options:
            raise ValueError(f"`{name}` (={options[name]}) is no option of a group convolution; leave it out")
    outputs = kernels[0].shape[-1]
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(f"`bias` (shape {bias.shape}) must be ({outputs},), one an output channel, for all elements")
    kernel = jnp.concatenate(kernels, -1)
    y = conv(x, kernel, None if bias is None else jnp.tile(bias, len(kernels)), **options)
    return y.reshape(*y.shape[:-1], len(kernels), -1)


def _check_window(kernel: Array, group: str, elements: str) -> None:
    """Refuse a kernel that cannot be turned by a quarter, or has not the axes of a group's."""
    rank = 5 if elements else 4
    if kernel.ndim != rank or kernel.shape[0] != kernel.shape[1]:
        raise ValueError(
            f"`kernel` (shape {kernel.shape}) must be (size, size, {elements}in_channels, out_channels) for {group}, "
            "its window square: a turned window has the same sizes"
        )
