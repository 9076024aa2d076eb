"""Nonlinearities by name, and none."""

from collections.abc import Callable

import jax
from jax import Array

from jaxcnn import functional as F
from jaxcnn.config import unknown
from jaxcnn.nn.module import Module

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "gelu": F.gelu,
    "silu": jax.nn.silu,
    "tanh": jax.numpy.tanh,
    "sigmoid": jax.nn.sigmoid,
}
"""Elementwise functions, by the name that a config gives."""


class Activation(Module):
    """Apply an elementwise function.

    Args:
        function: `relu`, `relu6`, `gelu`, `silu`, `tanh`, `sigmoid`, or any function of one array.

    Raises:
        ValueError: An unknown name.

    Example:
        >>> Activation("relu")(jax.numpy.array([-1., 2.])).tolist()
        [0.0, 2.0]
    """

    def __init__(self, function: str | Callable[[Array], Array]):
        if isinstance(function, str):
            if function not in ACTIVATIONS:
                raise ValueError(unknown("activation", function, ACTIVATIONS))
            function = ACTIVATIONS[function]
        self.function = function

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        return self.function(x)


class Identity(Module):
    """Return the input: what stands where a layer is left out.

    Example:
        >>> Identity()(jax.numpy.ones(3)).tolist()
        [1.0, 1.0, 1.0]
    """

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        return x
