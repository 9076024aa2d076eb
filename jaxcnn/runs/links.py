"""Symbolic links in a run's folder: a run writes none, and one may lead anywhere."""

import os
from collections.abc import Iterator
from pathlib import Path

FILES = (
    "config.json", "environment.json", "data.json", "metrics.jsonl", "timings.jsonl", "result.json", ".lock",
    "steps", "tensorboard",
)  # fmt: skip
"""All that a run writes into its folder."""


def refuse_links(run: Path) -> None:
    """Raise where a symbolic link stands in the place of a run's file or folder.

    The folder of the run itself may be one, and so may what a user adds to it.

    Args:
        run: The run's folder, which need not exist.

    Raises:
        ValueError: A link was found.

    Example:
        >>> import tempfile
        >>> run = Path(tempfile.mkdtemp())
        >>> refuse_links(run)
        >>> (run / "steps").symlink_to("/tmp")
        >>> refuse_links(run)
        Traceback (most recent call last):
        ValueError: .../steps is a symbolic link (to /tmp), which may lead out of the run's folder: replace it by ...
    """
    for path in _links(run):
        raise ValueError(
            f"{path} is a symbolic link (to {os.readlink(path)}), which may lead out of the run's folder: replace it "
            "by what it points to, or remove it"
        )


def _links(run: Path) -> Iterator[Path]:
    for name in FILES:
        if (run / name).is_symlink():
            yield run / name
    for folder, folders, files in os.walk(run / "steps"):  # which does not go into links
        for name in (*folders, *files):
            if (path := Path(folder, name)).is_symlink():
                yield path
    for path in (run / "tensorboard").glob("*tfevents*"):
        if path.is_symlink():
            yield path
