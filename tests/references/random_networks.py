"""Random networks for tests of what is known about a network before it runs: drawn by Hypothesis, as small records."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from jax import Array

from references import network_layers as nl
from references import network_moves as nm
from references.network_layers import SPATIAL, Layer, Map, Weights

ORDERS = [("h", "w", "c"), ("c", "h", "w"), ("w", "h", "c"), ("w", "c", "h")]
LARGEST = 48


@dataclass(frozen=True)
class Network:
    """A network: the shape of its input, its layers, and the seed of its weights."""

    shape: tuple[int, int, int]
    layers: tuple[Layer, ...]
    seed: int = 0
    dtype: str = "float32"

    def weights(self) -> list[np.ndarray]:
        """Draw the weights, in the order in which the layers take them."""
        weights = Weights(np.random.default_rng(self.seed))
        jax.eval_shape(lambda x: self._walk(x, weights, None), self.input())
        return weights.drawn

    def input(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(self.shape, self.dtype)

    def __call__(self, params: list[Any], x: Array, pads: dict[str, Any] | None = None) -> list[Array]:
        """Apply the network; return the result of every layer, with other values than zero in its padding if asked."""
        return self._walk(x, Weights(iter(params)), pads)

    def _walk(self, x: Array, weights: Weights, pads: dict[str, Any] | None) -> list[Array]:
        m, results = Map(x, ("h", "w", "c"), pads), []
        for i, layer in enumerate(self.layers):
            with jax.named_scope(f"layer{i}"):
                m = layer(m, weights)
            results.append(m.x)
        return results

    def folds(self) -> list[bool]:
        """Whether border positions of each layer's result may hold copies of inner ones."""
        return [any(layer.folds for layer in self.layers[: i + 1]) for i in range(len(self.layers))]


