"""Layers with drawn options, and what is expected of them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from hypothesis import strategies as st
from jax import Array

from jaxcnn import nn
from references.arrays import normal
from references.domains import Domain

SMALLEST = 4
LARGEST = {1: 17, 2: 9, 3: 6}
"""Sizes drawn, by rank."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer with its options.

    `fn(params, x)` answers along `outputs` (None: it has no such axis) when x, of `shape`, is shifted along `axes`, as
    `domains` tell; all axes count from the end.
    """

    fn: Callable[[Any, Array], Array]
    params: Any
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    outputs: tuple[int | None, ...]
    domains: tuple[Domain, ...]
    told: str
    """The options, in words."""
    bits: bool = False
    """Whether the layer promises equal bits."""


class Chooser:
    """Draws options, and remembers them in words.

    `regular` says what half of the cases are: circular, and of sizes that the strides divide.
    """

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any], ranks: Sequence[int]):
        self.draw, self.ranks, self.words = draw, ranks, []
        self.seed = draw(st.integers(0, 999))
        self.regular = self.flip("regular")

    def one_of(self, name: str, choices: Sequence[Any]) -> Any:
        value = self.draw(st.sampled_from(list(choices)))
        self.words.append(f"{name}={value}")
        return value

    def number(self, name: str, least: int, most: int) -> int:
        return self.one_of(name, range(least, most + 1))

    def flip(self, name: str) -> bool:
        return self.one_of(name, (False, True))

    def per_axis(self, name: str, rank: int, least: int, most: int) -> tuple[int, ...]:
        return tuple(self.number(f"{name}[{axis}]", least, most) for axis in range(rank))

    def sizes(self, rank: int, multiples: Sequence[int] | None = None) -> tuple[int, ...]:
        """Draw sizes, of multiples if there are some."""
        multiples = multiples or (1,) * rank
        return tuple(
            s * self.number(f"size[{axis}]/{s}", -(-SMALLEST // s), LARGEST[rank] // s)
            for axis, s in enumerate(multiples)
        )

    def rank(self) -> int:
        return self.one_of("rank", self.ranks)

    def array(self, shape: Sequence[int]) -> Array:
        self.seed += 1
        return normal(self.seed, tuple(shape))

    def case(
        self, fn: Any, params: Any, sizes: Sequence[int], channels: int, found: Sequence[Domain], **changes: Any
    ) -> Case:
        """Make a case of a map without batch axes, whose output has the input's axes."""
        axes = tuple(range(-1 - len(sizes), -1))
        case = Case(fn, params, (*sizes, channels), axes, axes, tuple(found), ", ".join(self.words))
        return dataclasses.replace(case, **changes)

    def module(self, make: Callable[[nnx.Rngs], nn.Module], **call: Any) -> tuple[Any, Any]:
        """Return a layer as a function of its parameters, which are drawn, and the map."""
        apply, params, statistics = nn.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
        params = jax.tree.map(lambda leaf: self.array(leaf.shape), params)
        statistics = jax.tree.map(lambda leaf: 0.5 + jnp.abs(self.array(leaf.shape)), statistics)
        call = {"training": False, **call}
        return lambda params, x: apply(params, statistics, x, **call)[0], params


def spatial(sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the axes of a map without batch axes, from the end."""
    return tuple(range(-1 - len(sizes), -1))


def cast(params: Sequence[Array], x: Array) -> list[Array]:
    """Return parameters in the type of a map."""
    return [p.astype(x.dtype) for p in params]
