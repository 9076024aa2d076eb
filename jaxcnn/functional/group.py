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
`padding_mode` is symmetric. (What repeats needs it only modulo its period: `circular` N, `reflect` 2 N - 2. Windows
that see nothing but padding do not count. Element 5, a transposition, needs equal options on both axes alone.)

Reference:
    Cohen and Welling, "Group equivariant convolutional networks", 2016.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Num

from jaxcnn.config import unknown
from jaxcnn.functional import window as win
from jaxcnn.functional.conv import conv

GROUPS = {"p4": 4, "p4m": 8}
"""Number of elements that fix the origin."""


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


def group_pool(
    x: Num[Array, "*batch_and_spatial elements channels"], reduce: str = "max"
) -> Num[Array, "*batch_and_spatial channels"]:
    """Reduce the group axis: what is left turns with the image, as a plain map does.

    `y[..., c] = max_g x[..., g, c]`, or the average. The maximum changes no bit under a permutation of its elements.

    Args:
        x: Maps, `(*batch, height, width, elements, channels)`.
        reduce: `max` or `avg`.

    Returns:
        Maps, `(*batch, height, width, channels)`, of x's dtype.

    Raises:
        ValueError: An unknown reduction, or no group axis.
        TypeError: A map that is not floating point.

    Example:
        >>> group_pool(jnp.arange(4.).reshape(1, 1, 4, 1)).item(), group_pool(jnp.ones((8, 8, 8, 3)), "avg").shape
        (3.0, (8, 8, 3))
    """
    (x,) = win.floating(x=x)
    _order(x)
    if reduce not in ("max", "avg"):
        raise ValueError(unknown("`reduce`", reduce, ("max", "avg")))
    return x.max(-2) if reduce == "max" else x.mean(-2)  # JAX sums half precision in float32


def group_action(
    x: Num[Array, "*batch_and_spatial elements channels"], element: int
) -> Num[Array, "*batch_and_turned elements channels"]:
    """Act by one element on maps with a group axis: what turning the input does to them.

    `y[..., g, :] = L_h x[..., h^-1 g, :]`. An image without a group axis is acted on by `jnp.rot90` and `jnp.flip`.

    Args:
        x: Maps, `(*batch, height, width, 4 or 8, channels)`.
        element: Index of h: `4 m + r` mirrors left to right m times, then turns counter-clockwise by r quarters.

    Returns:
        Maps of that shape, height and width exchanged by odd turns.

    Raises:
        ValueError: No group axis, or an element that the group does not have.

    Example:
        >>> y = jnp.arange(8.).reshape(1, 1, 8, 1)
        >>> [group_action(y, h).ravel().tolist() for h in (1, 4)]
        [[3.0, 0.0, 1.0, 2.0, 7.0, 4.0, 5.0, 6.0], [4.0, 7.0, 6.0, 5.0, 0.0, 3.0, 2.0, 1.0]]
    """
    x = jnp.asarray(x)
    order = _order(x)
    if not 0 <= element < order:
        raise ValueError(f"`element` (={element}) must be from 0 to {order - 1}, the elements of `x` (shape {x.shape})")
    return _turn(jnp.take(x, _preimages(order)[element], axis=-2), element, (-4, -3))


def _lift(x: Array, kernel: Array, bias: Array | None, group: str, **options: Any) -> Array:
    x, kernel, bias = win.floating(x=x, kernel=kernel, bias=bias)
    _check_window(kernel, group, "")
    turned = [_turn(kernel, g, (0, 1)) for g in range(GROUPS[group])]
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
    parts = [_turn(kernel[:, :, row], g, (0, 1)) for g, row in enumerate(_preimages(order))]
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


def _turn(x: Array, element: int, axes: tuple[int, int]) -> Array:
    """Act on the plane of two axes, vertical and horizontal: mirror, then turn."""
    return jnp.rot90(jnp.flip(x, axes[1]) if element >= 4 else x, element % 4, axes)


def _preimages(order: int) -> np.ndarray:
    """Tabulate the index of `h^-1 g` by h and g.

    With `h = R^r F^m` and `g = R^a F^b`, it is `F^m R^(a-r) F^b = R^(a-r) F^b`, or `R^(r-a) F^(1+b)` where m = 1.
    """
    turns, mirrors = np.arange(order) % 4, np.arange(order) // 4
    between = (turns - turns[:, None]) * (1 - 2 * mirrors[:, None])
    return between % 4 + 4 * (mirrors ^ mirrors[:, None])


def _order(x: Array) -> int:
    if x.ndim < 4 or x.shape[-2] not in GROUPS.values():
        raise ValueError(f"`x` (shape {x.shape}) must be (*batch, height, width, 4 or 8, channels)")
    return x.shape[-2]


def _check_window(kernel: Array, group: str, elements: str) -> None:
    """Refuse a kernel that cannot be turned by a quarter, or has not the axes of a group's."""
    rank = 5 if elements else 4
    if kernel.ndim != rank or kernel.shape[0] != kernel.shape[1]:
        raise ValueError(
            f"`kernel` (shape {kernel.shape}) must be (size, size, {elements}in_channels, out_channels) for {group}, "
            "its window square: a turned window has the same sizes"
        )
