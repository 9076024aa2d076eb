"""What the maps of a network do under shifts, tried out one by one: nothing here is read off a program."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from references.exact_networks import Network

ROUNDING = 1e-5
"""Of a map's largest magnitude: what rounding may do in one layer, or in a few."""
ROUNDING_OF_MANY = 1e-4
"""In 20 layers."""
DRAWS = 3


def keeps_all(network: Network, x: Array, place: int, layer: Callable[[Array], Array]) -> bool:
    """Say whether a layer moves with any map that moves as the one at a place of a network does.

    Args:
        network: One that is equivariant.
        x: Its input.
        place: How many of its layers come before.
        layer: What is asked about.

    Returns:
        Whether rolls of a map, by all amounts by which shifts of x move the map there, roll the layer's result.
    """
    amounts = list(_amounts(network, x, place))
    shape, rng = network.shapes()[place].shape, np.random.default_rng(0)
    for _ in range(DRAWS):
        given = jnp.asarray(rng.standard_normal(shape), network.dtype)
        result = np.asarray(layer(given))
        for axis, amount in amounts:
            after = amount * result.shape[axis] / shape[axis]
            found = np.asarray(layer(jnp.roll(given, amount, axis)))
            if after % 1 or not _near(found, np.roll(result, int(after), axis)):
                return False
    return True


def _amounts(network: Network, x: Array, place: int) -> Iterator[tuple[int, int]]:
    """List by what amounts shifts of the input roll the map at a place, along which axes."""
    run = jax.jit(lambda x: network.until(x, place))
    start = np.asarray(run(x))
    for axis in network.layout.spatial:
        for shift in range(1, x.shape[axis]):
            amount = shift * start.shape[axis] / x.shape[axis]
            if amount % 1:
                continue
            found = np.asarray(run(jnp.roll(x, shift, axis)))
            if _near(found, np.roll(start, int(amount), axis), ROUNDING_OF_MANY):
                yield axis, int(amount)


def is_used_up(network: Network, x: Array, place: int) -> bool:
    """Say whether new content at the borders of the input leaves no two neighbours of a layer's map as they were.

    Args:
        network: Without strides.
        x: Its input.
        place: Of the layer.

    Returns:
        Whether along one axis no position holds what its neighbour held before a shift by one.
    """
    run = jax.jit(lambda x: network.until(x, place + 1))
    start, rng = np.asarray(run(x)), np.random.default_rng(0)
    for axis in network.layout.spatial:
        row = jnp.take(jnp.asarray(rng.standard_normal(x.shape), x.dtype), jnp.array([0]), axis)
        shifted = jnp.concatenate([row, jnp.delete(x, -1, axis)], axis)
        moved, last = np.moveaxis(np.asarray(run(shifted)), axis, 0), np.moveaxis(start, axis, 0)
        if not any(_near(one, other) for one, other in zip(moved[1:], last[:-1], strict=True)):
            return True
    return False


def _near(one: np.ndarray, other: np.ndarray, within: float = ROUNDING) -> bool:
    return bool(np.abs(one - other).max() <= within * np.abs(other).max())
