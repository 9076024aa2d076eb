"""Sweeps: many trials of a config's values, trained as members of few programs, the worst dropped on the way."""

import dataclasses
import json
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from jaxcnn import data as datasets
from jaxcnn import training
from jaxcnn.api.fit_members import Event, fit_members_events
from jaxcnn.config import Config, config_from_dict
from jaxcnn.runs import Run, is_run, score_name
from jaxcnn.runs.records import write_json

NAME = "sweep.json"


@dataclass(frozen=True)
class Trial:
    """Values that are tried, by one network a seed.

    Example:
        >>> Trial({"optim.lr": 0.1}, (Config(seed=0), Config(seed=1))).names(7)
        ['007-0', '007-1']
    """

    values: Mapping[str, Any]
    """By the field's dotted name."""
    configs: tuple[Config, ...]
    """The whole config, one for each seed."""

    def names(self, number: int) -> list[str]:
        """Return the folders of its runs."""
        seeds = [config.seed for config in self.configs]
        return [f"{number:03d}" if len(seeds) == 1 else f"{number:03d}-{seed}" for seed in seeds]


@dataclass(frozen=True)
class Dropped:
    """Trials that do not go on, since others were better.

    Example:
        >>> Dropped(3, (1, 4)).epochs
        3
    """

    epochs: int
    """After which it was decided."""
    trials: tuple[int, ...]
    """Their numbers."""


@dataclass(frozen=True)
class Standing:
    """What is known of a trial.

    Example:
        >>> Standing(0, {"optim.lr": 0.1}, (0.9, 0.92), epochs=3, ended=True).mean
        0.91
    """

    trial: int
    """Its number."""
    values: Mapping[str, Any]
    """By the field's dotted name."""
    scores: tuple[float, ...]
    """The best validation value of each seed; NaN of one that has none."""
    epochs: int
    """That its networks have done."""
    ended: bool
    """Whether all of them went to their end."""
    test: tuple[float, ...] = ()
    """Of each seed that ended."""

    @property
    def mean(self) -> float:
        """Of the scores."""
        return round(interval(self.scores)[0], 12)

    @property
    def half(self) -> float:
        """Half the width of the mean's interval of 95 %, over the seeds; NaN of one seed."""
        return interval(self.scores)[1]


def sweep_events(
    model: str,
    data: datasets.Dataset | str,
    trials: Sequence[Trial],
    *,
    out: str | Path,
    keep: int | None = None,
    plan: training.Plan | None = None,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[training.Plan], Any] = lambda plan: None,
) -> Generator[Event | Dropped, None, None]:
    """Train all trials, or by successive halving the better ones for longer.

    Each network is a run of its own in `out`. The same call goes on where one was stopped or killed. With `keep` of k,
    all trials are trained for few epochs, of their whole schedule; one of k goes on, for k times as many, and so on to
    the end. A trial that is dropped makes room: those that are left are planned anew.

    Args:
        model: A registered name.
        data: A name, or a data set of your own.
        trials: What is tried.
        out: Folder of the sweep.
        keep: One of so many trials goes on from each rung; None trains all to their end.
        plan: How members are run; None measures.
        stop: Asked at the end of every epoch.
        told: Called with each plan before it is tried.

    Returns:
        A generator of the events of `fit_members_events`, whose members are all networks of the trials that take part,
        and of `Dropped`.

    Raises:
        ValueError: No trials, or a folder that holds another sweep.

    Example:
        >>> import tempfile
        >>> from jaxcnn.config import OptimConfig
        >>> rates = (1e-4, 1e-2, 1e-3)
        >>> trials = [Trial({"optim.lr": lr}, (Config(epochs=3, optim=OptimConfig(lr=lr)),)) for lr in rates]
        >>> out, plan = tempfile.mkdtemp(), training.Plan("vmap")
        >>> events = sweep_events("linear", "synthetic", trials, out=out, keep=3, plan=plan)
        >>> [len(event.trials) for event in events if isinstance(event, Dropped)]
        [2]
        >>> [standing.epochs for standing in standings(out, trials)]
        [3, 1, 1]
    """
    if not trials:
        raise ValueError("`trials` must be at least one")
    folder = Path(out)
    claim(folder, model, trials)
    epochs = trials[0].configs[0].epochs
    left = list(range(len(trials)))
    steps = [(epochs, len(trials))] if keep is None else rungs(epochs, len(trials), keep)
    for position, (reached, _) in enumerate(steps):
        configs = [config for number in left for config in trials[number].configs]
        names = [name for number in left for name in trials[number].names(number)]
        until = None if position == len(steps) - 1 else reached
        yield from fit_members_events(
            model, data, configs, out=folder, names=names, plan=plan, until=until, stop=stop, told=told
        )
        if stop():
            return
        if until is not None:
            ranked = [standing.trial for standing in standings(folder, trials) if standing.trial in left]
            kept = sorted(ranked[: steps[position + 1][1]])
            yield Dropped(reached, tuple(number for number in left if number not in kept))
            left = kept


