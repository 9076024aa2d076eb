"""How a run goes on: from its newest whole checkpoint, with its files as they were at that moment."""

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxcnn.config import Config
from jaxcnn.runs import steps, tensorboard
from jaxcnn.runs.checkpoint import set_aside
from jaxcnn.runs.disk import write_bytes, writing
from jaxcnn.runs.environment import environment
from jaxcnn.runs.links import refuse_links
from jaxcnn.runs.records import LARGE, read_object, read_rows, write_json, write_lines
from jaxcnn.runs.stored import read_config
from jaxcnn.training import Progress

if TYPE_CHECKING:
    from jaxcnn.runs.run import Run

FREE_TO_CHANGE = {"epochs", "chunk", "save_every", "keep_last", "keep_best", "mesh", "data.memory"}
"""Fields of a config that a resumed run may change; `epochs` only upwards."""


class Resumption(NamedTuple):
    """Where a run goes on.

    Example:
        >>> step, progress, notes = Resumption(None, Progress())
        >>> progress.epoch
        0
    """

    step: int | None
    """That of the checkpoint to restore; None to begin anew."""
    progress: Progress
    """How far the run had come with it."""
    notes: tuple[str, ...] = ()
    """What is to be told, a line each: checkpoints that are damaged."""


def resume(run: "Run", config: Config, facts: dict[str, Any]) -> Resumption:
    """Do what `Run.resume` says."""
    refuse_links(run.path)
    folder = run.path / "steps"
    with writing(folder):
        steps.sweep(folder)
    latest, problems = steps.newest_intact(folder)
    now = run.config
    ended = run.result is not None
    if latest is not None or problems:
        begun = now if latest is None else read_config(folder / str(latest) / "config.json")
        _check_config(run, begun, config)
        run.check_data(facts)
    if latest is None and ended:
        raise ValueError(
            f"{run.path} has ended (it has a result.json), but its checkpoints are gone"
            f"{' or damaged' * bool(problems)}: give another `--out`"
        )
    done = ended and config.epochs == now.epochs
    instead = "begins anew" if latest is None else f"goes on from step {latest}"
    instead = "has ended, and is left as it is" if done else instead
    notes = tuple(f"{problem}; the run {instead}" for problem in problems)
    progress = Progress() if latest is None else run.progress(latest)
    if done:
        if latest is not None and not _metrics(run.path).startswith(_metrics(folder / str(latest))):
            _restore_rows(run.path, latest, progress.epoch, keep=False)
        return Resumption(latest, progress, notes)
    past: dict[str, Any] = {}
    with contextlib.suppress(ValueError):  # no result depends on it
        past = read_object(run.path / "environment.json", largest=LARGE)
    _restore_rows(run.path, latest, progress.epoch, keep=latest is None and bool(problems))
    if ended:
        (run.path / "result.json").rename(run.path / f"result_{now.epochs}_epochs.json")
    begun = past.get("resumed", [])
    resumed = [*(begun if isinstance(begun, list) else []), {"epoch": progress.epoch, **environment()}]
    write_json(run.path / "environment.json", past | {"resumed": resumed})
    if latest is None:
        write_json(run.path / "data.json", facts)
    write_json(run.path / "config.json", dataclasses.asdict(config))
    return Resumption(latest, progress, notes)


def _restore_rows(run: Path, latest: int | None, epoch: int, *, keep: bool) -> None:
    """Make the files of measurements what they were when the checkpoint was written.

    Args:
        run: The run's folder.
        latest: The checkpoint's step; None where there is none.
        epoch: Epochs that had ended.
        keep: Whether to rename the metrics where all is lost: the checkpoints that they belong to are damaged.
    """
    path = run / "metrics.jsonl"
    before = b"" if latest is None else _metrics(run / "steps" / str(latest))
    now = _metrics(run)
    if before != now:
        if keep:
            with writing(path):
                set_aside(path)
        write_bytes(path, before)
    rows = read_rows(path)
    if rows or (run / tensorboard.FILE).exists():
        tensorboard.rebuild(run, rows)
    times = run / "timings.jsonl"
    if times.exists():  # no result depends on them: damage is left to be forgotten
        found: list[Any] = []
        with contextlib.suppress(ValueError):
            found = read_rows(times)
        if len(kept := [row for row in found if row["epoch"] <= epoch]) < len(found) or not found:
            write_lines(times, kept)


def _metrics(folder: Path) -> bytes:
    path = folder / "metrics.jsonl"
    return path.read_bytes() if path.is_file() else b""


def differences(begun: Config, config: Config) -> list[str]:
    """Tell in which fields a config differs from that which a run began with; not in those that may change.

    Args:
        begun: What the run was told.
        config: What it is told now.

    Returns:
        A few words for each.

    Example:
        >>> differences(Config(seed=0, chunk=5), Config(seed=1, chunk=6))
        ['`seed` was 0 and is 1']
    """
    before, now = flat(dataclasses.asdict(begun)), flat(dataclasses.asdict(config))
    changed = [name for name, value in now.items() if value != before[name] and name not in FREE_TO_CHANGE]
    return [f"`{name}` was {before[name]!r} and is {now[name]!r}" for name in changed]


def _check_config(run: "Run", begun: Config, config: Config) -> None:
    if changed := differences(begun, config):
        told = ", ".join(changed)
        raise ValueError(f"{run.path} was begun with another config: {told}. Give another `--out`, or the same config")
    if config.epochs < begun.epochs:
        raise ValueError(
            f"{run.path} was begun with `epochs` (={begun.epochs}), which may be raised, not lowered to {config.epochs}"
        )


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested dicts.

    Args:
        values: The dicts.
        prefix: What all names begin with.

    Returns:
        Values by dotted name.

    Example:
        >>> flat({"optim": {"lr": 1}})
        {'optim.lr': 1}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found
