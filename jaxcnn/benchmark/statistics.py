"""What repeated measurements say: medians, the interval of a ratio, and whether the machine changed meanwhile."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

LEAST = 5
"""Measurements below which nothing is said of an interval."""
LEAST_STARTS = 3
"""Starts of a process below which nothing is said of how much starts differ."""


def quantity(values: Sequence[float]) -> dict[str, Any]:
    """Summarise a measured quantity, as records hold it.

    Args:
        values: Measurements, one or more.

    Returns:
        `median`, `q1` and `q3` (the quartiles), and `n`.

    Raises:
        ValueError: There is none, or one is not finite.

    Example:
        >>> quantity([3.0, 1.0, 2.0])
        {'median': 2.0, 'q1': 1.5, 'q3': 2.5, 'n': 3}
    """
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"`values` must be finite numbers, at least one; got {list(values)[:3]}")
    q1, median, q3 = np.quantile(np.asarray(values, float), (0.25, 0.5, 0.75))
    return {"median": float(median), "q1": float(q1), "q3": float(q3), "n": len(values)}


@dataclass(frozen=True)
class Ratio:
    """How many times as long the one took as the other, with the interval that holds it.

    Example:
        >>> Ratio(1.5, 1.4, 1.6).verdict, Ratio(1.02, 0.98, 1.06).verdict
        ('slower', 'no difference shown')
    """

    median: float
    low: float
    high: float
    confidence: float = 0.95

    @property
    def verdict(self) -> Literal["slower", "faster", "no difference shown"]:
        """What may be said of the first: nothing where the interval holds 1."""
        if self.low <= 1 <= self.high:
            return "no difference shown"
        return "slower" if self.median > 1 else "faster"

    def inverse(self) -> "Ratio":
        """Return the ratio of the other to the one."""
        return Ratio(1 / self.median, 1 / self.high, 1 / self.low, self.confidence)


def ratio(
    one: Sequence[float], other: Sequence[float], *, paired: bool = True, confidence: float = 0.95, draws: int = 4000
) -> Ratio:
    """Divide two series of times, and bootstrap the interval of what comes out.

    Where the series were taken in turns (`paired`) it is the median of the quotients of each turn: what slows the
    machine for a while slows both, and cancels. Else it is the quotient of the medians. Measurements are drawn anew
    with replacement, turns as wholes, always by the same random numbers; the interval is that of the percentiles.

    Args:
        one: Times.
        other: Times.
        paired: Whether `one[i]` and `other[i]` were taken in one turn.
        confidence: Of the interval.
        draws: Resamplings.

    Returns:
        The ratio.

    Raises:
        ValueError: Fewer than five measurements, times that are not positive, or turns that are not pairs.

    Example:
        >>> found = ratio([2.0, 2.2, 1.8, 2.1, 1.9], [1.0, 1.1, 0.9, 1.0, 1.0])
        >>> round(found.median, 2), found.verdict
        (2.0, 'slower')

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    a, b = np.asarray(one, float), np.asarray(other, float)
    if min(len(a), len(b)) < LEAST:
        raise ValueError(f"a ratio needs at least {LEAST} measurements of each; got {len(a)} and {len(b)}")
    if paired and len(a) != len(b):
        raise ValueError(f"turns must be pairs; got {len(a)} and {len(b)} measurements")
    if not ((a > 0) & np.isfinite(a)).all() or not ((b > 0) & np.isfinite(b)).all():
        raise ValueError("times must be positive and finite")
    generator = np.random.default_rng(0)
    if paired:
        logs = np.log(a / b)
        found = float(np.median(logs))
        drawn = np.median(logs[generator.integers(len(logs), size=(draws, len(logs)))], 1)
    else:
        medians = [np.median(x[generator.integers(len(x), size=(draws, len(x)))], 1) for x in (a, b)]
        found, drawn = math.log(np.median(a) / np.median(b)), np.log(medians[0] / medians[1])
    low, high = np.quantile(drawn, ((1 - confidence) / 2, (1 + confidence) / 2))
    return Ratio(math.exp(found), math.exp(low), math.exp(high), confidence)


