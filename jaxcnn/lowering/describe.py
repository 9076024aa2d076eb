"""An XLA convolution in oneDNN's words.

XLA has one convolution, `out[b, f, o] = sum_{c, k} lhs[b, c, o s + k r - low] rhs[f, c, k]`, whose map may be dilated
(the input gradient of a strided convolution) and whose "kernel" may be a whole map (the kernel gradient). oneDNN has
three primitives, each described by a forward convolution. A `Call` is that description, and what is done to the arrays
before and after it.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax import Array, lax

FORWARD, INPUT_GRADIENT, KERNEL_GRADIENT = range(3)


class Refused(Exception):
    """A convolution that oneDNN does not take; the message says why."""


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of the handler; its axes are in XLA's words, the rest in oneDNN's.

    Attributes:
        kind: Which of the three primitives.
        lhs: Axes of (batch, features, *spatial) in the first array.
        rhs: Axes of (out features, in features, *spatial) in the second.
        out: Axes of (batch, features, *spatial) in the result.
        strides: Of the forward convolution that this one is, or is a gradient of; and so on.
        dilation: Its kernel's.
        low: Its padding before.
        high: Its padding after; negative where the last positions are not read.
        groups: Its feature groups.
        loops: How many such convolutions run, one after another.
        crop: What `lax.pad` does to each spatial axis of the map first: (low, high, interior).
        grow: Zeros around each spatial axis of the result.
        swapped: The second array is the map, the first one the gradient of the output.
        turned: The kernel (the result, where that is one) is turned around.
        native: float32 products as the processor has them, not as sums of bfloat16 ones.
        alone: On one thread, since other programs run beside this one.
    """

    kind: int
    lhs: tuple[int, ...]
    rhs: tuple[int, ...]
    out: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    groups: int = 1
    loops: int = 1
    crop: tuple[tuple[int, int, int], ...] = ()
    grow: tuple[tuple[int, int], ...] = ()
    swapped: bool = False
    turned: bool = False
    native: bool = False
    alone: bool = False

    @property
    def numbers(self) -> np.ndarray:
        """What the handler reads; native/convolution.cc has the order."""
        axes = (*self.lhs, *self.rhs, *self.out)
        windows = (*self.strides, *self.dilation, *self.low, *self.high)
        flags = (self.native, self.alone)
        return np.array([self.kind, len(self.strides), self.groups, self.loops, *flags, *axes, *windows], np.int64)

    def shapes(self, lhs: Sequence[int], rhs: Sequence[int], out: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the handler's two arguments and of its result, given the convolution's.

        A size below 1 means that no window reaches the map: the result is all zeros.
        """
        if self.swapped:
            lhs, rhs = rhs, lhs
        map_shape, result = list(lhs), list(out)
        for axis, (low, high, interior) in zip(self.lhs[2:], self.crop, strict=False):
            map_shape[axis] += low + high + max(map_shape[axis] - 1, 0) * interior
        for axis, (low, high) in zip(self.out[2:], self.grow, strict=False):
            result[axis] -= low + high
        return tuple(map_shape), tuple(rhs), tuple(result)

    def function(self, handler: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
        """Return the convolution as a function of both arrays, given the handler's call."""

        def convolve(lhs: Array, rhs: Array) -> Array:
            if self.swapped:
                lhs, rhs = rhs, lhs
            elif self.turned:
                rhs = lax.rev(rhs, self.rhs[2:])
            out = handler(pad(lhs, self.lhs[2:], self.crop), rhs)
            if self.swapped and self.turned:
                out = lax.rev(out, self.out[2:])
            return pad(out, self.out[2:], [(low, high, 0) for low, high in self.grow])

        return convolve


def pad(x: Array, axes: Sequence[int], amounts: Sequence[tuple[int, int, int]]) -> Array:
    """Apply `lax.pad` to some axes, where there is anything to do."""
    if not any(any(amount) for amount in amounts):
        return x
    config = [(0, 0, 0)] * x.ndim
    for axis, amount in zip(axes, amounts, strict=True):
        config[axis] = amount
    return lax.pad(x, np.zeros((), x.dtype), config)


def describe(
    lhs: Sequence[int],
    rhs: Sequence[int],
    out: Sequence[int],
    *,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    dimension_numbers: lax.ConvDimensionNumbers,
    feature_group_count: int,
    batch_group_count: int,
    **_: Any,
) -> Call:
    """Return the call that computes a convolution.

    Args:
        lhs: Shape of the first array.
        rhs: Shape of the second.
        out: Shape of the result.
        window_strides: As of `lax.conv_general_dilated_p`; so are the rest.

    Returns:
        The call.

    Raises:
        Refused: oneDNN cannot compute it.
    """
    specs = [tuple(spec) for spec in dimension_numbers]
    rank = len(window_strides)
    if not 1 <= rank <= 3:
        raise Refused(f"{rank} spatial axes")
    sizes = [[shape[axis] for axis in spec[2:]] for shape, spec in zip((lhs, rhs, out), specs, strict=True)]
    axes = [Axis(*numbers) for numbers in zip(*sizes, window_strides, padding, lhs_dilation, rhs_dilation, strict=True)]
    if _is_kernel_gradient(specs[0], sizes[1], sizes[2]):
        grouped = feature_group_count > 1 or batch_group_count > 1
        turned = max(lhs_dilation) > 1 and max(rhs_dilation) == 1 and not grouped
        if turned:
            batch, features, *windows = specs[2]
            specs = [specs[1], specs[0], (features, batch, *windows)]
        parts = [axis.turned_kernel_gradient() if turned else axis.kernel_gradient() for axis in axes]
        options = {"groups": batch_group_count, "loops": feature_group_count, "swapped": turned, "turned": turned}
        return _call(KERNEL_GRADIENT, specs, parts, **options)
    if max(lhs_dilation) > 1 and max(window_strides) == 1 and batch_group_count == 1:
        parts = [axis.input_gradient() for axis in axes]
        return _call(INPUT_GRADIENT, specs, parts, groups=feature_group_count, turned=True)
    return _call(FORWARD, specs, [a.forward() for a in axes], groups=feature_group_count, loops=batch_group_count)


@dataclasses.dataclass(frozen=True)
class Axis:
    """One spatial axis of an XLA convolution, and its (strides, dilation, low, high, crop, grow) in a `Call`."""

    lhs: int
    rhs: int
    out: int
    stride: int
    padding: tuple[int, int]
    lhs_dilation: int
    rhs_dilation: int

    def forward(self) -> tuple[Any, ...]:
        """The map, dilated and cropped beforehand where it must be, against the kernel."""
        low, high = self.padding
        crop = (min(low, 0), min(high, 0), self.lhs_dilation - 1)
        return self.stride, self.rhs_dilation, max(low, 0), max(high, 0), crop, (0, 0)

    def input_gradient(self) -> tuple[Any, ...]:
        """The adjoint of a convolution of stride `lhs_dilation` by the same kernel, turned around."""
        reach = (self.rhs - 1) * self.rhs_dilation
        low, high = (reach - amount for amount in self.padding)
        # Positions of the result that no window of the forward convolution reaches are zero.
        grow = (max(-low, 0), -high if high <= -self.lhs_dilation else 0)
        return self.lhs_dilation, self.rhs_dilation, low + grow[0], high + grow[1], (0, 0, 0), grow

    def kernel_gradient(self) -> tuple[Any, ...]:
        """A convolution of stride `rhs_dilation` and dilation `stride`, from lhs to rhs, with out as its kernel."""
        size = (self.lhs - 1) * self.lhs_dilation + 1
        return self._gradient(size, self.rhs, self.rhs_dilation, self.padding[0], self.lhs_dilation - 1)

    def turned_kernel_gradient(self) -> tuple[Any, ...]:
        """A convolution of stride `lhs_dilation`, from rhs to lhs: that of a transposed convolution's kernel."""
        return self._gradient(self.rhs, self.lhs, self.lhs_dilation, (self.out - 1) * self.stride - self.padding[0], 0)

    def _gradient(self, size: int, positions: int, stride: int, low: int, interior: int) -> tuple[Any, ...]:
        high = (positions - 1) * stride + (self.out - 1) * self.stride + 1 - size - low
        crop = (min(low, 0), high if high <= -stride else 0, interior)
        return stride, self.stride, low - crop[0], high - crop[1], crop, (0, 0)


def _call(kind: int, specs: Sequence[tuple[int, ...]], parts: Sequence[tuple[Any, ...]], **options: Any) -> Call:
    lhs, rhs, out = specs
    strides, dilation, low, high, crop, grow = zip(*parts, strict=True)
    return Call(kind, lhs, rhs, out, strides, dilation, low, high, crop=crop, grow=grow, **options)


def _is_kernel_gradient(lhs: tuple[int, ...], window: Sequence[int], result: Sequence[int]) -> bool:
    """Tell a kernel gradient from a convolution: JAX writes it with the features (the batch that it sums over) first.

    Both are the same sum, so a wrong guess costs time only: the sizes of the window and of the result decide where
    the axes do not.
    """
    batch, features = lhs[:2]
    if batch == 0:
        return False
    taps, positions = math.prod(window), math.prod(result)
    return taps > positions or (features == 0 and taps in (1, positions))
