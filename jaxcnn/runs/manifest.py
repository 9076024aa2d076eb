"""The manifest of a checkpoint: the size and the SHA-256 of each of its files, written last.

A folder without one is no checkpoint, whatever else is in it.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from jaxcnn.runs.disk import sync_folder, write_bytes
from jaxcnn.runs.records import LARGE, json_bytes, read_object

NAME = "manifest.json"
FORMAT = 1
"""Of the manifest and of the folder that it lists."""


def write(folder: Path, name: str) -> None:
    """Bring all files of a folder to the disk, and list them.

    Args:
        folder: The folder.
        name: The name that it is going to have.

    Raises:
        RunWriteError: The manifest cannot be written.
    """
    files = {}
    for path in _files(folder):
        with (folder / path).open("r+b") as file:  # open for writing: other systems than Linux demand it for a sync
            files[path] = {"size": os.fstat(file.fileno()).st_size, "sha256": _sha256(file)}
            os.fsync(file.fileno())
    for inner, _, _ in os.walk(folder):
        sync_folder(Path(inner))
    write_bytes(folder / NAME, json_bytes({"format": FORMAT, "checkpoint": name, "files": files}))


def exists(folder: Path) -> bool:
    """Tell whether a folder has a manifest, which may be damaged."""
    return not folder.is_symlink() and not (folder / NAME).is_symlink() and (folder / NAME).is_file()


def damage(folder: Path, *, strangers: bool = False) -> str | None:
    """Hold a folder against its manifest.

    Args:
        folder: The folder.
        strangers: Whether files beside the arrays that the manifest does not list are damage too.

    Returns:
        What is wrong with it, in a few words; None where every byte is as it was written.
    """
    found = _damage(folder, strangers=strangers)
    return found if found is None or found.isprintable() else ascii(found)[1:-1]


def _damage(folder: Path, *, strangers: bool) -> str | None:
    try:
        listed = _read(folder)
        found = {path: folder / path for path in _files(folder)}
        for path, facts in listed.items():
            if path not in found:
                return f"{path} is missing"
            if (size := found[path].stat().st_size) != facts["size"]:
                return f"{path} has {size:,} bytes, {facts['size']:,} were written"
        for path in sorted(found.keys() - listed.keys()):
            if path != NAME and (strangers or path.startswith("arrays/")):
                return f"{path} is not in its manifest"
        for path, facts in listed.items():
            with found[path].open("rb") as file:
                if _sha256(file) != facts["sha256"]:
                    return f"{path} has other bytes than were written"
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    except ValueError as error:
        return str(error)
    return None


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the files that the manifest lists, with their sizes and sums."""
    if folder.is_symlink() or not folder.is_dir():
        raise ValueError("it is no folder")
    if not exists(folder):
        raise ValueError(f"it has no {NAME}")
    try:
        values = read_object(folder / NAME, ("format", "checkpoint", "files"), largest=LARGE)
    except ValueError as error:
        raise ValueError(f"its {NAME} cannot be read") from error
    if values["format"] != FORMAT:
        raise ValueError(f"its {NAME} is of format {values['format']!r}, expected {FORMAT}")
    if values["checkpoint"] != folder.name:
        raise ValueError(f"its {NAME} is of the checkpoint {values['checkpoint']!r}")
    files = values["files"]
    if not (isinstance(files, dict) and all(map(_is_entry, files.values()))):
        raise ValueError(f"its {NAME} does not list files")
    for path in files:
        if path != PurePosixPath(path).as_posix() or path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise ValueError(f"its {NAME} lists {path!r}, which is not in its folder")
    return files


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and type(value.get("size")) is int and isinstance(value.get("sha256"), str)


def _files(folder: Path) -> Iterator[str]:
    """Return all files of a folder but the manifest, relative to it, in order; links and pipes are refused."""
    found = []
    for inner, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(inner, name)
            kind, inside = path.lstat().st_mode, path.relative_to(folder).as_posix()
            if stat.S_ISREG(kind):
                found.append(inside)
            elif not stat.S_ISDIR(kind):
                raise ValueError(f"{inside} is {'a symbolic link' if stat.S_ISLNK(kind) else 'no file'}")
    return iter(sorted(path for path in found if path != NAME))


def _sha256(file: Any) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()
