"""What a named set is found to be on this machine: what it is made from, and how."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxcnn.data.cache import Prepared


class Preparing(NamedTuple):
    """How far the preparation of a set has come.

    Example:
        >>> Preparing("decoding", 500, 2000).done
        500
    """

    stage: str
    """What is being done, in a word."""
    done: int
    """Images."""
    total: int
    """Of how many."""


Build = Generator[Preparing, None, Prepared]


class Source(NamedTuple):
    """A named set, found."""

    build: Callable[[Path], Build]
    """Makes the arrays; may keep files of its own in the folder that it is given."""
    identity: list[list[Any]] | None
    """Tells one version of the source files from another; None where only a download is left."""
    place: str = ""
    """Tells one user's set from another of the same name: where it is, and all that its arrays depend on."""


def at_once(build: Callable[[Path], Prepared]) -> Callable[[Path], Build]:
    """Make a `Source.build` of a function that takes no time worth telling of."""

    def run(folder: Path) -> Build:
        yield from ()
        return build(folder)

    return run


def refuse(faults: Sequence[tuple[str, str]]) -> None:
    """Raise where there are faults.

    Args:
        faults: What is wrong with which file: its name, and what.

    Raises:
        ValueError: Names the first, and tells how many more there are.

    Example:
        >>> refuse([("cats/a.png", "empty (0 bytes)"), ("cats/b.png", "damaged")])
        Traceback (most recent call last):
        ValueError: cats/a.png: empty (0 bytes) (and 1 more)
    """
    if faults:
        name, what = faults[0]
        more = f" (and {len(faults) - 1:,} more)" if len(faults) > 1 else ""
        raise ValueError(f"{printable(name)}: {what}{more}")


def printable(name: str) -> str:
    """Return a file's name as one line can hold it."""
    return name if name.isprintable() else ascii(name)