def standings(out: str | Path, trials: Sequence[Trial]) -> list[Standing]:
    """Rank trials by the mean of their best validation values.

    Those that went on for longer come first, then the better; those without any value come last.

    Args:
        out: Folder of the sweep.
        trials: What is tried.

    Returns:
        What is known of each, the best first.

    Example:
        >>> standings("nowhere", [Trial({"optim.lr": 0.1}, (Config(),))])[0].epochs
        0
    """
    found = []
    for number, trial in enumerate(trials):
        runs = [Run.open(path) for path in (Path(out) / name for name in trial.names(number)) if is_run(path)]
        rows = [run.metrics() for run in runs]
        scores = [_best(row["validation"] for row in run_rows) for run_rows in rows]
        scores += [math.nan] * (len(trial.configs) - len(runs))
        results = [run.result for run in runs]
        test = tuple(result[name] for result in results if result and (name := score_name(result)))
        epochs = min(map(len, rows)) if len(rows) == len(trial.configs) else 0
        ended = len(results) == len(trial.configs) and all(results)
        found.append(Standing(number, trial.values, tuple(scores), epochs, ended, test))
    return sorted(found, key=lambda one: (not one.ended, math.isnan(one.mean), -one.epochs, -one.mean, one.trial))


def _best(rows: Any) -> float:
    """Return the highest score, or where there is none the lowest loss with its sign turned."""
    values = [-row["loss"] if (name := score_name(row)) is None else row[name] for row in rows]
    return max(values, default=math.nan)


def read_trials(out: str | Path) -> list[Trial]:
    """Return what a folder's sweep tries.

    Args:
        out: The folder.

    Returns:
        The trials; none where it holds no sweep.

    Raises:
        ValueError: The file that tells it is damaged.

    Example:
        >>> read_trials("nowhere")
        []
    """
    path = Path(out) / NAME
    if not path.exists():
        return []
    return [
        Trial(trial["values"], tuple(config_from_dict(config) for config in trial["configs"]))
        for trial in _written(path)["trials"]
    ]


def claim(folder: Path, model: str, trials: Sequence[Trial], *, beside: Sequence[str] = ()) -> None:
    """Write down what a folder's sweep tries, or see that it is the same, perhaps with fewer trials.

    Args:
        folder: Of the sweep.
        model: A registered name.
        trials: What is tried.
        beside: How files may be named that lie in a folder before it holds a sweep.

    Raises:
        ValueError: The folder holds something else.

    Example:
        >>> import tempfile
        >>> folder, trial = Path(tempfile.mkdtemp()), Trial({"optim.lr": 0.1}, (Config(),))
        >>> claim(folder, "linear", [trial])
        >>> read_trials(folder) == [trial]
        True
    """
    asked = [
        {"values": dict(trial.values), "configs": [dataclasses.asdict(config) for config in trial.configs]}
        for trial in trials
    ]
    path, now = folder / NAME, json.loads(json.dumps({"model": model, "trials": asked}))
    if path.exists():
        before = _written(path)
        shared = min(len(before["trials"]), len(now["trials"]))
        if before["model"] != model or before["trials"][:shared] != now["trials"][:shared]:
            raise ValueError(f"{folder} holds a sweep of other trials: give another `out`, or the same flags")
        if len(before["trials"]) >= len(now["trials"]):
            return
    elif folder.is_dir() and any(not path.name.startswith(tuple(beside)) for path in folder.iterdir()):
        raise ValueError(f"{folder} is not empty, and holds no sweep: give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, now)


def _written(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): delete it where the trials are the same") from error


def rungs(epochs: int, trials: int, keep: int) -> list[tuple[int, int]]:
    """Plan successive halving: after how many epochs how many trials go on.

    Args:
        epochs: Of those that are trained to the end.
        trials: At first.
        keep: One of so many goes on from each rung.

    Returns:
        `(epochs, trials that reach them)`, the last one `epochs` with the survivors.

    Raises:
        ValueError: A number out of range.

    Example:
        >>> rungs(9, 9, 3)
        [(1, 9), (3, 3), (9, 1)]

    Reference:
        Jamieson and Talwalkar, Non-stochastic best arm identification and hyperparameter optimization, 2016.
    """
    if epochs < 1 or trials < 1 or keep < 2:
        raise ValueError(f"`epochs` (={epochs}), `trials` (={trials}) and `keep` (={keep}) must be at least 1, 1 and 2")
    times = max(0, min(_power(trials, keep), _power(epochs, keep)))
    return [(epochs // keep ** (times - k), max(1, trials // keep**k)) for k in range(times + 1)]


def _power(number: int, base: int) -> int:
    """Return how often a number can be divided."""
    count = 0
    while number >= base:
        number, count = number // base, count + 1
    return count


def interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Return the mean of what seeds gave, and half the width of its interval (Student's).

    Args:
        values: One a seed.
        confidence: Of the interval.

    Returns:
        The mean and the half width; NaN of one seed.

    Example:
        >>> mean, half = interval([0.9, 0.92, 0.94])
        >>> round(mean, 2), round(half, 3)
        (0.92, 0.05)
    """
    found = np.asarray(values, float)
    if len(found) < 2:
        return float(found.mean()), math.nan
    half = float(stats.t.ppf((1 + confidence) / 2, len(found) - 1)) * float(stats.sem(found))
    return float(found.mean()), half
