"""Measurements that are taken again by processes started anew, and one record of all of them."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from jaxcnn.benchmark.compare import title
from jaxcnn.benchmark.record import environment
from jaxcnn.benchmark.statistics import LEAST_STARTS, quantity, ratio_over_starts

Record = Mapping[str, Any]
COMMAND = "import sys; from jaxcnn.cli import main; raise SystemExit(main(sys.argv[1:]))"


class StartError(RuntimeError):
    """A start that failed.

    Example:
        >>> raise StartError("start 1 of 3 ended with 2")
        Traceback (most recent call last):
        jaxcnn.benchmark.starts.StartError: start 1 of 3 ended with 2
    """


class Starts:
    """Runs a command of `jaxcnn bench` in one process after another.

    Args:
        argv: What follows `jaxcnn`, without what is done with the records.

    Example:
        >>> Starts(["bench", "peak"]).argv[-2:]
        ['peak', '--json']
    """

    def __init__(self, argv: Sequence[str]):
        self.argv = [sys.executable, "-P", "-c", COMMAND, *argv, "--json"]
        self.process: subprocess.Popen[str] | None = None

    def run(self, times: int, *, told: Callable[[int], Any] | None = None) -> list[dict[str, Any]]:
        """Run it so many times, and merge what it measured. What it says on standard error is passed on.

        Args:
            times: How often, at least three times.
            told: Called before each with its number, from 1.

        Returns:
            The merged records.

        Raises:
            StartError: A process failed; what it said tells why.

        Example:
            >>> records = Starts(["bench", "pool", "--only", "nothing"]).run(3)
            Traceback (most recent call last):
            jaxcnn.benchmark.starts.StartError: start 1 of 3 ended with 2; its own words are above
        """
        found = []
        for number in range(1, times + 1):
            if told is not None:
                told(number)
            self.process = subprocess.Popen(self.argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
            document, _ = self.process.communicate()
            if self.process.returncode:
                raise StartError(
                    f"start {number} of {times} ended with {self.process.returncode}; its own words are above"
                )
            found.append(json.loads(document)["records"])
        return merge(found)

    def kill(self) -> None:
        """End the process that is running, if one is."""
        if self.process is not None:
            self.process.kill()


def merge(starts: Sequence[Sequence[Record]]) -> list[dict[str, Any]]:
    """Merge what several starts of one command measured: all times, and ratios over the starts.

    What a record holds beside times, rates, ratios and notes is that of the start whose median is the middle one.

    Args:
        starts: The records of each, of the same works.

    Returns:
        A record for each work, whose `starts` holds how many of its times are of each start.

    Raises:
        ValueError: Fewer than three starts, or other works in one of them.

    Example:
        >>> from jaxcnn.benchmark import Samples, make_record
        >>> starts = [[make_record({"name": "nap"}, Samples((s,) * 5, 1, 3, True))] for s in (0.5, 0.7, 0.6)]
        >>> (record,) = merge(starts)
        >>> record["starts"], record["seconds"]["median"]
        ([5, 5, 5], 0.6)
    """
    if len(starts) < LEAST_STARTS:
        raise ValueError(f"starts that are merged must be at least {LEAST_STARTS}; got {len(starts)}")
    works = [[title(record) for record in records] for records in starts]
    if any(titles != works[0] for titles in works):
        raise ValueError("the starts measured different works")
    return [_merged(records) for records in zip(*starts, strict=True)]


def _merged(records: Sequence[Record]) -> dict[str, Any]:
    """Merge one work's records, one of each start."""
    middle = sorted(records, key=lambda record: record["seconds"]["median"])[(len(records) - 1) // 2]
    times = [seconds for record in records for seconds in record["samples_s"]]
    amounts = {name: rate["median"] * middle["seconds"]["median"] for name, rate in middle["rates"].items()}
    return {
        **middle,
        "seconds": quantity(times),
        "samples_s": times,
        "starts": [len(record["samples_s"]) for record in records],
        "rates": {name: quantity([amount / seconds for seconds in times]) for name, amount in amounts.items()},
        "notes": [f"start {at}: {note}" for at, record in enumerate(records, 1) for note in record["notes"]],
        "ratios": {
            name: asdict(ratio_over_starts([record["ratios"][name]["median"] for record in records]))
            for name in middle["ratios"]
        },
        "environment": {**middle["environment"], "command": environment()["command"]},
    }


def without(words: Sequence[str], flags: Sequence[str]) -> list[str]:
    """Leave flags and their values out of a command.

    Args:
        words: Of the command.
        flags: Each of which has a value.

    Returns:
        The words that are left.

    Example:
        >>> without(["bench", "pool", "--record", "a.jsonl", "--page=there", "--seed", "1"], ["--record", "--page"])
        ['bench', 'pool', '--seed', '1']
    """
    kept, skipped = [], False
    for word in words:
        if skipped or word in flags:
            skipped = not skipped
        elif word.partition("=")[0] not in flags:
            kept.append(word)
    return kept
