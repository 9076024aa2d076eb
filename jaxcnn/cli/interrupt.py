"""SIGINT and SIGTERM: kept until nothing is half done, or obeyed at once where there is nothing to save."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Self

from jaxcnn.cli.dispatch import Terminated

KINDS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}


class Interrupts:
    """Keep a signal until the next event of a run; a second one stops at once.

    An exception that a signal handler raises can break into anything, also into a checkpoint that is being begun, whose
    threads then wait for minutes. Between two events nothing is half done.
    """

    def __init__(self) -> None:
        self.asked: type[KeyboardInterrupt] | None = None

    def __enter__(self) -> Self:
        self.before = {number: signal.signal(number, self._note) for number in KINDS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def between(self, events: Iterator[Any]) -> Iterator[Any]:
        """Pass events on, and raise between two of them what a signal asked for."""
        for event in events:
            yield event
            if self.asked is not None:
                raise self.asked

    def _note(self, number: int, _: FrameType | None) -> None:
        kind = KINDS[signal.Signals(number)]
        if self.asked is not None:
            raise kind
        self.asked = kind
        os.write(2, b"\njaxcnn: stopping after these steps; once more to stop at once\n")  # print could be half done


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """End the process when a signal comes, also in the middle of a compilation.

    Python's handlers wait for compiled code to end, which may take a minute, and the exception that they then raise is
    lost in a callback of JAX's or crashes it. The byte that a signal writes to a pipe wakes a thread instead.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = {number: signal.signal(number, lambda *_: None) for number in KINDS}
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread = threading.Thread(target=_end, args=(reader,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.write(writer, b"\0")
        thread.join()
        os.close(reader)
        os.close(writer)


def _end(reader: int) -> None:
    """Wait for a signal's number, 0 if there is none any more, and end the process."""
    while (number := os.read(reader, 1)[0]) not in KINDS:
        if not number:
            return
    if os.isatty(2):
        os.write(2, b"\r\x1b[2K\x1b[?25h")  # the line of a progress bar goes, and the cursor comes back
    os._exit(128 + number)
