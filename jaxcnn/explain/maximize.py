"""Activation maximisation: the image that a unit answers to most."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxcnn.explain.opened import open_layers


@dataclass(frozen=True)
class Maximized:
    """Images, and how the unit's answer grew.

    Example:
        >>> Maximized(jnp.zeros((1, 2, 2, 1)), jnp.zeros((8, 1))).images.shape
        (1, 2, 2, 1)
    """

    images: Array
    """Of the shape of those that it began with."""
    activations: Array
    """`(steps, images)`: before each step."""


def maximize(
    fn: Callable[[Array], Array],
    x: Array,
    *,
    channel: int,
    layer: str | None = None,
    steps: int = 200,
    rate: float = 0.05,
    decay: float = 0.0,
    jitter: int = 0,
    low: float | None = None,
    high: float | None = None,
    key: Array | None = None,
) -> Maximized:
    """Climb from images towards what a channel answers to most: its mean over positions, or a class's logit.

    `x <- clip((1 - decay) x + rate g / rms(g))`, with g the gradient of the answer. Each image climbs by itself: begin
    with several, of noise, to see several answers. With `jitter` the image is rolled at random before every step and
    rolled back after it, which keeps patterns off the grid that strides have.

    Args:
        fn: A function of images that returns an entry for each.
        x: Images to begin with, `(images, *spatial, channels)`.
        channel: Number of the channel, or of the class.
        layer: Whose channel, see `layers`; None is the function's result.
        steps: How many.
        rate: Root mean square of a step.
        decay: Share of the image that each step takes away.
        jitter: Most positions of a roll.
        low: Least value of a pixel.
        high: Largest value of a pixel.
        key: Draws the rolls; None: `jax.random.key(0)`.

    Returns:
        The images and their answers.

    Raises:
        TypeError: Images that are no floating-point array, or a result that is not one array.
        ValueError: A layer or channel that there is not, or a number out of range.

    Example:
        >>> found = maximize(lambda x: x.sum((1, 2)), jnp.zeros((1, 4, 4, 3)), channel=1, steps=10, high=0.2)
        >>> [round(float(found.images[0, 0, 0, c]), 2) for c in range(3)]
        [0.0, 0.2, 0.0]

    Reference:
        Erhan et al., "Visualizing higher-layer features of a deep network", 2009; Olah, Mordvintsev and Schubert,
        "Feature visualization", 2017 (jitter).
    """
    opened = open_layers(fn, x)
    place, first = opened.place(layer), opened.program.input
    channels = opened.shape(place)[-1] if len(opened.shape(place)) > 1 else 0
    if not 0 <= channel < channels:
        raise ValueError(f"`channel` (={channel}) must be one of the {channels} that {layer or 'the result'} has")
    if steps < 1 or rate <= 0 or not 0 <= decay < 1 or jitter < 0:
        raise ValueError(
            f"`steps` (={steps}), `rate` (={rate:g}), `decay` (={decay:g}) and `jitter` (={jitter}) must be at least "
            "1, above 0, from 0 to below 1, and at least 0"
        )
    spatial = tuple(range(1, x.ndim - 1))

    def answers(x: Array, arrays: Any) -> Array:
        (maps,) = opened.values({first: x}, arrays, [place])
        wanted = maps[..., channel].astype(jnp.float32)
        return wanted.reshape(len(x), -1).mean(-1)

    @jax.jit
    def climb(x: Array, arrays: Any, key: Array) -> tuple[Array, Array]:
        def step(x: Array, key: Array) -> tuple[Array, Array]:
            by = jax.random.randint(key, (len(spatial),), -jitter, jitter + 1)
            rolled = jnp.roll(x, by, spatial) if jitter else x
            value, back = jax.vjp(lambda x: answers(x, arrays), rolled)
            (slope,) = back(jnp.ones_like(value))
            slope = jnp.roll(slope, -by, spatial) if jitter else slope
            size = jnp.sqrt((slope.astype(jnp.float32) ** 2).mean(tuple(range(1, x.ndim)), keepdims=True))
            moved = (1 - decay) * x + rate * slope / jnp.maximum(size, jnp.finfo(jnp.float32).tiny)
            return jnp.clip(moved, low, high).astype(x.dtype), value

        return jax.lax.scan(step, x, jax.random.split(key, steps))

    return Maximized(*climb(x, opened.arrays, jax.random.key(0) if key is None else key))
