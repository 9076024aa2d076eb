"""One measurement as one line of JSON, with all that it depends on.

Schema 1. A record is an object of these keys:

| key | what |
|---|---|
| `schema` | 1 |
| `time` | when it was taken, ISO 8601, UTC |
| `work` | what was run: its `name` (`conv`, `train` ...), and what tells it from others: `case`, shapes, `dtype` ... |
| `library` | whose program it was: `jaxcnn`, or a peer |
| `peer` | of a peer's process: `packages`, `threads`, `device`, `peak_rss_bytes` ...; null where it is jaxcnn |
| `growth` | the fact of `work` that is varied, where it is one of a row of sizes; else null |
| `seconds` | of one call: `{"median", "q1", "q3", "n"}` |
| `samples_s` | all measurements, in the order in which they were taken, to six digits |
| `starts` | how many of them are of each process that was started for it, in order |
| `calls`, `warmup`, `notes` | calls in a measurement, calls before the first one, and what is to be told of them |
| `rates` | what a second of it does: `{"images_per_s": {"median", "q1", "q3", "n"}, ...}` |
| `stages` | `trace_s`, `lower_s`, `compile_s`, `first_s`; null where there are none |
| `costs` | of one call: `macs`, `flops`, `bytes` (analytic, padded taps included), `xla_flops`, `xla_peak_bytes` |
| `energy_j` | of one call, by the counters of NVIDIA's GPUs; null where there are none, or no `nvidia-ml-py` |
| `roofline` | `bound`, `attainable_flops_per_s`, `fraction`, see `roofline.py`; null without a measured peak |
| `ratios` | by name: how many times as long another work of the run took: `{"median", "low", "high", "confidence"}` |
| `environment` | versions, device, flags, commit, command, `lowering` (tier, reason), `cpu` (model, features, ...) |
| `seed` | that drew the numbers |

Numbers that are not known are null. A reader takes what it knows and leaves other keys alone; another `schema` it
refuses.
"""

import json
import os
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jaxcnn import lowering, runs
from jaxcnn.benchmark.statistics import Ratio, quantity
from jaxcnn.benchmark.timing import Samples, Stages

