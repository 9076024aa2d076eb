"""Layers one after another."""

from collections.abc import Callable

import jax
from jax import Array

from jaxcnn.nn.activation import Activation, Identity
from jaxcnn.nn.conv import Conv
from jaxcnn.nn.module import Module
from jaxcnn.nn.norm import BatchNorm


class Sequential(Module):
    """Feed each layer's output to the next one.

    In training a batch norm, or a convolution's bias, and the ReLU that follows are one operation of the same value.

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
        layers = [(getattr(self, name), key) for name, key in zip(self.names, keys, strict=True)]
        layers = [(layer, key) for layer, key in layers if not isinstance(layer, Identity)]
        done = False  # this layer is a ReLU that the one before has computed
        for i, (layer, key) in enumerate(layers):
            fused = training and not done and _takes_relu(layer, *(following for following, _ in layers[i + 1 : i + 2]))
            if not done:
                x = layer(x, training=training, key=key, **({"activation": "relu"} if fused else {}))
            done = fused
        return x


def _takes_relu(layer: Module, following: Module | None = None) -> bool:
    """Tell whether a layer computes the ReLU after it in the same pass."""
    fuses = type(layer) is BatchNorm or (type(layer) is Conv and layer.bias is not None)
    return fuses and type(following) is Activation and following.function is jax.nn.relu