def pairs(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One value for both axes, or one for each."""
    return st.one_of(values.map(lambda value: (value, value)), st.tuples(values, values))


def mix(*strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One of the strategies, each with the same chance: `one_of` would give a union inside it more."""
    return st.integers(0, 2**16).flatmap(lambda i: strategies[i * 40503 % 65537 % len(strategies)])


sizes = st.integers(9, 32)
channels = st.integers(1, 3)
letters = st.sampled_from(SPATIAL)
modes = st.sampled_from(["zeros", "zeros", "zeros", "circular", "circular", "reflect", "replicate"])
amounts = st.one_of(
    st.sampled_from(["SAME", "VALID"]), pairs(st.tuples(st.integers(0, 2), st.integers(0, 2))), pairs(st.just((1, 1)))
)
activations = st.sampled_from(["none", "bend", "leaky", "silu", "relu"])

convs = st.builds(
    nl.Conv, channels, pairs(st.integers(1, 4)), pairs(st.sampled_from([1, 1, 1, 2, 2, 3])), amounts, modes,
    pairs(st.sampled_from([1, 1, 2])), st.sampled_from([1, 1, 1, 2, 3]), pairs(st.just(1)), activations,
    st.booleans(), st.one_of(st.none(), st.none(), st.sampled_from(ORDERS)),
)  # fmt: skip
spread_convs = st.builds(
    nl.Conv, channels, pairs(st.integers(2, 4)), pairs(st.sampled_from([1, 1, 2, 3])), amounts, st.just("zeros"),
    st.just((1, 1)), st.just(1), pairs(st.integers(1, 2)),
)  # fmt: skip
transposed = st.builds(nl.TransposedConv, channels, pairs(st.integers(2, 4)), st.sampled_from([(2, 2), (2, 1)]))
pools = st.builds(
    nl.Pool, st.sampled_from(["max", "min", "avg"]), pairs(st.integers(2, 3)), pairs(st.integers(1, 3)), amounts, modes,
    pairs(st.sampled_from([1, 1, 1, 2])), st.booleans(),
)  # fmt: skip
tile_pools = st.builds(nl.TilePool, st.sampled_from(["max", "min", "avg"]), pairs(st.integers(1, 3)))
rolls = st.builds(nm.Roll, letters, st.integers(-5, 5).filter(bool))
flips = st.builds(nm.Flip, letters)
slices = st.builds(nm.Slice, letters, st.integers(0, 2), st.integers(0, 2), st.sampled_from([1, 2, 2, 3]))
moves = mix(
    rolls, rolls, flips, slices, slices, st.builds(nm.Transpose, st.sampled_from(ORDERS)),
    st.builds(nm.Pad, pairs(st.tuples(st.integers(0, 3), st.integers(0, 3))), modes),
    st.builds(nm.Upsample, letters, st.integers(2, 3)),
)  # fmt: skip
scans = st.builds(nm.Scan, st.integers(1, 3), st.sampled_from([1, 3, 3]), modes, st.booleans())
norms = mix(st.builds(nl.Norm, st.sampled_from(["instance", "batch", "layer", "image"])), st.builds(nl.Excite))
breakers = mix(st.builds(nm.Position, letters), st.builds(nm.Cumsum, letters), st.builds(nm.Sort, letters))

same_convs = st.builds(
    nl.Conv, channels, pairs(st.integers(1, 4)), st.just((1, 1)), st.just("SAME"), modes,
    pairs(st.sampled_from([1, 1, 2])), st.just(1), st.just((1, 1)), activations, st.booleans(),
)  # fmt: skip
branches = mix(
    st.just(()),
    st.tuples(same_convs),
    st.tuples(same_convs, same_convs),
    st.tuples(same_convs, rolls),
    st.tuples(rolls),
)
strided_branches = st.tuples(
    st.builds(
        nl.Conv, channels, pairs(st.integers(1, 4)), st.just((2, 2)), st.just("SAME"), modes,
        functional=st.booleans(),
    )
)  # fmt: skip
joining = st.sampled_from(["add", "add", "multiply", "concatenate"])
joins = mix(
    st.builds(nm.Join, branches, branches, joining), st.builds(nm.Join, strided_branches, strided_branches, joining)
)
plain = mix(convs, pools, tile_pools, *[joins] * 2, *[moves] * 4, norms)
wrapping = st.sampled_from(["jit", "checkpoint", "custom_jvp", "cond"])
wraps = st.builds(nm.Wrap, wrapping, st.lists(plain, min_size=1, max_size=2).map(tuple))
layers = mix(
    *[convs] * 6, *[pools] * 3, *[plain] * 8, *[wraps] * 2, *[scans] * 2, mix(spread_convs, transposed), breakers
)
axes = st.sampled_from([SPATIAL, SPATIAL, ("h",), ("w",)])
pooled = st.builds(nm.GlobalPool, st.sampled_from(["avg", "max", "min"]), axes, st.booleans())
ends = mix(
    *[st.just(())] * 7, st.tuples(pooled), st.tuples(pooled, st.builds(nm.Dense)), st.tuples(st.builds(nm.Dense))
)


@st.composite
def networks(draw: Callable[..., Any], most: int = 6) -> Network:
    """Networks of up to six layers, and the end of a classifier now and then; not all layers fit: see `fitted`."""
    depth = draw(st.integers(2, most))
    drawn = (*(draw(layers) for _ in range(depth)), *draw(ends))
    shape = (draw(sizes), draw(sizes), draw(channels))
    return Network(shape, drawn, draw(st.integers(0, 2**16)), draw(st.sampled_from(["float32", "float64"])))


def fitted(network: Network) -> Network:
    """The network without the layers that do not fit its map, or would leave too much or too little of it."""
    m, kept = (jax.ShapeDtypeStruct(network.shape, "float32"), ("h", "w", "c")), []
    for layer in network.layers:
        try:
            m = after(layer, *m)
        except ValueError:
            continue
        kept.append(layer)
    return replace(network, layers=tuple(kept) or (nl.Conv(),))


def after(layer: Layer, x: jax.ShapeDtypeStruct, order: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
    """Shape and axes after a layer; an error where it does not fit, or leaves too much or too little."""
    results: list[Map] = []

    def apply(x: Array) -> Array:
        for pads in ({}, {"h": jnp.zeros(()), "w": jnp.zeros(())}):  # padding that is told apart asks for more room
            results.append(layer(Map(x, order, pads), Weights(np.random.default_rng(0))))
        return results[0].x

    y = jax.eval_shape(apply, x)
    if min(y.shape) < 1 or max(y.shape) > LARGEST:
        raise ValueError("too small or too large")
    return y, results[0].order


def example(network: Network) -> tuple[Callable[..., list[Array]], list[Any]]:
    """The network as `fn(params, x)` and its parameters, in its dtype."""
    return network.__call__, [jnp.asarray(array, network.dtype) for array in network.weights()]
