"""What an augmentation is given: a batch, and which examples in which epoch it is."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array
from jaxtyping import Int


class Batch(NamedTuple):
    """The examples of a training step, on their way to the network.

    Example:
        >>> import jax.numpy as jnp
        >>> Batch(jnp.zeros((2, 8, 8, 3)), jnp.array([1, 0]), jnp.array([40, 7]), jnp.int32(3)).numbers.tolist()
        [40, 7]
    """

    inputs: Any
    """Raw inputs, `(batch, ...)`."""
    targets: Any
    """Their targets, `(batch, ...)`: classes, or once examples are mixed each class' share, `(batch, classes)`."""
    numbers: Int[Array, " batch"] | None = None
    """Which of the training examples they are; None where steps are fed batches that do not tell."""
    epoch: Int[Array, ""] | None = None
    """In which epoch, from 0; None where steps are not told how many an epoch has."""


Augment = Callable[[Array, Batch], Batch]
"""`augment(key, batch) -> batch`, on raw inputs: pure, of the same shapes, but for targets that are mixed."""

Change = Callable[[Array, Array], Array]
"""`change(key, inputs) -> inputs`: what leaves the targets alone."""


def on_inputs(change: Change) -> Augment:
    """Make an augmentation of a function of the inputs.

    Args:
        change: `change(key, inputs) -> inputs`, on raw inputs.

    Returns:
        `augment(key, batch) -> batch`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> augment = on_inputs(lambda key, inputs: inputs + 1)
        >>> augment(jax.random.key(0), Batch(jnp.zeros(2), jnp.array([1, 0]))).inputs.tolist()
        [1.0, 1.0]
    """

    def augment(key: Array, batch: Batch) -> Batch:
        return batch._replace(inputs=change(key, batch.inputs))

    return augment
