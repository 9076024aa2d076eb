"""A child process that kills itself at a place of its own writing: `python killed.py PLACE COUNT DELAY ARGUMENT...`.

PLACE is `checkpoint`, `metrics` or `anywhere`; at the COUNT-th time that a checkpoint's folder is made, in the middle
of the COUNT-th line of metrics, or after COUNT seconds, and DELAY seconds after that, the process is gone, as by a
power cut. `jaxcnn` runs with the ARGUMENTs meanwhile.
"""

import os
import signal
import sys
import threading
import time
from typing import Any

from jaxcnn.cli import main


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_after(delay: float) -> None:
    """Die in another thread, wherever this one is then."""

    def wait() -> None:
        end = time.perf_counter() + delay
        while time.perf_counter() < end:
            time.sleep(0)
        die()

    threading.Thread(target=wait, daemon=True).start()


def watch(place: str, count: int, delay: float) -> None:
    seen = 0

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "os.mkdir" and str(arguments[0]).endswith(".writing"):
            seen += 1
            if seen == count:
                die_after(delay)

    if place == "checkpoint":
        sys.addaudithook(audit)
    elif place == "anywhere":
        die_after(count + delay)
    else:
        tear(count)


def tear(count: int) -> None:
    """Write half of the COUNT-th line of metrics, and die."""
    write, seen = os.write, 0

    def torn(file: int, content: Any) -> int:
        nonlocal seen
        if bytes(content[:9]) == b'{"epoch":' and b'"train"' in bytes(content):
            seen += 1
            if seen == count:
                write(file, content[: len(content) // 2])
                die()
        return write(file, content)

    os.write = torn


if __name__ == "__main__":
    watch(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
    sys.exit(main(sys.argv[4:]))
