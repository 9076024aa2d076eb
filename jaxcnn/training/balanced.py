"""Orders in which every class comes as often as the others."""

import operator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Int

from jaxcnn.training.steps import LastBatch, steps_per_epoch


def balanced_order(
    key: Array,
    targets: Int[Any, " n"],
    classes: int,
    batch: int,
    *,
    epoch: int,
    last_batch: LastBatch = "drop",
) -> Int[Array, " examples"]:
    """Draw the order of one epoch so that every class comes equally often, and in it every example.

    The epoch is as long as that of `epoch_order`. Where it cannot be shared evenly, some classes, drawn at random, come
    once more; and so some examples of a class, which come once more than its others. The order is random throughout.

    Args:
        key: The run's key, of which it takes what `epoch_order` takes.
        targets: True class of every training example.
        classes: Number of classes; one without examples is left out.
        batch: Examples in a step.
        epoch: Which epoch, from 0.
        last_batch: See `steps_per_epoch`.

    Returns:
        Indices of examples, int32, `steps_per_epoch(n, batch, last_batch) * batch` of them.

    Raises:
        ValueError: Targets that are no labels, or as `steps_per_epoch`.

    Example:
        >>> order = balanced_order(jax.random.key(0), np.array([0, 0, 0, 0, 0, 1]), 2, 2, epoch=0)
        >>> sorted(order.tolist())[-3:]
        [5, 5, 5]
    """
    if np.ndim(targets) != 1 or not np.issubdtype(targets.dtype, np.integer):
        raise ValueError(f"`targets` are {targets.dtype} of shape {np.shape(targets)}; to balance takes labels, (n,)")
    size = steps_per_epoch(len(targets), batch, last_batch) * batch
    return _order(key, np.uint32(2**32 - 1 - operator.index(epoch)), targets, classes, size)


@partial(jax.jit, static_argnums=(3, 4))
def _order(key: Array, stream: Any, targets: Array, classes: int, size: int) -> Array:
    members_key, class_key, order_key = jax.random.split(jax.random.fold_in(key, stream), 3)
    drawn = jax.random.permutation(members_key, len(targets))
    members = drawn[jnp.argsort(targets[drawn], stable=True)]  # class after class, in a random order each
    counts = jnp.bincount(targets, length=classes)
    # Of the classes that there are, in a random order, the first ones come once more.
    there = jnp.where(counts > 0, jax.random.permutation(class_key, classes), classes + jnp.arange(classes))
    rank = jnp.argsort(jnp.argsort(there))
    known = jnp.sum(counts > 0)
    times = jnp.where(counts > 0, size // known + (rank < size % known), 0)
    label = jnp.repeat(jnp.arange(classes), times, total_repeat_length=size)
    number = jnp.arange(size) - (jnp.cumsum(times) - times)[label]
    chosen = members[(jnp.cumsum(counts) - counts)[label] + number % counts[label]]
    return jax.random.permutation(order_key, chosen).astype(jnp.int32)
