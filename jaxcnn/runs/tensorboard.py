"""A run's metrics as TensorBoard reads them: one event file, which can be made from the metrics at any time."""

import importlib
import math
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX.record_writer import masked_crc32c

from jaxcnn.runs.disk import append_bytes, write_bytes, writing

FILE = Path("tensorboard") / "events.out.tfevents.0.jaxcnn"
"""In the run's folder. TensorBoard reads any name with `tfevents` in it; neither a time nor a host is in this one."""

ENDED = Path("tensorboard") / "events.out.tfevents.1.jaxcnn"
"""What is known when a run has ended: the test result, what it was told (TensorBoard's HParams), and pictures."""

Point = tuple[str, int, float]
"""Tag, step, and the value in single precision, as TensorBoard has it."""

_LENGTH = struct.Struct("<Q")
_SUM = struct.Struct("<I")


def add(run: Path, row: dict[str, Any]) -> None:
    """Add the measurements of an epoch.

    Args:
        run: The run's folder.
        row: A line of its metrics.
    """
    path = run / FILE
    with writing(path):
        path.parent.mkdir(exist_ok=True)
    append_bytes(path, _records([row], begin=not path.exists()))


def rebuild(run: Path, rows: list[dict[str, Any]]) -> bool:
    """Make the event file hold these measurements and no others.

    Args:
        run: The run's folder.
        rows: The lines of its metrics.

    Returns:
        Whether it had to be written: one that holds them is left alone.
    """
    path = run / FILE
    if read(path) == points(rows):
        return False
    with writing(path):
        path.parent.mkdir(exist_ok=True)
    write_bytes(path, _records(rows, begin=True))
    return True


def end(run: Path, told: dict[str, Any], result: dict[str, Any], pictures: dict[str, np.ndarray]) -> None:
    """Write what is known when a run has ended, in place of what was written before.

    Args:
        run: The run's folder.
        told: What it was told, by dotted name.
        result: The test result; its numbers become `test/NAME`.
        pictures: By tag: whole numbers up to 255, `(height, width, 1 or 3)`.
    """
    from tensorboardX.summary import hparams, image

    event, now, step = _event(), time.time(), result["step"] if _fits(result.get("step")) else 0
    numbers = dict(_numbers({name: value for name, value in result.items() if name not in ("epoch", "step")}, "test/"))
    plain = {name: value if isinstance(value, bool | int | float) else str(value) for name, value in told.items()}
    values = [{"tag": tag, "simple_value": value} for tag, value in numbers.items()]
    summaries = [*hparams(plain, numbers), {"value": values}]
    summaries += [image(tag, picture, dataformats="HWC") for tag, picture in pictures.items()]
    events = [event(wall_time=now, file_version="brain.Event:2")]
    events += [event(wall_time=now, step=step, summary=summary) for summary in summaries]
    with writing(run / ENDED):
        (run / ENDED).parent.mkdir(exist_ok=True)
    write_bytes(run / ENDED, b"".join(map(_framed, (event.SerializeToString() for event in events))))


def points(rows: list[dict[str, Any]]) -> list[Point]:
    """Return what TensorBoard is to show: every number in the rows but the epoch, at its step.

    Args:
        rows: Lines of a run's metrics.

    Returns:
        Tags such as `validation/accuracy`, steps and values.

    Example:
        >>> points([{"epoch": 1, "step": 20, "lr": 0.5, "train": {"loss": 0.25, "parts": [1, 2]}}])
        [('lr', 20, 0.5), ('train/loss', 20, 0.25)]
    """
    found = []
    for row in rows:
        step = row["step"] if _fits(row.get("step")) else row["epoch"]
        for name, value in _numbers({name: value for name, value in row.items() if name not in ("epoch", "step")}):
            with np.errstate(over="ignore"):
                found.append((name, step, float(np.float32(value))))
    return found


def read(path: Path) -> list[Point] | None:
    """Read an event file.

    Args:
        path: The file.

    Returns:
        The numbers in it, in order; None where there is no such file, or where it is damaged.
    """
    if not path.is_file():
        return None
    content, found, at = path.read_bytes(), [], 0
    try:
        while at < len(content):
            (length,) = _LENGTH.unpack_from(content, at)
            header, data = content[at : at + 8], content[at + 12 : at + 12 + length]
            sums = _SUM.unpack_from(content, at + 8) + _SUM.unpack_from(content, at + 12 + length)
            if sums != (masked_crc32c(header), masked_crc32c(data)):
                return None
            event = _event().FromString(data)
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            at += length + 16
    except struct.error:  # cut off
        return None
    return found


def _numbers(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}/")
        elif _fits(value) or (isinstance(value, float) and math.isfinite(value)):
            yield prefix + name, value


def _fits(value: Any) -> bool:
    """Tell whether a value is a whole number of 64 bits."""
    return type(value) is int and -(2**63) <= value < 2**63


def _records(rows: list[dict[str, Any]], *, begin: bool) -> bytes:
    """Return events as TensorBoard's files frame them: length and data, each followed by its sum."""
    event, now = _event(), time.time()
    events = [event(wall_time=now, file_version="brain.Event:2")] if begin else []
    for tag, step, value in points(rows):
        events.append(event(wall_time=now, step=step, summary={"value": [{"tag": tag, "simple_value": value}]}))
    return b"".join(map(_framed, (event.SerializeToString() for event in events)))


def _framed(data: bytes) -> bytes:
    header = _LENGTH.pack(len(data))
    return header + _SUM.pack(masked_crc32c(header)) + data + _SUM.pack(masked_crc32c(data))


def _event() -> Any:
    """Return the class of events; protobuf makes it at import, so that no type checker knows it."""
    return importlib.import_module("tensorboardX.proto.event_pb2").Event
