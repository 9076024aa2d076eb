"""Grad-CAM: where on a layer's maps the evidence for a class lies."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxcnn.explain.opened import open_layers
from jaxcnn.explain.targets import scores, target_of


def grad_cam(
    fn: Callable[[Array], Array],
    x: Array,
    *,
    layer: str | None = None,
    target: Any = None,
    resize: bool = True,
) -> Array:
    """Weigh a layer's maps by how much each raises a class's score, and add what is left above zero.

    `relu(sum_k a_k A_k)`, with `a_k` the mean over the positions of map k of `d score / d A_k`. The score is the
    output for the class, so `fn` should end before the softmax. Where a global average and a dense layer follow the
    maps, it is class activation mapping, up to the number of positions.

    Args:
        fn: A function of images that returns `(images, classes)`; each image's by itself, as in evaluation.
        x: Images, `(images, *spatial, channels)`.
        layer: Whose maps, see `layers`; None is the last one that has positions.
        target: The class, one or one an image; None is what each image is taken for.
        resize: Bring the map to the image's size, linearly between positions.

    Returns:
        `(images, *spatial)`, float32, not negative; zero everywhere where nothing speaks for the class.

    Raises:
        TypeError: Images that are no floating-point array, or a result that is not one array.
        ValueError: A layer or a class that there is not, or a layer without positions.

    Example:
        >>> def bright_corner(x):
        ...     maps = jax.nn.relu(x)
        ...     return jnp.stack([maps[:, :2, :2, 0].sum((1, 2)), maps[:, 2:, 2:, 0].sum((1, 2))], -1)
        >>> x = jnp.zeros((1, 4, 4, 1)).at[0, 3, 3].set(1.0)
        >>> heat = grad_cam(bright_corner, x, layer="relu1")
        >>> jnp.unravel_index(heat.argmax(), heat.shape)[1:], float(heat.min())
        ((Array(3, dtype=int32), Array(3, dtype=int32)), 0.0)

    Reference:
        Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization", 2017;
        Zhou et al., "Learning deep features for discriminative localization" (CAM), 2016.
    """
    opened = open_layers(fn, x)
    name = layer or opened.last_map()
    place, outputs, first = opened.place(name), opened.program.outputs[0], opened.program.input
    shape = opened.shape(place)
    if len(shape) != x.ndim or shape[0] != x.shape[0]:
        raise ValueError(f"`layer` (={name!r}) must give maps (images, *spatial, channels); it gives {shape}")
    spatial = tuple(range(1, x.ndim - 1))

    @jax.jit
    def heat(x: Array, arrays: Any) -> Array:
        maps, logits = opened.values({first: x}, arrays, [place, outputs])
        wanted = target_of(logits, target)

        def score(maps: Array) -> Array:
            (out,) = opened.values({first: x, place: maps}, arrays, [outputs])
            return scores(out, wanted).astype(jnp.float32).sum()

        slopes = jax.grad(score)(maps).astype(jnp.float32)
        weighed = slopes.mean(spatial, keepdims=True) * maps.astype(jnp.float32)
        return jax.nn.relu(weighed.sum(-1))

    found = heat(x, opened.arrays)
    return jax.image.resize(found, x.shape[:-1], "linear") if resize else found
