"""Occlusion: how much a class loses where a part of the image is covered."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn.explain.opened import open_layers
from jaxcnn.explain.targets import scores, target_of

AT_ONCE = 256
"""Covered images that go through the network together."""


def occlusion(
    fn: Callable[[Array], Array],
    x: Array,
    *,
    window: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    value: float | Array | None = None,
    target: Any = None,
    probability: bool = True,
) -> Array:
    """Cover the image with a box, place by place, and measure what the class loses.

    Boxes stand at every multiple of the strides where they begin within the image; those at its end are cut off. What
    is told of a position is the mean loss over the boxes that cover it.

    Args:
        fn: A function of images that returns logits, `(images, classes)`.
        x: Images, `(images, *spatial, channels)`.
        window: Sides of the box, one for all axes or one each.
        strides: Positions between two boxes; None is half the window, rounded up.
        value: What the box shows, a number or one a channel; None is each image's mean colour.
        target: The class, one or one an image; None is what each image is taken for.
        probability: Measure the class's probability, by a softmax; else its logit.

    Returns:
        `(images, *spatial)`, float32: how much is lost; negative where covering helps.

    Raises:
        TypeError: Images that are no floating-point array, or a result that is not one array.
        ValueError: A window, strides or a class out of range, or strides that leave positions uncovered.

    Example:
        >>> def middle(x):
        ...     return jnp.stack([x[:, 2, 2, 0], jnp.zeros(len(x))], -1)
        >>> x = jnp.zeros((1, 5, 5, 1)).at[0, 2, 2].set(1.0)
        >>> occlusion(middle, x, window=1, value=0.0, target=0, probability=False)[0, 2].tolist()
        [0.0, 0.0, 1.0, 0.0, 0.0]

    Reference:
        Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014, section 4.2.
    """
    opened = open_layers(fn, x)  # for its checks, and so that parameters are arguments
    spatial = x.shape[1:-1]
    box = _per_axis("window", window, len(spatial))
    step = tuple(-(-side // 2) for side in box) if strides is None else _per_axis("strides", strides, len(spatial))
    for side, size, stride in zip(box, spatial, step, strict=True):
        if side > size:
            raise ValueError(f"`window` (={box}) must fit in the image, {spatial}")
        if stride > side:
            raise ValueError(f"`strides` (={step}) must be at most the window's sides, {box}: nothing is left out")
    corners = np.array(list(product(*(range(0, size, stride) for size, stride in zip(spatial, step, strict=True)))))
    shown = x.mean(tuple(range(1, x.ndim - 1)), keepdims=True) if value is None else jnp.asarray(value, x.dtype)
    first, last = opened.program.input, opened.program.outputs[0]

    @jax.jit
    def losses(x: Array, arrays: Any, corners: Array) -> Array:
        def score(x: Array, wanted: Array | None) -> tuple[Array, Array]:
            (logits,) = opened.values({first: x}, arrays, [last])
            told = jax.nn.softmax(logits.astype(jnp.float32)) if probability else logits.astype(jnp.float32)
            wanted = target_of(logits, target) if wanted is None else wanted
            return scores(told, wanted), wanted

        before, wanted = score(x, None)

        def at(corner: Array) -> tuple[Array, Array]:
            covered = _box(corner, box, spatial)
            return before - score(jnp.where(covered[..., None], shown, x), wanted)[0], covered

        lost, covered = jax.lax.map(at, corners, batch_size=max(1, AT_ONCE // max(len(x), 1)))
        summed = jnp.tensordot(lost, covered.astype(jnp.float32), (0, 0), precision="highest")
        return summed / covered.sum(0)

    return losses(x, opened.arrays, jnp.asarray(corners))


def _per_axis(name: str, given: int | Sequence[int], rank: int) -> tuple[int, ...]:
    sides = (given,) * rank if isinstance(given, int) else tuple(given)
    if len(sides) != rank or not all(isinstance(side, int) and side >= 1 for side in sides):
        raise ValueError(f"`{name}` (={given!r}) must be positive integers, one or {rank}")
    return sides


def _box(corner: Array, box: Sequence[int], spatial: Sequence[int]) -> Array:
    """Return which positions a box covers."""
    inside = jnp.ones(tuple(spatial), bool)
    for axis, (side, size) in enumerate(zip(box, spatial, strict=True)):
        at = jnp.arange(size).reshape([-1 if axis == other else 1 for other in range(len(spatial))])
        inside &= (at >= corner[axis]) & (at < corner[axis] + side)
    return inside
