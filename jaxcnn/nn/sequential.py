"""Layers one after another."""

from collections.abc import Callable

import jax
from jax import Array

from jaxcnn.nn.activation import Activation
from jaxcnn.nn.module import Module


class Sequential(Module):
    """Feed each layer's output to the next one.

    Args:
        *layers: Modules, named `layer0`, `layer1`, ...; a function of one array stands for its `Activation`.
        **named: Modules that bring their own names, after those.

    Example:
        >>> from flax import nnx
        >>> from jaxcnn import nn
        >>> rngs = nnx.Rngs(0)
        >>> net = Sequential(nn.Conv(1, 4, (3, 3), rngs=rngs), jax.nn.relu, head=nn.GlobalPool("avg"))
        >>> net(jax.numpy.ones((2, 8, 8, 1))).shape
        (2, 4)
    """

    def __init__(self, *layers: Module | Callable[[Array], Array], **named: Module):
        layers_by_name = {f"layer{i}": layer for i, layer in enumerate(layers)} | named
        for name, layer in layers_by_name.items():
            setattr(self, name, layer if isinstance(layer, Module) else Activation(layer))
        self.names = tuple(layers_by_name)

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        keys = [None] * len(self.names) if key is None else jax.random.split(key, len(self.names))
        for name, layer_key in zip(self.names, keys, strict=True):
            x = getattr(self, name)(x, training=training, key=layer_key)
        return x
