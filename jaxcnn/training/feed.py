"""How steps get their examples: from arrays that lie on the device, or chunk by chunk from the host."""

import functools
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from jaxcnn.training.forward import Data
from jaxcnn.training.mesh import place, rows

Fed = Generator[tuple[Data, jax.Array | None, int], None, None]
"""For each span of steps what `train_steps` takes: data, their order, and which step to start with."""


class Feed(Protocol):
    """What `resident` and `streamed` return.

    Example:
        >>> def first(feed: Feed, order: jax.Array) -> Data:
        ...     return next(feed(order, [(0, 1)]))[0]
    """

    def __call__(self, order: jax.Array, spans: Sequence[tuple[int, int]]) -> Fed:
        """Yield for each span of steps, first to last + 1, what they are fed."""
        ...


def resident(data: Data, *, mesh: Mesh | None = None) -> Feed:
    """Put all examples on the device, or on each of a mesh: once, when the first are asked for.

    Args:
        data: Inputs and targets.
        mesh: The devices, see `make_mesh`.

    Returns:
        A feed.

    Example:
        >>> feed = resident((np.arange(6.0), np.arange(6)))
        >>> [(len(data[0]), start) for data, order, start in feed(jax.numpy.arange(6), [(0, 2), (2, 3)])]
        [(6, 0), (6, 2)]
    """
    held = functools.cache(lambda: place(mesh, tuple(data), "data"))  # a run that has ended feeds nothing

    def feed(order: jax.Array, spans: Sequence[tuple[int, int]]) -> Fed:
        for start, _ in spans:
            yield held(), order, start

    return feed


def streamed(data: Data, *, batch: int, steps: int, mesh: Mesh | None = None) -> Feed:
    """Read the examples of a few steps at a time, those of the next ones while these run.

    The steps are bit for bit those of `resident`. Where `data` are memory-mapped, no more than what is read lies in
    memory; of several processes each reads its own share of every batch.

    Args:
        data: Inputs and targets on the host.
        batch: Examples in a step.
        steps: Steps in a span, at most: all buffers are of this size, so that one program takes them.
        mesh: The devices, see `make_mesh`.

    Returns:
        A feed; its spans may not be longer than `steps`.

    Example:
        >>> feed = streamed((np.arange(6.0), np.arange(6)), batch=2, steps=2)
        >>> [data[0].tolist() for data, _, start in feed(jax.numpy.array([5, 4, 3, 2, 1, 0]), [(0, 2), (2, 3)])]
        [[[5.0, 4.0], [3.0, 2.0]], [[1.0, 0.0], [1.0, 0.0]]]
    """
    mine = rows(mesh, batch)

    def read(examples: np.ndarray) -> Data:
        batches = examples.reshape(-1, batch)[:, mine]
        filled = batches[np.minimum(np.arange(steps), len(batches) - 1)].ravel()
        return place(mesh, (np.asarray(data[0][filled]), np.asarray(data[1][filled])), "chunk", batch=batch)

    def feed(order: jax.Array, spans: Sequence[tuple[int, int]]) -> Fed:
        drawn = np.asarray(order)
        with ThreadPoolExecutor(1) as reader:
            ahead = None
            for span in [*spans, None]:
                now = ahead
                ahead = reader.submit(read, drawn[span[0] * batch : span[1] * batch]) if span else None
                if now is not None:
                    yield now.result(), None, 0

    return feed


def steps_that_fit(data: Data, *, batch: int, megabytes: float) -> int | None:
    """Return how many steps' examples fit in memory twice (one chunk runs while the next is read).

    Args:
        data: Inputs and targets.
        batch: Examples in a step.
        megabytes: The memory that training examples may take, 10^6 bytes.

    Returns:
        Steps, at least 1; None where all of the data fit.

    Example:
        >>> data = np.zeros((100, 1000), np.uint8), np.zeros(100, np.uint8)
        >>> steps_that_fit(data, batch=10, megabytes=0.0401), steps_that_fit(data, batch=10, megabytes=1)
        (2, None)
    """
    each = sum(array.nbytes for array in data) / len(data[0])
    if len(data[0]) * each <= megabytes * 1e6:
        return None
    return max(1, int(megabytes * 1e6 / (2 * batch * each)))
