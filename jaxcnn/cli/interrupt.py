"""Signals that end a command: obeyed at once, or once a run has saved what it did."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
"""Signals that end a command, and its exit code then."""
NOTICES = {**CODES, **({signal.SIGUSR1: 143} if hasattr(signal, "SIGUSR1") else {})}
"""Signals that a run answers by saving: also what SLURM's `--signal=USR1@120` sends before the time is over."""


class Stop:
    """Whether a run has been asked to stop, and by what.

    Example:
        >>> stop = Stop()
        >>> stop(), stop.code
        (False, 0)
    """

    def __init__(self) -> None:
        self.code = 0
        """What the command is to exit with; 0 as long as nobody asked."""

    def __call__(self) -> bool:
        return self.code != 0


@contextlib.contextmanager
def after_saving() -> Iterator[Stop]:
    """Note the first signal, for a run to end when it has saved; the second one ends the process at once.

    Where it ends, nothing of what is on disk is lost: a checkpoint that was being written is none.

    Yields:
        What a run asks whether it is to stop.
    """
    stop = Stop()

    def noted(number: int) -> None:
        if stop():
            os.write(2, b"jaxcnn: stopped at once; what was saved stands, and the same --out goes on from there\n")
            _end(number)
        stop.code = NOTICES[signal.Signals(number)]
        os.write(2, b"\njaxcnn: stopping after these steps; once more to stop at once\n")

    with _handled(NOTICES, noted):
        yield stop


@contextlib.contextmanager
def at_once(told: Callable[[], str] | None = None) -> Iterator[None]:
    """End the process when a signal comes, also in the middle of a compilation.

    Args:
        told: What to say before.
    """

    def end(number: int) -> None:
        if told is not None:
            os.write(2, f"\njaxcnn: {told()}\n".encode())
        _end(number)

    with _handled(CODES, end):
        yield


@contextlib.contextmanager
def _handled(kinds: dict[signal.Signals, int], answer: Callable[[int], None]) -> Iterator[None]:
    """Answer signals in a thread of its own.

    Python's handlers wait for compiled code to end, which may take a minute, and an exception that one raises is lost
    in a callback of JAX's, crashes it, or leaves a checkpoint's threads waiting. The byte that a signal writes to a
    pipe wakes a thread instead. Signals are the main thread's: in another one nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def wait() -> None:
        while number := os.read(reader, 1)[0]:
            if number in kinds:
                answer(number)

    before = {number: signal.signal(number, lambda *_: None) for number in kinds}
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread = threading.Thread(target=wait, daemon=True)
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


def _end(number: int) -> None:
    if os.isatty(2):
        os.write(2, b"\r\x1b[2K\x1b[?25h")  # the line of a progress bar goes, and the cursor comes back
    os._exit(NOTICES[signal.Signals(number)])
