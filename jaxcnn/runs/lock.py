"""One process at a time in a run's folder: a lock of the system's, which ends with its process however that ends."""

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

from jaxcnn.runs.disk import writing

try:
    import fcntl
except ImportError:  # Windows has no such locks; a run does without
    fcntl = None

NAME = ".lock"

_TRIES = 20
"""`holder` takes the lock for an instant, to see whether it is free: who wants it tries again."""
_PAUSE = 0.02
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
"""What file systems without locks answer."""


class RunLockedError(RuntimeError):
    """Another process writes to the run's folder.

    Example:
        >>> raise RunLockedError("checkpoints/mine is being written by process 4711: wait for it or stop it")
        Traceback (most recent call last):
        jaxcnn.runs.lock.RunLockedError: checkpoints/mine is being written by process 4711: wait for it or stop it
    """


@contextlib.contextmanager
def locked(run: Path) -> Iterator[None]:
    """Keep every other process from writing to a run's folder.

    A process that was killed keeps nothing. Where the system or the file system has no locks (Windows, some network
    file systems), nothing is kept from anybody.

    Args:
        run: The folder.

    Returns:
        A context.

    Raises:
        RunLockedError: Another process holds it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with locked(folder):
        ...     holder(folder) == os.getpid()
        True
        >>> holder(folder)
    """
    if fcntl is None:
        yield
        return
    with writing(run / NAME):
        file = os.open(run / NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        for attempt in range(_TRIES):
            if _take(file, fcntl.LOCK_EX):
                break
            if attempt == _TRIES - 1:
                raise RunLockedError(f"{run} is being written by process {_pid(file)}: wait for it or stop it")
            time.sleep(_PAUSE)
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(file)


def holder(run: Path) -> int | None:
    """Tell which process writes to a run's folder.

    Args:
        run: The folder.

    Returns:
        Its id, 0 where it has not told it yet; None where there is none, or where nobody can know.
    """
    if fcntl is None:
        return None
    try:
        file = os.open(run / NAME, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:  # no run, or none that was ever locked
        return None
    try:
        return None if _take(file, fcntl.LOCK_SH) else _pid(file)
    finally:
        os.close(file)


def _take(file: int, kind: int) -> bool:
    """Take the lock if it is free; it goes when the file is closed."""
    assert fcntl is not None
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _pid(file: int) -> int:
    written = os.pread(file, 20, 0)
    return int(written) if written.isdigit() else 0
