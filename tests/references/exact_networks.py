"""Random networks that keep every shift, or every multiple of their strides: what a fault is planted into."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from references.exact_layers import LARGEST, LAYERS, REACHING, Layer, Layout, Random, heads


@dataclasses.dataclass(frozen=True)
class Network:
    layout: Layout
    shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    dtype: str = "float32"

    def __call__(self, x: Array) -> Array:
        for n, layer in enumerate(self.layers):
            with jax.named_scope(f"layer{n}"):
                x = layer.call(x)
        return x

    @property
    def kinds(self) -> str:
        return " > ".join(layer.kind for layer in self.layers)

    def shapes(self) -> list[jax.ShapeDtypeStruct]:
        """Return what goes into every layer, and what comes out at the end."""
        found = [jax.ShapeDtypeStruct(self.shape, self.dtype)]
        for layer in self.layers:
            found.append(jax.eval_shape(layer.call, found[-1]))
        return found

    def input(self, rng: Random) -> Array:
        return jnp.asarray(rng.standard_normal(self.shape), self.dtype)

    def is_alive(self, x: Array) -> bool:
        """Say whether every layer takes in a map that no shift leaves as it is: on others, no fault shows."""
        maps = [np.asarray(m, float) for m in jax.jit(self.maps)(x)]
        return all(np.max(np.abs(m - np.roll(m, 1, a))) > 1e-3 for m in maps for a in self.layout.spatial)

    def until(self, x: Array, place: int) -> Array:
        """Return the map that a layer takes in."""
        for layer in self.layers[:place]:
            x = layer.call(x)
        return x

    def maps(self, x: Array) -> list[Array]:
        """Return the maps that the layers take in."""
        found = []
        for layer in self.layers:
            if layer.head:
                break
            found.append(x)
            x = layer.call(x)
        return found


def exact_network(rng: Random, *, most: int = 20) -> tuple[Network, Array]:
    """Draw a network, and an input that keeps it alive."""
    while True:
        drawn = network(rng, most=most)
        if drawn.is_alive(x := drawn.input(rng)):
            return drawn, x


def network(rng: Random, *, local: bool = False, most: int = 20) -> Network:
    """Draw a network of 3 to 20 layers; `local` ones see no border from far away."""
    first = bool(rng.random() < 0.25)
    rank = int(rng.choice([1, 2, 2, 2]))
    layout = Layout(rank, first, () if rng.random() < 0.7 else (2,))
    sizes, channels = rng.integers(7, LARGEST + 1, rank).tolist(), int(rng.integers(1, 4))
    shape = (*layout.batch, channels, *sizes) if first else (*layout.batch, *sizes, channels)
    count = int(min(3 + rng.geometric(0.2) - 1, most))
    wanted = count - 2 if count > 3 and rng.random() < 0.5 else count
    x, layers = jax.ShapeDtypeStruct(shape, "float32"), []
    while len(layers) < wanted:
        layer = LAYERS[rng.integers(len(LAYERS))](rng, layout, x)
        several = layer is not None and layer.kind == "polyphase" and any(one.kind == "polyphase" for one in layers)
        if layer is None or several or (local and (layer.kind in REACHING or layer.strides)):
            continue
        x, layers = jax.eval_shape(layer.call, x), [*layers, layer]
    if wanted < count and not local:
        layers += heads(rng, layout, x)
    return Network(layout, shape, tuple(layers))
