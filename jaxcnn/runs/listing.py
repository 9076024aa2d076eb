"""The runs in a folder, as the rows of a table."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jaxcnn.config import unknown
from jaxcnn.runs.folder import is_run
from jaxcnn.runs.lock import holder
from jaxcnn.runs.resume import flat
from jaxcnn.runs.run import Run
from jaxcnn.runs.score import SCORES


@dataclasses.dataclass(frozen=True)
class Listed:
    """What is told of a run.

    Example:
        >>> Listed("2026-01-02_digits", state="ended", accuracy=0.97).facts()["accuracy"]
        0.97
    """

    name: str
    """Its folder's."""
    model: str | None = None
    data: str | None = None
    epochs: int = 0
    """Epochs that have ended."""
    of: int | None = None
    """Epochs that it is to have."""
    validation: float | None = None
    """The best accuracy on the validation set; without accuracies the smallest loss."""
    accuracy: float | None = None
    """On the test set."""
    state: str = "damaged"
    """ended, running, stopped, or damaged."""
    seconds: float | None = None
    """What it took; as long as it has not ended, its epochs alone."""
    problem: str | None = None
    """What is damaged."""
    config: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    """Its config's fields, by dotted name."""

    def facts(self) -> dict[str, Any]:
        """Return all but the config.

        Returns:
            Values by name.
        """
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "config"}


def list_runs(root: str | Path = "checkpoints") -> list[Listed]:
    """List the runs that lie in a folder.

    Args:
        root: The folder; one that does not exist has none.

    Returns:
        The runs, by name.

    Raises:
        ValueError: `root` is no folder.

    Example:
        >>> import tempfile
        >>> list_runs(tempfile.mkdtemp())
        []
    """
    root = Path(root)
    if root.exists() and not root.is_dir():
        raise ValueError(f"{root} is a file: give the folder that runs lie in")
    if is_run(root):
        return [_listed(root)]
    return [_listed(path) for path in sorted(root.iterdir()) if is_run(path)] if root.exists() else []


def filtered(runs: Iterable[Listed], conditions: Sequence[str]) -> list[Listed]:
    """Keep the runs that fit.

    Args:
        runs: The runs.
        conditions: Such as `model.name=resnet9` or `state=ended`: a field of the config or of the list, and its value.

    Returns:
        Those that fit every condition.

    Raises:
        ValueError: A condition has no `=`, or its field is that of no run.

    Example:
        >>> runs = [Listed("a", config={"optim.lr": 0.1}), Listed("b", config={"optim.lr": 0.2})]
        >>> [run.name for run in filtered(runs, ["optim.lr=1e-1"])]
        ['a']
    """
    runs = list(runs)
    for condition in conditions:
        name, sign, wanted = condition.partition("=")
        if not sign:
            raise ValueError(f"the filter {condition!r} must be FIELD=VALUE, such as model.name=resnet9")
        _check_field(name, runs)
        runs = [run for run in runs if _same(_value(run, name), wanted)]
    return runs


def ordered(runs: Iterable[Listed], field: str, *, descending: bool = False) -> list[Listed]:
    """Sort runs; those without a value come last.

    Args:
        runs: The runs.
        field: A field of the list or of the config.
        descending: Whether the largest comes first.

    Returns:
        The sorted runs.

    Raises:
        ValueError: The field is that of no run.

    Example:
        >>> runs = [Listed("a"), Listed("b", accuracy=0.5), Listed("c", accuracy=0.75)]
        >>> [run.name for run in ordered(runs, "accuracy", descending=True)]
        ['c', 'b', 'a']
    """
    runs = list(runs)
    _check_field(field, runs)
    having = [run for run in runs if _value(run, field) is not None]
    numbers = all(isinstance(_value(run, field), int | float) for run in having)
    having.sort(key=lambda run: _value(run, field) if numbers else str(_value(run, field)), reverse=descending)
    return having + [run for run in runs if _value(run, field) is None]


def _listed(path: Path) -> Listed:
    try:
        run = Run.open(path)
        config, result, rows = run.config, run.result, run.metrics()
        spent = sum(max(_number(row, "seconds") or 0.0, 0.0) for row in run.times())
        return Listed(
            path.name,
            model=config.model.name,
            data=config.data.name,
            epochs=rows[-1]["epoch"] if rows else 0,
            of=config.epochs,
            validation=_best(rows),
            accuracy=next((v for name in SCORES if (v := _number(result, name)) is not None), None),
            state="ended" if result is not None else "stopped" if holder(path) is None else "running",
            seconds=_number(result, "seconds") or spent,
            config=flat(dataclasses.asdict(config)),
        )
    except (OSError, ValueError) as error:
        return Listed(path.name, problem=" ".join(str(error).split()))


def _best(rows: list[dict[str, Any]]) -> float | None:
    for name, choose in (*((name, max) for name in SCORES), ("loss", min)):
        if values := [value for row in rows if (value := _number(row.get("validation"), name)) is not None]:
            return choose(values)
    return None


def _number(values: Any, name: str) -> float | None:
    value = values.get(name) if isinstance(values, dict) else None
    return float(value) if isinstance(value, int | float) and abs(value) < 2**63 else None


def _value(run: Listed, name: str) -> Any:
    return run.facts().get(name, run.config.get(name))


def _check_field(name: str, runs: list[Listed]) -> None:
    known = {*Listed("").facts(), *(field for run in runs for field in run.config)}
    if name not in known:
        raise ValueError(unknown("field", name, known))


def _same(value: Any, wanted: str) -> bool:
    """Compare as texts, and as what JSON makes of the text: 1e-3 is 0.001."""
    if str(value).lower() == wanted.lower():
        return True
    try:
        return json.loads(wanted) == value
    except (ValueError, RecursionError):
        return False
