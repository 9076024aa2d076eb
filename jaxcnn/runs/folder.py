"""Where runs lie."""

from datetime import datetime
from pathlib import Path

_LONGEST = 200
"""Bytes of a name; file systems take 255, and the date and a number are added."""


def is_run(path: str | Path) -> bool:
    """Tell whether a folder is that of a run.

    Args:
        path: The folder, which need not exist.

    Returns:
        Whether a config.json is in it.

    Example:
        >>> is_run("/no/such/folder")
        False
    """
    try:
        return (Path(path) / "config.json").is_file()
    except (OSError, ValueError):  # a name that is too long, or that nothing can have
        return False


def new_folder(name: str, root: str | Path = "checkpoints") -> Path:
    """Return a folder for a new run, ROOT/DATE_NAME, numbered where that is taken, and make it.

    Args:
        name: What the run is called; what no file name should hold becomes a hyphen, and a long one is cut off.
        root: The folder of all runs.

    Returns:
        An empty folder.

    Example:
        >>> import tempfile
        >>> root = tempfile.mkdtemp()
        >>> first, second = new_folder("digits", root), new_folder("digits", root)
        >>> second.name == f"{first.name}-2"
        True
    """
    name = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name)
    name = name.encode()[:_LONGEST].decode(errors="ignore")  # not within a letter of several bytes
    stem = f"{datetime.now():%Y-%m-%d}_{name}"
    number = 1
    while True:
        path = Path(root) / (stem if number == 1 else f"{stem}-{number}")
        try:
            path.mkdir(parents=True)  # fails where it exists, so that two processes never share one
            return path
        except FileExistsError:
            number += 1
