"""Kinds of faults: each makes a layer that keeps fewer shifts than a map of some shape does, and names its causes."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jax import Array

from references.exact_layers import Layout, Random, weights

Build = Callable[[Random, Layout, Any], Callable[[Array], Array] | None]
LEAST = 4
"""Positions an axis that a fault needs."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """A kind of fault: how to make one for a map of a given shape (None where none fits), and what it is called."""

    build: Build
    causes: tuple[str, ...]
    mode: str = "circular"
    tied: bool = False
    """On an input of equal norms."""
    permutes: bool = False
    """Puts positions in another order and changes no value: a global pool does not see it."""


FAULTS: dict[str, Fault] = {}


def fault(*causes: str, **options: Any) -> Callable[[Build], Build]:
    """Enter what makes a fault under its own name."""

    def named(build: Build) -> Build:
        FAULTS[build.__name__.replace("_", " ")] = Fault(build, causes, **options)
        return build

    return named


def an_axis(rng: Random, layout: Layout) -> int:
    return int(rng.choice(layout.spatial))


def part(x: Array, axis: int, start: int | None, stop: int | None = None, step: int | None = None) -> Array:
    return x[(..., slice(start, stop, step), *(slice(None),) * (-1 - axis))]


def along(v: Array, axis: int) -> Array:
    """Shape numbers along an axis, counted from the back, so that they broadcast."""
    return v.reshape(-1, *(1,) * (-1 - axis))


def kernel_of(rng: Random, layout: Layout, x: Any, least: int = 2) -> Array | None:
    """A kernel that keeps the channels, with windows that reach beyond the border."""
    if layout.channels_first:
        return None
    window = [int(rng.integers(least, 4)) for _ in layout.spatial]
    return weights(rng, *window, x.shape[-1], x.shape[-1])
