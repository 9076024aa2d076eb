"""JSON files that are written whole or not at all, and JSON lines that survive a torn last one.

JSON has no NaN and no infinity: they are written as null.
"""

import json
import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file under another name and rename it, so that no reader sees a part.

    Args:
        path: The file; an older one is replaced.
        value: What JSON can hold.
    """
    _write(path, _json(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Args:
        path: The file.

    Returns:
        The value.

    Raises:
        ValueError: The file is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it is not JSON ({error})") from error


def read_object(path: Path, needed: Collection[str] = ()) -> dict[str, Any]:
    """Return the JSON object that a file of a run holds.

    Args:
        path: The file.
        needed: Fields that the object must have.

    Returns:
        The object.

    Raises:
        ValueError: The file is missing, is not JSON, holds something else than an object, or lacks a field.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing: the run's folder is damaged")
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: it holds a JSON {type(value).__name__}, an object is expected")
    if missing := [name for name in needed if name not in value]:
        raise ValueError(f"{path} is damaged: it lacks {', '.join(missing)}")
    return value


def append_line(path: Path, value: Any) -> None:
    """Add a line of JSON to a file."""
    with path.open("a") as file:
        file.write(_json(value) + "\n")


def read_lines(path: Path) -> list[Any]:
    """Return the lines of a file of JSON lines; a last one that was cut off is left out.

    Args:
        path: The file; one that does not exist has no lines.

    Returns:
        One value a line.

    Raises:
        ValueError: Another line than the last is not JSON.
    """
    lines = path.read_text().splitlines() if path.exists() else []
    values = []
    for number, line in enumerate(lines, 1):
        try:
            values.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                raise ValueError(f"{path} is damaged: line {number} is not JSON ({error})") from error
    return values


def write_lines(path: Path, values: list[Any]) -> None:
    """Replace a file of JSON lines as a whole."""
    _write(path, "".join(_json(value) + "\n" for value in values))


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text)
    part.replace(path)
