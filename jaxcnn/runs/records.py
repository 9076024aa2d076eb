"""JSON files that are written whole or not at all, and JSON lines that survive a torn last one."""

import json
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file under another name and rename it, so that no reader sees a part.

    Args:
        path: The file; an older one is replaced.
        value: What JSON can hold. NaN and infinity are written as Python does.
    """
    _write(path, json.dumps(value, indent=2) + "\n")


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


def append_line(path: Path, value: Any) -> None:
    """Add a line of JSON to a file."""
    with path.open("a") as file:
        file.write(json.dumps(value) + "\n")


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
    _write(path, "".join(json.dumps(value) + "\n" for value in values))


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text)
    part.replace(path)
