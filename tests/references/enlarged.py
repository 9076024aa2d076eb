"""Random networks on a larger map: what units see there of which, on the map that is judged, a border hides a part.

A network's layers go on over a larger map as they are. Each grows by whole units at both ends, so that strides, crops
and SAME padding fall where they fell: unit j is unit j + g of the larger map, for some g. A layer that sees all of an
axis would see more there: it gets the part of the map that it had, and so do all that follow.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import jax
import numpy as np
from jax import Array, lax

from references.claims import Beyond
from references.network_layers import SPATIAL, Layer, Map, Weights
from references.network_moves import Join, Roll, Wrap
from references.random_networks import Network
from references.shifts import Runner, along, dependence

LARGEST = 400
"""Positions of the largest map that is tried."""
TRIALS = 4
"""Images at a time."""


class Wide:
    """What units of a network's results see of an input that goes on at both ends of an axis: evidence that only grows.

    Args:
        network: The network.
        axis: Which axis of the input.
        reach: By how many positions the input goes on at either end, at least.
    """

    def __init__(self, network: Network, axis: int, reach: int) -> None:
        self.network, self.axis, self.reach = network, axis, reach
        self.masks: list[np.ndarray] = []
        self.trials = 0

    @cached_property
    def larger(self) -> tuple[Runner, tuple[int, ...], int, list[bool]]:
        return enlarged(self.network, self.axis, self.reach)

    def sees(self, layer: int, trials: int, out: int | None) -> Beyond | None:
        """Measure what units of a layer's result see.

        Args:
            layer: Number of the layer.
            trials: Number of images.
            out: Axis of the result along which the input's positions run, if there is one.

        Returns:
            What is seen, or None where the larger map would be too large.
        """
        run, shape, more, joined = self.larger
        if shape[self.axis] > LARGEST:
            return None
        while self.trials < trials:
            masks = dependence(run, shape, self.axis, seed=self.trials, trials=TRIALS)
            self.masks = [one | other for one, other in zip(self.masks or masks, masks, strict=True)]
            self.trials += TRIALS
        parts = [part for other in self.network.layers[: layer + 1] for part in unwrapped(other)]
        *others, last = [SPATIAL[self.axis] in part.whole for part in parts]
        complete = not any(others) and (out is not None or last)
        return Beyond(along(self.masks[layer], out), more, complete, seams=any(joined[: len(parts)]))


@dataclass(frozen=True)
class Size:
    """Of the map that a layer is given."""

    units: int
    pace: Fraction


def enlarged(network: Network, axis: int, reach: int) -> tuple[Runner, tuple[int, ...], int, list[bool]]:
    """Let a network's input go on at both ends of one axis.

    Args:
        network: The network.
        axis: Which axis of the input.
        reach: By how many positions it goes on at either end, at least, and by more where layers crop the map.

    Returns:
        A function of the larger input, which gives of each layer's result the part that there was; the input's shape;
        by how many positions it went on; and of each layer, without what wraps it, whether it joins what was apart.
    """
    letter, usual, joined = SPATIAL[axis], list[Size](), list[bool]()
    n = network.shape[axis]

    def walk(
        x: Array, weights: Weights, fit: Callable[[Map, Layer | None, Fraction], tuple[Map, Layer]]
    ) -> list[Array]:
        m, pace, results = Map(x, ("h", "w", "c")), Fraction(1), []
        for layer in network.layers:
            for part in unwrapped(layer):
                m, part = fit(m, part, pace)
                m, pace = part(m, weights), pace * part.pace[axis]
            results.append(fit(m, None, pace)[0].x)
        return results

    def note(m: Map, part: Layer | None, pace: Fraction) -> tuple[Map, Layer]:
        usual.append(Size(m.size(letter) if letter in m.order else 0, pace))
        if part:
            joined.append(joins(part, circle=usual[-1].units * pace == n))
        return m, part

    def wide(x: Array, weights: Weights) -> list[Array]:
        sizes = iter(usual)

        def fit(m: Map, part: Layer | None, pace: Fraction) -> tuple[Map, Layer]:
            size = next(sizes).units
            m = middle(m, letter, size) if part is None or letter in part.whole else m
            return m, part and shortest(part, letter, size)

        return walk(x, weights, fit)

    rng = np.random.default_rng
    jax.eval_shape(lambda x: walk(x, Weights(rng(network.seed)), note), network.input())
    cropped = max(n - math.floor((size.units - 1) * size.pace) - 1 for size in usual if size.units)
    whole = math.lcm(*(size.pace.numerator for size in usual))
    more = -(-(reach + max(cropped, 0)) // whole) * whole
    shape = tuple(n + 2 * more * (i == axis) for i, n in enumerate(network.shape))
    weights = Weights(rng(network.seed))
    jax.eval_shape(lambda x: wide(x, weights), replace(network, shape=shape).input())
    return Runner(lambda x: wide(x, Weights(iter(weights.drawn)))), shape, more, joined


def joins(layer: Layer, *, circle: bool) -> bool:
    """Whether a layer puts positions side by side that are not, at a seam that a larger map has elsewhere.

    A roll does, and so does a window that goes round a map of which a stride or a crop left a rest: where that is a
    whole `circle` of the input, it just goes on.
    """
    pieces = (layer, *layer.parts)
    return any(isinstance(piece, Roll) or (getattr(piece, "mode", "") == "circular" and not circle) for piece in pieces)


def unwrapped(layer: Layer) -> Iterator[Layer]:
    """Layers without what wraps them, which does not change what they see."""
    if isinstance(layer, Wrap):
        for part in layer.body:
            yield from unwrapped(part)
    else:
        yield layer


def middle(m: Map, letter: str, size: int) -> Map:
    """As many positions as there were, of a map that grew at both ends."""
    if letter not in m.order:
        return m
    more, odd = divmod(m.size(letter) - size, 2)
    if more < 0 or odd:
        raise AssertionError("it did not grow by as much at both ends")
    return m.put(lax.slice_in_dim(m.x, more, more + size, axis=m.at(letter)))


def shortest(layer: Layer, letter: str, size: int) -> Layer:
    """A roll of so many positions the shortest way round: the other way is another roll of a larger map."""
    if isinstance(layer, Roll) and layer.letter == letter:
        amount = layer.amount % size
        return replace(layer, amount=amount - size if 2 * amount > size else amount)
    if isinstance(layer, Join):
        left, right = (tuple(shortest(part, letter, size) for part in side) for side in (layer.left, layer.right))
        return replace(layer, left=left, right=right)
    return layer
