"""Reading ahead of need, by Grain."""

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")


def read_ahead(read: Callable[[Item], Read], items: Sequence[Item], *, workers: int = 1) -> Generator[Read, None, None]:
    """Yield what is read of each item, in order, while threads read that of the next ones.

    Position is the caller's: to resume, pass the items that are left. An item should be as much as fits, since each
    costs Python's time: Grain moves a few thousand a second. When the generator is closed no read goes on.

    Args:
        read: Reads an item; called in several threads at once if there are several workers.
        items: What to read.
        workers: Threads; as many items are held, or being read, beside the one that was yielded.

    Returns:
        A generator.

    Raises:
        ValueError: Less than one worker.

    Example:
        >>> list(read_ahead(lambda item: item * 10, [3, 1, 2]))
        [30, 10, 20]
    """
    if workers < 1:
        raise ValueError(f"`workers` (={workers}) must be at least 1")
    import grain  # takes half a second, which those who stream nothing do not wait

    source = _Source(read, items, threading.Semaphore(workers))
    ahead = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=workers)
    iterator = iter(grain.MapDataset.source(source).to_iter_dataset(ahead))
    try:
        yield from iterator
    finally:
        source.closed = True
        iterator.close()  # which does not wait for the reads that go on
        for _ in range(workers):
            source.slots.acquire()
        source.slots.release(workers)


@dataclass
class _Source(Generic[Item, Read]):
    """Items as Grain wants them: what is read of each, at its number."""

    read: Callable[[Item], Read]
    items: Sequence[Item]
    slots: threading.Semaphore
    """As many as workers: those that are free do not read."""
    closed: bool = False

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Read:
        with self.slots:
            if self.closed:
                raise CancelledError  # which nobody waits for
            return self.read(self.items[index])
