"""Gradient accumulation: a batch's gradient in parts, one after another, in the memory of one part."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxcnn.training.mesh import check_batch, constrain

Objective = Callable[..., tuple[Array, tuple[Any, dict[str, Array]]]]
"""`objective(params, statistics, inputs, targets, key) -> (loss, (statistics, metrics))`."""


def gradient(objective: Objective, *, batch: int, parts: int = 1, mesh: Mesh | None = None) -> Callable[..., Any]:
    """Return the gradient of an objective over a batch, computed in equal parts.

    Part j takes the examples j, j + parts, j + 2 parts, ..., so that on several devices each keeps its own. Gradient
    and metrics are the means of the parts': those of the whole batch for a loss that is a mean over examples, and a
    network that sees each example alone. Batch statistics are of each part, and move with every one of them; a loss
    that divides by something else (class weights of the batch) does so part by part; dropout draws for each part.

    Args:
        objective: `objective(params, statistics, inputs, targets, key) -> (loss, (statistics, metrics))`.
        batch: Examples in a batch.
        parts: How many parts; 1 is `jax.grad` alone.
        mesh: The devices that share each part, see `make_mesh`.

    Returns:
        `gradient(params, statistics, inputs, targets, key) -> (grads, (statistics, metrics))`.

    Raises:
        ValueError: A number of parts that is not positive or does not divide the batch, or parts that the devices
            cannot share evenly.

    Example:
        >>> def objective(params, statistics, inputs, targets, key):
        ...     return jnp.mean((inputs @ params - targets) ** 2), (statistics, {})
        >>> batch = jnp.ones((4, 2)), jnp.arange(4.0), jax.random.key(0)
        >>> gradient(objective, batch=4, parts=2)(jnp.zeros(2), {}, *batch)[0].tolist()
        [-3.0, -3.0]
    """
    if parts < 1 or batch % parts:
        raise ValueError(
            f"`accumulate` (={parts}) must be a number of parts that divides the batch of {batch} examples"
        )
    check_batch("batch / accumulate", batch // parts, mesh)
    of_part = jax.grad(objective, has_aux=True)
    if parts == 1:
        return of_part

    def divided(array: Array) -> Array:
        return jnp.moveaxis(array.reshape(batch // parts, parts, *array.shape[1:]), 1, 0)

    def of_batch(params: Any, statistics: Any, inputs: Array, targets: Array, key: Array) -> tuple[Any, Any]:
        def step(carry: tuple[Any, Any], part: tuple[Array, Array, Array]) -> tuple[tuple[Any, Any], Any]:
            total, statistics = carry
            inputs, targets = constrain(mesh, part[:2], "batch")
            grads, (statistics, measured) = of_part(
                params, statistics, inputs, targets, jax.random.fold_in(key, part[2])
            )
            return (jax.tree.map(jnp.add, total, grads), statistics), measured

        shares = divided(inputs), divided(targets), jnp.arange(parts)
        start = jax.tree.map(jnp.zeros_like, params), statistics
        (total, statistics), measured = jax.lax.scan(step, start, shares)
        grads = jax.tree.map(lambda array: array / parts, total)
        return grads, (statistics, jax.tree.map(lambda array: array.mean(axis=0), measured))

    return of_batch
