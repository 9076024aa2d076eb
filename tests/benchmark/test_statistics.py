"""Medians, intervals and trends, against SciPy, and against experiments of which the truth is known."""

import numpy as np
import pytest
from scipy import stats

from jaxcnn import benchmark


def noisy(rng: np.random.Generator, factor: float, turns: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """Times of two works in turns: a machine that wanders, and spikes that hit either."""
    machine = np.exp(np.cumsum(rng.normal(0, 0.05, turns)))
    one, other = (machine * np.exp(np.abs(rng.normal(0, 0.03, turns))) for _ in range(2))
    one[rng.random(turns) < 0.1] *= 3
    return factor * one, other


def verdicts(factor: float, *, paired: bool = True, experiments: int = 200) -> list[str]:
    rng = np.random.default_rng(0)
    return [benchmark.ratio(*noisy(rng, factor), paired=paired).verdict for _ in range(experiments)]


def test_a_planted_slowdown_is_found() -> None:
    assert verdicts(1.1).count("slower") >= 190
    assert verdicts(1 / 1.1).count("faster") >= 190


def test_where_nothing_was_planted_nothing_is_found() -> None:
    """An interval of 95 % misses the truth in about one of twenty experiments."""
    assert verdicts(1.0).count("no difference shown") >= 180


def test_turns_find_what_series_apart_do_not() -> None:
    """The machine wanders by more than the works differ, which cancels in turns."""
    assert verdicts(1.1, paired=False).count("slower") < verdicts(1.1).count("slower") - 20


def test_the_interval_is_that_of_scipys_bootstrap() -> None:
    rng = np.random.default_rng(1)
    a, b = noisy(rng, 1.3)
    found = benchmark.ratio(a, b)
    expected = stats.bootstrap((np.log(a / b),), np.median, method="percentile", n_resamples=4000, rng=rng)
    low, high = np.exp(expected.confidence_interval)
    assert found.median == pytest.approx(np.median(a / b))
    assert (found.low, found.high) == pytest.approx((low, high), rel=0.02)
    apart = benchmark.ratio(a, b, paired=False)
    assert apart.median == pytest.approx(np.median(a) / np.median(b))


def test_the_other_way_round() -> None:
    rng = np.random.default_rng(2)
    a, b = noisy(rng, 1.3)
    there, back = benchmark.ratio(a, b), benchmark.ratio(b, a).inverse()
    assert (there.median, there.low, there.high) == pytest.approx((back.median, back.low, back.high))


@pytest.mark.parametrize(
    ("one", "other", "paired", "message"),
    [
        ([1.0] * 4, [1.0] * 4, True, "at least 5 measurements of each; got 4 and 4"),
        ([1.0] * 6, [1.0] * 5, True, "turns must be pairs; got 6 and 5"),
        ([1.0] * 5, [1.0, 1, 1, 1, 0], True, "positive and finite"),
        ([float("nan")] * 5, [1.0] * 5, False, "positive and finite"),
    ],
)
def test_what_is_no_series_of_times(one: list, other: list, paired: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        benchmark.ratio(one, other, paired=paired)


def test_quantities_are_numpys_quantiles() -> None:
    values = np.random.default_rng(0).exponential(size=20)
    found = benchmark.quantity(list(values))
    assert found == {
        "median": np.median(values),
        "q1": np.quantile(values, 0.25),
        "q3": np.quantile(values, 0.75),
        "n": 20,
    }
    for wrong in ([], [float("inf")]):
        with pytest.raises(ValueError, match="finite numbers, at least one"):
            benchmark.quantity(wrong)


def test_a_machine_that_slows_down_is_told() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.02, 40)
    slowing = benchmark.drift(1 + 0.2 * np.arange(40) / 39 + noise)
    assert slowing.change == pytest.approx(0.2 / 1.1, abs=0.03)
    assert slowing.told is not None
    assert "times grew by 19 %" in slowing.told
    assert "times fell by" in str(benchmark.drift((1 + 0.2 * np.arange(40) / 39 + noise)[::-1]).told)
    quiet = [benchmark.drift(1 + rng.normal(0, 0.05, 40)).told for _ in range(200)]
    assert quiet.count(None) >= 194  # one of a hundred by chance
    assert benchmark.drift([1.0] * 9).told is None
