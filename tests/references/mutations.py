"""Faults planted into networks that keep every shift, and whether an audit names each at its layer, by its cause."""

import dataclasses
import re
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn.equivariance.audit import audit
from references import order_faults, padding_faults, position_faults
from references.brute_force import is_used_up, keeps_all
from references.exact_layers import Layer, Random
from references.exact_networks import Network, exact_network, network
from references.faults import FAULTS, LEAST

KINDS = tuple(FAULTS)
SOURCES = (padding_faults, position_faults, order_faults)
"""Whose faults are entered by being imported."""
PROMISES = ("exact", "orbit", "exact-lattice")
"""Verdicts of networks without a fault."""
ROW = re.compile(r"layer(\d+)\b")


@dataclasses.dataclass(frozen=True)
class Planted:
    """A network with a fault in one of its layers, and an input on which it shows."""

    network: Network
    input: Array
    fault: str
    place: int


def plant(rng: Random, name: str, *, most: int = 20) -> Planted:
    """Draw a network, a place and a fault of a kind; put it there, or in the stead of a layer that kept its shape."""
    kind = FAULTS[name]
    while True:
        exact = network(rng, local=kind.mode == "interior", most=most - 1)
        shapes = exact.shapes()
        if kind.permutes and any(layer.head for layer in exact.layers):
            continue
        maps = [n for n, x in enumerate(shapes) if x.ndim > exact.layout.rank and n <= len(exact.layers)]
        maps = [n for n in maps if not any(layer.head for layer in exact.layers[:n])]
        place = 0 if kind.tied else int(rng.choice(maps))
        x = shapes[place]
        if min(exact.layout.sizes(x)) < LEAST:
            continue
        call = kind.build(rng, exact.layout, x)
        if call is None:
            continue
        old, stead = exact.layers[place : place + 1], False
        if old and not old[0].head and shapes[place + 1].shape == x.shape and not kind.tied:
            stead = bool(rng.random() < 0.5)
        layers = (*exact.layers[:place], Layer(name, call), *exact.layers[place + stead :])
        changed = dataclasses.replace(exact, layers=layers)
        try:
            ends = changed.shapes()
        except (TypeError, ValueError):  # layers behind it do not fit a map of another size
            continue
        if any(0 in end.shape for end in ends):
            continue
        image = tied_input(rng, exact.shape) if kind.tied else exact.input(rng)
        if not exact.is_alive(image):
            continue
        # what keeps two phases apart costs nothing where a map was repeated, and so moves by two: no fault there
        if kind.mode == "circular" and not kind.tied and keeps_all(exact, image, place, call):
            continue
        return Planted(changed, image, name, place)


def tied_input(rng: Random, shape: Sequence[int]) -> Array:
    """A map whose phases hold the same whole numbers, each in another order."""
    *sizes, channels = shape
    numbers = rng.integers(-4, 5, (int(np.prod(sizes)) // 2 ** len(sizes), channels))
    x = np.zeros(shape, "float32")
    for first in np.ndindex(*(2,) * len(sizes)):
        place = tuple(slice(n, None, 2) for n in first)
        x[place] = rng.permutation(numbers).reshape(x[place].shape)
    return jnp.asarray(x)


def misnamed(planted: Planted) -> list[str]:
    """Audit a network with a fault; return what is wrong with what is said of it: nothing, if the audit is right.

    The layer of the fault has a cause that is right for it, and no layer before it has any but a stride of its own, or
    that of an interior that is truly used up: by brute force, no two positions of its map are left.
    """
    kind = FAULTS[planted.fault]
    found = audit(planted.network, planted.input, mode=kind.mode, spatial_axes=planted.network.layout.spatial)
    named = [(_place(row.name), row.name, cause.kind) for row in found.layers for cause in row.causes]
    other = [cause for cause in named if not _is_stride(planted.network, *cause) or cause[0] == planted.place]
    if kind.mode == "interior":
        other = [cause for cause in other if cause[0] == planted.place or not _is_end(planted, cause[0], cause[2])]
    told = [cause for place, _, cause in named if place == planted.place]
    wrong = []
    if not set(kind.causes).intersection(told):
        wrong.append(
            f"layer{planted.place}, {planted.fault}: named {told or 'nothing'}, not {' or '.join(kind.causes)}"
        )
    if other and other[0][0] != planted.place:
        wrong.append(f"the first cause, {other[0][2]}, is at {other[0][1]}, the fault at layer{planted.place}")
    return wrong


def alarms(exact: Network, x: Array) -> list[str]:
    """Audit a network without a fault; return what is said against it, strides where it has them left out."""
    found = audit(exact, x, spatial_axes=exact.layout.spatial)
    named = [(_place(row.name), row.name, cause.kind) for row in found.layers for cause in row.causes]
    wrong = [f"{cause[1]}: {cause[2]}" for cause in named if not _is_stride(exact, *cause)]
    wrong += [f"{row.name}: refuted" for row in found.refuted]
    return wrong + ([] if found.verdict in PROMISES else [f"verdict {found.verdict}"])


def _place(name: str) -> int | None:
    """Return the number of the layer that a row of an audit is part of."""
    place = ROW.match(name)
    return None if place is None else int(place[1])


def _is_stride(of: Network, place: int | None, name: str, cause: str) -> bool:
    return cause == "stride" and place is not None and of.layers[place].strides


def _is_end(planted: Planted, place: int | None, cause: str) -> bool:
    """Say whether a cause tells, rightly, that windows ahead of the fault leave nothing of an interior."""
    ahead = place is not None and place < planted.place and cause == "border"
    return ahead and is_used_up(planted.network, planted.input, place)


def mutation(number: int, *, most: int = 20) -> Planted:
    """Draw one of many mutations: kind, network and place."""
    rng = np.random.default_rng([6, number])
    return plant(rng, KINDS[rng.integers(len(KINDS))], most=most)


def unharmed(number: int, *, most: int = 20) -> tuple[Network, Array]:
    """Draw one of many networks without a fault."""
    return exact_network(np.random.default_rng([7, number]), most=most)
