"""From raw inputs to float32 outputs: what training and evaluation do alike."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh

from jaxcnn.training.mesh import AXES, DIVIDED, WHOLE

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


def forward(apply: Apply, *, prepare: Prepare, dtype: str, mesh: Mesh | None = None) -> Apply:
    """Wrap a network so that it takes raw inputs, computes in `dtype` and answers in float32 or wider.

    Statistics keep their dtype, whatever the network computes in, so that a loop can carry them.

    On a mesh every device runs the network on its share of the examples, under `shard_map`, with all the parameters.
    The statistics of the batch norms of `jaxcnn.nn` are those of the whole batch, and the gradients flow through
    them; whatever else a network returns as statistics is averaged over the devices (integers: their largest). Each
    device has a key of its own, folded from the one given, so that dropout drops other values on another number of
    devices. Outputs are those of all examples: a loss may be any function of them.

    Args:
        apply: The network.
        prepare: Raw inputs to floats.
        dtype: What the prepared inputs are cast to, and so what the network computes in.
        mesh: The devices that share the examples, see `make_mesh`.

    Returns:
        A function of the same signature.
    """

    def wrapped(params, statistics, x, /, *, training, key):
        x = prepare(x).astype(dtype)
        outputs, new_statistics = apply(params, statistics, x, training=training, key=key)
        outputs = jax.tree.map(lambda y: y.astype(wide(y.dtype)), outputs)
        return outputs, jax.tree.map(lambda new, old: new.astype(old.dtype), new_statistics, statistics)

    if mesh is None:
        return wrapped

    def divided(params, statistics, x, /, *, training, key):
        def on_one_device(params, statistics, x, key):
            if key is not None:
                key = jax.random.fold_in(key, lax.axis_index(AXES))
            outputs, statistics = wrapped(params, statistics, x, training=training, key=key)
            return outputs, jax.tree.map(_agreed, statistics) if training else statistics

        # Unchecked: JAX's types of values that differ between devices know nothing of primitives that are ours.
        specs = {"in_specs": (WHOLE, WHOLE, DIVIDED, WHOLE), "out_specs": (DIVIDED, WHOLE), "check_vma": False}
        return jax.shard_map(on_one_device, mesh=mesh, **specs)(params, statistics, x, key)

    return divided


def _agreed(statistic: Array) -> Array:
    return (lax.pmean if jnp.issubdtype(statistic.dtype, jnp.inexact) else lax.pmax)(statistic, AXES)


def wide(dtype: Any) -> Any:
    """Return the dtype that losses are computed in: float32, or float64 where `dtype` is that."""
    return jnp.promote_types(dtype, jnp.float32)
