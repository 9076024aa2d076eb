"""Rounds of paired processes: launching them, the ratio of each round, what all rounds say, and the file they go to."""

import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jaxcnn import runs

HERE = Path(__file__).parent
SAME_MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "2147483648",
    "MALLOC_TOP_PAD_": "67108864",
    "MALLOC_ARENA_MAX": "1",
}
"""The settings of glibc's malloc that our lowering makes for its process: nothing goes back to the system."""


def launch(python: str, script: str, *, environment: dict[str, str] | None = None, **flags: Any) -> dict[str, Any]:
    """Run a worker in a process of its own, and return the JSON object on its last line.

    Settings of malloc that the caller's shell has are not passed on: a side has its own or none.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    given = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    done = subprocess.run(
        [python, str(HERE / script), *given], env=inherited | (environment or {}), capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{script} {shlex.join(given)} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def spread(values: Iterable[float]) -> dict[str, float]:
    """Return the number of values, their median, quartiles and extremes."""
    values = np.array(list(values))
    named = zip(("least", "q1", "median", "q3", "most"), np.percentile(values, (0, 25, 50, 75, 100)), strict=True)
    return {"n": len(values)} | {name: float(f"{value:.4g}") for name, value in named}


def geometric_mean(values: Iterable[float]) -> float:
    """Return exp of the mean logarithm."""
    return float(np.exp(np.mean(np.log(list(values)))))


def in_turn(first: str, second: str, number: int) -> tuple[str, str]:
    """Return who begins round `number`: each side every other time, so that neither gains by a drift."""
    return (first, second) if number % 2 == 0 else (second, first)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the records in a file of JSON lines; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, record: dict[str, Any]) -> None:
    """Write a record on a line of its own."""
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def counted_commit(any_commit: bool) -> dict[str, Any]:
    """Return the part of a round's identity that is the commit; nothing where any will do."""
    return {} if any_commit else {"commit": runs.environment()["commit"]}


def identity(record: dict[str, Any], like: dict[str, Any]) -> str:
    """Return the part of a record that tells it from others: the fields that `like` has."""
    return json.dumps({name: record.get(name) for name in like}, sort_keys=True)


def about(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a summary says of its rounds as a whole, each a record of two sides, `ours` and `theirs`."""
    last = lines[-1]
    packages = {name: version for line in lines for name, version in line["theirs"]["packages"].items()}
    return {name: last[name] for name in ("command", "date", "cpu", "cores")} | {
        "commits": sorted({str(line["commit"]) for line in lines}),
        "lowering": last["ours"]["lowering"],
        "packages": packages | last["ours"]["packages"],
    }


def stamp() -> dict[str, Any]:
    """Return when, where and of what code a record is; `load` is the machine's mean load of the last minute."""
    about = runs.environment()
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "command": shlex.join(["python", f"experiments/cpu_speed/{Path(sys.argv[0]).name}", *arguments()]),
        "commit": about["commit"],
        "cpu": processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def arguments() -> list[str]:
    """Return the command line's arguments, without the folders that a file lies in."""
    return [Path(part).name if os.sep in part else part for part in sys.argv[1:]]


def processor() -> str:
    """Return the processor's name."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
