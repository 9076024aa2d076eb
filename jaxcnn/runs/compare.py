"""Runs side by side: what they measured, and in what their configs differ."""

import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxcnn.runs.lock import holder
from jaxcnn.runs.resume import flat
from jaxcnn.runs.run import Run
from jaxcnn.runs.score import SCORES

_COSTS = ("seconds", "compile_s", "parameters", "members")
"""Of a result, that are no measurement of its network."""
_PLACES = ("split", "examples", "epoch", "step", "epochs")
"""Of a result, that say what was measured."""


class Comparison(NamedTuple):
    """Runs side by side; each list has a value for each run, None where it has none.

    Example:
        >>> Comparison(("a", "b"), {"test accuracy": [0.5, 0.75]}, {"optim.lr": [0.1, 0.2]}).runs
        ('a', 'b')
    """

    runs: tuple[str, ...]
    """Their names: the folders', or all of the path where two are called alike."""
    measured: dict[str, list[Any]]
    """What they measured and took, by name."""
    configs: dict[str, list[Any]]
    """The fields of their configs that differ, by dotted name."""


def compare(paths: Sequence[str | Path]) -> Comparison:
    """Put runs side by side.

    Args:
        paths: Their folders.

    Returns:
        For each run its state, epochs, parameters, time, every metric of its last epoch and of its best one (the
        largest score, or the smallest loss) on the validation set, and of its test; and in what the configs differ.

    Raises:
        ValueError: One run or none, one that is none, or the same twice.

    Example:
        >>> import tempfile
        >>> from jaxcnn.api import fit
        >>> from jaxcnn.config import Config
        >>> folder = tempfile.mkdtemp()
        >>> for seed in range(2):
        ...     _ = fit("linear", "synthetic", Config(epochs=1, seed=seed), out=f"{folder}/{seed}")
        >>> found = compare([f"{folder}/0", f"{folder}/1"])
        >>> found.runs, found.configs, found.measured["parameters"]
        (('0', '1'), {'seed': [0, 1]}, [30730, 30730])
    """
    if len(paths) < 2:
        raise ValueError("a comparison takes two runs or more")
    runs = [Run.open(path) for path in paths]
    places = [run.path.resolve() for run in runs]
    if len(set(places)) < len(places):
        twice = next(run.path for run, place in zip(runs, places, strict=True) if places.count(place) > 1)
        raise ValueError(f"{twice} is given twice")
    names = [run.path.resolve().name for run in runs]
    names = [name if names.count(name) == 1 else str(run.path) for name, run in zip(names, runs, strict=True)]
    columns = [_measured(run) for run in runs]
    order = dict.fromkeys(name for column in columns for name in column)
    configs = [flat(dataclasses.asdict(run.config)) for run in runs]
    fields = dict.fromkeys(name for config in configs for name in config)
    differing = {name: [config.get(name) for config in configs] for name in fields}
    return Comparison(
        tuple(names),
        {name: [column.get(name) for column in columns] for name in order},
        {name: values for name, values in differing.items() if any(value != values[0] for value in values)},
    )


def _measured(run: Run) -> dict[str, Any]:
    """Return what a run measured, by names that a person reads."""
    result, rows, times = run.result or {}, run.metrics(), run.times()
    state = "ended" if run.result is not None else "stopped" if holder(run.path) is None else "running"
    found: dict[str, Any] = {"state": state, "epochs": rows[-1]["epoch"] if rows else 0, "of": run.config.epochs}
    found |= {name: result[name] for name in _COSTS if name in result}
    if spent := [row["seconds"] for row in times if isinstance(row.get("seconds"), int | float)]:
        found["epoch_s"] = statistics.median(spent)
    found |= {
        f"test {name}": value
        for name, value in result.items()
        if name not in (*_COSTS, *_PLACES) and isinstance(value, int | float)
    }
    if rows:
        best = _best(rows)
        for when, row in (("last", rows[-1]), ("best", best)):
            found[f"epoch, {when}"] = row["epoch"]
            for part in ("validation", "train"):
                found |= {f"{part} {name}, {when}": value for name, value in row.get(part, {}).items()}
    return found


def _best(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the first row of the largest score, or of the smallest loss."""
    measured = rows[0].get("validation", {})
    for name in SCORES:
        if name in measured:
            return max(rows, key=lambda row: row["validation"][name])
    return min(rows, key=lambda row: row["validation"]["loss"]) if "loss" in measured else rows[-1]
