"""Rules of what slides a window along an axis: convolution, pools, their gradients, running sums."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcnn.analysis.combine import pair
from jaxcnn.analysis.gathering import gather
from jaxcnn.analysis.moves import along, dropped, lone, moved, pad, single, unseen
from jaxcnn.analysis.reduction import reduce
from jaxcnn.analysis.rules import rule, shape_of
from jaxcnn.analysis.units import MAYBE, SEEN, UNSEEN, Axis, Units, Unknown, widen
from jaxcnn.analysis.world import World


@dataclasses.dataclass(frozen=True)
class Window:
    """A window that slides along an axis.

    Attributes:
        place: Position of the axis.
        taps: How many positions it holds.
        stride: Between two windows.
        dilation: Between two taps.
        low: Padding before.
        high: Padding after; negative where positions are not read.
        interior: Zeros between two positions.
    """

    place: int
    taps: int
    stride: int
    dilation: int
    low: int
    high: int
    interior: int = 0

    def index(self, size: int) -> np.ndarray:
        """Return which positions of a padded axis each window holds, (windows, taps), of `size` before the padding."""
        padded = size + (size - 1) * self.interior + self.low + self.high
        count = max((padded - (self.dilation * (self.taps - 1) + 1)) // self.stride + 1, 0)
        return self.stride * np.arange(count)[:, None] + self.dilation * np.arange(self.taps)

    def is_blind(self, size: int) -> bool:
        """Say whether all windows hold padding alone."""
        at = self.index(size) - self.low
        seen = (at % (self.interior + 1) == 0) & (at >= 0) & (at <= (size - 1) * (self.interior + 1))
        return at.size > 0 and not seen.any()


def slide(
    world: World,
    array: Units,
    windows: Sequence[Window],
    *,
    symmetric: bool,
    idempotent: bool = False,
    padding: bool = True,
) -> Units:
    """Let windows slide along axes.

    Args:
        world: Of the array.
        array: The array.
        windows: One an axis.
        symmetric: The order of taps does not matter.
        idempotent: Nor does it matter how often one is seen.
        padding: Whether what lies outside counts as padding.

    Returns:
        The array, with each axis as long as there are windows: a constant where these hold padding alone.

    Raises:
        Unknown: An empty array.
    """
    if any(window.is_blind(array.shape[window.place]) for window in windows):
        array = unseen(world, array, [window.place for window in windows if window.low > 0 or window.high > 0])
    for window in windows:
        array = _slid(world, array, window, symmetric=symmetric, idempotent=idempotent, padding=padding)
    return array


def _slid(world: World, array: Units, window: Window, *, symmetric: bool, idempotent: bool, padding: bool) -> Units:
    place, low, high = window.place, window.low, window.high
    if array.shape[place] == 0:
        raise Unknown("an empty array")
    if (window.taps, window.stride, low, high, window.interior) == (1, 1, 0, 0, 0):
        return array
    if padding and (low > 0 or high > 0):
        array = array.replace(hidden=lone(world, array, place))
    axis, field = single(world, array, place)
    axis = pad(world, axis, low, high, window.interior, padding=padding)
    index = window.index(array.shape[place])
    step = [None if s is None else s * window.stride for s in axis.step]
    reach = window.dilation * (window.taps - 1)
    field = [
        widen(moved(f, None if s is None else -low * s), None if s is None else s * reach)
        for f, s in zip(field, axis.step, strict=True)
    ]
    shape = (*array.shape[:place], len(index), *array.shape[place + 1 :])
    if not len(index):
        return world.constant(shape)
    periods = array.base.period[:, 0]
    seen = gather(world, axis, index, periods, symmetric=symmetric, step=step, idempotent=idempotent)
    axes = (*array.axes[:place], (seen,), *array.axes[place + 1 :])
    return dropped(world, array.replace(shape=shape, axes=axes, field=tuple(field), family=world.family()))


@rule("conv_general_dilated")
def conv(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    params, (image, kernel) = equation.params, operands
    numbers = params["dimension_numbers"]
    if kernel.depends:
        raise Unknown("a convolution whose kernel depends on the input")
    batch, features, *spatial = numbers.lhs_spec
    windows = [
        Window(
            place,
            kernel.shape[numbers.rhs_spec[2 + axis]],
            params["window_strides"][axis],
            params["rhs_dilation"][axis],
            *params["padding"][axis],
            interior=params["lhs_dilation"][axis] - 1,
        )
        for axis, place in enumerate(spatial)
    ]
    image = slide(world, image, windows, symmetric=False)
    grouped = params["feature_group_count"] > 1 or params["batch_group_count"] > 1
    if grouped and not all(axis.is_still for place in (batch, features) for axis in image.axes[place]):
        raise Unknown("a grouped convolution over positions")
    summed = reduce(world, image, [features] if not grouped else [batch, features], symmetric=False)
    shape, axes = shape_of(equation), [world.uniform(1)] * len(image.shape)
    left = iter(summed.axes)
    for place in range(len(image.shape)):
        if place != features and not (grouped and place == batch):
            axes[_output_place(numbers, place)] = next(left)
    out_batch, out_features, *_ = numbers.out_spec
    axes[out_features] = world.distinct(shape[out_features])
    if grouped:
        axes[out_batch] = world.distinct(shape[out_batch])
    return [summed.replace(shape=shape, axes=tuple(axes))]


def _output_place(numbers: Any, place: int) -> int:
    """Return where an axis of the image is in the result."""
    return numbers.out_spec[numbers.lhs_spec.index(place)]


def _window_rule(*names: str) -> None:
    @rule(*names)
    def reduce_window(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
        params, rank = equation.params, len(shape_of(equation))
        arrays = operands[: len(equation.outvars)]
        if any(operand.depends for operand in operands[len(arrays) :]):
            raise Unknown("an initial value that depends on the input")
        array = arrays[0] if len(arrays) == 1 else pair(world, arrays, arrays[0].shape)
        ones = (1,) * rank
        windows = [
            Window(
                place,
                params["window_dimensions"][place],
                params["window_strides"][place],
                (params.get("window_dilation") or ones)[place],
                *params.get("padding", ((0, 0),) * rank)[place],
                interior=(params.get("base_dilation") or ones)[place] - 1,
            )
            for place in range(rank)
        ]
        idempotent = equation.primitive.name in ("reduce_window_max", "reduce_window_min")
        return [slide(world, array, windows, symmetric=True, idempotent=idempotent)] * len(equation.outvars)


_window_rule("reduce_window", "reduce_window_sum", "reduce_window_max", "reduce_window_min")


@rule("max_pool", "min_pool", "max_pool_winners", "min_pool_winners")
def pool(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    array, place = operands[0], equation.params["place"]
    for axis, size in enumerate(shape_of(equation)[1:-1]):
        low, high = place.padding[axis]
        window = Window(
            1 + axis, place.window[axis], place.strides[axis], place.dilation[axis], low, high + place.overhang[axis]
        )
        array = slide(world, array, [window], symmetric=True, idempotent=True)
        if array.shape[1 + axis] != size:  # `ceil_mode` drops windows that begin after the map
            shape = (*array.shape[: 1 + axis], size, *array.shape[2 + axis :])
            array = along(world, array, 1 + axis, np.arange(size), start=0, stride=1, shape=shape)
    return [array] * len(equation.outvars)


@rule("select_and_scatter_add")
def select_and_scatter(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    """The gradient of a max pool: a position gets the gradients of those windows in which it is the largest."""
    params, (source, image) = equation.params, operands[:2]
    windows, shape = image, image.shape
    for place in range(len(shape)):
        size, stride = params["window_dimensions"][place], params["window_strides"][place]
        window = Window(place, size, stride, 1, *params["padding"][place])
        windows = slide(world, windows, [window], symmetric=True)
    spread = pair(world, [source, windows], source.shape)
    for place in range(len(shape)):
        low, _ = params["padding"][place]
        size, stride = params["window_dimensions"][place], params["window_strides"][place]
        before = size - 1 - low
        after = shape[place] - ((source.shape[place] - 1) * stride + 1 + before) + size - 1
        window = Window(place, size, 1, 1, before, after, interior=stride - 1)
        spread = slide(world, spread, [window], symmetric=False, padding=False)
    return [pair(world, [image, spread], shape)]


@rule("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")
def cumulative(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    """Each position sees all before it: a window of the whole length, of which only the last unit sees all."""
    array, place = operands[0], equation.params["axis"]
    axis, field = single(world, array, place)
    n, reverse = axis.size, equation.params["reverse"]
    behind = [None if s is None else (s if reverse else -s) * (n - 1) for s in axis.step]
    field = tuple(widen(f, reach) for f, reach in zip(field, behind, strict=True))
    axes = (*array.axes[:place], (_apart(world, axis, array, reverse=reverse),), *array.axes[place + 1 :])
    return [array.replace(axes=axes, field=field, family=world.family())]


def _apart(world: World, axis: Axis, array: Units, *, reverse: bool) -> Axis:
    """Return an axis whose positions each see several in a way of their own."""
    whole = gather(world, axis, np.arange(axis.size)[None], array.base.period[:, 0], symmetric=False, step=axis.step)
    period = np.broadcast_to(whole.period, axis.period.shape)
    order = slice(None, None, -1 if reverse else 1)
    maybe, seen = (np.logical_or.accumulate(axis.padded[order] == state)[order] for state in (MAYBE, SEEN))
    padded = np.where(seen, SEEN, np.where(maybe, MAYBE, UNSEEN)).astype(np.int8)
    first, last = axis.hull[..., order]
    hull = np.stack([np.minimum.accumulate(first, -1)[..., order], np.maximum.accumulate(last, -1)[..., order]])
    return dataclasses.replace(axis, label=np.arange(axis.size), period=period, padded=padded, hull=hull, whole=None)


@rule("top_k", "approx_top_k")
def top_k(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    """The first of a sort along the last axis; their indices move with what they point at."""
    array, shape = operands[0], shape_of(equation)
    if shape[:-1] != array.shape[:-1]:
        raise Unknown("the largest along another axis")
    kinds = [reduce(world, array, [len(shape) - 1], symmetric=symmetric) for symmetric in (True, False)]
    return [kind.replace(shape=shape, axes=(*kind.axes, world.distinct(shape[-1]))) for kind in kinds]


@rule("sort")
def sort(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    """Whatever the order was, the result is the same: over a whole circle it does not move at all."""
    place, shape = equation.params["dimension"], shape_of(equation)
    array = operands[0] if len(operands) == 1 else pair(world, operands, shape)
    whole = reduce(world, array, [place], symmetric=True)
    axes = (*whole.axes[:place], world.distinct(shape[place]), *whole.axes[place:])
    return [whole.replace(shape=shape, axes=axes)] * len(equation.outvars)
