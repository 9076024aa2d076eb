"""Files of a .tar.gz, read by their names into memory: nothing is written to disk, whatever the archive's names say."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

LARGEST = 2**28
"""Bytes of an unpacked archive, at most; CIFAR's have 186 million."""


def read_members(path: Path, names: Sequence[str], *, largest: int = LARGEST) -> dict[str, bytes]:
    """Read some files of an archive.

    Args:
        path: The .tar.gz.
        names: Their names in it, in full. Entries of other names, and links, are passed over.
        largest: Bytes that the archive may unpack to.

    Returns:
        What they hold, by name.

    Raises:
        ValueError: The archive is truncated, damaged, unpacks to more, or lacks one of the files.
    """
    try:
        with gzip.open(path) as stream:
            content = stream.read(largest + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: truncated or damaged gzip file ({error})") from error
    if len(content) > largest:
        raise ValueError(f"{path}: unpacks to more than {largest:,} bytes: it is not the original archive")
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for entry in archive:
                if entry.name in names and entry.isreg():
                    member = archive.extractfile(entry)
                    assert member is not None  # as it is a regular file
                    found[entry.name] = member.read()
                    if len(found[entry.name]) != entry.size:
                        raise ValueError(f"{path}: {entry.name} is cut off")
    except (tarfile.TarError, EOFError, OverflowError) as error:
        raise ValueError(f"{path}: damaged tar archive ({error})") from error
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"{path}: has no file {missing[0]} in it")
    return found
