"""Prepared sets on disk: memory-mapped arrays in a folder of their own, complete or not there at all.

A folder is written under another name and renamed when whole, so a killed process leaves no half of a set, and of two
processes that prepare the same set one's work is used. `manifest.json`, written last, tells what the arrays must
look like and what they were made from.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

FORMAT = 2
"""Raised whenever the arrays or facts that `build` makes change: older folders are then rebuilt."""

_STALE_SECONDS = 3600

Arrays = dict[str, np.ndarray]
T = TypeVar("T")


class CacheWriteError(OSError):
    """A set that is too large for the disk of the cache."""


class Prepared(NamedTuple):
    """A set as it is stored."""

    arrays: Arrays
    """By name."""
    facts: dict[str, Any]
    """What the arrays do not tell, as JSON can hold it."""


def root() -> Path:
    """Return the folder of all prepared sets: $JAXCNN_CACHE, else ~/.cache/jaxcnn."""
    return Path(os.environ.get("JAXCNN_CACHE") or Path.home() / ".cache" / "jaxcnn")


def identity(files: tuple[Path, ...] | None) -> list[list[Any]]:
    """Return what tells one version of the source files from another: path, size and time of change."""
    stats = [(file.resolve(), file.stat()) for file in files or ()]
    return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]


def read(entry: str, source: list[list[Any]], *, digests: bool = False) -> Prepared | None:
    """Open a prepared set, memory-mapped.

    Args:
        entry: Name of its folder.
        source: `identity` of the files it must have been made from; empty where any will do.
        digests: Read every byte and compare its SHA-256 too.

    Returns:
        The arrays and facts, or None where there is no whole, undamaged set of this source.
    """
    folder = root() / entry
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        if manifest["format"] != FORMAT or (source and manifest["source"] != source):
            return None
        arrays = {name: _open(folder / f"{name}.npy", facts, digests) for name, facts in manifest["arrays"].items()}
        return Prepared(arrays, dict(manifest["facts"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write(
    entry: str, source: list[list[Any]], build: Callable[[Path], Generator[T, None, Prepared]]
) -> Generator[T, None, Prepared]:
    """Build a set and put it in place of whatever stands there; tell what `build` tells meanwhile.

    Where the cache cannot be written, the arrays stay in memory, with a warning.

    Args:
        entry: Name of its folder.
        source: `identity` of the files it is made from.
        build: Makes the arrays; may keep files of its own in the folder that it is given, and write arrays there, as
            `NAME.npy`, itself.

    Returns:
        The arrays, memory-mapped, and the facts.
    """
    try:
        root().mkdir(parents=True, exist_ok=True)
        _sweep()
        work = Path(tempfile.mkdtemp(prefix=f".{entry}.", dir=root()))
        work.chmod(0o755)  # a cache may be shared
    except OSError as error:
        return (yield from _without_cache(build, error))
    try:
        prepared = yield from build(work)
        try:
            _save(work, source, prepared)
            _replace(work, root() / entry)
        except OSError as error:
            warnings.warn(f"data cache {root()} cannot be written ({error}): kept in memory", stacklevel=2)
            return prepared
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return read(entry, source) or prepared


def _without_cache(
    build: Callable[[Path], Generator[T, None, Prepared]], error: OSError
) -> Generator[T, None, Prepared]:
    warnings.warn(f"data cache {root()} cannot be written ({error}): set JAXCNN_CACHE to a folder", stacklevel=3)
    with tempfile.TemporaryDirectory() as work:
        return (yield from build(Path(work)))


def _open(file: Path, facts: dict[str, Any], digests: bool) -> np.ndarray:
    if file.stat().st_size != facts["bytes"] or (digests and _digest(file) != facts["sha256"]):
        raise ValueError(f"{file}: damaged")
    array = np.load(file, mmap_mode="r", allow_pickle=False)
    if list(array.shape) != facts["shape"] or str(array.dtype) != facts["dtype"]:
        raise ValueError(f"{file}: damaged")
    return array


def _save(folder: Path, source: list[list[Any]], prepared: Prepared) -> None:
    stored = {}
    for name, array in prepared.arrays.items():
        file = folder / f"{name}.npy"
        if not file.exists():
            np.save(file, array)
        stored[name] = {
            "shape": list(array.shape),
            "dtype": str(array.dtype),
            "bytes": file.stat().st_size,
            "sha256": _digest(file),
        }
    manifest = {"format": FORMAT, "source": source, "facts": prepared.facts, "arrays": stored}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def _replace(new: Path, place: Path) -> None:
    """Rename `new` to `place`; a folder that stands there is moved out of the way first."""
    old = Path(tempfile.mkdtemp(prefix=new.name + ".", dir=new.parent))
    with contextlib.suppress(FileNotFoundError):
        place.rename(old)
    try:
        new.rename(place)
    except OSError as error:
        # Another process was faster: what it made is as good. To look for its folder would be a race of its own: a
        # third process may just be moving that out of the way, to put its own there.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _sweep() -> None:
    """Remove what killed processes left: nothing in it was written for an hour."""
    for left in root().glob(".*.*"):
        with contextlib.suppress(OSError):
            newest = max(path.stat().st_mtime for path in (left, *left.rglob("*")))
            if time.time() - newest > _STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