SCHEMA = 1
FEATURES = ("sse4_2", "avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "sve")
"""Of a processor's features, those that decide how fast it convolves."""


def make_record(
    work: Mapping[str, Any],
    samples: Samples,
    *,
    library: str = "jaxcnn",
    peer: Mapping[str, Any] | None = None,
    growth: str | None = None,
    stages: Stages | None = None,
    costs: Mapping[str, int | None] | None = None,
    per_call: Mapping[str, float] | None = None,
    ratios: Mapping[str, Ratio] | None = None,
    roofline: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Put a measurement and what it depends on together.

    Args:
        work: What was run, with its `name`.
        samples: How long it took.
        library: Whose program it was.
        peer: What a peer's process tells of itself.
        growth: The fact of `work` that is varied.
        stages: Of its compilation.
        costs: Of one call.
        per_call: What one call does, by the name of its rate: `{"images_per_s": 128}`.
        ratios: Other works of the same run by name, how many times as long they took.
        roofline: Where it stands between the device's peaks.
        seed: That drew the numbers.

    Returns:
        The record, as the head of this file says.

    Example:
        >>> record = make_record({"name": "nap"}, Samples((0.5, 0.5), 1, 3, True), per_call={"naps_per_s": 1})
        >>> record["seconds"]["median"], record["rates"]["naps_per_s"]["median"], record["schema"]
        (0.5, 2.0, 1)
    """
    rates = {name: quantity([amount / s for s in samples.seconds]) for name, amount in (per_call or {}).items()}
    return {
        "schema": SCHEMA,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "work": dict(work),
        "library": library,
        "peer": None if peer is None else dict(peer),
        "growth": growth,
        "seconds": quantity(samples.seconds),
        "samples_s": [float(f"{seconds:.6g}") for seconds in samples.seconds],
        "starts": [len(samples.seconds)],
        "calls": samples.calls,
        "warmup": samples.warmup,
        "notes": samples.notes,
        "rates": rates,
        "stages": None if stages is None else asdict(stages),
        "costs": dict(costs or {}),
        "energy_j": samples.joules,
        "roofline": None if roofline is None else dict(roofline),
        "ratios": {name: asdict(value) for name, value in (ratios or {}).items()},
        "environment": environment(),
        "seed": seed,
    }


def environment() -> dict[str, Any]:
    """Return what a measurement depends on beside its work: see `runs.environment`.

    Returns:
        These facts, with `lowering` (`tier`, `reason`) and `cpu` (`model`, `features`, `threads`).

    Example:
        >>> environment()["cpu"]["threads"] >= 1
        True
    """
    in_use = lowering.status()
    return {
        **runs.environment(),
        "lowering": {"tier": in_use.tier, "reason": in_use.reason},
        "cpu": {**_processor(), "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None},
    }


def _processor() -> dict[str, Any]:
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {"model": platform.processor() or None, "features": None}
    model = re.search(r"^model name\s*: (.*)$", told, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", told, re.MULTILINE)
    there = set(flags[1].split()) if flags else set()
    return {"model": model[1] if model else None, "features": [name for name in FEATURES if name in there]}


def append(path: str | Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Add records to a file, a line each.

    Args:
        path: The file, which is made where there is none.
        records: Of `make_record`.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "records.jsonl"
        >>> append(file, [make_record({"name": "nap"}, Samples((0.5,), 1, 3, True))])
        >>> [record["work"]["name"] for record in read(file)]
        ['nap']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        if file.tell() and not _ends_a_line(path):
            file.write("\n")
        for record in records:
            file.write(json.dumps(record, allow_nan=False) + "\n")


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def read(path: str | Path) -> list[dict[str, Any]]:
    """Read a file of records.

    Args:
        path: The file.

    Returns:
        The records, in order.

    Raises:
        FileNotFoundError: There is none.
        ValueError: A line is no record of this schema.

    Example:
        >>> read("nowhere.jsonl")
        Traceback (most recent call last):
        FileNotFoundError: nowhere.jsonl is no file of records: `jaxcnn bench ... --record FILE` writes one
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file of records: `jaxcnn bench ... --record FILE` writes one")
    found = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if line.strip():
            found.append(_checked(line, f"{path}, line {number}"))
    return found


def _checked(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: not JSON ({error})") from error
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        raise ValueError(f"{where}: a record has `schema` {SCHEMA}; this one has {schema!r}")
    work, times = record.get("work"), record.get("samples_s")
    if not isinstance(work, dict) or not isinstance(work.get("name"), str):
        raise ValueError(f"{where}: `work` must be an object with a `name`; got {work!r}")
    if not isinstance(times, list) or not times or not all(type(t) in (int, float) and 0 < t < 1e9 for t in times):
        raise ValueError(f"{where}: `samples_s` must be positive numbers, at least one")
    starts = record.setdefault("starts", [len(times)])
    if not isinstance(starts, list) or not all(type(n) is int and n > 0 for n in starts) or sum(starts) != len(times):
        raise ValueError(f"{where}: `starts` must be counts whose sum is that of `samples_s`, {len(times)}")
    if not _is_quantity(record.get("seconds")):
        raise ValueError(
            f"{where}: `seconds` must hold the numbers median, q1, q3 and n; got {record.get('seconds')!r}"
        )
    for name in ("rates", "ratios", "costs", "environment"):
        if not isinstance(record.get(name), dict):
            raise ValueError(f"{where}: `{name}` must be an object; got {record.get(name)!r}")
    return record


def _is_quantity(value: Any) -> bool:
    return isinstance(value, dict) and all(type(value.get(key)) in (int, float) for key in ("median", "q1", "q3", "n"))
