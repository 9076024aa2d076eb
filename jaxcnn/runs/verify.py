"""A run's folder held against itself: is every file what it was when it was written?"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jaxcnn.runs import checkpoint, steps, tensorboard
from jaxcnn.runs.links import refuse_links
from jaxcnn.runs.records import LARGE, read_object, read_rows
from jaxcnn.runs.resume import differences
from jaxcnn.runs.stored import read_config, read_data_facts


class Finding(NamedTuple):
    """What was found out about one file or checkpoint.

    Example:
        >>> Finding("steps/40", "progress.json is missing").whole
        False
    """

    name: str
    """Where it lies in the run's folder."""
    problem: str | None = None
    """What is wrong with it; None where it is whole."""
    note: str = ""
    """What else is to be said."""

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.problem is None


def verify(run: str | Path) -> list[Finding]:
    """Check every file of a run, and every byte of its checkpoints.

    Args:
        run: The run's folder.

    Returns:
        A finding for each file and checkpoint that there is or should be.

    Raises:
        ValueError: It is no folder.

    Example:
        >>> import tempfile
        >>> [finding.problem for finding in verify(tempfile.mkdtemp())][:1]
        ['it is missing']
    """
    run = Path(run)
    if not run.is_dir():
        raise ValueError(f"{run} is not a run: it {'is a file' if run.exists() else 'does not exist'}")
    try:
        refuse_links(run)
    except ValueError as error:
        return [Finding(".", str(error))]
    return [*_files(run), *_checkpoints(run), *_measurements(run)]


def _files(run: Path) -> Iterator[Finding]:
    readers: dict[str, Callable[[Path], Any]] = {
        "config.json": _config(run),
        "data.json": read_data_facts,
        "environment.json": lambda path: read_object(path, ("python", "packages", "device"), largest=LARGE),
        "result.json": lambda path: read_object(path, ("epochs",), largest=LARGE),
        "timings.jsonl": read_rows,
    }
    for name, read in readers.items():
        path = run / name
        if path.exists() or name in ("config.json", "data.json", "environment.json"):
            yield Finding(name, _problem(path, read))

    yield from (Finding(name, "it is no folder") for name in ("steps", "tensorboard") if (run / name).is_file())


def _config(run: Path) -> Callable[[Path], Any]:
    """Read a config, and hold it against that of the newest whole checkpoint."""

    def read(path: Path) -> None:
        config = read_config(path)
        newest, _ = steps.newest_intact(run / "steps")
        stored = run / "steps" / str(newest) / "config.json"
        if stored.is_file() and (changed := differences(read_config(stored), config)):
            raise ValueError(f"it is not that of the checkpoint of step {newest}: {', '.join(changed)}")

    return read


def _checkpoints(run: Path) -> Iterator[Finding]:
    folder = run / "steps"
    for step in steps.numbered(folder):
        path = folder / str(step)
        problem = checkpoint.damage(path)
        if problem is None or path.exists():  # a run that goes on deletes old ones
            yield Finding(f"steps/{step}", problem)
    for path in sorted(folder.glob("*.damaged*")):
        yield Finding(f"steps/{path.name}", note="set aside, and not used")


def _measurements(run: Path) -> Iterator[Finding]:
    """Hold the metrics against the checkpoints, which have them as they were, and TensorBoard's file against them."""
    path = run / "metrics.jsonl"
    problem = _problem(path, read_rows) if path.exists() else None
    newest, _ = steps.newest_intact(run / "steps")
    stored = run / "steps" / str(newest) / "metrics.jsonl"
    expected = stored.read_bytes() if stored.is_file() else b""  # a run that goes on may have deleted it
    if problem is None and not (path.read_bytes() if path.exists() else b"").startswith(expected):
        what = "it has other bytes than" if path.exists() else "it is missing: its lines are in"
        problem = f"{what} the checkpoint of step {newest}, from which resuming the run restores it"
    if problem or path.exists():
        yield Finding("metrics.jsonl", problem)
    if problem is None and (run / tensorboard.FILE).exists():
        same = tensorboard.read(run / tensorboard.FILE) == tensorboard.points(read_rows(path))
        yield Finding(str(tensorboard.FILE), None if same else "it differs from metrics.jsonl, which it is made of")
    if (run / tensorboard.ENDED).exists():
        whole = tensorboard.read(run / tensorboard.ENDED) is not None
        yield Finding(str(tensorboard.ENDED), None if whole else "it is damaged; nothing else is made of it")


def _problem(path: Path, read: Callable[[Path], Any]) -> str | None:
    if not path.is_file():
        return "it is missing" if not path.exists() else "it is no file"
    try:
        read(path)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    except ValueError as error:
        return str(error).removeprefix(f"{path} is damaged: ")
    return None
