"""Campaigns of drawn examples in groups, each recorded when it is done, so that a stopped campaign goes on."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from references import campaigns


def drawn(number: int, make: Callable[[Any], Any]) -> Any:
    """Draw the third example that a seed gives: the first is the simplest one there is, whatever the seed."""
    found: list[Any] = []

    @seed(number)
    @settings(
        max_examples=3,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def collect(data: st.DataObject) -> None:
        found.append(make(data.draw))

    collect()
    return found[-1]


def run(name: str, command: str, groups: Iterable[str], count: Callable[[str], tuple[Counter[str], list[str]]]) -> Any:
    """Count what is not yet recorded, and record after every group.

    Args:
        name: Of the record.
        command: That runs the campaign.
        groups: Their keys.
        count: From a key to counts, and what was found wrong, in words.

    Returns:
        What is recorded: the sums of all groups, what was wrong in any, and each group's own.
    """
    file = campaigns.FOLDER / f"{name}.json"
    done = json.loads(file.read_text())["by_group"] if file.exists() else {}
    for key in groups:
        if key not in done:
            counts, wrong = count(key)
            done[key] = {"counts": dict(counts), "wrong": wrong}
            _write(name, command, done)
    return _write(name, command, done)


def _write(name: str, command: str, done: dict[str, Any]) -> dict[str, Any]:
    totals = sum((Counter(group["counts"]) for group in done.values()), Counter())
    wrong = [f"{key}: {fault}" for key, group in done.items() for fault in group["wrong"]]
    facts = {"groups": len(done), "counts": dict(sorted(totals.items())), "wrong": wrong}
    campaigns.record(name, command, **facts, by_group=done)
    return facts
