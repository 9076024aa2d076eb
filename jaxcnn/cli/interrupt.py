"""SIGINT and SIGTERM: kept until nothing is half done."""

import os
import signal
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
