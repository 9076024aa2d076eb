"""How time grows with a size: a fitted exponent, beside that of the work itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DRAWS = 2000


@dataclass(frozen=True)
class Growth:
    """Time as a power of a size.

    Example:
        >>> Growth(1.02, 0.98, 1.06, 1.0, 1.3).told("batch")
        'time grows as batch^1.02 (0.98 to 1.06 by noise; a time is up to 30 % off), FLOPs as batch^1.00'
    """

    exponent: float
    low: float
    high: float
    flops_exponent: float
    """Of the analytic FLOPs, fitted alike: what time would grow by at the same speed."""
    misfit: float = 1.0
    """The largest factor between a median and the fitted power: what the interval, which is of noise, does not hold."""

    def told(self, name: str) -> str:
        """Say it in a line."""
        return (
            f"time grows as {name}^{self.exponent:.2f} ({self.low:.2f} to {self.high:.2f} by noise; a time "
            f"is up to {100 * (self.misfit - 1):.0f} % off), "
            f"FLOPs as {name}^{self.flops_exponent:.2f}"
        )


def fit_growth(sizes: Sequence[float], seconds: Sequence[Sequence[float]], flops: Sequence[float]) -> Growth:
    """Fit time = c size^k by least squares of logarithms, through the medians at each size.

    The interval is of 95 %, by drawing every size's measurements anew: it holds what noise does to k, and not how far
    the times are from any power.

    Args:
        sizes: At least two.
        seconds: Measurements at each.
        flops: Of a call at each.

    Returns:
        The exponents.

    Raises:
        ValueError: Fewer than two sizes, sizes that are not positive and different, or as many of another thing.

    Example:
        >>> fit_growth([1, 2, 4], [[1.0, 1.0], [4.0, 4.0], [16.0, 16.0]], [10, 20, 40]).exponent
        2.0
    """
    if not len(sizes) == len(seconds) == len(flops) >= 2 or min(sizes) <= 0 or len(set(sizes)) < len(sizes):
        raise ValueError(
            f"growth needs two different positive sizes or more, with times and FLOPs of each; got sizes {list(sizes)}"
        )
    logs = np.log(np.asarray(sizes, float))
    generator = np.random.default_rng(0)
    drawn = np.stack(
        [np.median(np.asarray(times)[generator.integers(len(times), size=(DRAWS, len(times)))], 1) for times in seconds]
    )
    low, high = np.quantile([_slope(logs, np.log(medians)) for medians in drawn.T], (0.025, 0.975))
    medians = np.log([np.median(times) for times in seconds])
    found = _slope(logs, medians)
    off = medians - medians.mean() - found * (logs - logs.mean())
    misfit = float(np.exp(np.abs(off).max()))
    return Growth(found, float(low), float(high), _slope(logs, np.log(np.asarray(flops, float))), misfit)


def size_of(record: Mapping[str, Any]) -> float:
    """Return how large the fact is that a record's `growth` names.

    Args:
        record: One of a row of sizes.

    Returns:
        The size; of `side`, that of the image.

    Example:
        >>> size_of({"growth": "side", "work": {"name": "train", "shape": [32, 32, 3]}})
        32
    """
    work, name = record["work"], record["growth"]
    return work["shape"][0] if name == "side" else work[name]


def growth_of(records: Sequence[Mapping[str, Any]]) -> Growth:
    """Fit the growth that a row of records shows.

    Args:
        records: Of the same work, but for the fact that `growth` names.

    Returns:
        The exponents.

    Example:
        >>> row = [
        ...     {"growth": "batch", "work": {"batch": n}, "samples_s": [n**0.5], "costs": {"flops": n}}
        ...     for n in (1, 2, 4)
        ... ]
        >>> growth_of(row).exponent
        0.5
    """
    return fit_growth(
        [size_of(record) for record in records],
        [record["samples_s"] for record in records],
        [record["costs"]["flops"] for record in records],
    )


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    centred = x - x.mean()
    return round(float(centred @ y / (centred @ centred)), 12)
