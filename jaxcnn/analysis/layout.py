"""Rules of what moves values and computes none: reshape, transpose, slice, pad, concatenate and their kin."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from jaxcnn.analysis.joining import joined
from jaxcnn.analysis.moves import absorbed, along
from jaxcnn.analysis.orbit import chosen, picked, reshaped
from jaxcnn.analysis.products import split
from jaxcnn.analysis.rules import rule, shape_of
from jaxcnn.analysis.units import Axis, Units, Unknown, widen
from jaxcnn.analysis.world import World


@rule("squeeze")
def squeeze(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    (array,), gone = operands, equation.params["dimensions"]
    base, hidden = array.base, array.hidden
    for place in gone:
        for axis in array.axes[place]:
            base, hidden = absorbed(world, axis, base, hidden)
    axes = tuple(product for place, product in enumerate(array.axes) if place not in gone)
    return [array.replace(shape=shape_of(equation), axes=axes, base=base, hidden=hidden, winner=array.winner)]


@rule("reshape")
def reshape(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    if equation.params.get("dimensions") is not None:
        raise Unknown("a reshape that transposes")
    array, shape = operands[0], shape_of(equation)
    if math.prod(shape) == 0:
        return [world.constant(shape)]
    large = [product for size, product in zip(array.shape, array.axes, strict=True) if size > 1]
    pending = [axis for product in large for axis in product][::-1]
    moving = {place for place, product in enumerate(array.axes) if any(any(axis.step) for axis in product)}
    repeated, elements = set(), 1
    for product in large:
        if product[0].is_uniform:
            repeated.add(elements)
        elements *= math.prod(axis.size for axis in product)
    ones, alone = _ones(array.shape, shape, moving, repeated)
    base, hidden = array.base, array.hidden
    axes: list[tuple[Axis, ...]] = []
    for place, size in enumerate(shape):
        left, parts = size, list(array.axes[ones[place]]) if place in ones else []
        while left > 1:
            axis = pending.pop()
            common = math.gcd(axis.size, left)
            if common == axis.size:
                parts.append(axis)
            elif common == left:
                outer, axis = split(axis, left)
                parts.append(outer)
                pending.append(axis)
            else:
                raise Unknown(f"a reshape of {array.shape} to {shape}, across the axes")
            left //= common
        axes.append(tuple(parts))
    for place in alone:
        for axis in array.axes[place]:
            base, hidden = absorbed(world, axis, base, hidden)
    value = None if array.value is None else array.value.reshape(shape)
    here = reshaped(array.here, array.shape, shape)
    return [
        array.replace(
            shape=shape, axes=tuple(axes), base=base, hidden=hidden, value=value, winner=array.winner, here=here
        )
    ]


def _ones(
    before: Sequence[int], after: Sequence[int], moving: set[int], repeated: set[int]
) -> tuple[dict[int, int], list[int]]:
    """Match axes of size 1 of two shapes: which old one a new one is, and the old ones that are gone.

    New ones in front are a batch. Those that go are the last ones: a position that was repeated is merged with its
    repetitions, of which there are many (`repeated`), or one, along which no field is `moving`.
    """
    old, new = _places_of_ones(before), _places_of_ones(after)
    matched: dict[int, int] = {}
    for elements, places in new.items():
        theirs = list(old.get(elements, []))
        while len(theirs) > len(places):
            theirs.remove(max(theirs, key=lambda place: (elements in repeated or place not in moving, place)))
        places = places[len(places) - len(theirs) :] if elements == 1 else places
        matched |= dict(zip(places, theirs, strict=False))
    return matched, [place for places in old.values() for place in places if place not in matched.values()]


def _places_of_ones(shape: Sequence[int]) -> dict[int, list[int]]:
    """Return the axes of size 1, by the number of elements in the axes before them."""
    places: dict[int, list[int]] = {}
    elements = 1
    for place, size in enumerate(shape):
        elements *= size
        if size == 1:
            places.setdefault(elements, []).append(place)
    return places


@rule("transpose")
def transpose(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    array, order = operands[0], equation.params["permutation"]
    return [array.replace(shape=shape_of(equation), axes=tuple(array.axes[place] for place in order))]


@rule("broadcast_in_dim")
def broadcast(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    array, shape = operands[0], shape_of(equation)
    axes = [world.uniform(size) for size in shape]
    base, hidden = array.base, array.hidden
    for place, to in enumerate(equation.params["broadcast_dimensions"]):
        if array.shape[place] == shape[to]:
            axes[to] = array.axes[place]
        else:
            for axis in array.axes[place]:
                base, hidden = absorbed(world, axis, base, hidden)
    winner = array.winner if math.prod(array.shape) == 1 else None  # everywhere the same index
    here = array.here and array.here.along(equation.params["broadcast_dimensions"][array.here.place])
    return [array.replace(shape=shape, axes=tuple(axes), base=base, hidden=hidden, winner=winner, here=here)]


@rule("tile")
def tile(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    array = operands[0]
    for place, times in enumerate(equation.params["reps"]):
        array = joined(world, [array] * times, place) if times != 1 else array
    return [array]


@rule("rev")
def rev(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    array = operands[0]
    for place in equation.params["dimensions"]:
        n = array.shape[place]
        if array.axes[place]:
            array = along(world, array, place, np.arange(n)[::-1], start=n - 1, stride=-1, shape=array.shape)
    return [array]


@rule("slice")
def slice_(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    array, params = operands[0], equation.params
    return [_sliced(world, array, params["start_indices"], params["limit_indices"], params["strides"])]


def _sliced(world: World, array: Units, starts: Any, limits: Any, strides: Any = None) -> Units:
    for place, (start, limit) in enumerate(zip(starts, limits, strict=True)):
        stride = 1 if strides is None else strides[place]
        index = np.arange(start, limit, stride)
        shape = (*array.shape[:place], len(index), *array.shape[place + 1 :])
        array = along(world, array, place, index, start=start, stride=stride, shape=shape)
    return array


@rule("split")
def split_(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    array, place = operands[0], equation.params["axis"]
    parts, start = [], 0
    for size in equation.params["sizes"]:
        starts, limits = [0] * len(array.shape), list(array.shape)
        starts[place], limits[place] = start, start + size
        parts.append(_sliced(world, array, starts, limits))
        start += size
    return parts


@rule("dynamic_slice")
def dynamic_slice(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    array, *starts = operands
    sizes = equation.params["slice_sizes"]
    begin, limits = [], []
    for place, (size, start) in enumerate(zip(sizes, starts, strict=True)):
        if start.winner is not None and size == 1 < array.shape[place]:
            others = [one for other, one in enumerate(starts) if other != place]
            if any(one.value is None or one.value for one in others):
                raise Unknown("a slice whose start is not known")
            part = chosen(world, array, place, start)
            axes = (*part.axes[:place], (), *part.axes[place:])
            return [part.replace(shape=shape_of(equation), axes=axes)]
    open_ = [place for place, size in enumerate(sizes) if starts[place].value is None and size < array.shape[place]]
    if any(sizes[place] != 1 for place in open_):
        raise Unknown("a slice whose start is not known")
    for place, (size, start) in enumerate(zip(sizes, starts, strict=True)):
        room = array.shape[place] - size
        begin.append(0 if start.value is None else int(np.clip(start.value, 0, room)))
        limits.append(array.shape[place] if place in open_ else begin[-1] + size)
    part = _sliced(world, array, begin, limits)
    if open_:
        part = picked(world, part, open_, [starts[place] for place in open_])
        left = iter(part.axes)
        axes = tuple(() if place in open_ else next(left) for place in range(len(sizes)))
        part = part.replace(shape=shape_of(equation), axes=axes)
    return [part]


@rule("dynamic_update_slice")
def dynamic_update_slice(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    array, update, *starts = operands
    changed = [place for place, size in enumerate(update.shape) if size != array.shape[place]]
    if not changed:
        return [update]
    place, at = changed[0], starts[changed[0]].value
    if len(changed) > 1 or at is None:
        raise Unknown("an update of a block, or where it goes is not known")
    size, n = update.shape[place], array.shape[place]
    start = int(np.clip(at, 0, n - size))
    parts = []
    for first, last in ((0, start), (start + size, n)):
        lows, highs = [0] * len(array.shape), list(array.shape)
        lows[place], highs[place] = first, last
        parts.append(_sliced(world, array, lows, highs))
    return [joined(world, [parts[0], update, parts[1]], place)]


@rule("gather")
def gather(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    array, indices = operands
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    if indices.winner is not None and len(numbers.start_index_map) == 1 and math.prod(indices.shape) == 1:
        (place,) = numbers.start_index_map
        if sizes[place] == 1 and sum(size != n for size, n in zip(sizes, array.shape, strict=True)) == 1:
            part = chosen(world, array, place, indices)
            whole = part.replace(shape=sizes, axes=(*part.axes[:place], (), *part.axes[place:]))
            return list(reshape(world, _reshaping(equation, shape_of(equation)), [whole]))
    if indices.value is None or numbers.operand_batching_dims or "FILL" in str(equation.params["mode"]):
        filled = indices.value is not None and not numbers.operand_batching_dims
        if not filled or not _inside(indices.value, numbers, array.shape, sizes):
            raise Unknown("a gather whose indices are not known, or lie outside")
    starts = np.asarray(indices.value)
    shape = shape_of(equation)
    mapped = numbers.start_index_map
    batch = starts.shape[:-1]
    if math.prod(batch) == 1:
        begin = [0] * len(array.shape)
        for place, start in zip(mapped, starts.reshape(-1), strict=True):
            begin[place] = int(np.clip(start, 0, array.shape[place] - sizes[place]))
        limits = [start + size for start, size in zip(begin, sizes, strict=True)]
        part = _sliced(world, array, begin, limits)
        return list(reshape(world, _reshaping(equation, shape), [part]))
    if len(mapped) != 1 or len(batch) != 1 or sizes[mapped[0]] != 1 or mapped != numbers.collapsed_slice_dims:
        raise Unknown("a gather of blocks")
    place = mapped[0]
    index = np.clip(starts[:, 0], 0, array.shape[place] - 1)
    strides = np.unique(np.diff(index))
    even = len(strides) == 1
    begin, limits = [0] * len(array.shape), list(sizes)
    limits[place] = array.shape[place]
    array = original = _sliced(world, array, begin, limits)
    taken = (*array.shape[:place], len(index), *array.shape[place + 1 :])
    ratio = Fraction(int(index[-1]) + 1, len(index))
    if not even and np.array_equal(index, np.arange(len(index)) * ratio.numerator // ratio.denominator):
        array = along(world, array, place, index, start=0, stride=ratio, shape=taken)  # each rounded down
        back = [None if s is None else s * (ratio.denominator - 1) / ratio.denominator for s in _steps(original, place)]
        field = tuple(widen(f, None if s is None else -s) for f, s in zip(array.field, back, strict=True))
        array = array.replace(field=field)
    else:
        stride = int(strides[0]) if even else None
        array = along(world, array, place, index, start=int(index[0]), stride=stride, shape=taken)
    to = next(axis for axis in range(len(shape)) if axis not in numbers.offset_dims)
    order = [axis for axis in range(len(shape)) if axis != place]
    order.insert(to, place)
    return [array.replace(shape=shape, axes=tuple(array.axes[axis] for axis in order))]


def _steps(array: Units, place: int) -> Sequence[Fraction | None]:
    return array.axes[place][0].step if len(array.axes[place]) == 1 else (None,) * len(array.field)


def _inside(starts: Any, numbers: Any, shape: Sequence[int], sizes: Sequence[int]) -> bool:
    last = np.array([shape[place] - sizes[place] for place in numbers.start_index_map])
    return bool(((starts >= 0) & (starts <= last)).all())


def _reshaping(equation: Any, shape: tuple[int, ...]) -> Any:
    """Return an equation that stands for a reshape to `shape`."""
    return equation.replace(params={"dimensions": None, "new_sizes": shape})
