"""The folder of one training run: its files, and its checkpoints at the ends of epochs."""

import dataclasses
import json
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxcnn.config import Config, config_from_dict
from jaxcnn.data import Preprocessing
from jaxcnn.runs import checkpoint
from jaxcnn.runs.environment import environment
from jaxcnn.runs.folder import is_run
from jaxcnn.runs.records import append_line, read_lines, read_object, write_json, write_lines
from jaxcnn.training import Progress, TrainState

FREE_TO_CHANGE = {"epochs", "chunk"}
"""Fields of a config that a resumed run may change; `epochs` only upwards."""

_FACTS = ("input_shape", "classes", "counts", "preprocessing")
"""What data.json must hold."""


@dataclass(frozen=True)
class Run:
    """A run on disk. It holds no state but the folder's path: what it tells, it reads.

    Example:
        >>> import tempfile
        >>> from jaxcnn import data
        >>> from jaxcnn.config import Config
        >>> folder = tempfile.mkdtemp()
        >>> run = Run.create(folder, Config(seed=3), data.describe(data.load("synthetic")))
        >>> Run.open(folder).config.seed, run.latest_step(), run.metrics()
        (3, None, [])
    """

    path: Path
    """Holds config.json, environment.json, data.json, metrics.jsonl, result.json and steps/."""

    @classmethod
    def create(cls, path: str | Path, config: Config, facts: dict[str, Any]) -> "Run":
        """Make the folder of a new run.

        Args:
            path: A folder that does not exist, or is empty.
            config: What the run is told.
            facts: What the data are: see `jaxcnn.data.describe`.

        Returns:
            The run.

        Raises:
            ValueError: There is something in the folder.
        """
        path = Path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            what = "is a run already" if is_run(path) else "is not empty, and is not a run"
            raise ValueError(f"{path} {what}: give another folder")
        path.mkdir(parents=True, exist_ok=True)
        run = cls(path)
        write_json(path / "environment.json", environment())
        write_json(path / "data.json", facts)
        write_json(path / "config.json", dataclasses.asdict(config))  # the last one: now it is a run
        return run

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Open the folder of a run.

        Args:
            path: The folder.

        Returns:
            The run.

        Raises:
            ValueError: It is not a run.
        """
        path = Path(path)
        if not is_run(path):
            problem = "has no config.json" if path.is_dir() else "is a file" if path.exists() else "does not exist"
            raise ValueError(f"{path} is not a run: it {problem}. `jaxcnn train` makes one")
        return cls(path)

    @property
    def config(self) -> Config:
        """What the run was told."""
        path = self.path / "config.json"
        values = read_object(path)
        try:
            return config_from_dict(values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error

    @property
    def facts(self) -> dict[str, Any]:
        """What its data are: name, input_shape, classes, counts, preprocessing."""
        return read_object(self.path / "data.json", _FACTS)

    @property
    def preprocessing(self) -> Preprocessing:
        """How stored images become inputs of the network."""
        return Preprocessing(**self.facts["preprocessing"])

    @property
    def result(self) -> dict[str, Any] | None:
        """The test result; None as long as the run has not ended."""
        path = self.path / "result.json"
        return read_object(path) if path.exists() else None

    def metrics(self) -> list[dict[str, Any]]:
        """Return what was measured: one dict an epoch."""
        return read_lines(self.path / "metrics.jsonl")

    def record(self, row: dict[str, Any]) -> None:
        """Add the measurements of an epoch."""
        append_line(self.path / "metrics.jsonl", row)

    def finish(self, result: dict[str, Any]) -> None:
        """Write the result, with which the run has ended."""
        write_json(self.path / "result.json", result)

    def resume(self, config: Config, facts: dict[str, Any]) -> Progress:
        """Make ready to go on from the newest checkpoint; what was measured after it is forgotten.

        A run that has ended is left as it is, unless it is asked for more epochs.

        Args:
            config: What the run is told now; it may ask for more epochs, and where there is no checkpoint for anything.
            facts: What the data are now.

        Returns:
            How far the run had come.

        Raises:
            ValueError: The config or the data differ from the run's, or a run that has ended has no checkpoint.
        """
        latest, ended = self.latest_step(), self.result is not None
        if latest is not None:
            _check_config(self, config)
            self.check_data(facts)
        elif ended:
            raise ValueError(
                f"{self.path} has ended (it has a result.json), but its checkpoints are gone: give another `--out`"
            )
        past = read_object(self.path / "environment.json")
        progress = Progress() if latest is None else self.progress(latest)
        if ended and config.epochs == self.config.epochs:
            return progress
        rows = [row for row in self.metrics() if row["epoch"] <= progress.epoch]
        if rows != self.metrics():
            write_lines(self.path / "metrics.jsonl", rows)
        self.keep((latest, self.best_step()))
        if ended:
            (self.path / "result.json").rename(self.path / f"result_{self.config.epochs}_epochs.json")
        resumed = [*past.get("resumed", []), {"epoch": progress.epoch, **environment()}]
        write_json(self.path / "environment.json", past | {"resumed": resumed})
        if latest is None:
            write_json(self.path / "data.json", facts)
        write_json(self.path / "config.json", dataclasses.asdict(config))
        return progress

    def check_data(self, facts: dict[str, Any]) -> None:
        """Raise where data are not those of the run.

        Args:
            facts: What the data are now.

        Raises:
            ValueError: Shapes, classes, counts or the preprocessing differ.
        """
        facts = json.loads(json.dumps(facts))  # tuples become lists, as in the file
        if changed := [name for name, value in self.facts.items() if facts.get(name) != value]:
            raise ValueError(f"the data are not those that {self.path} began with: {', '.join(changed)} differ")

    def steps(self) -> list[int]:
        """Return the steps that there are checkpoints of, oldest first."""
        folder = self.path / "steps"
        found = [entry for entry in folder.iterdir() if entry.name.isdigit()] if folder.is_dir() else []
        return sorted(int(entry.name) for entry in found if checkpoint.exists(entry))

    def latest_step(self) -> int | None:
        """Return the newest checkpoint's step; None where there is none."""
        return max(self.steps(), default=None)

    def best_step(self) -> int | None:
        """Return the step of the checkpoint that is best on the validation set, as the newest one knows."""
        steps = self.steps()
        best = self.progress(steps[-1]).best_epoch if steps else 0
        return next((step for step in steps if self.progress(step).epoch == best), None)

    def chosen_step(self) -> int:
        """Return the step whose parameters are the run's: the best or the last, as its config says.

        Returns:
            The step.

        Raises:
            ValueError: There is no checkpoint.
        """
        step = self.best_step() if self.config.select == "best" else self.latest_step()
        if step is None:
            raise ValueError(f"{self.path} has no checkpoint: train it with `jaxcnn train --out {self.path}`")
        return step

    def progress(self, step: int) -> Progress:
        """Return how far the run had come at a checkpoint."""
        return Progress(**checkpoint.read_facts(self._step(step)))

    def save(self, state: TrainState, progress: Progress) -> checkpoint.Saving:
        """Begin to save a checkpoint in the background; the state may be donated at once.

        Args:
            state: All of the training's state, at the end of an epoch.
            progress: How far the run has come with it.

        Returns:
            Its `result()` waits until it is on disk.
        """
        network = {"params": state.params, "statistics": state.statistics}
        training = {"step": state.step, "opt_state": state.opt_state, "key": state.key}
        trees = {"network": network, "training": training}
        return checkpoint.save(self._step(int(state.step)), trees, progress._asdict())

    def restore(self, step: int, target: TrainState) -> TrainState:
        """Read a checkpoint whole, to go on training.

        Args:
            step: One of `steps()`.
            target: A state of the same structure; its values do not matter.

        Returns:
            The state as it was.

        Raises:
            ValueError: The checkpoint does not fit the target.
        """
        network = {"params": target.params, "statistics": target.statistics}
        training = {"step": target.step, "opt_state": target.opt_state, "key": target.key}
        trees = checkpoint.restore(self._step(step), {"network": network, "training": training})
        return TrainState(**trees["network"], **trees["training"])

    def restore_network(self, step: int, params: Any, statistics: Any) -> tuple[Any, Any]:
        """Read a checkpoint's network alone.

        Args:
            step: One of `steps()`.
            params: Parameters of the same structure; their values do not matter.
            statistics: Statistics of the same structure.

        Returns:
            The parameters and the statistics.

        Raises:
            ValueError: The checkpoint does not fit the model.
        """
        target = {"network": {"params": params, "statistics": statistics}}
        network = checkpoint.restore(self._step(step), target)["network"]
        return network["params"], network["statistics"]

    def keep(self, steps: Collection[int | None]) -> None:
        """Delete all checkpoints but these, and what a killed process left half written.

        Args:
            steps: Those to keep; None is none.
        """
        folder = self.path / "steps"
        for entry in folder.iterdir() if folder.is_dir() else ():
            if entry.is_dir() and entry.name not in map(str, steps):
                shutil.rmtree(entry)

    def _step(self, step: int) -> Path:
        return self.path / "steps" / str(step)


def _check_config(run: Run, config: Config) -> None:
    before, now = _fields(dataclasses.asdict(run.config)), _fields(dataclasses.asdict(config))
    changed = [name for name, value in now.items() if value != before[name] and name not in FREE_TO_CHANGE]
    if changed:
        told = ", ".join(f"`{name}` was {before[name]!r} and is {now[name]!r}" for name in changed)
        raise ValueError(f"{run.path} was begun with another config: {told}. Give another `--out`, or the same config")
    if now["epochs"] < before["epochs"]:
        raise ValueError(
            f"{run.path} was begun with `epochs` (={before['epochs']}), which may be raised, not lowered to "
            f"{now['epochs']}"
        )


def _fields(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested dicts: {"optim": {"lr": 1}} to {"optim.lr": 1}."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _fields(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
