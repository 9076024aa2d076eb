"""What is to be told of one axis of an array, written down by hand, to hold `analysis.trace` against."""

import dataclasses
from fractions import Fraction
from typing import Any

import jax
import numpy as np

from jaxcnn import analysis

ANY: Any = ...
"""A fact that the definitions leave open for a case."""
NONE, UNKNOWN = ("position-dependent",), ("unknown",)


def shift(lattice=1, step=1, margin=ANY):
    """An equivariance: output positions for input positions, and the borders outside it."""
    return ("equivariant", lattice, step, margin)


def still(lattice=1):
    """An invariance."""
    return ("invariant", lattice)


EVERYWHERE, INSIDE = shift(), shift(margin=(0, 0))


@dataclasses.dataclass
class Told:
    """What is to be told of one axis; by default, of an elementwise function."""

    receptive_field: Any = 1
    center: Any = 0
    jump: Any = 1
    padding: Any = (0, 0)
    circular: Any = EVERYWHERE
    interior: Any = INSIDE
    axis: Any = 0

    def check(self, facts):
        """Compare with the facts of an axis."""
        for name in ("axis", "receptive_field", "center", "jump", "padding"):
            expected = getattr(self, name)
            assert expected in (ANY, getattr(facts, name)), (name, expected, getattr(facts, name))
        for name in ("circular", "interior"):
            expected, contract = getattr(self, name), getattr(facts, name)
            told = (contract.kind, contract.lattice, contract.step, contract.margin)
            if expected is not ANY:
                assert all(e in (ANY, t) for e, t in zip(expected, told, strict=False)), (name, expected, told)


def half(odd):
    """A place between two positions."""
    return Fraction(odd, 2)


def interior(low, high, lattice=1, step=1):
    """What holds of a function away from its borders only."""
    return {"circular": NONE, "interior": shift(lattice, step, (low, high))}


def padded(low, high, lattice=1):
    """What holds of a function whose borders saw padding, and of no more of them."""
    return {"padding": (low, high), **interior(low, high, lattice)}


def part(p, *shape):
    """Take an array of parameters from a row of them."""
    return p[: int(np.prod(shape))].reshape(shape)


def facts(fn, *shape, axes=(0,)):
    """Trace `fn(parameters, x)` and return what is told of each spatial axis."""
    p = jax.ShapeDtypeStruct((2000,), "float32")
    (told,) = analysis.trace(fn, p, jax.ShapeDtypeStruct(shape, "float32"), spatial_axes=axes).outputs
    return told.axes
