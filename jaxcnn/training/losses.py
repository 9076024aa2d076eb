"""Losses: pure functions of (outputs, targets) with a scalar result, computed in float32 or wider."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Float, Int, Num

from jaxcnn.config import LossConfig, unknown
from jaxcnn.training.forward import Measure, wide


def cross_entropy(
    outputs: Float[Array, "*batch classes"],
    targets: Int[Array, "*batch"],
    *,
    label_smoothing: float = 0.0,
    class_weights: Float[Array, " classes"] | None = None,
) -> Float[Array, ""]:
    """Return the cross-entropy of the softmax of the outputs with the true classes.

    With p = softmax(outputs), class weights w and label smoothing e over C classes, as PyTorch has it:

        loss = sum_i [ -(1 - e) w[t_i] log p[i, t_i] - (e / C) sum_c w[c] log p[i, c] ] / sum_i w[t_i]

    A label outside 0 ... C - 1 makes the loss NaN: compiled code cannot raise. `check_labels` can.

    Args:
        outputs: Logits, `(*batch, classes)`.
        targets: True classes, integers `(*batch,)`.
        label_smoothing: Share of the target that is spread evenly over all classes, 0 to 1.
        class_weights: Weight of each class, `(classes,)`.

    Returns:
        The weighted mean over all examples.

    Raises:
        TypeError: Targets that are not integers.
        ValueError: Targets that do not have the outputs' batch shape, weights of another length, or a
            smoothing outside 0 to 1.

    Example:
        >>> import jax.numpy as jnp
        >>> outputs = jnp.log(jnp.array([[0.5, 0.25, 0.25]]))
        >>> round(float(cross_entropy(outputs, jnp.array([0]))), 4)
        0.6931

    Reference:
        Szegedy et al., Rethinking the Inception Architecture, 2016, section 7 (label smoothing).
    """
    classes = outputs.shape[-1]
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise TypeError(f"`targets` must be integers, the true classes; got {targets.dtype}")
    if targets.shape != outputs.shape[:-1]:
        raise ValueError(
            f"`targets` must have shape {outputs.shape[:-1]}, for outputs of {outputs.shape}; got {targets.shape}"
        )
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"`label_smoothing` (={label_smoothing}) must be from 0 to 1")
    if class_weights is not None and class_weights.shape != (classes,):
        raise ValueError(f"`class_weights` must have shape ({classes},), got {class_weights.shape}")
    log_p = jax.nn.log_softmax(outputs.astype(wide(outputs.dtype)))
    weights = jnp.ones(classes, log_p.dtype) if class_weights is None else class_weights.astype(log_p.dtype)
    known = (targets >= 0) & (targets < classes)
    labels = jnp.where(known, targets, 0)
    weight = weights[labels]
    true = -jnp.take_along_axis(log_p, labels[..., None], axis=-1)[..., 0] * weight
    even = -jnp.mean(log_p * weights, axis=-1)
    losses = (1 - label_smoothing) * true + label_smoothing * even if label_smoothing else true
    return jnp.sum(jnp.where(known, losses, jnp.nan)) / jnp.sum(weight)


def mean_squared_error(outputs: Float[Array, "*shape"], targets: Num[Array, "*shape"]) -> Float[Array, ""]:
    """Return the mean of (outputs - targets)^2 over all elements.

    Args:
        outputs: Predictions.
        targets: Values to predict, of the same shape.

    Returns:
        The mean.

    Raises:
        ValueError: Shapes that differ; they are not broadcast.

    Example:
        >>> import jax.numpy as jnp
        >>> float(mean_squared_error(jnp.array([1.0, 2.0]), jnp.array([1.0, 4.0])))
        2.0
    """
    _check_same_shape(outputs, targets)
    dtype = wide(outputs.dtype)
    return jnp.mean(jnp.square(outputs.astype(dtype) - targets.astype(dtype)))


def sigmoid_binary_cross_entropy(outputs: Float[Array, "*shape"], targets: Num[Array, "*shape"]) -> Float[Array, ""]:
    """Return the mean of -t log s - (1 - t) log(1 - s), s = sigmoid(outputs), over all elements: multi-label.

    Args:
        outputs: Logits.
        targets: Truth of each label, 0 to 1, of the same shape.

    Returns:
        The mean.

    Raises:
        ValueError: Shapes that differ; they are not broadcast.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(sigmoid_binary_cross_entropy(jnp.zeros((2, 3)), jnp.ones((2, 3)))), 4)
        0.6931
    """
    _check_same_shape(outputs, targets)
    dtype = wide(outputs.dtype)
    return jnp.mean(optax.losses.sigmoid_binary_cross_entropy(outputs.astype(dtype), targets.astype(dtype)))


def balanced_class_weights(targets: Int[np.ndarray, " n"], classes: int) -> Float[Array, " classes"]:
    """Return weights that make every class count alike: n / (classes * examples of the class).

    Args:
        targets: The training set's true classes.
        classes: Number of classes.

    Returns:
        One float32 weight a class; 0 for a class without examples.

    Raises:
        ValueError: Labels outside 0 to classes - 1.

    Example:
        >>> import numpy as np
        >>> balanced_class_weights(np.array([0, 0, 0, 1]), 2).round(4).tolist()
        [0.6667..., 2.0]
    """
    check_labels(targets, classes)
    counts = np.bincount(np.asarray(targets), minlength=classes)
    weights = len(targets) / (classes * np.maximum(counts, 1))
    return jnp.asarray(np.where(counts > 0, weights, 0), jnp.float32)


def check_labels(targets: Int[np.ndarray, " n"], classes: int) -> None:
    """Raise where a label is outside 0 to classes - 1.

    Args:
        targets: True classes.
        classes: Number of classes.

    Raises:
        ValueError: Naming the first such label and where it stands.

    Example:
        >>> import numpy as np
        >>> check_labels(np.array([0, 3]), 3)
        Traceback (most recent call last):
        ValueError: label 3 of example 1 is out of range: 3 classes are numbered 0 to 2
    """
    labels = np.asarray(targets)
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if outside.size:
        first = outside[0]
        raise ValueError(
            f"label {labels[first]} of example {first} is out of range: "
            f"{classes} classes are numbered 0 to {classes - 1}"
        )


def make_loss(config: LossConfig, targets: Int[np.ndarray, " n"], classes: int) -> Measure:
    """Build the cross-entropy that a config asks for.

    Args:
        config: Label smoothing and class weights.
        targets: The training set's true classes, which balanced weights are computed from.
        classes: Number of classes.

    Returns:
        `loss(outputs, targets) -> scalar`.

    Raises:
        ValueError: Labels outside 0 to classes - 1, or an unknown kind of class weights.

    Example:
        >>> import numpy as np
        >>> from jaxcnn.config import LossConfig
        >>> loss = make_loss(LossConfig(label_smoothing=0.1), np.array([0, 1, 1]), 2)
        >>> round(float(loss(jax.numpy.zeros((3, 2)), jax.numpy.array([0, 1, 1]))), 4)
        0.6931
    """
    if config.class_weights not in ("none", "balanced"):
        raise ValueError(unknown("class weights", config.class_weights, ["none", "balanced"]))
    check_labels(targets, classes)
    weights = balanced_class_weights(targets, classes) if config.class_weights == "balanced" else None
    return functools.partial(cross_entropy, label_smoothing=config.label_smoothing, class_weights=weights)


def _check_same_shape(outputs: Array, targets: Array) -> None:
    if outputs.shape != targets.shape:
        raise ValueError(f"`targets` must have the outputs' shape {outputs.shape}, got {targets.shape}")
