"""Whether a classifier says the same of an image and of its shifts, counted."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn.equivariance.actions import Action, Crop, Roll
from jaxcnn.equivariance.axes import per_axis, places
from jaxcnn.equivariance.fourier import FourierShift
from jaxcnn.equivariance.intervals import binomial_interval
from jaxcnn.equivariance.shifts import Shifts, chosen, circular, smallest_first

MODES = ("circular", "crops", "half-pixel")


@dataclasses.dataclass(frozen=True, eq=False)
class Consistency:
    """Predictions for images and their shifts.

    Attributes:
        mode: What was done to the images.
        shifts: `(shifts, axes)`, pixels; the first one is no shift.
        predictions: `(images, shifts)`, classes.
        labels: `(images,)`, the true classes; None if not given.

    Example:
        >>> two = Consistency("circular", np.array([[0], [1], [2]]), np.array([[3, 3, 3], [1, 1, 0]]), np.array([3, 0]))
        >>> two.agreement, two.per_image.tolist(), two.stable, two.accuracy, two.shifted_accuracy
        (0.75, [1.0, 0.5], 0.5, 0.5, 0.6666666666666666)
    """

    mode: str
    shifts: np.ndarray
    predictions: np.ndarray
    labels: np.ndarray | None = None

    def __str__(self) -> str:
        low, high = self.agreement_interval
        text = f"{self.mode}: {len(self.predictions)} images, {len(self.shifts) - 1} shifts of each: agreement "
        text += (
            f"{100 * self.agreement:.1f} % ({100 * low:.1f} to {100 * high:.1f}), the same under all {self.stable:.1%}"
        )
        return text + ("" if self.accuracy is None else f"; accuracy {self.accuracy:.1%}")

    @cached_property
    def per_image(self) -> np.ndarray:
        """Of each image, the share of its shifts (other than none) whose prediction is that of the image."""
        return (self.predictions[:, 1:] == self.predictions[:, :1]).mean(1)

    @property
    def agreement(self) -> float:
        """The probability that an image and a shift of it, drawn at random, are predicted alike."""
        return float(self.per_image.mean())

    @property
    def agreement_interval(self) -> tuple[float, float]:
        """95 % of `agreement`: that of one random shift an image, since shifts of one image are not independent.

        It is exact for such a draw, and wide for the mean over all shifts, which varies less.
        """
        return binomial_interval(float(self.per_image.sum()), len(self.predictions))

    @property
    def pairwise(self) -> float:
        """The probability that two shifts of an image, drawn at random without repetition, are predicted alike."""
        images, shifts = self.predictions.shape
        alike = 0
        for row in self.predictions:
            counts = np.unique(row, return_counts=True)[1].astype(int)
            alike += int((counts * (counts - 1)).sum())
        return alike / (images * shifts * (shifts - 1))

    @cached_property
    def unmoved(self) -> int:
        """How many images have one prediction under all shifts."""
        return int((self.predictions == self.predictions[:, :1]).all(1).sum())

    @property
    def stable(self) -> float:
        """The share of images with one prediction under all shifts."""
        return self.unmoved / len(self.predictions)

    @property
    def stable_interval(self) -> tuple[float, float]:
        """95 % of `stable`, exact: images are independent trials."""
        return binomial_interval(self.unmoved, len(self.predictions))

    @property
    def accuracy(self) -> float | None:
        """The share of images, not shifted, that are predicted right; None without labels."""
        return None if self.labels is None else float((self.predictions[:, 0] == self.labels).mean())

    @property
    def shifted_accuracy(self) -> float | None:
        """The mean accuracy over all shifts, none among them; None without labels."""
        return None if self.labels is None else float((self.predictions == self.labels[:, None]).mean())

    @property
    def worst_accuracy(self) -> float | None:
        """The share of images that are predicted right under every shift; None without labels."""
        return None if self.labels is None else float((self.predictions == self.labels[:, None]).all(1).mean())


def consistency(
    predict: Callable[[Array], Array],
    images: Array,
    *,
    mode: str = "circular",
    shifts: Shifts = "all",
    labels: Sequence[int] | Array | np.ndarray | None = None,
    window: int | Sequence[int] | None = None,
    reach: int = 1,
    spatial_axes: Sequence[int] = (-3, -2),
    batch: int = 256,
) -> Consistency:
    """Predict images and their shifts, and count how often the prediction stays.

    `agreement = mean over images and shifts k of [argmax f(shift(x, k)) == argmax f(x)]`.

    Args:
        predict: A JAX function from images `(n, ...)` to logits `(n, classes)`, or to classes `(n,)` as integers.
        images: `(n, ...)`, floating point.
        mode: `circular`: rolls by whole pixels. `crops`: windows cut out of a larger canvas. `half-pixel`: circular
            Fourier shifts by 0 or half a pixel along each axis, either way.
        shifts: `"all"`; how many of them, drawn always the same; or, unless half-pixel, the shifts themselves.
        labels: The true classes, for the accuracies.
        window: Crops only: sizes of the window, an int or one an axis, of which all places on the image are taken, the
            middle one for the image itself. None for windows of the image's size, up to `reach` pixels away, on the
            image continued by reflection.
        reach: Crops without `window` only: how far they go, in pixels.
        spatial_axes: Axes of the images that are shifted.
        batch: How many images are predicted at a time.

    Returns:
        The `Consistency`.

    Raises:
        ValueError: Images, a mode, shifts, a window or labels that do not fit.

    Example:
        >>> images = jax.random.normal(jax.random.key(0), (3, 4, 4, 1))
        >>> float(consistency(lambda x: x.max((1, 2)) * jnp.array([1.0, -1.0]), images).agreement)
        1.0
        >>> consistency(lambda x: x[:, :2, 0, 0], images, mode="crops").predictions.shape
        (3, 9)

    Reference:
        Zhang, "Making convolutional networks shift-invariant again", 2019, which compares two crops: `pairwise`.
    """
    images = jnp.asarray(images)
    axes = places(spatial_axes, images.shape, "`images`")
    if 0 in axes:
        raise ValueError(f"`spatial_axes` (={tuple(spatial_axes)}) names axis 0 of `images`, which counts them")
    if len(images) == 0 or batch < 1:
        raise ValueError(f"`images` (shape {images.shape}) and `batch` (={batch}) must hold at least one image")
    act, every, images = _moves(images, axes, mode, window, reach)
    if mode == "half-pixel" and not isinstance(shifts, str | int):
        raise ValueError('`shifts` of `mode` "half-pixel" must be "all" or a number')
    wanted = (chosen(shifts, np.round(2 * every).astype(int)) / 2) if mode == "half-pixel" else chosen(shifts, every)
    wanted = wanted[np.abs(wanted).any(1)]
    if mode == "crops":
        known = set(map(tuple, every.tolist()))
        off = [shift for shift in wanted.tolist() if tuple(shift) not in known]
        if off:
            raise ValueError(f"`shifts` holds {tuple(off[0])}, by which a crop leaves the canvas")
    if not len(wanted):
        raise ValueError("`shifts` holds nothing but no shift: there is nothing to compare")
    wanted = np.concatenate([np.zeros((1, len(axes)), wanted.dtype), wanted])
    truth = None if labels is None else np.asarray(labels)
    if truth is not None and truth.shape != (len(images),):
        raise ValueError(f"`labels` (shape {truth.shape}) must be one class an image: ({len(images)},)")

    @jax.jit
    def classes(images: Array, shift: Array) -> Array:
        moved = act(shift)(images)
        scores = predict(moved)
        if scores.shape[:1] != moved.shape[:1] or scores.ndim > 2:
            raise ValueError(f"`predict` must return (n, classes) or (n,) for n images, got {scores.shape}")
        if scores.ndim == 1 and not jnp.issubdtype(scores.dtype, jnp.integer):
            raise ValueError(f"`predict` must return classes as integers, or logits (n, classes), got {scores.dtype}")
        return scores.argmax(-1) if scores.ndim == 2 else scores

    predictions = np.empty((len(images), len(wanted)), int)
    batch = min(batch, len(images))
    for start in range(0, len(images), batch):
        rows = np.minimum(np.arange(start, start + batch), len(images) - 1)  # every batch runs the same program
        part = images[rows]
        results = [classes(part, shift) for shift in wanted]
        for column, result in enumerate(results):
            predictions[start : start + batch, column] = np.asarray(result)[: len(images) - start]
    return Consistency(mode, wanted, predictions, truth)


def consistency_table(rows: Mapping[str, Consistency]) -> list[dict[str, Any]]:
    """Put consistencies side by side: a network beside an untrained control and a known-equivariant one.

    An untrained network that says the same of everything is perfectly consistent: read agreement beside accuracy.

    Args:
        rows: By name.

    Returns:
        One dict a row, of plain numbers: `name`, `mode`, `images`, `shifts`, `accuracy`, `shifted_accuracy`,
        `worst_accuracy` (None without labels), `agreement`, `agreement_interval`, `pairwise`, `stable` and
        `stable_interval`.

    Raises:
        ValueError: Rows of other modes, images or shifts, which cannot be compared.

    Example:
        >>> images = jax.random.normal(jax.random.key(0), (4, 4, 4, 1))
        >>> def corner(x):
        ...     return x[:, 0, :2, 0]
        >>> def largest(x):
        ...     return x.max((1, 2)) * jnp.array([1.0, -1.0])
        >>> rows = {"corner": consistency(corner, images), "equivariant control": consistency(largest, images)}
        >>> [(row["name"], row["agreement"] == 1) for row in consistency_table(rows)]
        [('corner', False), ('equivariant control', True)]
    """
    kinds = {(one.mode, one.shifts.tobytes(), len(one.predictions)) for one in rows.values()}
    if len(kinds) > 1:
        raise ValueError("`rows` must be of the same mode, shifts and number of images, to be compared")
    return [
        {
            "name": name,
            "mode": one.mode,
            "images": len(one.predictions),
            "shifts": len(one.shifts) - 1,
            "accuracy": one.accuracy,
            "shifted_accuracy": one.shifted_accuracy,
            "worst_accuracy": one.worst_accuracy,
            "agreement": one.agreement,
            "agreement_interval": one.agreement_interval,
            "pairwise": one.pairwise,
            "stable": one.stable,
            "stable_interval": one.stable_interval,
        }
        for name, one in rows.items()
    ]


def _moves(
    images: Array, axes: tuple[int, ...], mode: str, window: int | Sequence[int] | None, reach: int
) -> tuple[Callable[[Any], Action], np.ndarray, Array]:
    """Return the action for a shift, all shifts, and the images that it acts on."""
    sizes = [images.shape[axis] for axis in axes]
    if mode not in MODES:
        raise ValueError(f"`mode` (={mode!r}) must be one of {MODES}")
    if window is not None and mode != "crops":
        raise ValueError(f'`window` (={window}) is of `mode` "crops"')
    if mode == "circular":
        return lambda shift: Roll(shift, axes), circular(sizes), images
    if mode == "half-pixel":
        return lambda shift: FourierShift(shift, axes), smallest_first([range(-1, 2)] * len(axes)) / 2, images
    if window is None:
        if not 1 <= reach < min(sizes):
            raise ValueError(f"`reach` (={reach}) must be 1 to {min(sizes) - 1}, for images of sizes {tuple(sizes)}")
        amounts = [(reach, reach) if axis in axes else (0, 0) for axis in range(images.ndim)]
        images, size = jnp.pad(images, amounts, mode="reflect"), tuple(sizes)
    else:
        size = tuple(per_axis("window", window, len(axes)))
    room = [images.shape[axis] - n for axis, n in zip(axes, size, strict=True)]
    if min(size) < 1 or min(room) < 0 or max(room) == 0:
        raise ValueError(f"`window` (={window}) must be smaller than the images, of sizes {tuple(sizes)}")
    middle = np.array([n // 2 for n in room])
    places_left = [range(-int(m), n - int(m) + 1) for n, m in zip(room, middle, strict=True)]
    every = smallest_first([[-place for place in where] for where in places_left])
    return lambda shift: Crop(middle - shift, size, axes), every, images
