"""How fast training examples come: gathered on the device, read from the host, and changed at random."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import training
from jaxcnn.benchmark.works import Work
from jaxcnn.config import AugmentConfig

SPAN = 8
"""Steps whose examples are read at once."""


def feeding(shape: tuple[int, ...], *, batch: int, steps: int = 64, seed: int = 0) -> dict[str, Work]:
    """Return the ways by which an epoch's batches come, each batch gathered anew from a random order.

    `resident` gathers from all images on the device, as the compiled loop does; `streamed` reads spans of eight
    batches on the host and puts them on the device, as `--data.memory` does; `augmented` gathers, and shifts, mirrors
    and recolours.

    Args:
        shape: Of an image.
        batch: Images.
        steps: Batches in an epoch.
        seed: Draws images and orders.

    Returns:
        Works by name; a call is an epoch.

    Example:
        >>> list(feeding((8, 8, 1), batch=4, steps=2))
        ['resident', 'streamed', 'augmented']
    """
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (steps * batch, *shape), np.uint8)
    data = images, (np.arange(steps * batch) % 10).astype(np.int32)
    order = jnp.asarray(rng.permutation(steps * batch).astype(np.int32))
    held = jax.device_put(data)
    colours = shape[-1] == 3
    config = AugmentConfig(
        crop=min(4, *(size - 1 for size in shape[:-1])), flip="random", brightness=0.2 if colours else 0.0
    )
    change = training.make_augment(config, classes=10)
    assert change is not None

    @jax.jit
    def gather(held: Any, order: jax.Array, i: jax.Array) -> Any:
        index = jax.lax.dynamic_slice_in_dim(order, i * batch, batch)
        return [jnp.take(array, index, axis=0, mode="clip") for array in held]

    @jax.jit
    def gather_and_change(held: Any, order: jax.Array, i: jax.Array) -> Any:
        return change(jax.random.fold_in(jax.random.key(seed), i), training.Batch(*gather(held, order, i)))

    def epoch(program: Callable[..., Any]) -> Callable[[], Any]:
        return lambda: [jax.block_until_ready(program(held, order, jnp.int32(i))) for i in range(steps)][-1]

    def streamed() -> Any:
        feed = training.streamed(data, batch=batch, steps=SPAN)
        spans = [(first, min(first + SPAN, steps)) for first in range(0, steps, SPAN)]
        return [jax.block_until_ready(examples) for examples, _, _ in feed(order, spans)][-1]

    facts = {"name": "data", "batch": batch, "shape": list(shape), "steps": steps}
    calls = {"resident": epoch(gather), "streamed": streamed, "augmented": epoch(gather_and_change)}
    moved = {"macs": 0, "flops": 0, "bytes": sum(array.nbytes for array in data)}
    rate = {"images_per_s": steps * batch}
    return {
        name: Work({**facts, "way": name}, _nothing, (), rate, ready=call, costs=moved) for name, call in calls.items()
    }


def _nothing() -> None:
    """Stand for works that compile their own programs."""
