"""Losses: pure functions of (outputs, targets) with a scalar result, computed in float32 or wider."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Float, Int, Num

from jaxcnn.config import LossConfig, unknown
from jaxcnn.functional.traced import is_off, is_traced
from jaxcnn.training.detection import GEOMETRY, detection_loss
from jaxcnn.training.forward import Measure, wide
from jaxcnn.training.instances import VOTES, instance_loss
from jaxcnn.training.things import most_things

DENSE = {"detection": (detection_loss, GEOMETRY), "instances": (instance_loss, VOTES)}
"""Losses of maps of things, and the channels that they need beside the classes."""
LOSSES = ("cross_entropy", "focal", "multi_label", *DENSE)


def cross_entropy(
    outputs: Float[Array, "*batch classes"],
    targets: Int[Array, "*batch"] | Float[Array, "*batch classes"],
    *,
    label_smoothing: float | Array = 0.0,
    class_weights: Float[Array, " classes"] | None = None,
    gamma: float = 0.0,
) -> Float[Array, ""]:
    """Return the cross-entropy of the softmax of the outputs with the true classes, or the focal loss.

    With p = softmax(outputs), shares y of the classes (for a true class t, y[t] = 1), class weights w and label
    smoothing e over C classes,

        loss = -sum_i sum_c ((1 - e) y[i, c] + e / C) w[c] (1 - p[i, c])^gamma log p[i, c] / sum_i sum_c y[i, c] w[c]

    which for true classes and gamma 0 is PyTorch's. (For shares PyTorch divides by the number of examples instead.)

    A label outside 0 ... C - 1 makes the loss NaN: compiled code cannot raise. `check_labels` can.

    Args:
        outputs: Logits, `(*batch, classes)`.
        targets: True classes, integers `(*batch,)`, or their shares, floats `(*batch, classes)`.
        label_smoothing: Share of the target that is spread evenly over all classes, 0 to 1.
        class_weights: Weight of each class, `(classes,)`.
        gamma: How much less easy examples weigh, 0 or above; 0 is the cross-entropy.

    Returns:
        The weighted mean over all examples.

    Raises:
        TypeError: Targets of the outputs' batch shape that are not integers.
        ValueError: Targets that fit the outputs in neither way, weights of another length, a smoothing outside 0 to 1,
            or a negative `gamma`.

    Example:
        >>> import jax.numpy as jnp
        >>> outputs = jnp.log(jnp.array([[0.5, 0.25, 0.25]]))
        >>> round(float(cross_entropy(outputs, jnp.array([0]))), 4)
        0.6931
        >>> round(float(cross_entropy(outputs, jnp.array([[0.5, 0.5, 0.0]]))), 4)
        1.0397

    Reference:
        Szegedy et al., Rethinking the Inception Architecture, 2016, section 7 (label smoothing). Lin et al., Focal
        Loss for Dense Object Detection, 2017.
    """
    classes = outputs.shape[-1]
    shares = jnp.issubdtype(targets.dtype, jnp.floating) and targets.shape == outputs.shape
    if not shares and targets.shape != outputs.shape[:-1]:
        raise ValueError(
            f"`targets` must have shape {outputs.shape[:-1]}, for outputs of {outputs.shape}; got {targets.shape}"
        )
    if not shares and not jnp.issubdtype(targets.dtype, jnp.integer):
        raise TypeError(f"`targets` must be integers, the true classes; got {targets.dtype}")
    if not is_traced(label_smoothing) and not 0 <= label_smoothing <= 1:
        raise ValueError(f"`label_smoothing` (={label_smoothing}) must be from 0 to 1")
    if class_weights is not None and class_weights.shape != (classes,):
        raise ValueError(f"`class_weights` must have shape ({classes},), got {class_weights.shape}")
    if gamma < 0:
        raise ValueError(f"`gamma` (={gamma}) must not be negative")
    log_p = jax.nn.log_softmax(outputs.astype(wide(outputs.dtype)))
    weights = jnp.ones(classes, log_p.dtype) if class_weights is None else class_weights.astype(log_p.dtype)
    if gamma:  # where p is 1 a power below 1 would have no slope
        rest, least = -jnp.expm1(log_p), jnp.finfo(log_p.dtype).tiny
        log_p *= jnp.where(rest > least, rest, least) ** gamma
    if shares:
        weight = targets.astype(log_p.dtype) @ weights
        true = -jnp.sum(targets * weights * log_p, axis=-1)
    else:
        known = (targets >= 0) & (targets < classes)
        labels = jnp.where(known, targets, 0)
        weight = weights[labels]
        true = -jnp.take_along_axis(log_p, labels[..., None], axis=-1)[..., 0] * jnp.where(known, weight, jnp.nan)
    even = -jnp.mean(log_p * weights, axis=-1)
    losses = true if is_off(label_smoothing) else (1 - label_smoothing) * true + label_smoothing * even
    return jnp.sum(losses) / jnp.sum(weight)


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


def sigmoid_binary_cross_entropy(
    outputs: Float[Array, "*shape"], targets: Num[Array, "*shape"], *, label_smoothing: float | Array = 0.0
) -> Float[Array, ""]:
    """Return the mean of -t log s - (1 - t) log(1 - s), s = sigmoid(outputs), over all elements: multi-label.

    Args:
        outputs: Logits.
        targets: Truth of each label, 0 to 1, of the same shape.
        label_smoothing: The share e of it that is one half: t is replaced by (1 - e) t + e / 2.

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
    truth = (1 - label_smoothing) * targets.astype(dtype) + label_smoothing / 2
    return jnp.mean(optax.losses.sigmoid_binary_cross_entropy(outputs.astype(dtype), truth))


def balanced_class_weights(targets: Int[np.ndarray, " n *more"], classes: int) -> Float[Array, " classes"]:
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
    counts = np.bincount(np.ravel(targets), minlength=classes)
    weights = np.size(targets) / (classes * np.maximum(counts, 1))
    return jnp.asarray(np.where(counts > 0, weights, 0), jnp.float32)


def check_labels(targets: Int[np.ndarray, " n *more"], classes: int) -> None:
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
    outside = np.argwhere((labels < 0) | (labels >= classes))
    if outside.size:
        first = tuple(outside[0].tolist())
        raise ValueError(
            f"label {labels[first]} of example {first[0]} is out of range: "
            f"{classes} classes are numbered 0 to {classes - 1}"
        )


def make_loss(config: LossConfig, targets: Int[np.ndarray, " n *more"], classes: int) -> Measure:
    """Build the loss that a config asks for.

    Args:
        config: Its name, label smoothing, and class weights or focus.
        targets: The training set's targets: true classes, or for `multi_label` the truth (0 or 1) of every label,
            `(n, classes)`, and for `detection` and `instances` maps of things. Balanced weights are computed from them.
        classes: Number of classes, or of labels.

    Returns:
        `loss(outputs, targets) -> scalar`.

    Raises:
        ValueError: Labels outside 0 to classes - 1, targets that are not those of the loss, a value out of range, or an
            unknown loss or kind of class weights.

    Example:
        >>> import numpy as np
        >>> from jaxcnn.config import LossConfig
        >>> loss = make_loss(LossConfig(label_smoothing=0.1), np.array([0, 1, 1]), 2)
        >>> round(float(loss(jax.numpy.zeros((3, 2)), jax.numpy.array([0, 1, 1]))), 4)
        0.6931
    """
    if config.class_weights not in ("none", "balanced"):
        raise ValueError(unknown("class weights", config.class_weights, ["none", "balanced"]))
    if config.name not in LOSSES:
        raise ValueError(unknown("loss", config.name, LOSSES))
    if not is_traced(config.label_smoothing) and not 0 <= config.label_smoothing <= 1:
        raise ValueError(f"`label_smoothing` (={config.label_smoothing}) must be from 0 to 1")
    if not 0 <= config.gamma < math.inf:
        raise ValueError(f"`gamma` (={config.gamma}) must be finite, and not negative")
    if config.name in DENSE:
        if config.class_weights == "balanced" or not is_off(config.label_smoothing):
            raise ValueError(
                f"`class_weights` and `label_smoothing` are for classes of images; the loss is {config.name}"
            )
        return functools.partial(DENSE[config.name][0], classes=classes, most=most_things(targets, classes))
    if config.name == "multi_label":
        if targets.shape[1:] != (classes,) or ((targets < 0) | (targets > 1)).any():
            raise ValueError(
                f"the loss multi_label needs targets of 0 and 1, one for each of {classes} labels; got shape "
                f"{targets.shape}, from {targets.min()} to {targets.max()}"
            )
        if config.class_weights == "balanced":
            raise ValueError("`class_weights` (='balanced') are for one class an image; the loss is multi_label")
        return functools.partial(sigmoid_binary_cross_entropy, label_smoothing=config.label_smoothing)
    check_labels(targets, classes)
    weights = balanced_class_weights(targets, classes) if config.class_weights == "balanced" else None
    gamma = config.gamma if config.name == "focal" else 0.0
    smoothing = config.label_smoothing
    return functools.partial(cross_entropy, label_smoothing=smoothing, class_weights=weights, gamma=gamma)


def output_channels(config: LossConfig, classes: int) -> int:
    """Return how many channels a network needs for a loss.

    Args:
        config: Its name.
        classes: Number of classes.

    Returns:
        The classes, and what `detection` and `instances` need beside them.

    Example:
        >>> output_channels(LossConfig("detection"), 10)
        14
    """
    return classes + (DENSE[config.name][1] if config.name in DENSE else 0)


def _check_same_shape(outputs: Array, targets: Array) -> None:
    if outputs.shape != targets.shape:
        raise ValueError(f"`targets` must have the outputs' shape {outputs.shape}, got {targets.shape}")
