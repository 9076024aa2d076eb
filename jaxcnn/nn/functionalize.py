"""From a module to pure functions and plain pytrees."""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxcnn.nn.dropout import Dropout
from jaxcnn.nn.module import Module

Tree = dict[str, Any]
"""Arrays in nested dicts, keyed by attribute path."""


class Apply(Protocol):
    """A module as a pure function of its parameters and statistics."""

    def __call__(
        self,
        params: Tree,
        statistics: Tree,
        x: Array,
        *,
        training: bool,
        key: Array | None = None,
        dropout: Array | None = None,
    ) -> tuple[Array, Tree]:
        """Return the outputs and the statistics after them; `dropout` takes the place of the Dropout layers' rate."""
        ...


def functionalize(module: nnx.Module) -> tuple[Callable[[Tree, Array], Array], Tree]:
    """Turn a module into a pure function of its parameters, in evaluation mode.

    `fn(params, x) == module(x)`, for analysis, audits and any JAX transform. Whatever is no parameter (batch
    statistics) is closed over as it stands now.

    Args:
        module: Any Flax NNX module that is called with one array. An abstract one, made under `nnx.eval_shape`, gives
            a `fn` to trace only, and `params` of `jax.ShapeDtypeStruct`.

    Returns:
        `fn(params, x)`, and `params`: its `nnx.Param` arrays in nested dicts, keyed by attribute path.

    Example:
        >>> from jaxcnn import nn
        >>> fn, params = functionalize(nn.Dense(3, 2, rngs=nnx.Rngs(0)))
        >>> jax.tree.map(jnp.shape, params)
        {'bias': (2,), 'kernel': (3, 2)}
        >>> fn(params, jnp.ones((5, 3))).shape
        (5, 2)
    """
    graph, params, rest = _split(module)
    rest = jax.tree.map(_concrete, rest)

    def fn(params: Tree, x: Array) -> Array:
        return _merge(graph, params, rest)(x)

    return fn, params


def split(module: Module) -> tuple[Apply, Tree, Tree]:
    """Turn a module into a pure function of its parameters and statistics, for training.

    Args:
        module: A jaxcnn module.

    Returns:
        `apply(params, statistics, x, *, training, key=None, dropout=None) -> (outputs, statistics)`; the parameters;
        and the statistics, which are all other arrays (of batch norms). Both are nested dicts, keyed by attribute path.

    Example:
        >>> from jaxcnn import nn
        >>> apply, params, statistics = split(nn.BatchNorm(2))
        >>> outputs, new = apply(params, statistics, jnp.array([[0., 0.], [2., 4.]]), training=True)
        >>> statistics["mean"].tolist(), [round(float(m), 3) for m in new["mean"]]
        ([0.0, 0.0], [0.1, 0.2])
    """
    graph, params, statistics = _split(module)

    def apply(
        params: Tree,
        statistics: Tree,
        x: Array,
        *,
        training: bool,
        key: Array | None = None,
        dropout: Array | None = None,
    ) -> tuple[Array, Tree]:
        module = _merge(graph, params, statistics)
        if dropout is not None:
            for _, layer in nnx.iter_graph(module):
                if type(layer) is Dropout:
                    layer.rate = dropout
        outputs = module(x, training=training, key=key)
        return outputs, _split(module)[2]

    return apply, params, statistics


def _split(module: nnx.Module) -> tuple[nnx.GraphDef, Tree, Tree]:
    graph, params, rest = nnx.split(module, nnx.Param, ...)
    return graph, nnx.to_pure_dict(params), nnx.to_pure_dict(rest)


def _merge(graph: nnx.GraphDef, params: Tree, rest: Tree) -> Any:
    module = nnx.merge(graph, nnx.State(params), nnx.State(rest))
    if isinstance(module, Module):
        module.scope = None  # paths begin here, even if the module was taken out of a larger one
    return module


def _concrete(leaf: Any) -> Any:
    """Let a trace close over an abstract module's statistics."""
    return jnp.asarray(np.zeros(leaf.shape, leaf.dtype)) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf
