"""Metrics of classification: pure functions of (outputs, targets), for any number of examples.

Among equal outputs the class of the lowest number counts as the larger, in all of them.
A label outside the classes is never predicted: it counts as wrong, and stands in no row of a matrix.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int, Num


def accuracy(
    outputs: Float[Array, "*batch classes"], targets: Int[Array, "*batch"] | Float[Array, "*batch classes"]
) -> Float[Array, ""]:
    """Return the share of examples whose largest output is that of the true class (top-1).

    Args:
        outputs: Logits or probabilities, `(*batch, classes)`.
        targets: True classes, integers `(*batch,)`, or shares of the classes, floats `(*batch, classes)`, the largest
            of which counts as the true one.

    Returns:
        A fraction, float32.

    Example:
        >>> import jax.numpy as jnp
        >>> float(accuracy(jnp.array([[0.1, 0.9], [0.8, 0.2]]), jnp.array([1, 1])))
        0.5
    """
    if jnp.issubdtype(targets.dtype, jnp.floating) and targets.shape == outputs.shape:
        targets = jnp.argmax(targets, axis=-1)
    _check(outputs, targets)
    return jnp.mean(jnp.argmax(outputs, axis=-1) == targets, dtype=jnp.float32)


def exact_match(
    outputs: Float[Array, "*batch length classes"], targets: Int[Array, "*batch length"]
) -> Float[Array, ""]:
    """Return the share of examples all of whose labels are told right, such as the words of a sentence.

    Args:
        outputs: Logits, `(*batch, length, classes)`.
        targets: True classes, integers `(*batch, length)`.

    Returns:
        A fraction, float32.

    Example:
        >>> import jax.numpy as jnp
        >>> outputs = jnp.array([[[2.0, 1.0], [0.0, 1.0]], [[2.0, 1.0], [1.0, 0.0]]])
        >>> float(exact_match(outputs, jnp.array([[0, 1], [0, 1]])))
        0.5
    """
    _check(outputs, targets)
    return jnp.mean(jnp.all(jnp.argmax(outputs, axis=-1) == targets, axis=-1), dtype=jnp.float32)


def label_accuracy(outputs: Float[Array, "*shape"], targets: Num[Array, "*shape"]) -> Float[Array, ""]:
    """Return the share of labels that are told right: a positive logit says that a label holds.

    Args:
        outputs: Logits.
        targets: Truth of each label, of the same shape; one half and less is no.

    Returns:
        A fraction, float32.

    Raises:
        ValueError: Shapes that differ.

    Example:
        >>> import jax.numpy as jnp
        >>> float(label_accuracy(jnp.array([[2.0, -1.0], [0.5, 3.0]]), jnp.array([[1, 0], [0, 1]])))
        0.75
    """
    if targets.shape != outputs.shape:
        raise ValueError(f"`targets` must have the outputs' shape {outputs.shape}, got {targets.shape}")
    return jnp.mean((outputs > 0) == (targets > 0.5), dtype=jnp.float32)


def top_k_accuracy(
    outputs: Float[Array, "*batch classes"], targets: Int[Array, "*batch"], *, k: int = 5
) -> Float[Array, ""]:
    """Return the share of examples whose true class is among the k largest outputs.

    Args:
        outputs: Logits or probabilities, `(*batch, classes)`.
        targets: True classes, integers `(*batch,)`.
        k: How many of the largest outputs count.

    Returns:
        A fraction, float32.

    Raises:
        ValueError: `k` below 1 or above the number of classes.

    Example:
        >>> import jax.numpy as jnp
        >>> float(top_k_accuracy(jnp.array([[0.1, 0.2, 0.7]]), jnp.array([1]), k=2))
        1.0
    """
    _check(outputs, targets)
    classes = outputs.shape[-1]
    if not 1 <= k <= classes:
        raise ValueError(f"`k` (={k}) must be from 1 to the number of classes (={classes})")
    _, largest = jax.lax.top_k(outputs, k)
    return jnp.mean(jnp.any(largest == targets[..., None], axis=-1), dtype=jnp.float32)


def confusion_matrix(
    outputs: Float[Array, "*batch classes"], targets: Int[Array, "*batch"]
) -> Int[Array, "classes classes"]:
    """Count the examples by true class (row) and predicted class (column).

    Args:
        outputs: Logits or probabilities, `(*batch, classes)`.
        targets: True classes, integers `(*batch,)`.

    Returns:
        int32 counts, `(classes, classes)`.

    Example:
        >>> import jax.numpy as jnp
        >>> outputs = jnp.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
        >>> confusion_matrix(outputs, jnp.array([0, 1, 1])).tolist()
        [[1, 0], [1, 1]]
    """
    _check(outputs, targets)
    classes = outputs.shape[-1]
    # A negative index would count from the end; one past the end is dropped.
    rows = jnp.where(targets < 0, classes, targets)
    counts = jnp.zeros((classes, classes), jnp.int32)
    return counts.at[rows, jnp.argmax(outputs, axis=-1)].add(1, mode="drop")


def per_class_accuracy(
    outputs: Float[Array, "*batch classes"], targets: Int[Array, "*batch"]
) -> Float[Array, " classes"]:
    """Return, for each class, the share of its examples that are predicted right (recall).

    Args:
        outputs: Logits or probabilities, `(*batch, classes)`.
        targets: True classes, integers `(*batch,)`.

    Returns:
        One float32 fraction a class; NaN for a class without examples.

    Example:
        >>> import jax.numpy as jnp
        >>> outputs = jnp.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
        >>> per_class_accuracy(outputs, jnp.array([0, 1, 1])).tolist()
        [1.0, 0.5]
    """
    counts = confusion_matrix(outputs, targets)
    return jnp.diagonal(counts).astype(jnp.float32) / jnp.sum(counts, axis=1)


def _check(outputs: Array, targets: Array) -> None:
    if targets.shape != outputs.shape[:-1]:
        raise ValueError(
            f"`targets` must have shape {outputs.shape[:-1]}, for outputs of {outputs.shape}; got {targets.shape}"
        )