def ratio_over_starts(quotients: Sequence[float], *, confidence: float = 0.95) -> Ratio:
    """Take the ratio of two works that were measured in turns by several processes, started one after another.

    A process keeps what it began with: where its arrays lie, which pages and threads it was given. Its turns repeat
    that, however many there are, and an interval over them alone is too narrow for what another process will show.
    Every start therefore counts as one observation. The ratio is their geometric mean, its interval Student's, of the
    logarithms.

    Args:
        quotients: The ratio's median in each start.
        confidence: Of the interval.

    Returns:
        The ratio.

    Raises:
        ValueError: Fewer than three starts, or quotients that are not positive.

    Example:
        >>> found = ratio_over_starts([2.0, 2.2, 2.1])
        >>> round(found.median, 2), round(found.low, 2), round(found.high, 2)
        (2.1, 1.86, 2.36)

    Reference:
        Kalibera and Jones, Rigorous benchmarking in reasonable time, 2013.
    """
    logs = _logs(quotients)
    return _student(float(logs.mean()), logs.var(ddof=1) / len(logs), len(logs) - 1, confidence)


def ratio_between_starts(one: Sequence[float], other: Sequence[float], *, confidence: float = 0.95) -> Ratio:
    """Divide the times of two works that were measured apart, by several starts each.

    Args:
        one: The median time of each start.
        other: The median time of each start.
        confidence: Of the interval, which is Welch's.

    Returns:
        The ratio of the geometric means.

    Raises:
        ValueError: Fewer than three starts of one, or times that are not positive.

    Example:
        >>> ratio_between_starts([1.1, 1.11, 1.12], [1.0, 1.01, 0.99]).verdict
        'slower'

    Reference:
        Welch, The generalization of "Student's" problem when several different population variances are involved, 1947.
    """
    a, b = _logs(one), _logs(other)
    parts = np.array([logs.var(ddof=1) / len(logs) for logs in (a, b)])
    weights = (parts**2 / [len(a) - 1, len(b) - 1]).sum()
    return _student(float(a.mean() - b.mean()), parts.sum(), parts.sum() ** 2 / weights if weights else 1, confidence)


def _logs(values: Sequence[float]) -> np.ndarray:
    found = np.asarray(values, float)
    if len(found) < LEAST_STARTS:
        raise ValueError(f"starts that are compared must be at least {LEAST_STARTS}; got {len(found)}")
    if not ((found > 0) & np.isfinite(found)).all():
        raise ValueError(f"starts must show positive, finite numbers; got {found.tolist()[:3]}")
    return np.log(found)


def _student(found: float, variance: float, freedom: float, confidence: float) -> Ratio:
    """Return the ratio of a logarithm whose estimate has this variance, known to so many degrees of freedom."""
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(variance)
    return Ratio(math.exp(found), math.exp(found - half), math.exp(found + half), confidence)


@dataclass(frozen=True)
class Drift:
    """Whether measurements grew or shrank while they were taken.

    Example:
        >>> Drift(0.2, 0.001).told
        'drift: from the first measurement to the last, times grew by 20 % of their median'
        >>> Drift(0.2, 0.3).told is None
        True
    """

    change: float
    """Of the fitted line, from the first measurement to the last, as a share of the median."""
    p_value: float
    """Of Kendall's rank correlation with time, if there were no trend."""

    @property
    def told(self) -> str | None:
        """A line about it, where there is a trend of over 3 % that chance hardly makes."""
        if self.p_value >= 0.01 or abs(self.change) < 0.03:
            return None
        how = f"{'grew' if self.change > 0 else 'fell'} by {100 * abs(self.change):.0f} % of their median"
        return f"drift: from the first measurement to the last, times {how}"


def drift(values: Sequence[float]) -> Drift:
    """Look for a trend in measurements, in the order in which they were taken.

    Args:
        values: Times.

    Returns:
        The change along the Theil-Sen line, and how likely such an order is by chance.

    Example:
        >>> drift([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]).change > 0.4
        True

    Reference:
        Sen, Estimates of the regression coefficient based on Kendall's tau, 1968.
    """
    if len(values) < LEAST or len(set(values)) == 1:
        return Drift(0.0, 1.0)
    slope: Any = stats.theilslopes(values)[0]
    p_value: Any = stats.kendalltau(np.arange(len(values)), values)[1]
    return Drift(float(slope) * (len(values) - 1) / float(np.median(values)), float(p_value))
