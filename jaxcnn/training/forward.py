"""From raw inputs to float32 outputs: what training and evaluation do alike."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import Array

Data = tuple[Any, Any]
"""Inputs and targets, arrays that share their first axis (`jaxcnn.data.Split` is one)."""

Prepare = Callable[[Array], Array]
"""Raw inputs, such as uint8 images, to the floats that the network is fed."""

Measure = Callable[[Any, Any], Array]
"""A loss or a metric: a pure function of (outputs, targets)."""

Metrics = Mapping[str, Measure]


class Apply(Protocol):
    """A network as a pure function: `jaxcnn.nn.split` makes one of a module."""

    def __call__(
        self, params: Any, statistics: Any, x: Array, /, *, training: bool, key: Array | None
    ) -> tuple[Any, Any]:
        """Return the outputs and the new statistics."""
        ...


def identity(x: Array) -> Array:
    """Return the inputs as they are."""
    return x


def forward(apply: Apply, *, prepare: Prepare, dtype: str) -> Apply:
    """Wrap a network so that it takes raw inputs, computes in `dtype` and answers in float32 or wider.

    Statistics keep their dtype, whatever the network computes in, so that a loop can carry them.

    Args:
        apply: The network.
        prepare: Raw inputs to floats.
        dtype: What the prepared inputs are cast to, and so what the network computes in.

    Returns:
        A function of the same signature.
    """

    def wrapped(params, statistics, x, /, *, training, key):
        x = prepare(x).astype(dtype)
        outputs, new_statistics = apply(params, statistics, x, training=training, key=key)
        outputs = jax.tree.map(lambda y: y.astype(wide(y.dtype)), outputs)
        return outputs, jax.tree.map(lambda new, old: new.astype(old.dtype), new_statistics, statistics)

    return wrapped


def wide(dtype: Any) -> Any:
    """Return the dtype that losses are computed in: float32, or float64 where `dtype` is that."""
    return jnp.promote_types(dtype, jnp.float32)
