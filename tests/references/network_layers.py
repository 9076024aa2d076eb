"""Layers of random networks: each a small frozen record that applies itself to a map whose axes may stand in any order.

Weights are positive and generic, so that nothing cancels; pools and norms end in a function that is not monotone, so
that no extremum of extrema, and no mean of means, collapses into one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxcnn import functional as F

SPATIAL = ("h", "w")
MODES = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}
REDUCERS = {"max": (lax.max, -np.inf), "min": (lax.min, np.inf), "avg": (lax.add, 0.0)}
Pair = tuple[int, int]
Amounts = tuple[Pair, Pair]
Pace = tuple[Fraction, Fraction]


@dataclass
class Weights:
    """A supply of arrays: drawn and noted down at first, later handed out again in the same order."""

    source: Any
    drawn: list[Any] = field(default_factory=list)

    def __call__(self, shape: Sequence[int], fan: int = 1) -> Any:
        if isinstance(self.source, np.random.Generator):
            self.drawn.append(self.source.uniform(0.5, 1.5, shape) / fan**0.7)
            return self.drawn[-1]
        return next(self.source)


@dataclass(frozen=True)
class Map:
    """An array, the letters of its axes, and what constant padding holds, by axis (None: what the operation says)."""

    x: Array
    order: tuple[str, ...]
    pads: dict[str, Any] | None = None

    def at(self, letter: str) -> int:
        return self.order.index(letter)

    def size(self, letter: str) -> int:
        return self.x.shape[self.at(letter)]

    def put(self, x: Array, order: tuple[str, ...] | None = None) -> "Map":
        return Map(x, order or self.order, self.pads)

    def without(self, *letters: str) -> "Map":
        """The map, along whose axes of these names the input's positions no longer run: their padding is nobody's."""
        return replace(self, pads=self.pads and {**self.pads, **dict.fromkeys(letters, 0.0)})

    @property
    def channels_last(self) -> bool:
        return self.order == ("h", "w", "c")

    def along(self, vector: Array, letter: str) -> Array:
        """A vector as an array that is added along one axis."""
        return jnp.asarray(vector, self.x.dtype).reshape([-1 if name == letter else 1 for name in self.order])


def require(condition: bool) -> None:
    """Refuse a layer that does not fit the map; the strategy leaves it out."""
    if not condition:
        raise ValueError("does not fit")


def bend(x: Array) -> Array:
    """Neither monotone nor bounded, at any size of x."""
    return 0.3 * x + 1.5 * jnp.sin(1.7 * x)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "none": lambda x: x,
    "bend": bend,
    "leaky": jax.nn.leaky_relu,
    "silu": lambda x: jax.nn.silu(x) + 0.1 * x,
    "relu": lambda x: jax.nn.relu(x) + 0.3 * jnp.sin(x),
}


def extend(m: Map, amounts: Amounts, mode: str = "zeros") -> Map:
    """Pad both spatial axes."""
    for letter, pair in zip(SPATIAL, amounts, strict=True):
        if any(pair):
            widths = [pair if name == letter else (0, 0) for name in m.order]
            require(mode == "zeros" or max(pair) < m.size(letter))
            m = m.put(jnp.pad(m.x, widths, mode="constant" if mode == "zeros" else MODES[mode]))
    if m.pads and mode == "zeros":  # added, so that a corner, which pads both axes, holds both values
        for letter, (low, high) in zip(SPATIAL, amounts, strict=True):
            border = np.ones(m.size(letter))
            border[low : len(border) - high] = 0
            m = m.put(m.x + m.pads[letter] * m.along(border, letter))
    return m


def settle(
    padding: str | Amounts, m: Map, window: Pair, strides: Pair, dilation: Pair, holes: Pair = (1, 1)
) -> Amounts:
    """Amounts of padding, and that the window fits."""
    settled = []
    for i, letter in enumerate(SPATIAL):
        n, span = (m.size(letter) - 1) * holes[i] + 1, (window[i] - 1) * dilation[i] + 1
        total = max((-(-n // strides[i]) - 1) * strides[i] + span - n, 0) if padding == "SAME" else 0
        low, high = (total // 2, total - total // 2) if isinstance(padding, str) else padding[i]
        require(n + low + high >= span and max(low, high) < span)
        settled.append((low, high))
    return settled[0], settled[1]


@dataclass(frozen=True, repr=False)
class Layer:
    """Base of all: whether border values are copies of inner ones, so that a unit there looks elsewhere."""

    @property
    def folds(self) -> bool:
        return getattr(self, "mode", "zeros") != "zeros" or any(part.folds for part in self.parts)

    @property
    def pace(self) -> Pace:
        """How many positions it is from what one unit sees to what the next one does, along each axis."""
        return Fraction(1), Fraction(1)

    @property
    def whole(self) -> tuple[str, ...]:
        """Along which axes a unit may see all positions, however many there are."""
        return ()

    @property
    def parts(self) -> tuple["Layer", ...]:
        return ()

    def __repr__(self) -> str:
        given = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default]
        return f"{type(self).__name__}({', '.join(given)})"


@dataclass(frozen=True, repr=False)
class Conv(Layer):
    channels: int = 1
    window: Pair = (3, 3)
    strides: Pair = (1, 1)
    padding: str | Amounts = "SAME"
    mode: str = "zeros"
    dilation: Pair = (1, 1)
    groups: int = 1
    holes: Pair = (1, 1)
    activation: str = "bend"
    functional: bool = False
    order: tuple[str, ...] | None = None

    @property
    def pace(self) -> Pace:
        return Fraction(self.strides[0], self.holes[0]), Fraction(self.strides[1], self.holes[1])

    def __call__(self, m: Map, weights: Weights) -> Map:
        inputs, outputs = m.size("c"), self.channels * self.groups
        require(inputs % self.groups == 0 and all(w >= s for w, s in zip(self.window, self.holes, strict=True)))
        fan = inputs // self.groups * self.window[0] * self.window[1]
        kernel = jnp.asarray(weights((*self.window, inputs // self.groups, outputs), fan), m.x.dtype)
        bias = jnp.asarray(weights((outputs,)), m.x.dtype)
        amounts = settle(self.padding, m, self.window, self.strides, self.dilation, self.holes)
        act = ACTIVATIONS[self.activation]
        if self.functional and m.channels_last and self.holes == (1, 1):
            options = {"strides": self.strides, "dilation": self.dilation, "groups": self.groups}
            if m.pads and self.mode == "zeros":
                return m.put(act(F.conv(extend(m, amounts).x, kernel, bias, padding="VALID", **options)))
            y = F.conv(m.x, kernel, bias, padding=self.padding, padding_mode=self.mode, **options)
            return m.put(act(y))
        holes = self.holes
        if m.pads or self.mode != "zeros":
            if holes != (1, 1):
                steps = dict(zip(SPATIAL, holes, strict=True))
                m = m.put(lax.pad(m.x, jnp.zeros((), m.x.dtype), [(0, 0, steps.get(n, 1) - 1) for n in m.order]))
                holes = (1, 1)
            m, amounts = extend(m, amounts, self.mode), ((0, 0), (0, 0))
        order = self.order or m.order
        layout = ("N" + "".join(m.order).upper(), "HWIO", "N" + "".join(order).upper())
        y = lax.conv_general_dilated(
            m.x[None], kernel, self.strides, amounts, holes, self.dilation, layout, feature_group_count=self.groups
        )[0]  # fmt: skip
        m = m.put(y, order)
        return m.put(act(y + m.along(bias, "c")))


@dataclass(frozen=True, repr=False)
class TransposedConv(Layer):
    channels: int = 1
    window: Pair = (3, 3)
    strides: Pair = (2, 2)
    padding: str | Amounts = "SAME"

    @property
    def pace(self) -> Pace:
        return Fraction(1, self.strides[0]), Fraction(1, self.strides[1])

    def __call__(self, m: Map, weights: Weights) -> Map:
        require(m.channels_last and all(w >= s for w, s in zip(self.window, self.strides, strict=True)))
        inputs = m.size("c")
        kernel = jnp.asarray(weights((*self.window, inputs, self.channels), inputs), m.x.dtype)
        if not m.pads:
            return m.put(bend(F.conv_transpose(m.x, kernel, strides=self.strides, padding=self.padding)))
        borders = []
        for i in range(2):
            s, w = self.strides[i], self.window[i]
            low, high = ((w - s) // 2, w - s - (w - s) // 2) if self.padding == "SAME" else self.padding[i]
            borders.append((w - 1 - low, w - 1 - high))
        apart = lax.pad(m.x, jnp.zeros((), m.x.dtype), [*((0, 0, s - 1) for s in self.strides), (0, 0, 0)])
        wide = extend(m.put(apart), (borders[0], borders[1]))
        layout = ("NHWC", "HWIO", "NHWC")
        kernel = lax.rev(kernel, (0, 1))
        return m.put(bend(lax.conv_general_dilated(wide.x[None], kernel, (1, 1), "VALID", dimension_numbers=layout)[0]))


@dataclass(frozen=True, repr=False)
class Pool(Layer):
    op: str = "max"
    window: Pair = (2, 2)
    strides: Pair = (2, 2)
    padding: str | Amounts = "VALID"
    mode: str = "zeros"
    dilation: Pair = (1, 1)
    functional: bool = False

    @property
    def pace(self) -> Pace:
        return Fraction(self.strides[0]), Fraction(self.strides[1])

    def __call__(self, m: Map, weights: Weights) -> Map:
        amounts = settle(self.padding, m, self.window, self.strides, self.dilation)
        if self.functional and m.channels_last and not m.pads:
            pool = {"max": F.max_pool, "min": F.min_pool, "avg": F.avg_pool}[self.op]
            options = {"strides": self.strides, "dilation": self.dilation, "padding_mode": self.mode}
            return m.put(bend(pool(m.x, self.window, padding=self.padding, **options)))
        if m.pads or self.mode != "zeros":
            m, amounts = extend(m, amounts, self.mode), ((0, 0), (0, 0))
        spread = {"h": 0, "w": 1}
        sizes, strides, dilation = (
            [pair[spread[n]] if n in spread else 1 for n in m.order]
            for pair in (self.window, self.strides, self.dilation)
        )
        pairs = [amounts[spread[n]] if n in spread else (0, 0) for n in m.order]
        reducer, neutral = REDUCERS[self.op]
        y = lax.reduce_window(m.x, np.array(neutral, m.x.dtype), reducer, sizes, strides, pairs, None, dilation)
        return m.put(bend(y / (self.window[0] * self.window[1]) if self.op == "avg" else y))


@dataclass(frozen=True, repr=False)
class TilePool(Layer):
    """A pool by splitting each axis into (n / k, k); what a tile does not cover is cropped."""

    op: str = "max"
    window: Pair = (2, 2)

    @property
    def pace(self) -> Pace:
        return Fraction(self.window[0]), Fraction(self.window[1])

    def __call__(self, m: Map, weights: Weights) -> Map:
        x = m.x
        for letter, k in zip(SPATIAL, self.window, strict=True):
            axis, tiles = m.at(letter), m.size(letter) // k
            require(tiles >= 1)
            x = lax.slice_in_dim(x, 0, tiles * k, axis=axis)
            x = x.reshape(*x.shape[:axis], tiles, k, *x.shape[axis + 1 :])
            x = {"max": jnp.max, "min": jnp.min, "avg": jnp.mean}[self.op](x, axis + 1)
        return m.put(bend(x))


@dataclass(frozen=True, repr=False)
class Excite(Layer):
    """Each channel scaled by a function of its mean over all positions."""

    @property
    def whole(self) -> tuple[str, ...]:
        return SPATIAL

    def __call__(self, m: Map, weights: Weights) -> Map:
        mean = m.x.mean([m.at(letter) for letter in SPATIAL], keepdims=True)
        return m.put(m.x * (0.5 + jax.nn.sigmoid(mean)))


@dataclass(frozen=True, repr=False)
class Norm(Layer):
    kind: str = "instance"

    @property
    def whole(self) -> tuple[str, ...]:
        return () if self.kind == "layer" else SPATIAL

    def __call__(self, m: Map, weights: Weights) -> Map:
        letters = {"instance": ("h", "w"), "batch": ("h", "w"), "layer": ("c",), "image": ("h", "w", "c")}[self.kind]
        axes = [m.at(letter) for letter in letters]
        require(int(np.prod([m.size(letter) for letter in letters])) >= (3 if self.kind == "layer" else 6))
        scale, offset = (jnp.asarray(weights((m.size("c"),)), m.x.dtype) for _ in range(2))
        if m.channels_last and self.kind == "instance":
            return m.put(bend(F.instance_norm(m.x, scale, offset)))
        if m.channels_last and self.kind == "layer":
            return m.put(bend(F.layer_norm(m.x, scale, offset)))
        if m.channels_last and self.kind == "batch":
            y, _, _ = F.batch_norm(m.x, scale, offset, offset, scale, training=True)
            return m.put(bend(y))
        y = (m.x - m.x.mean(axes, keepdims=True)) * lax.rsqrt(m.x.var(axes, keepdims=True) + 1e-3)
        return m.put(bend(y * m.along(scale, "c") + m.along(offset, "c")))
