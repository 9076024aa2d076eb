"""Layers of random networks that move, join and wrap: rolls, crops, branches, loops, and the ends of a network."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from references.network_layers import SPATIAL, Amounts, Layer, Map, Pace, Weights, bend, extend, require


@dataclass(frozen=True, repr=False)
class Roll(Layer):
    letter: str = "h"
    amount: int = 1

    @property
    def folds(self) -> bool:
        return True

    def __call__(self, m: Map, weights: Weights) -> Map:
        require(self.amount % m.size(self.letter) != 0)
        return m.put(jnp.roll(m.x, self.amount, m.at(self.letter)))


@dataclass(frozen=True, repr=False)
class Flip(Layer):
    letter: str = "h"

    def __call__(self, m: Map, weights: Weights) -> Map:
        return m.put(jnp.flip(m.x, m.at(self.letter)))


@dataclass(frozen=True, repr=False)
class Transpose(Layer):
    order: tuple[str, ...] = ("w", "h", "c")

    def __call__(self, m: Map, weights: Weights) -> Map:
        return m.put(m.x.transpose([m.at(letter) for letter in self.order]), self.order)


@dataclass(frozen=True, repr=False)
class Slice(Layer):
    """`x[start : n - end : step]` along one axis."""

    letter: str = "h"
    start: int = 0
    end: int = 0
    step: int = 1

    @property
    def pace(self) -> Pace:
        return along(self.letter, Fraction(self.step))

    def __call__(self, m: Map, weights: Weights) -> Map:
        stop = m.size(self.letter) - self.end
        require(stop - self.start >= 1)
        return m.put(lax.slice_in_dim(m.x, self.start, stop, self.step, m.at(self.letter)))


@dataclass(frozen=True, repr=False)
class Pad(Layer):
    amounts: Amounts = ((1, 1), (1, 1))
    mode: str = "zeros"

    def __call__(self, m: Map, weights: Weights) -> Map:
        return extend(m, self.amounts, self.mode)


@dataclass(frozen=True, repr=False)
class Upsample(Layer):
    """The nearest neighbour: every position repeated."""

    letter: str = "h"
    times: int = 2

    @property
    def pace(self) -> Pace:
        return along(self.letter, Fraction(1, self.times))

    def __call__(self, m: Map, weights: Weights) -> Map:
        return m.put(jnp.repeat(m.x, self.times, m.at(self.letter)))


@dataclass(frozen=True, repr=False)
class Position(Layer):
    """A bias that depends on the position along one axis."""

    letter: str = "h"

    def __call__(self, m: Map, weights: Weights) -> Map:
        return m.put(bend(m.x + m.along(weights((m.size(self.letter),)), self.letter)))


@dataclass(frozen=True, repr=False)
class Cumsum(Layer):
    letter: str = "h"

    @property
    def whole(self) -> tuple[str, ...]:
        return (self.letter,)

    def __call__(self, m: Map, weights: Weights) -> Map:
        return m.put(bend(0.3 * jnp.cumsum(m.x, m.at(self.letter))))


@dataclass(frozen=True, repr=False)
class Sort(Layer):
    letter: str = "h"

    @property
    def whole(self) -> tuple[str, ...]:
        return (self.letter,)

    def __call__(self, m: Map, weights: Weights) -> Map:
        return m.put(bend(jnp.sort(m.x, m.at(self.letter)))).without(self.letter)


def along(letter: str, pace: Fraction) -> Pace:
    """The pace of a layer that leaves the other axis alone."""
    return (pace, Fraction(1)) if letter == "h" else (Fraction(1), pace)


def together(layers: tuple[Layer, ...]) -> Pace:
    """The pace of layers after each other."""
    high, wide = Fraction(1), Fraction(1)
    for layer in layers:
        high, wide = high * layer.pace[0], wide * layer.pace[1]
    return high, wide


def run(layers: tuple[Layer, ...], m: Map, weights: Weights) -> Map:
    for layer in layers:
        m = layer(m, weights)
    return m


@dataclass(frozen=True, repr=False)
class Join(Layer):
    """Two branches, added, multiplied or concatenated on channels; an empty one is the identity."""

    left: tuple[Layer, ...] = ()
    right: tuple[Layer, ...] = ()
    how: str = "add"

    @property
    def parts(self) -> tuple[Layer, ...]:
        return self.left + self.right

    @property
    def pace(self) -> Pace:
        return together(self.left)

    def __call__(self, m: Map, weights: Weights) -> Map:
        one, two = run(self.left, m, weights), run(self.right, m, weights)
        require(one.order == two.order and all(one.size(letter) == two.size(letter) for letter in SPATIAL))
        if self.how == "concatenate":
            require(one.size("c") + two.size("c") <= 4)
            return one.put(jnp.concatenate([one.x, two.x], one.at("c")))
        require(1 in (one.size("c"), two.size("c")) or one.size("c") == two.size("c"))
        return one.put(bend(one.x + 0.7 * two.x if self.how == "add" else one.x * (1.5 + jnp.sin(two.x))))


@dataclass(frozen=True, repr=False)
class Wrap(Layer):
    """Layers inside a transformation: jit, checkpoint, custom_jvp, or both branches of a cond."""

    kind: str = "jit"
    body: tuple[Layer, ...] = ()

    @property
    def parts(self) -> tuple[Layer, ...]:
        return self.body

    @property
    def pace(self) -> Pace:
        return together(self.body)

    def __call__(self, m: Map, weights: Weights) -> Map:
        results: list[Map] = []

        def apply(x: Array) -> Array:
            results.append(run(self.body, m.put(x), weights))
            return results[-1].x

        if self.kind == "cond":
            flag = jnp.asarray(weights(()))
            y = lax.cond(flag > 1, lambda x: apply(x), lambda x: apply(x), m.x)  # two functions: each draws its weights
            return m.put(y, results[-1].order)
        wrap: Any = {"jit": jax.jit, "checkpoint": jax.checkpoint, "custom_jvp": jax.custom_jvp}[self.kind]
        wrapped = wrap(apply)
        if self.kind == "custom_jvp":
            wrapped.defjvp(lambda primals, tangents: jax.jvp(apply, primals, tangents))
        return m.put(wrapped(m.x), results[-1].order)


@dataclass(frozen=True, repr=False)
class Scan(Layer):
    """The same convolution over and over, with kernels of its own each time."""

    length: int = 2
    window: int = 3
    mode: str = "zeros"
    carried: bool = True

    def __call__(self, m: Map, weights: Weights) -> Map:
        require(self.window % 2 == 1)
        channels = m.size("c")
        fan = channels * self.window**2
        shape = (self.window, self.window, channels, channels)
        kernels = jnp.asarray(weights((self.length, *shape) if self.carried else shape, fan), m.x.dtype)
        layout = ("N" + "".join(m.order).upper(), "HWIO", "N" + "".join(m.order).upper())

        def step(x: Array, kernel: Array | None) -> tuple[Array, None]:
            border = (self.window // 2,) * 2
            wide = extend(m.put(x), (border, border), self.mode)
            kernel = kernels if kernel is None else kernel
            y = lax.conv_general_dilated(wide.x[None], kernel, (1, 1), "VALID", dimension_numbers=layout)[0]
            return bend(y), None

        if self.carried:
            return m.put(lax.scan(step, m.x, kernels)[0])
        return m.put(lax.fori_loop(0, self.length, lambda _, x: step(x, None)[0], m.x))


@dataclass(frozen=True, repr=False)
class GlobalPool(Layer):
    op: str = "avg"
    letters: tuple[str, ...] = SPATIAL
    keep: bool = False

    @property
    def whole(self) -> tuple[str, ...]:
        return self.letters

    def __call__(self, m: Map, weights: Weights) -> Map:
        reduce = {"max": jnp.max, "avg": jnp.mean, "min": jnp.min}[self.op]
        x = m.x if self.op == "avg" else m.x + 9 * jnp.sin(5 * m.x)  # so that any unit may be the extreme one
        y = reduce(x, tuple(m.at(letter) for letter in self.letters), keepdims=self.keep)
        order = tuple(letter for letter in m.order if self.keep or letter not in self.letters)
        return m.put(bend(y), order).without(*self.letters)


@dataclass(frozen=True, repr=False)
class Dense(Layer):
    features: int = 3

    @property
    def whole(self) -> tuple[str, ...]:
        return SPATIAL

    def __call__(self, m: Map, weights: Weights) -> Map:
        kernel = jnp.asarray(weights((m.x.size, self.features), m.x.size), m.x.dtype)
        return m.put(bend(m.x.reshape(-1) @ kernel), ("c",))
