"""Windows of convolutions and pools, with other strides or other padding than a program has."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from jaxcnn.equivariance.operation import Operation, apply
from jaxcnn.functional import window as win


@dataclasses.dataclass(frozen=True)
class Window:
    """A window along one axis.

    Attributes:
        taps: How many positions it holds.
        strides: Positions between two windows.
        dilation: Positions between two taps.
        holes: Positions of the map, after zeros were put between them, for each one before.
        padding: (low, high) positions that the operation adds, of zeros or what does not change a maximum.
    """

    taps: int
    strides: int
    dilation: int
    holes: int
    padding: tuple[int, int]

    @property
    def span(self) -> int:
        return (self.taps - 1) * self.dilation + 1


POOLS = ("max_pool", "min_pool", "max_pool_winners", "min_pool_winners")


def window_of(operation: Operation, axis: int) -> Window | None:
    """Return the window that an operation slides along an axis of its first operand.

    Args:
        operation: Of a program.
        axis: Of the operand.

    Returns:
        The window, of one position where it slides along others only; None where the operation has none.
    """
    params, (map_, *others) = operation.params, operation.avals
    if operation.name == "conv_general_dilated":
        numbers = params["dimension_numbers"]
        if axis not in numbers.lhs_spec[2:]:
            return None
        n = numbers.lhs_spec.index(axis) - 2
        taps = others[0].shape[numbers.rhs_spec[2 + n]]
        strides, dilation, holes = (params[name][n] for name in ("window_strides", "rhs_dilation", "lhs_dilation"))
        return Window(taps, strides, dilation, holes, tuple(params["padding"][n]))
    if operation.name.startswith("reduce_window") and "window_dimensions" in params:
        names = ("window_dimensions", "window_strides", "window_dilation", "base_dilation")
        taps, strides, dilation, holes = (params[name][axis] for name in names)
        return Window(taps, strides, dilation, holes, tuple(params["padding"][axis]))
    if operation.name in POOLS:
        if not 0 < axis < len(map_.shape) - 1:
            return None
        n, place = axis - 1, params["place"]
        low, high = place.padding[n]
        return Window(place.window[n], place.strides[n], place.dilation[n], 1, (low, high + place.overhang[n]))
    return None


def rewindowed(operation: Operation, axis: int, *, circular: bool, dense: bool) -> Callable[..., Sequence[Any]]:
    """Return an operation with another window along an axis.

    Args:
        operation: One that has a window there.
        axis: Of its first operand.
        circular: Let content come round at the borders, so that the map keeps its size, but for the stride.
        dense: Move the window by one position at a time.

    Returns:
        A function of the operands, in double precision.
    """
    window = window_of(operation, axis)
    assert window is not None

    def run(x: Any, *others: Any) -> Sequence[Any]:
        padding, holes = window.padding, window.holes
        if circular:
            if holes > 1:
                spread = [(0, 0)] * x.ndim
                x = jnp.moveaxis(x, axis, -1)[..., None]
                x = jnp.pad(x, [*spread, (0, holes - 1)]).reshape(*x.shape[:-2], -1)
                x, holes = jnp.moveaxis(x, -1, axis), 1
            around = window.span - 1
            low = min(window.padding[0], around) if sum(window.padding) == around else around // 2
            x = jnp.pad(x, [(low, around - low) if a == axis else (0, 0) for a in range(x.ndim)], mode="wrap")
            padding = (0, 0)
        strides = 1 if dense else window.strides
        changed = _with(operation, axis, x.shape, padding, strides, holes)
        return apply(changed, [x, *others], double=True)

    return run


def averaged(operation: Operation, axis: int, *, circular: bool, dense: bool) -> Callable[..., Sequence[Any]]:
    """Return, in place of a maximum of windows, the sums of the same windows along one axis: a linear operation.

    Args:
        operation: One that has a window there.
        axis: Of its first operand.
        circular: Let content come round at the borders; else zeros pad what the operation pads.
        dense: Move the window by one position at a time.

    Returns:
        A function of the operands.
    """
    window = window_of(operation, axis)
    assert window is not None

    def run(x: Any, *_: Any) -> Sequence[Any]:
        amounts = (0, window.span - 1) if circular else window.padding
        pads = [amounts if a == axis else (0, 0) for a in range(x.ndim)]
        x = jnp.pad(x, pads, mode="wrap") if circular else jnp.pad(x, pads)
        last, step = x.shape[axis] - window.span + 1, 1 if dense else window.strides
        starts = (k * window.dilation for k in range(window.taps))
        return [sum(lax.slice_in_dim(x, start, start + last, step, axis) for start in starts)]

    return run


def _with(
    operation: Operation, axis: int, shape: tuple[int, ...], padding: tuple[int, int], strides: int, holes: int
) -> Operation:
    """Return an operation with another padding, stride and dilation of its map along one axis."""
    params = dict(operation.params)

    def put(name: str, value: Any, at: int) -> None:
        params[name] = tuple(value if n == at else old for n, old in enumerate(params[name]))

    if operation.name == "conv_general_dilated":
        n = params["dimension_numbers"].lhs_spec.index(axis) - 2
        for name, value in (("padding", padding), ("window_strides", strides), ("lhs_dilation", holes)):
            put(name, value, n)
    elif operation.name in POOLS:
        place, n = params["place"], axis - 1
        paddings = [
            padding if m == n else (low, high + more)
            for m, ((low, high), more) in enumerate(zip(place.padding, place.overhang, strict=True))
        ]
        steps = tuple(strides if m == n else step for m, step in enumerate(place.strides))
        params["place"] = win.geometry(
            shape[1:-1], place.window, strides=steps, padding=tuple(paddings), dilation=place.dilation
        )
    else:
        for name, value in (("padding", padding), ("window_strides", strides), ("base_dilation", holes)):
            put(name, value, axis)
    return dataclasses.replace(operation, params=params)
