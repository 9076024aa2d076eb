"""Adaptive sweeps: an Optuna study asks for trials, a few at a time, which are trained as one program and told to it.

Optuna is an extra, `pip install 'jaxcnn[optuna]'`: its samplers choose, its storage remembers, for many machines.
"""

import importlib.util
import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxcnn import data as datasets
from jaxcnn import training
from jaxcnn.api.fit_members import Event, fit_members_events
from jaxcnn.api.sweep import NAME, Trial, claim, read_trials, standings
from jaxcnn.space import Choice, Range

SAMPLERS = {"tpe": "TPESampler", "cmaes": "CmaEsSampler", "gp": "GPSampler"}
"""Optuna's, by the names that a command has for them."""
NEEDED = {"cmaes": "cmaes", "gp": "torch"}
"""Packages that Optuna imports when they choose."""
JOURNAL = "optuna.log"
"""In the sweep's folder, where no storage is given."""


@dataclass(frozen=True)
class Asked:
    """The study asked for trials: those that are trained next.

    Example:
        >>> Asked((3, 4), 2).trials
        (3, 4)
    """

    trials: tuple[int, ...]
    """Their numbers in this folder."""
    told: int
    """Trials of the study that have ended, on any machine."""


def adaptive_events(
    model: str,
    data: datasets.Dataset | str,
    spaces: Mapping[str, Choice | Range],
    build: Callable[[dict[str, Any]], Trial],
    *,
    out: str | Path,
    trials: int,
    together: int = 4,
    sampler: str = "tpe",
    seed: int = 0,
    storage: str | None = None,
    study: str | None = None,
    plan: training.Plan | None = None,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[training.Plan], Any] = lambda plan: None,
) -> Generator[Event | Asked, None, None]:
    """Train the trials that a study asks for, until it has as many as it should.

    A trial's value is the mean over its seeds of the best validation score, the larger the better. The same call goes
    on where one was stopped or killed. Several machines share a study by one `storage`, each with a folder of its own.

    Args:
        model: A registered name.
        data: A name, or a data set of your own.
        spaces: What is varied, by the field's dotted name.
        build: Makes a trial of values.
        out: Folder of the sweep.
        trials: Of the study, on all machines.
        together: Trials that are asked for at once, and trained as one program where their shapes allow it.
        sampler: One of `SAMPLERS`.
        seed: Of the sampler.
        storage: A database's URL as SQLAlchemy has it, or a file for a journal; None is a journal in the folder.
        study: Its name there; None is the folder's.
        plan: How members are run; None measures.
        stop: Asked at the end of every epoch.
        told: Called with each plan before it is tried.

    Returns:
        A generator of `Asked` and of the events of `fit_members_events`.

    Raises:
        ValueError: Optuna is not installed, an unknown sampler, a number out of range, or a folder of another sweep.

    Example:
        >>> import tempfile
        >>> from dataclasses import replace
        >>> from jaxcnn.config import Config, OptimConfig
        >>> def build(values):
        ...     return Trial(values, (Config(epochs=1, optim=OptimConfig(lr=values["optim.lr"])),))
        >>> spaces, out = {"optim.lr": Range(1e-4, 1e-1, log=True)}, tempfile.mkdtemp()
        >>> events = adaptive_events(
        ...     "linear", "synthetic", spaces, build, out=out, trials=3, together=2, plan=training.Plan("vmap")
        ... )
        >>> [event.trials for event in events if isinstance(event, Asked)]
        [(0, 1), (2,)]
    """
    if trials < 1 or together < 1:
        raise ValueError(f"`trials` (={trials}) and `together` (={together}) must be at least 1")
    folder = Path(out)
    optuna = _optuna()
    asking = _study(optuna, folder, sampler, seed, storage, study or folder.resolve().name)
    kinds = {name: _distribution(optuna, space) for name, space in spaces.items()}
    here = str(folder.resolve())
    known = read_trials(folder)
    if any(trial.values.keys() != spaces.keys() or build(dict(trial.values)) != trial for trial in known):
        raise ValueError(f"{folder} holds a sweep of other settings: give another `out`, or the same flags")
    # Those that were asked for here and never told, since the process was stopped; the last may not be written down.
    open_ = {
        trial.user_attrs["number"]: trial
        for trial in asking.get_trials()
        if not trial.state.is_finished() and trial.user_attrs.get("at") == here and "number" in trial.user_attrs
    }
    known += [build(dict(open_[number].params)) for number in sorted(open_) if number >= len(known)]
    while True:
        begun = asking.get_trials(deepcopy=False)
        ended = sum(trial.state.is_finished() for trial in begun)
        for _ in range(min(together - len(open_), trials - len(begun))):
            asked = asking.ask(kinds)
            asked.set_user_attr("at", here)
            asked.set_user_attr("number", len(known))
            open_[len(known)] = asked
            known.append(build(dict(asked.params)))
        if not open_:
            return
        claim(folder, model, known, beside=(JOURNAL,))
        numbers = tuple(sorted(open_))
        yield Asked(numbers, ended)
        configs = [config for number in numbers for config in known[number].configs]
        names = [name for number in numbers for name in known[number].names(number)]
        yield from fit_members_events(model, data, configs, out=folder, names=names, plan=plan, stop=stop, told=told)
        if stop():
            return
        found = {standing.trial: standing for standing in standings(folder, known)}
        for number in numbers:
            value = found[number].mean
            failed = {"state": optuna.trial.TrialState.FAIL} if math.isnan(value) else {"values": value}
            asking.tell(open_.pop(number).number, **failed)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ValueError("an adaptive search needs Optuna: pip install 'jaxcnn[optuna]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _study(optuna: Any, folder: Path, sampler: str, seed: int, storage: str | None, name: str) -> Any:
    """Open the study, or create it; its sampler does not draw again what it drew before it was stopped."""
    if sampler not in SAMPLERS:
        raise ValueError(f"`sampler` (={sampler!r}) must be one of {', '.join(SAMPLERS)}")
    if (package := NEEDED.get(sampler)) and importlib.util.find_spec(package) is None:
        raise ValueError(f"Optuna's sampler {sampler} needs the package {package}: pip install {package}")
    url = storage if storage is not None and "://" in storage else None
    if url is None:
        file = Path(storage) if storage else folder / JOURNAL
        if storage is None and folder.is_dir() and any(folder.iterdir()) and not (folder / NAME).exists():
            others = [path.name for path in folder.iterdir() if not path.name.startswith(JOURNAL)]
            if others:
                raise ValueError(f"{folder} is not empty, and holds no sweep: give another folder")
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
    else:
        try:
            kept = optuna.storages.get_storage(url)
        except Exception as error:  # of SQLAlchemy and of the database's driver, whichever they are
            raise ValueError(f"`storage` (={storage}) cannot be opened: {' '.join(str(error).split())}") from error
    study = optuna.create_study(storage=kept, study_name=name, direction="maximize", load_if_exists=True)
    options = {"seed": seed + len(study.get_trials(deepcopy=False))}
    if sampler == "tpe":
        options["constant_liar"] = True  # those that run count as bad, so that what is asked for at once differs
    study.sampler = getattr(optuna.samplers, SAMPLERS[sampler])(**options)
    return study


def _distribution(optuna: Any, space: Choice | Range) -> Any:
    if isinstance(space, Choice):
        return optuna.distributions.CategoricalDistribution(space.values)
    return optuna.distributions.FloatDistribution(space.low, space.high, log=space.log)
