"""Layers one after another."""

from collections.abc import Callable, Sequence

import jax
from jax import Array

from jaxcnn import functional as F
from jaxcnn.nn.activation import Activation, Identity
from jaxcnn.nn.conv import Conv
from jaxcnn.nn.module import Module
from jaxcnn.nn.norm import BatchNorm
from jaxcnn.nn.pool import MaxPool


class Sequential(Module):
    """Feed each layer's output to the next one.

    In training a batch norm, or a convolution's bias, and the ReLU or GELU that follows are one operation of the same
    value; so is a 2x2 max pool after a convolution's ReLU.

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
        done = 0  # of these layers the one before has computed
        for i, (layer, key) in enumerate(layers):
            if done:
                done -= 1
                continue
            activation = _takes(layer, [following for following, _ in layers[i + 1 : i + 3]]) if training else None
            x = layer(x, training=training, key=key, **({"activation": activation} if activation else {}))
            done = 0 if activation is None else LAYERS[activation]
        return x


FUSED = ((jax.nn.relu, "relu"), (F.gelu, "gelu"))
"""Functions that a batch norm, or a convolution's bias, takes along, and the name that these give them."""
LAYERS = {"relu": 1, "gelu": 1, "relu_pool": 2}
"""How many layers an activation stands for."""


def _takes(layer: Module, following: Sequence[Module]) -> str | None:
    """Tell what a layer computes in the same pass of the layers after it."""
    function = following[0].function if following and type(following[0]) is Activation else None
    name = next((name for fused, name in FUSED if fused is function), None)
    if type(layer) is BatchNorm or name is None:
        return name
    if type(layer) is not Conv or layer.bias is None:
        return None
    halves = name == "relu" and layer.kernel.ndim == 4 and len(following) > 1 and _is_halving(following[1])
    return "relu_pool" if halves else name


def _is_halving(pool: Module) -> bool:
    """Tell a max pool of 2x2 windows side by side."""
    if type(pool) is not MaxPool or pool.window != (2, 2) or pool.ceil_mode:
        return False
    amounts = ((pool.strides or 2, 2), (pool.padding, 0), (pool.dilation, 1))
    return all(amount in (plain, (plain, plain), "VALID") for amount, plain in amounts)
