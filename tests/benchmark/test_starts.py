"""Several starts of a process: what they say together, against SciPy, and where one start alone would say too much."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from jaxcnn import benchmark


def experiment(rng: np.random.Generator, starts: int, factor: float = 1.0) -> list[list[float]]:
    """Return the quotients of two works' turns, by start: starts differ by more than turns do."""
    return [(factor * math.exp(rng.normal(0, 0.06)) * np.exp(rng.normal(0, 0.02, 20))).tolist() for _ in range(starts)]


def over_starts(rng: np.random.Generator, factor: float = 1.0) -> benchmark.Ratio:
    return benchmark.ratio_over_starts([float(np.median(turns)) for turns in experiment(rng, 5, factor)])


def over_turns(rng: np.random.Generator, factor: float = 1.0) -> benchmark.Ratio:
    (turns,) = experiment(rng, 1, factor)
    return benchmark.ratio(turns, [1.0] * len(turns))


def agreements(measure: Any, experiments: int = 300) -> float:
    """Return in which share of experiments the intervals of two runs overlap."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(experiments):
        one, other = measure(rng), measure(rng)
        found += one.low <= other.high and other.low <= one.high
    return found / experiments


def test_two_runs_agree_by_their_starts_and_not_by_turns_of_one() -> None:
    assert agreements(over_starts) >= 0.97
    assert agreements(over_turns) < 0.4


def test_the_truth_lies_in_nineteen_of_twenty_intervals() -> None:
    rng = np.random.default_rng(1)
    found = [over_starts(rng, 1.3) for _ in range(400)]
    assert 0.92 <= np.mean([one.low <= 1.3 <= one.high for one in found]) <= 0.98
    assert np.mean([one.low <= 1 for one in found]) < 0.02


def test_the_intervals_are_scipys() -> None:
    rng = np.random.default_rng(2)
    one, other = np.exp(rng.normal(0.2, 0.1, 6)), np.exp(rng.normal(0, 0.05, 4))
    found = benchmark.ratio_over_starts(one.tolist(), confidence=0.9)
    expected = stats.t.interval(0.9, 5, np.log(one).mean(), stats.sem(np.log(one)))
    assert (found.low, found.high) == pytest.approx(np.exp(expected))
    assert found.median == pytest.approx(stats.gmean(one))
    apart = benchmark.ratio_between_starts(one.tolist(), other.tolist())
    welch: Any = stats.ttest_ind(np.log(one), np.log(other), equal_var=False)
    interval = welch.confidence_interval(0.95)
    assert apart.median == pytest.approx(stats.gmean(one) / stats.gmean(other))
    assert (apart.low, apart.high) == pytest.approx((math.exp(interval.low), math.exp(interval.high)))


@pytest.mark.parametrize(
    ("quotients", "message"), [([1.0, 1.1], "at least 3; got 2"), ([1.0, -1, 2], "positive, finite numbers")]
)
def test_what_are_no_starts(quotients: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        benchmark.ratio_over_starts(quotients)


def start(seconds: float, quotient: float, peak: int = 1) -> list[dict[str, Any]]:
    """Return the records of one start: a work, and another in turns with it."""
    works = {"walk": np.linspace(0.9, 1.1, 5) * seconds, "run": np.linspace(0.9, 1.1, 5) * seconds * quotient}
    (one, other), samples = works, [benchmark.Samples(tuple(times), 1, peak, True) for times in works.values()]
    there = benchmark.ratio(works[other].tolist(), works[one].tolist())
    return [
        benchmark.make_record({"name": one}, samples[0], ratios={other: there}, per_call={"steps_per_s": 10}),
        benchmark.make_record({"name": other}, samples[1], ratios={one: there.inverse()}),
    ]


def test_starts_are_merged_into_one_record_of_each_work() -> None:
    walk, run = benchmark.merge([start(1.0, 2.0, 3), start(1.2, 2.2, 4), start(1.1, 2.1, 5)])
    assert walk["starts"] == [5, 5, 5]
    assert walk["samples_s"][5:10] == pytest.approx([1.08, 1.14, 1.2, 1.26, 1.32])
    assert walk["seconds"]["n"] == 15
    assert walk["rates"]["steps_per_s"]["median"] == pytest.approx(10 / walk["seconds"]["median"])
    assert walk["warmup"] == 5, "what else there is must be of the start whose median is the middle one"
    expected = benchmark.ratio_over_starts([2.0, 2.2, 2.1])
    assert benchmark.ratios_of([walk])["walk: run"].high == pytest.approx(expected.high)
    assert benchmark.ratios_of([run])["run: walk"].low == pytest.approx(1 / expected.high)


def test_starts_of_other_works_are_not_merged() -> None:
    with pytest.raises(ValueError, match="different works"):
        benchmark.merge([start(1.0, 2.0), start(1.0, 2.0), start(1.0, 2.0)[:1]])
    with pytest.raises(ValueError, match="at least 3; got 2"):
        benchmark.merge([start(1.0, 2.0), start(1.0, 2.0)])


def test_files_of_several_starts_are_compared_by_their_starts() -> None:
    """Turns repeat what a start began with: 5 % between two files is nothing where starts differ by 10 %."""
    before = benchmark.merge([start(s, 2.0) for s in (1.0, 1.1, 1.2)])
    after = benchmark.merge([start(s * 1.05, 2.0) for s in (1.0, 1.1, 1.2)])
    rows, left = benchmark.compare(before, after)
    assert left == []
    assert [row.ratio.median for row in rows] == pytest.approx([1.05, 1.05])
    assert {row.ratio.verdict for row in rows} == {"no difference shown"}
    slower = benchmark.merge([start(s * 1.5, 2.0) for s in (1.0, 1.1, 1.2)])
    assert {row.ratio.verdict for row in benchmark.compare(before, slower)[0]} == {"slower"}
