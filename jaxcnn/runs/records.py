"""JSON files that are written whole or not at all, and JSON lines that survive a torn last one.

JSON has no NaN and no infinity: they are written as null.
"""

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jaxcnn.runs.disk import append_bytes, write_bytes

LARGEST = 1_000_000
"""Bytes that a file of one JSON value may have: no config comes near."""
LARGE = 50_000_000
"""The same for files with an entry for each class, for each file of a checkpoint, or for each time of going on."""


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file under another name and rename it, so that no reader sees a part.

    Args:
        path: The file; an older one is replaced.
        value: What JSON can hold.
    """
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Return what `write_json` writes.

    Args:
        value: What JSON can hold.

    Returns:
        Its text, in ASCII.
    """
    return (_json(value, indent=2) + "\n").encode()


def read_json(path: Path, *, largest: int = LARGEST) -> Any:
    """Return what a JSON file holds.

    Args:
        path: The file.
        largest: Bytes that it may have.

    Returns:
        The value.

    Raises:
        ValueError: The file is not JSON, or is larger.
    """
    if (size := path.stat().st_size) > largest:
        raise ValueError(f"{path} is damaged: it has {size:,} bytes, at most {largest:,} are expected")
    try:
        return _parse(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it is not JSON ({error})") from error


def read_object(path: Path, needed: Collection[str] = (), *, largest: int = LARGEST) -> dict[str, Any]:
    """Return the JSON object that a file of a run holds.

    Args:
        path: The file.
        needed: Fields that the object must have.
        largest: Bytes that the file may have.

    Returns:
        The object.

    Raises:
        ValueError: The file is missing, is not JSON, is larger, holds something else than an object, or lacks a field.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing: the run's folder is damaged")
    value = read_json(path, largest=largest)
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: it holds a JSON {type(value).__name__}, an object is expected")
    if missing := [name for name in needed if name not in value]:
        raise ValueError(f"{path} is damaged: it lacks {', '.join(missing)}")
    return value


def append_line(path: Path, value: Any) -> None:
    """Add a line of JSON to a file; when this returns, it is on disk."""
    append_bytes(path, (_json(value) + "\n").encode())


def read_lines(path: Path) -> list[Any]:
    """Return the lines of a file of JSON lines; a last one that was cut off is left out.

    Args:
        path: The file; one that does not exist has no lines.

    Returns:
        One value a line.

    Raises:
        ValueError: A line is not JSON, and is not a last one without an end.
    """
    *lines, torn = path.read_bytes().split(b"\n") if path.exists() else [b""]
    values = []
    for number, line in enumerate(lines, 1):
        try:
            values.append(_parse(line))
        except ValueError as error:
            raise ValueError(f"{path} is damaged: line {number} is not JSON ({error})") from error
    try:
        return [*values, _parse(torn)] if torn else values
    except ValueError:
        return values


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file of JSON lines, each an object with its epoch.

    Args:
        path: The file; one that does not exist has no lines.

    Returns:
        One dict a line.

    Raises:
        ValueError: A line is not JSON, or is no object with a whole number as its `epoch`.
    """
    rows = read_lines(path)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"{path} is damaged: line {number} is a JSON {type(row).__name__}, an object is expected")
        if type(row.get("epoch")) is not int:
            raise ValueError(f"{path} is damaged: line {number} lacks an `epoch` that is a whole number")
    return rows


def write_lines(path: Path, values: list[Any]) -> None:
    """Replace a file of JSON lines as a whole."""
    write_bytes(path, "".join(_json(value) + "\n" for value in values).encode())


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text.decode())
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
