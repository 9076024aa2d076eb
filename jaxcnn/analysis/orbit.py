"""Choices by the data that move with the data: adaptive polyphase sampling.

A map of stride s has s phases. Their norms are s numbers that a circular shift of the input rolls, so that the largest
one's index moves with the shift, and the phase that it chooses is the same map but for a roll (Chaman and Dokmanic,
"Truly shift-invariant convolutional neural networks", CVPR 2021). From there on shifts are told relative to that roll:
in a frame of their own, a circle of as many positions as the phase has. Put back at the same index, zeros between, the
phase moves as the map did before. Two equal norms may break it.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcnn.analysis.combine import pair
from jaxcnn.analysis.moves import everything
from jaxcnn.analysis.reduction import reduce
from jaxcnn.analysis.rules import rule
from jaxcnn.analysis.units import Axis, Units, Unknown, reduced
from jaxcnn.analysis.world import World

EVERYTHING = 1e12
"""Farther than any input reaches."""


@dataclasses.dataclass(frozen=True)
class Winner:
    """The index of the largest unit along an axis, which moves as that unit does.

    Attributes:
        sizes: Of the circles that the axis is a product of, outermost first.
        inputs: Which axis of the input moves along each.
        paces: By how much each of its positions is shifted.
        lattices: Which multiples of input shifts move it; it says nothing of others.
        frame: In which frame.
        number: Tells it from other indices: it is kept by whatever is only added to it.
        offset: What was added to the index; a multiple of the axis's size changes nothing.
    """

    sizes: tuple[int, ...]
    inputs: tuple[int, ...]
    paces: tuple[int, ...]
    lattices: tuple[int, ...]
    frame: tuple[int, ...]
    number: int
    offset: int = 0

    @property
    def count(self) -> int:
        return math.prod(self.sizes)


@dataclasses.dataclass(frozen=True)
class Here:
    """Booleans that are true at the index `winner` along the axis `place`, and do not depend on any other axis."""

    winner: Winner
    place: int

    def along(self, place: int) -> "Here":
        """Return the same along another axis."""
        return Here(self.winner, place)


@dataclasses.dataclass(frozen=True)
class Opened:
    """How a frame lies in the one before: what is needed to leave it.

    Attributes:
        number: Of the winner that chose.
        before: The frame that the winner is told in.
        offsets: By how much each phase is shifted there.
        modulus: How many shifts there are one of the frame's positions.
        step: Of the axis of the phases, see `Axis`.
    """

    number: int
    before: int
    offsets: tuple[int, ...]
    modulus: int
    step: tuple[Any, ...]


@rule("argmax", "argmin")
def index_of_largest(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    """An index moves with what it points at: a number that shifts change."""
    array, (place,) = operands[0], equation.params["axes"]
    result = reduce(world, array, [place], symmetric=False)
    if any(size > 1 for size in result.shape):
        return [result]
    return [result.replace(winner=_winner(world, array, array.axes[place]))]


def _winner(world: World, array: Units, product: Sequence[Axis]) -> Winner | None:
    inputs, paces, lattices = [], [], []
    for axis in product:
        carried = [i for i in range(world.rank) if axis.carries(i)]
        if len(carried) != 1 or not world.circular or (axis.label != axis.label[0]).any():
            return None
        (i,) = carried
        period = math.gcd(int(array.base.period[i, 0]), *map(int, axis.period[i]))
        pace = int(axis.at[i, 1] - axis.at[i, 0]) % period if period else 0
        if not pace or reduced(axis.at[i] - axis.at[i, 0] - pace * np.arange(axis.size), np.array(period)).any():
            return None
        lattice = math.gcd(pace, period)  # of a map of stride 2, shifts by 2 move the phases: those by 1 give another
        if axis.size * pace % period or lattice * axis.size != period or (lattice > 1 and array.frame[i]):
            return None
        inputs.append(i)
        paces.append(pace)
        lattices.append(lattice)
    if not product or len(set(inputs)) < len(inputs):
        return None
    sizes = tuple(axis.size for axis in product)
    return Winner(sizes, tuple(inputs), tuple(paces), tuple(lattices), array.frame, world.family())


def followed(name: str, operands: Sequence[Units]) -> Winner | None:
    """Say whether an element-wise operation gives an index that moves as one of its operands does.

    Args:
        name: Of its primitive.
        operands: Its operands.

    Returns:
        The winner, or None.
    """
    winners = [operand.winner for operand in operands]
    if name in ("convert_element_type", "copy", "stop_gradient", "clamp"):
        return next((winner for winner in winners if winner), None)
    if name == "add" and winners[1]:
        return followed(name, operands[::-1])
    if name in ("add", "sub") and winners[0]:
        number = operands[1].value
        if number is None or number.shape:
            return None
        return dataclasses.replace(
            winners[0], offset=winners[0].offset + (int(number) if name == "add" else -int(number))
        )
    if name == "select_n":
        cases = [winner for winner in winners[1:] if winner]
        if len(cases) == len(operands) - 1 and all(
            dataclasses.replace(case, offset=0) == dataclasses.replace(cases[0], offset=0)
            and (case.offset - cases[0].offset) % case.count == 0
            for case in cases
        ):
            return dataclasses.replace(cases[0], offset=0) if cases[0].offset % cases[0].count == 0 else None
    return None


def chosen(world: World, array: Units, place: int, start: Units) -> Units:
    """Return the part of an array at an index that moves with the data, one position long.

    Args:
        world: Of the array.
        array: The array.
        place: Its axis that is indexed.
        start: The index.

    Returns:
        The array without that axis, its shifts in a frame of their own.

    Raises:
        Unknown: An index that does not move as the axis does.
    """
    winner: Winner | None = start.winner
    product = array.axes[place]
    if winner is None or winner.offset % winner.count or tuple(axis.size for axis in product) != winner.sizes:
        raise Unknown("a slice whose start is not known")
    if winner.frame != array.frame:
        raise Unknown("a slice whose start follows another data-dependent roll")
    axes = [part for other, part in enumerate(array.axes) if other != place]
    frame, field = list(array.frame), list(array.field)
    period, at = array.base.period.copy(), array.base.at.copy()
    for axis, i, pace, lattice in zip(product, winner.inputs, winner.paces, winner.lattices, strict=True):
        whole = int(array.base.period[i, 0])
        modulus = axis.size * pace  # of the index
        if (axis.label != axis.label[0]).any() or reduced(
            axis.at[i] - axis.at[i, 0] - pace * np.arange(axis.size), np.array(modulus)
        ).any():
            raise Unknown("a slice whose phases differ")
        axes = [tuple(_in_frame(part, i, modulus) for part in parts) for parts in axes]
        offsets = tuple(((axis.at[i] - axis.at[i, 0]) % whole).tolist())
        frame[i] = world.frame(winner.number, i, *offsets)
        before = array.frame[i]
        world.opened[frame[i]] = Opened(winner.number, before, offsets, modulus, axis.step)
        world.follows(frame[i], world.lattices.get(before, 1) * lattice, world.paces[before] * modulus)
        period[i], at[i] = whole // modulus, 0
        field[i] = everything(array.field[i], world.sizes[i], [part for parts in axes for part in parts], i)
    hull = array.base.hull.copy()
    hull[:, list(winner.inputs)] = np.array([[-EVERYTHING], [EVERYTHING]])[..., None]
    base = dataclasses.replace(array.base, period=period, at=at, hull=hull)
    shape = tuple(size for other, size in enumerate(array.shape) if other != place)
    return Units(shape, tuple(axes), base, tuple(field), world.family(), array.hidden, tuple(frame))


def standing(name: str, operands: Sequence[Units], shape: Sequence[int]) -> Here | None:
    """Say whether an element-wise operation tells at which position of an axis an index stands.

    Args:
        name: Of its primitive.
        operands: Its operands.
        shape: Of its result.

    Returns:
        Where, or None.
    """
    places = [place for place, size in enumerate(shape) if size > 1]
    if name != "eq" or len(places) != 1:
        return None
    for index, positions in (operands, operands[::-1]):
        winner, value = index.winner, positions.value
        if winner is None or value is None or winner.offset % winner.count:
            continue
        if value.size == winner.count and (value.reshape(-1) == np.arange(winner.count)).all():
            return Here(winner, places[0])
    return None


def reshaped(here: Here | None, before: Sequence[int], after: Sequence[int]) -> Here | None:
    """Return what is told of an axis once axes of size 1 have been put around it or taken away."""
    if here is None or math.prod(before) != before[here.place] or before[here.place] not in after:
        return None
    return here.along(list(after).index(before[here.place]))


def put_back(world: World, operands: Sequence[Units]) -> Units | None:
    """Put a phase back at the index that it was taken from, a constant at all others.

    With phase k of the map before shifted by o[k], its position j by m j, and y[j] = f(phase rolled by a[j]),

        z[k, j](x) = [k is chosen of x] y[j](x) = g(x shifted by o[k] + m a[j]),   g(x) = [0 is chosen of x] f(phase)

    since a shift by o[k] + m a makes of a chosen phase k a chosen phase 0, rolled by a.

    Args:
        world: Of the arrays.
        operands: Of a `select_n`: where the index stands, the constant, and what was computed of the phase.

    Returns:
        The array in the frame of the map before; None where it is not of this kind.
    """
    which, constant, array = operands
    winner, place = which.here.winner, which.here.place
    outer = [part for operand in (constant, array) for part in operand.axes[place]]
    uniform = [part for product in constant.axes for part in product] + outer
    if constant.depends or not all(part.is_uniform for part in uniform):
        return None
    opened = [world.opened[array.frame[i]] for i in winner.inputs if array.frame[i] in world.opened]
    others = [i for i in range(world.rank) if i not in winner.inputs]
    if len(opened) < len(winner.inputs) or any(entry.number != winner.number for entry in opened):
        return None
    if any(array.frame[i] != winner.frame[i] for i in others):
        return None
    axes, phases = list(array.axes), []
    frame, period, at = list(array.frame), array.base.period.copy(), array.base.at.copy()
    for i, entry in zip(winner.inputs, opened, strict=True):
        offsets = np.zeros((world.rank, len(entry.offsets)), np.int64)
        offsets[i] = entry.offsets
        phases.append(world.axis(np.zeros(len(entry.offsets), np.int64), at=offsets, step=entry.step))
        axes = [tuple(_out_of_frame(part, i, entry.modulus) for part in product) for product in axes]
        frame[i], period[i], at[i] = entry.before, period[i] * entry.modulus, at[i] * entry.modulus
    base = dataclasses.replace(array.base, period=period, at=at)
    axes[place] = tuple(phases)
    return array.replace(axes=tuple(axes), base=base, family=world.family(), frame=tuple(frame))


def _out_of_frame(axis: Axis, i: int, modulus: int) -> Axis:
    at, period = axis.at.copy(), axis.period.copy()
    at[i], period[i] = at[i] * modulus, period[i] * modulus
    return dataclasses.replace(axis, at=at, period=period, whole=None)


def picked(world: World, array: Units, places: Sequence[int], starts: Sequence[Units]) -> Units:
    """Return the part of an array at indices that no shift changes: computed of all positions, and of the indices.

    It keeps what the array keeps, as of phases that do not move. Content that comes in may change any index.

    Args:
        world: Of the array.
        array: The array.
        places: Its axes that are indexed.
        starts: One index each, scalars.

    Returns:
        The array without these axes.

    Raises:
        Unknown: An index that circular shifts may change.
    """
    if world.circular and any((start.base.period != 1).any() for start in starts):
        raise Unknown("a slice whose start is not known")
    whole = reduce(world, array, places, symmetric=False)
    return pair(world, [whole, *starts], whole.shape)


def _in_frame(axis: Axis, i: int, modulus: int) -> Axis:
    """Return an axis whose shifts along input axis i count whole rounds of the phases."""
    if (axis.at[i] % modulus != axis.at[i, 0] % modulus).any():
        raise Unknown("a slice across phases")
    at, period = axis.at.copy(), axis.period.copy()
    at[i] = (at[i] - at[i, 0]) // modulus
    period[i] = np.where(period[i] % modulus == 0, period[i] // modulus, 1)
    return dataclasses.replace(axis, at=at, period=period, whole=None)
