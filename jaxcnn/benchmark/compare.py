"""Two files of records side by side, and ratios that must not fall under a bound."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxcnn.benchmark.statistics import LEAST, LEAST_STARTS, Ratio, ratio, ratio_between_starts


@dataclass(frozen=True)
class Row:
    """One work that both files hold.

    Example:
        >>> Row("nap", Ratio(1.1, 1.05, 1.15)).ratio.verdict
        'slower'
    """

    name: str
    ratio: Ratio
    """How many times as long it took in the second file."""


def title(record: Mapping[str, Any]) -> str:
    """Return a record's work in words, which tell it from every other one.

    Args:
        record: Of a file.

    Returns:
        The work's name and its facts, and the library where it is not jaxcnn.

    Example:
        >>> title({"work": {"name": "conv", "case": "3x3", "dtype": "float32"}, "library": "jaxcnn"})
        'conv 3x3 float32'
    """
    name, *rest = (_word(key, value) for key, value in record["work"].items())
    whose = [] if record.get("library", "jaxcnn") == "jaxcnn" else [f"({record['library']})"]
    return " ".join([name, *rest, *whose])


def _word(key: str, value: Any) -> str:
    if isinstance(value, list):
        return "x".join(map(str, value))
    return str(value) if isinstance(value, str) else f"{key}={value}"


def compare(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> tuple[list[Row], list[str]]:
    """Compare every work that two files of records hold; all measurements of a work in a file count together.

    Where both files hold at least three starts of a work, it is the starts that are compared: see
    `ratio_between_starts`.

    Args:
        one: Records before.
        other: Records after.

    Returns:
        A row for each work of both, and what is not compared, with the reason: works that one file lacks, too few
        measurements, another device.

    Example:
        >>> record = {"work": {"name": "nap"}, "samples_s": [1.0, 1.1, 0.9, 1.0, 1.0], "environment": {"device": "cpu"}}
        >>> rows, left = compare([record], [{**record, "samples_s": [2.0, 2.1, 1.9, 2.0, 2.0]}])
        >>> rows[0].ratio.verdict, left
        ('slower', [])
    """
    before, after = _by_title(one), _by_title(other)
    rows, left = [], []
    for name in dict.fromkeys([*before, *after]):
        if name not in before or name not in after:
            left.append(f"{name}: only in the {'second' if name in after else 'first'} file")
            continue
        (times, device), (later, other_device) = before[name], after[name]
        if device != other_device:
            left.append(f"{name}: on {device} and on {other_device}")
        elif min(len(times), len(later)) >= LEAST_STARTS:
            rows.append(Row(name, ratio_between_starts(*([float(np.median(s)) for s in x] for x in (later, times)))))
        elif min(sum(map(len, times)), sum(map(len, later))) < LEAST:
            counts = " and ".join(str(sum(map(len, x))) for x in (times, later))
            left.append(f"{name}: {counts} measurements; a ratio needs {LEAST} of each")
        else:
            rows.append(Row(name, ratio(*(np.concatenate(x).tolist() for x in (later, times)), paired=False)))
    return rows, left


def _by_title(records: Sequence[Mapping[str, Any]]) -> dict[str, tuple[list[list[float]], Any]]:
    """Return each work's times, by start, and its device."""
    found: dict[str, tuple[list[list[float]], Any]] = {}
    for record in records:
        device = record.get("environment", {}).get("device")
        kind = device.get("kind") if isinstance(device, dict) else device
        times, _ = found.setdefault(title(record), ([], kind))
        left = list(record["samples_s"])
        for count in record.get("starts", [len(left)]):
            times.append(left[:count])
            left = left[count:]
    return found


def read_bounds(path: str | Path) -> dict[str, float]:
    """Read the bounds of a gate: `{"epoch resnet9: loop": 1.0}`, the least that a ratio may be.

    Args:
        path: A JSON file.

    Returns:
        Bounds by the ratio's name, as `ratios_of` gives it.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It holds something else.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "gate.json"
        >>> _ = file.write_text('{"nap: sleep": 1.5}')
        >>> read_bounds(file)
        {'nap: sleep': 1.5}
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path} is no file of bounds: it holds JSON such as {{"WORK: OTHER": 1.0}}')
    try:
        bounds = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if (
        not isinstance(bounds, dict)
        or not bounds
        or not all(type(v) in (int, float) and v > 0 for v in bounds.values())
    ):
        raise ValueError(f'{path}: expected positive bounds by the names of ratios, such as {{"WORK: OTHER": 1.0}}')
    return {name: float(value) for name, value in bounds.items()}


def ratios_of(records: Sequence[Mapping[str, Any]]) -> dict[str, Ratio]:
    """Return the ratios that records hold, by `WORK: OTHER`: how many times as long the other one took.

    Args:
        records: Of one run.

    Returns:
        The ratios; of several of one name the last.

    Example:
        >>> told = {"sleep": {"median": 2.0, "low": 1.9, "high": 2.1, "confidence": 0.95}}
        >>> ratios_of([{"work": {"name": "nap"}, "ratios": told}])["nap: sleep"].median
        2.0
    """
    return {
        f"{title(record)}: {other}": Ratio(**told) for record in records for other, told in record["ratios"].items()
    }


def fallen(records: Sequence[Mapping[str, Any]], bounds: Mapping[str, float]) -> list[str]:
    """Tell which ratios lie under their bound, with their whole interval: chance alone does not close a gate.

    Args:
        records: Of one run.
        bounds: Of `read_bounds`.

    Returns:
        A line for each; a bound whose ratio was not measured is one too.

    Example:
        >>> told = {"sleep": {"median": 1.2, "low": 1.1, "high": 1.3, "confidence": 0.95}}
        >>> fallen([{"work": {"name": "nap"}, "ratios": told}], {"nap: sleep": 1.5, "nap: rest": 1.0})
        ['nap: sleep: 1.20 (1.10 to 1.30) is under its bound of 1.5', 'nap: rest: not measured; there is nap: sleep']
    """
    there, lines = ratios_of(records), []
    for name, bound in bounds.items():
        if name not in there:
            lines.append(f"{name}: not measured; there is {', '.join(there) or 'no ratio'}")
        elif there[name].high < bound:
            found = there[name]
            lines.append(
                f"{name}: {found.median:.2f} ({found.low:.2f} to {found.high:.2f}) is under its bound of {bound:g}"
            )
    return lines
