"""Bytes that are on the disk, or are not there at all, and one line about what could not be written."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""Of `os.open`, where there is such a thing: a symbolic link is an error, not a way out of the run's folder."""


class RunWriteError(OSError):
    """A file of a run could not be written.

    Example:
        >>> raise RunWriteError("cannot write run/metrics.jsonl: No space left on device")
        Traceback (most recent call last):
        jaxcnn.runs.disk.RunWriteError: cannot write run/metrics.jsonl: No space left on device
    """


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one line what could not be written, and why.

    Args:
        path: What is being written.

    Returns:
        A context.

    Raises:
        RunWriteError: An OSError was raised in it.
    """
    try:
        yield
    except RunWriteError:
        raise
    except OSError as error:
        raise RunWriteError(f"cannot write {path}: {error.strerror or error}") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under another name and rename it; an older one is replaced as a whole.

    Args:
        path: The file.
        content: All that it shall hold.

    Raises:
        RunWriteError: It cannot be written; nothing has changed.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        part.unlink(missing_ok=True)  # left by a dead process of this id; or a link, which "x" would refuse
        try:
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def append_bytes(path: Path, content: bytes) -> None:
    """Add to the end of a file; when this returns, it is on disk.

    Args:
        path: The file; it is made where there is none.
        content: What to add.

    Raises:
        RunWriteError: It cannot be written; nothing has been added.
    """
    with writing(path):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_LINK, 0o644)
        try:
            before = os.fstat(file).st_size
            try:
                left = memoryview(content)
                while left:  # a disk that is nearly full takes a part, and fails at the next
                    left = left[os.write(file, left) :]
                os.fsync(file)
            except OSError:
                os.ftruncate(file, before)
                raise
        finally:
            os.close(file)


def sync_folder(path: Path) -> None:
    """Bring a folder's names to the disk, where the system has a way to do that."""
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove(path: Path) -> None:
    """Delete a folder with all that is in it, a link alone; what cannot be deleted stays."""
    if path.is_symlink() or path.is_file():
        with contextlib.suppress(OSError):
            path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)
