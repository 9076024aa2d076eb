"""Where a window stands on a map: sizes, strides, padding and dilation made canonical, and every argument error.

One axis of size N, a window of size F, stride S, dilation D and padding (low, high) gives
`floor((N + low + high - (D (F - 1) + 1)) / S) + 1` outputs (CS231n, "Convolutional networks").
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn.config import unknown

PADDINGS = ("VALID", "SAME", "SAME_LOWER")
PAD_MODES = {"zeros": "constant", "circular": "wrap", "reflect": "reflect", "replicate": "edge"}

Sizes = int | Sequence[Any]  # of ints: `per_axis` says what is wrong with an entry
Padding = str | int | Sequence[Any]  # of ints, or of pairs of ints


@dataclasses.dataclass(frozen=True)
class Geometry:
    """A window on the spatial axes of one map, everything settled: one entry an axis.

    Attributes:
        window: Sizes of the window.
        strides: Steps between two windows.
        padding: Positions added before and after the map.
        dilation: Distances between two taps of the window.
        output: Sizes of the output.
        overhang: Positions that `ceil_mode` adds after the padded map.
    """

    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    output: tuple[int, ...]
    overhang: tuple[int, ...]


def geometry(
    sizes: Sequence[int],
    window: Sequence[int],
    *,
    strides: Sizes = 1,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Geometry:
    """Settle a window on a map.

    Args:
        sizes: Sizes of the map's spatial axes.
        window: Sizes of the window, one a spatial axis.
        strides: An int for all axes, or one an axis.
        padding: `"VALID"`, `"SAME"`, `"SAME_LOWER"`, an int, one int an axis, or one (low, high) an axis.
        dilation: An int for all axes, or one an axis.
        ceil_mode: Round the output size up; a last window must still begin inside the map or its low padding
            (PyTorch's and ONNX's rule).

    Returns:
        The canonical `Geometry`.

    Raises:
        ValueError: A size that is not positive, a wrong number of entries, or a window that does not fit.

    Example:
        >>> geometry((32, 32), (5, 5), padding=2).output
        (32, 32)
        >>> geometry((7,), (3,), strides=2, padding="SAME").padding
        ((1, 1),)
    """
    rank = len(sizes)
    sizes = per_axis("spatial size of `x`", tuple(sizes), rank)
    window = per_axis("window", tuple(window), rank)
    strides = per_axis("strides", strides, rank)
    dilation = per_axis("dilation", dilation, rank)
    spans = tuple(d * (w - 1) + 1 for w, d in zip(window, dilation, strict=True))
    amounts = padding_amounts(padding, sizes, spans, strides)
    output, overhang = [], []
    for axis, (n, span, s, (low, high)) in enumerate(zip(sizes, spans, strides, amounts, strict=True)):
        if span > n + low + high:
            spread = f", {span} with its dilation {dilation[axis]}," if dilation[axis] > 1 else ""
            raise ValueError(
                f"`window` (={window[axis]}){spread} does not fit on spatial axis {axis}: size {n} with padding "
                f"({low}, {high}) is {n + low + high}; pad more, or take a smaller window"
            )
        out, rest = divmod(n + low + high - span, s)
        begin_inside = -(-(n + low) // s)
        output.append(min(out + 1 + (rest > 0), begin_inside) if ceil_mode else out + 1)
        overhang.append(s - rest if output[-1] > out + 1 else 0)
    return Geometry(window, strides, amounts, dilation, tuple(output), tuple(overhang))


def padding_amounts(
    padding: Padding, sizes: Sequence[int], spans: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Turn any form of padding into one (low, high) an axis.

    `"SAME"` gives ceil(N / S) outputs; an odd amount puts its extra position after the map (TensorFlow, JAX and
    ONNX's SAME_UPPER), `"SAME_LOWER"` before it.

    Args:
        padding: As in `geometry`.
        sizes: Sizes of the spatial axes.
        spans: Sizes of the dilated window.
        strides: Strides, one an axis.

    Returns:
        One (low, high) an axis.

    Raises:
        ValueError: An unknown name, a negative amount, or a wrong number of entries.

    Example:
        >>> padding_amounts("SAME", (8,), (2,), (1,)), padding_amounts("SAME_LOWER", (8,), (2,), (1,))
        (((0, 1),), ((1, 0),))
    """
    rank = len(sizes)
    if isinstance(padding, str):
        if padding not in PADDINGS:
            raise ValueError(unknown("`padding`", padding, PADDINGS) + ", or ints")
        if padding == "VALID":
            return ((0, 0),) * rank
        totals = [max((-(-n // s) - 1) * s + span - n, 0) for n, span, s in zip(sizes, spans, strides, strict=True)]
        less_first = [(total // 2, total - total // 2) for total in totals]
        return tuple((high, low) if padding == "SAME_LOWER" else (low, high) for low, high in less_first)
    entries = tuple(padding) if np.iterable(padding) else (padding,) * rank
    if len(entries) != rank:
        raise ValueError(
            f"`padding` (={padding!r}) must have one entry for each of the {rank} spatial axes, got {len(entries)}"
        )
    pairs = tuple(tuple(e) if np.iterable(e) else (e, e) for e in entries)
    for pair in pairs:
        if len(pair) != 2 or not all(isinstance(p, int | np.integer) and p >= 0 for p in pair):
            raise ValueError(
                f"`padding` (={padding!r}) must be {', '.join(PADDINGS)}, an int, one int an axis, or one (low, high) "
                "an axis, none of them negative"
            )
    return tuple((int(pair[0]), int(pair[1])) for pair in pairs)


def per_axis(name: str, value: Sizes, rank: int, *, least: int = 1) -> tuple[int, ...]:
    """Return one int an axis, none under `least`.

    Args:
        name: What the value is called, for messages.
        value: An int for all axes, or one an axis.
        rank: Number of axes.
        least: Smallest value allowed.

    Returns:
        A tuple of `rank` ints.

    Raises:
        ValueError: A wrong number of entries, or one that is not an int of at least `least`.

    Example:
        >>> per_axis("strides", 2, 3)
        (2, 2, 2)
    """
    entries = tuple(value) if np.iterable(value) else (value,) * rank
    if len(entries) != rank:
        raise ValueError(f"`{name}` (={value!r}) must be an int or have {rank} entries, one a spatial axis")
    if not all(isinstance(e, int | np.integer) and not isinstance(e, bool) and e >= least for e in entries):
        raise ValueError(f"`{name}` (={value!r}) must be at least {least} on every axis, and whole")
    return tuple(int(e) for e in entries)


def window_sizes(window: Sizes) -> tuple[int, ...]:
    """Return the sizes of a window, whose number is the number of spatial axes.

    Args:
        window: One size a spatial axis.

    Returns:
        A tuple of 1 to 3 ints.

    Raises:
        ValueError: A single number, a wrong number of sizes, or one that is not positive.

    Example:
        >>> window_sizes([3, 3])
        (3, 3)
    """
    sizes = tuple(window) if np.iterable(window) else ()
    if len(sizes) not in (1, 2, 3):
        raise ValueError(f"`window` (={window!r}) must be a tuple with a size for each of 1 to 3 spatial axes: (2, 2)")
    return per_axis("window", sizes, len(sizes))


def spatial_positions(ndim: int, spatial_axes: Sequence[int]) -> tuple[int, ...]:
    """Return the spatial axes of an array as sorted, positive positions.

    Args:
        ndim: Number of axes of the array, the last of which is its channels.
        spatial_axes: Positions, negative ones from the end.

    Returns:
        The positions, ascending.

    Raises:
        ValueError: An axis that is not there, is named twice, or is the channel axis.

    Example:
        >>> spatial_positions(4, (-3, -2))
        (1, 2)
    """
    for axis in spatial_axes:
        if not -ndim <= axis < ndim - 1 or axis == -1:
            raise ValueError(
                f"`spatial_axes` (={tuple(spatial_axes)}) names axis {axis}, but the array has {ndim} axes, of which "
                "the last is its channels"
            )
    axes = sorted(axis % ndim for axis in spatial_axes)
    if len(set(axes)) != len(axes) or not axes:
        raise ValueError(f"`spatial_axes` (={tuple(spatial_axes)}) must name at least one axis, and none twice")
    return tuple(axes)


def pad(x: Array, amounts: Sequence[tuple[int, int]], mode: str, *, value: Any = 0) -> Array:
    """Pad the spatial axes of a map, those before its last axis.

    Args:
        x: Map, `(*batch, *spatial, channels)`.
        amounts: One (low, high) for each spatial axis.
        mode: `zeros` (that is, `value`), `circular`, `reflect` (without the border itself) or `replicate`.
        value: What `zeros` fills in; a pool passes its neutral element.

    Returns:
        The padded map.

    Raises:
        ValueError: An unknown mode, or an amount that the map is too small to reflect or wrap.

    Example:
        >>> pad(jnp.array([[1.], [2.], [3.]]), [(1, 2)], "circular")[:, 0].tolist()
        [3.0, 1.0, 2.0, 3.0, 1.0, 2.0]
    """
    if mode not in PAD_MODES:
        raise ValueError(unknown("`padding_mode`", mode, PAD_MODES))
    if not any(low or high for low, high in amounts):
        return x
    sizes = x.shape[-1 - len(amounts) : -1]
    for n, pair in zip(sizes, amounts, strict=True):
        most = {"circular": n, "reflect": n - 1}.get(mode)
        if most is not None and max(pair) > most:
            raise ValueError(
                f"`padding` (={pair}) must be at most {most} for `padding_mode` {mode!r} on an axis of size {n}"
            )
    widths = [(0, 0)] * (x.ndim - 1 - len(amounts)) + [*amounts, (0, 0)]
    values = {"constant_values": value} if mode == "zeros" else {}
    return jnp.pad(x, widths, mode=PAD_MODES[mode], **values)


def merge_batch(x: Array, rank: int) -> tuple[Array, tuple[Any, ...]]:
    """Merge all batch axes of a map into one.

    Args:
        x: Map, `(*batch, *spatial, channels)`.
        rank: Number of spatial axes.

    Returns:
        The map as `(batch, *spatial, channels)`, and the shape of its batch axes (`()` where it had none).

    Raises:
        ValueError: Fewer axes than the spatial ones and the channels.

    Example:
        >>> merged, batch = merge_batch(jnp.zeros((2, 3, 8, 8, 1)), 2)
        >>> merged.shape, batch
        ((6, 8, 8, 1), (2, 3))
    """
    if x.ndim < rank + 1:
        raise ValueError(
            f"`x` (shape {x.shape}) must have at least {rank + 1} axes, (*batch, *spatial, channels) with {rank} "
            f"spatial axes, got {x.ndim}"
        )
    batch = x.shape[: x.ndim - rank - 1]
    return x.reshape(math.prod(batch), *x.shape[len(batch) :]), batch


def floating(**arrays: Any) -> tuple[Any, ...]:
    """Return the arguments as arrays of one floating-point type; None stays None.

    Args:
        **arrays: Arrays by the names they have in the caller's signature.

    Returns:
        The arrays, in order.

    Raises:
        TypeError: An array that is not floating point, or two of different types.

    Example:
        >>> [x.dtype.name for x in floating(x=jnp.ones(2), kernel=jnp.ones(3))]
        ['float32', 'float32']
    """
    converted = {name: None if a is None else jnp.asarray(a) for name, a in arrays.items()}
    given = {name: a for name, a in converted.items() if a is not None}
    first = next(iter(given))
    for name, a in given.items():
        if not jnp.issubdtype(a.dtype, jnp.floating):
            raise TypeError(
                f"`{name}` must be floating point, got {a.dtype}: convert it, as in {name}.astype('float32')"
            )
        if a.dtype != given[first].dtype:
            raise TypeError(
                f"`{first}` is {given[first].dtype} and `{name}` is {a.dtype}: convert one, types are not promoted"
            )
    return tuple(converted.values())
