"""Layers one after another."""

import itertools
from collections.abc import Callable

import jax
from jax import Array

from jaxcnn.nn.activation import Activation
from jaxcnn.nn.module import Module
from jaxcnn.nn.norm import BatchNorm


class Sequential(Module):
    """Feed each layer's output to the next one.

    In training a batch norm and the ReLU that follows it are one operation, the norm's, of the same value.

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
        layers = [getattr(self, name) for name in self.names]
        fused = [training and _is_norm_and_relu(*pair) for pair in itertools.pairwise([*layers, None])]
        for i, (layer, layer_key) in enumerate(zip(layers, keys, strict=True)):
            if fused[i]:
                x = layer(x, training=training, key=layer_key, activation="relu")
            elif not (i and fused[i - 1]):
                x = layer(x, training=training, key=layer_key)
        return x


def _is_norm_and_relu(layer: Module | None, following: Module | None) -> bool:
    return type(layer) is BatchNorm and type(following) is Activation and following.function is jax.nn.relu
