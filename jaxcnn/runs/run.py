"""The folder of one training run: its files and its checkpoints."""

import dataclasses
import json
import math
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcnn.config import Config
from jaxcnn.data import Preprocessing
from jaxcnn.runs import checkpoint, steps, tensorboard
from jaxcnn.runs.disk import remove, writing
from jaxcnn.runs.environment import environment
from jaxcnn.runs.faults import Told, telling_what_is_left
from jaxcnn.runs.folder import is_run
from jaxcnn.runs.links import refuse_links
from jaxcnn.runs.lock import NAME as LOCK
from jaxcnn.runs.lock import locked
from jaxcnn.runs.processes import first, is_first
from jaxcnn.runs.records import LARGE, append_line, json_bytes, read_object, read_rows, write_json
from jaxcnn.runs.resume import Resumption, flat, resume
from jaxcnn.runs.steps import Mode
from jaxcnn.runs.stored import mismatch, read_config, read_data_facts
from jaxcnn.training import Progress, TrainState

_NETWORK = ("params", "statistics")
"""Fields of a state that are stored apart from the others, so that they can be read alone."""


@dataclass(frozen=True)
class Run:
    """A run on disk. It holds no state but the folder's path: what it tells, it reads.

    On several processes every method is to be called by all of them; the first one writes.

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
    """Holds {config,environment,data,result}.json, {metrics,timings}.jsonl, tensorboard/ and steps/."""

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
            RunWriteError: It cannot be written.
        """
        path = Path(path)
        first(lambda: _create(path, config, facts))
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Open the folder of a run.

        Args:
            path: The folder.

        Returns:
            The run.

        Raises:
            ValueError: It is not a run, or a symbolic link stands in the place of one of its files.
        """
        path = Path(path)
        if not is_run(path):
            problem = "has no config.json" if path.is_dir() else "is a file" if path.exists() else "does not exist"
            raise ValueError(f"{path} is not a run: it {problem}. `jaxcnn train` makes one")
        refuse_links(path)
        return cls(path)

    @property
    def config(self) -> Config:
        """What the run was told."""
        return read_config(self.path / "config.json")

    @property
    def facts(self) -> dict[str, Any]:
        """What its data are: name, input_shape, classes, counts, preprocessing."""
        return read_data_facts(self.path / "data.json")

    @property
    def preprocessing(self) -> Preprocessing:
        """How stored images become inputs of the network."""
        return Preprocessing(**self.facts["preprocessing"])

    @property
    def result(self) -> dict[str, Any] | None:
        """The test result; None as long as the run has not ended."""
        path = self.path / "result.json"
        return read_object(path, largest=LARGE) if path.exists() else None

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from writing to the folder, as long as the context is open.

        Returns:
            A context; `RunLockedError` is raised where another process has it. Of several processes on one run the
            first one holds it for all.
        """
        return locked(self.path) if is_first() else nullcontext()

    def metrics(self) -> list[dict[str, Any]]:
        """Return what was measured: one dict an epoch. The same run has the same, bit for bit."""
        return read_rows(self.path / "metrics.jsonl")

    def times(self) -> list[dict[str, Any]]:
        """Return how long it took: one dict an epoch."""
        return read_rows(self.path / "timings.jsonl")

    def record(self, row: dict[str, Any], times: dict[str, Any] | None = None) -> None:
        """Add the measurements of an epoch, before the checkpoint at its end is begun.

        Args:
            row: What does not depend on the machine's speed, with its `epoch`.
            times: What does, to be kept apart.
        """
        if is_first():
            with telling_what_is_left(self.path):
                append_line(self.path / "metrics.jsonl", row)
                if times is not None:
                    append_line(self.path / "timings.jsonl", {"epoch": row["epoch"], **times})
                tensorboard.add(self.path, row)

    def finish(self, result: dict[str, Any], pictures: dict[str, np.ndarray] | None = None) -> None:
        """Write the result, with which the run has ended.

        Args:
            result: What was measured on the test set, and what it took.
            pictures: Shown by TensorBoard: whole numbers up to 255, `(height, width, 1 or 3)`, by name.
        """
        told = flat(dataclasses.asdict(self.config))
        with telling_what_is_left(self.path):
            if is_first():
                tensorboard.end(self.path, told, result, pictures or {})
            first(lambda: write_json(self.path / "result.json", result))

    def resume(self, config: Config, facts: dict[str, Any]) -> Resumption:
        """Make ready to go on from the newest checkpoint that is whole; what was measured after it is forgotten.

        A run that has ended is left as it is, unless it is asked for more epochs.

        Args:
            config: What the run is told now; it may ask for more epochs, and where there is no checkpoint for anything.
            facts: What the data are now.

        Returns:
            The checkpoint's step, how far the run had come, and what is damaged.

        Raises:
            ValueError: The config or the data differ from the run's, or a run that has ended has no checkpoint.
            RunWriteError: A file cannot be written.
        """
        with telling_what_is_left(self.path):
            done = first(lambda: resume(self, config, facts))
        if done is not None:
            return done
        latest = self.latest_step()  # another process than the first: it sees what that one has made of the folder
        return Resumption(latest, Progress() if latest is None else self.progress(latest))

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
        """Return the steps that there are checkpoints of, oldest first; whether they are whole is not looked at."""
        return steps.committed(self.path / "steps")

    def latest_step(self) -> int | None:
        """Return the step of the newest checkpoint that is whole; None where there is none."""
        return steps.newest_intact(self.path / "steps")[0]

    def chosen_step(self) -> int:
        """Return the step whose parameters are the run's: the best or the last, as its config says.

        Returns:
            The step. Where its checkpoint is damaged, a warning names it and the one that is taken instead.

        Raises:
            ValueError: There is no whole checkpoint.
        """
        folder, latest = self.path / "steps", self.latest_step()
        best_epoch = None if latest is None else self.progress(latest).best_epoch
        step, notes = steps.select(folder, self.config.select, best_epoch)
        if step is None:
            problem = notes[0] if notes else f"{self.path} has no checkpoint"
            if latest is not None:
                problem = f"{self.path} has no checkpoint of a whole epoch yet"
            if self.result is not None:
                raise ValueError(f"{problem}: the run has ended, and none of its checkpoints is whole")
            raise ValueError(f"{problem}: train it with `jaxcnn train --out {self.path}`")
        for note in notes:
            warnings.warn(note, stacklevel=2)
        return step

    def progress(self, step: int) -> Progress:
        """Return how far the run had come at a checkpoint.

        Args:
            step: One of `steps()`.

        Returns:
            The progress.

        Raises:
            ValueError: What the checkpoint says of it cannot be read.
        """
        path = self.path / "steps" / str(step)
        facts = checkpoint.read_facts(path)
        unknown = facts.keys() - {*Progress._fields, "mode"}
        if problem := mismatch(facts, Progress) or (f"{min(unknown)} is not known" if unknown else None):
            raise ValueError(f"checkpoint {path} is damaged: of its progress, {problem}")
        progress = Progress(**{name: value for name, value in facts.items() if name != "mode"})
        if progress.sums is None:
            return progress
        return progress._replace(sums={name: math.nan if x is None else x for name, x in progress.sums.items()})

    def save(self, state: TrainState, progress: Progress, *, mode: Mode = "max") -> checkpoint.Saving:
        """Begin to save a checkpoint in the background; the state may be donated at once.

        Once it is on disk, older ones are deleted: all but the config's `keep_last` newest and `keep_best` best.

        Args:
            state: All of the training's state.
            progress: How far the run has come with it.
            mode: Whether the largest or the smallest `value` is the best.

        Returns:
            Its `result()` waits until it is on disk.

        Raises:
            RunWriteError: It cannot be begun.
        """
        config, step, folder = self.config, int(state.step), self.path / "steps"
        metrics = self.path / "metrics.jsonl"
        rows = metrics.read_bytes().splitlines(keepends=True) if metrics.exists() else []
        files = {
            "config.json": json_bytes(dataclasses.asdict(config)),
            "metrics.jsonl": b"".join(rows[: progress.epoch]),  # none of later epochs, where it is saved after them
        }
        best = max(config.keep_best, 1 if config.select == "best" else 0)

        def prune() -> None:
            with writing(folder):
                steps.prune(folder, step, keep_last=config.keep_last, keep_best=best, mode=mode)

        facts = {**progress._asdict(), "mode": mode}
        with telling_what_is_left(self.path):
            saving = checkpoint.save(folder / str(step), _trees(state), facts, files=files, after=prune)
        return Told(saving, self.path)

    def restore(self, step: int, target: TrainState) -> TrainState:
        """Read a checkpoint whole, to go on training.

        Args:
            step: One of `steps()`.
            target: A state of the same structure, on the devices to use; its values do not matter.

        Returns:
            The state as it was.

        Raises:
            ValueError: The checkpoint is damaged, or does not fit the target.
        """
        found = checkpoint.restore(self.path / "steps" / str(step), _trees(target), whole=True)
        return dataclasses.replace(target, **found["network"], **found["training"], **found.get("average", {}))

    def restore_network(self, step: int, params: Any, statistics: Any) -> tuple[Any, Any]:
        """Read a checkpoint's network alone.

        Args:
            step: One of `steps()`.
            params: Parameters of the same structure; their values do not matter.
            statistics: Statistics of the same structure.

        Returns:
            The parameters, their moving average where the config asks for one, and the statistics.

        Raises:
            ValueError: The checkpoint is damaged, or does not fit the model.
        """
        target: dict[str, Any] = {"network": {"params": params, "statistics": statistics}}
        if averaged := self.config.ema is not None:
            target["average"] = {"ema": params}
        found = checkpoint.restore(self.path / "steps" / str(step), target)
        return found["average"]["ema"] if averaged else found["network"]["params"], found["network"]["statistics"]


def _create(path: Path, config: Config, facts: dict[str, Any]) -> None:
    new = not path.exists()
    with writing(path):
        if new:
            path.mkdir(parents=True, exist_ok=True)
        elif not path.is_dir():
            raise ValueError(f"{path} is not empty, and is not a run: give another folder")
    with locked(path):  # two processes may want the same folder
        if any(entry.name != LOCK for entry in path.iterdir()):
            what = "is a run already" if is_run(path) else "is not empty, and is not a run"
            raise ValueError(f"{path} {what}: give another folder")
        files = {"environment.json": environment(), "data.json": facts, "config.json": dataclasses.asdict(config)}
        try:
            for name, values in files.items():  # config.json is the last one: now it is a run
                write_json(path / name, values)
        except OSError:
            for name in files:
                remove(path / name)
            raise


def _trees(state: TrainState) -> dict[str, Any]:
    """Return a state's fields in the parts that are stored."""
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    average = {"average": {"ema": fields["ema"]}} if jax.tree.leaves(fields["ema"]) else {}
    training = {name: value for name, value in fields.items() if name not in (*_NETWORK, "ema")}
    return {"network": {name: fields[name] for name in _NETWORK}, "training": training, **average}
