"""The folder of a run's checkpoints: which are there, which are whole, which is the best, which may go."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from jaxcnn.runs import checkpoint
from jaxcnn.runs.disk import remove

Mode = Literal["max", "min"]
"""Whether the largest or the smallest validation value is the best."""

_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_LEFT = re.compile(r"\.(?P<step>0|[1-9][0-9]{0,17})\.(?P<what>writing|before|deleting)")


def numbered(folder: Path) -> list[int]:
    """Return the steps that something is named after, checkpoints or not, oldest first."""
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if _NUMBER.fullmatch(name))


def committed(folder: Path) -> list[int]:
    """Return the steps whose checkpoints were written to their end, oldest first; their bytes are not looked at."""
    return [step for step in numbered(folder) if checkpoint.exists(folder / str(step))]


def newest_intact(folder: Path) -> tuple[int | None, list[str]]:
    """Find the newest checkpoint of which every byte is right.

    Args:
        folder: That of the checkpoints.

    Returns:
        Its step, None where there is none; and what is wrong with the newer ones, a line each.
    """
    problems = []
    for step in reversed(numbered(folder)):
        if (problem := checkpoint.damage(folder / str(step))) is None:
            return step, problems
        problems.append(f"checkpoint {folder / str(step)} is damaged: {problem}")
    return None, problems


def best_intact(folder: Path) -> tuple[int | None, list[str]]:
    """Find the checkpoint that is best on the validation set among those of which every byte is right.

    Args:
        folder: That of the checkpoints.

    Returns:
        Its step, None where no epoch has ended; and what is wrong with better ones, a line each.
    """
    problems = []
    for step in _ranked(folder, numbered(folder)):
        if (problem := checkpoint.damage(folder / str(step))) is None:
            return step, problems
        problems.append(f"checkpoint {folder / str(step)} is damaged: {problem}")
    return None, problems


def sweep(folder: Path) -> None:
    """Delete what a killed process left half written or half deleted: hidden folders alone."""
    for entry in list(folder.iterdir()) if folder.is_dir() else ():
        if left := _LEFT.fullmatch(entry.name):
            step = folder / left["step"]
            if left["what"] == "before" and not step.exists():  # killed between the two renames of a replacement
                entry.rename(step)
            else:
                remove(entry)


def prune(folder: Path, now: int, *, keep_last: int, keep_best: int, mode: Mode) -> None:
    """Delete old checkpoints; only those of which every byte is ours.

    Args:
        folder: That of the checkpoints.
        now: The newest step; larger ones are left alone.
        keep_last: How many to keep of the newest, at least one.
        keep_best: How many to keep of the best.
        mode: What is best.
    """
    steps = [step for step in committed(folder) if step <= now]
    keep = {*steps[-max(keep_last, 1) :], *_ranked(folder, steps, mode)[:keep_best]}
    for step in steps:
        if step not in keep:
            delete(folder / str(step))


def delete(path: Path) -> None:
    """Delete a checkpoint if it is whole and nothing else is in its folder."""
    if checkpoint.damage(path, strangers=True) is None:
        remove(path.rename(checkpoint.hidden(path, "deleting")))  # what is half deleted must not look like damage


def _ranked(folder: Path, steps: Sequence[int], mode: Mode | None = None) -> list[int]:
    """Return the steps at which an epoch ended, the best first; among equals the first."""
    found = [(step, facts) for step in steps if (facts := _facts(folder / str(step))) is not None]
    if mode is None:
        mode = "min" if found and found[-1][1].get("mode") == "min" else "max"
    values = {step: facts["value"] for step, facts in found if _is_number(facts.get("value"))}
    sign = 1 if mode == "min" else -1
    return sorted(values, key=lambda step: (sign * values[step], step))


def _facts(path: Path) -> dict[str, Any] | None:
    """Return what a checkpoint says of itself, None where that cannot be read."""
    if path.is_symlink() or (path / "progress.json").is_symlink():
        return None
    try:
        return checkpoint.read_facts(path)
    except (OSError, ValueError):
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def select(folder: Path, which: Literal["best", "last"], best_epoch: int | None = None) -> tuple[int | None, list[str]]:
    """Find the checkpoint whose parameters are a run's.

    Args:
        folder: That of the checkpoints.
        which: The best on the validation set, or the newest.
        best_epoch: The epoch that is known to be the best.

    Returns:
        Its step, None where there is none; and a line on the one that it replaces, if it does.
    """
    step, problems = best_intact(folder) if which == "best" else newest_intact(folder)
    if step is None:
        return None, problems
    epoch = checkpoint.read_facts(folder / str(step)).get("epoch")
    if which == "best" and best_epoch is not None and epoch != best_epoch and not problems:
        problems = [f"the checkpoint of epoch {best_epoch}, the best, is missing from {folder}"]
    return step, [f"{problem}; step {step} (epoch {epoch}) is taken instead" for problem in problems]
