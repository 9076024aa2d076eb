"""How steps get their examples: from arrays that lie on the device, or chunk by chunk from the host."""

import contextlib
import functools
from collections.abc import Generator, Sequence
from typing import Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from jaxcnn.data.stream import read_ahead
from jaxcnn.training.forward import Data
from jaxcnn.training.mesh import place, rows
from jaxcnn.training.steps import Examples

Fed = Generator[tuple[Data | Examples, jax.Array | None, int], None, None]
"""For each span of steps what `train_steps` takes: data, their order, and which step to start with."""


class Feed(Protocol):
    """What `resident` and `streamed` return.

    Example:
        >>> def first(feed: Feed, order: jax.Array) -> Data | Examples:
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


def streamed(data: Data, *, batch: int, steps: int, workers: int = 1, mesh: Mesh | None = None) -> Feed:
    """Read the examples of a few steps at a time, those of the next ones while these run.

    The steps are bit for bit those of `resident`. Where `data` are memory-mapped, no more than what is read lies in
    memory; of several processes each reads its own share of every batch. Grain moves whole spans, read in threads.

    Args:
        data: Inputs and targets on the host.
        batch: Examples in a step.
        steps: Steps in a span, at most: all buffers are of this size, so that one program takes them.
        workers: Spans that are read at once, each of which takes memory; one keeps up with a local disk.
        mesh: The devices, see `make_mesh`.

    Returns:
        A feed; its spans may not be longer than `steps`.

    Example:
        >>> feed = streamed((np.arange(6.0), np.arange(6)), batch=2, steps=2)
        >>> [data[0].tolist() for data, _, start in feed(jax.numpy.array([5, 4, 3, 2, 1, 0]), [(0, 2), (2, 3)])]
        [[[5.0, 4.0], [3.0, 2.0]], [[1.0, 0.0], [1.0, 0.0]]]
    """
    mine = rows(mesh, batch)

    def read(examples: np.ndarray) -> Examples:
        batches = examples.reshape(-1, batch)[:, mine]
        filled = batches[np.minimum(np.arange(steps), len(batches) - 1)].ravel()
        chunk = np.asarray(data[0][filled]), np.asarray(data[1][filled]), filled
        return place(mesh, chunk, "chunk", batch=batch)

    def feed(order: jax.Array, spans: Sequence[tuple[int, int]]) -> Fed:
        drawn = np.asarray(order)
        examples = [drawn[start * batch : end * batch] for start, end in spans]
        # Grain moves whole spans: single images, of 32x32 pixels, come at less than a tenth of the speed.
        with contextlib.closing(read_ahead(read, examples, workers=workers)) as chunks:
            for chunk in chunks:
                yield chunk, None, 0

    return feed


def steps_that_fit(data: Data, *, batch: int, megabytes: float, workers: int = 1) -> int | None:
    """Return how many steps' examples may make a chunk, so that all chunks at hand fit in memory.

    These are one whose steps have just run, one whose steps run, one whose steps come next, and those that are read,
    each of which lies for a while on the host and on the device: five, as was measured, with one worker.

    Args:
        data: Inputs and targets.
        batch: Examples in a step.
        megabytes: The memory that training examples may take, 10^6 bytes.
        workers: Chunks that are read at once, see `streamed`.

    Returns:
        Steps, at least 1; None where all of the data fit.

    Example:
        >>> data = np.zeros((100, 1000), np.uint8), np.zeros(100, np.uint8)
        >>> steps_that_fit(data, batch=10, megabytes=0.09), steps_that_fit(data, batch=10, megabytes=1)
        (1, None)
    """
    each = sum(array.nbytes for array in data) / len(data[0])
    if len(data[0]) * each <= megabytes * 1e6:
        return None
    return max(1, int(megabytes * 1e6 / ((3 + 2 * workers) * batch * each)))
