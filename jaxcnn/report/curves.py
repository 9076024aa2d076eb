"""Learning curves: what was measured after each epoch, run beside run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

PARTS = ("validation", "train")
"""What metrics were measured on, in the order of the legend."""


class Series(NamedTuple):
    """One line of a chart.

    Example:
        >>> Series("mine, train", 0, True, [(1, 0.5)]).points
        [(1, 0.5)]
    """

    name: str
    run: int
    """Number of the run, which has a colour."""
    dashed: bool
    """Of the training set."""
    points: list[tuple[int, float | None]]
    """Epoch and value, as `metrics.jsonl` has it; None where that is no finite number."""


class Chart(NamedTuple):
    """Lines of one metric.

    Example:
        >>> Chart("loss", [Series("mine, train", 0, True, [(1, 0.5), (2, 0.25)])]).told
        'loss by epoch. mine, train: 0.5 at epoch 1, 0.25 at epoch 2.'
    """

    title: str
    series: list[Series]

    @property
    def told(self) -> str:
        """What it shows, in words."""
        lines = [f"{self.title} by epoch."]
        for series in self.series:
            (first, start), (last, end) = series.points[0], series.points[-1]
            lines.append(f"{series.name}: {_text(start)} at epoch {first}, {_text(end)} at epoch {last}.")
        return " ".join(lines)

    @property
    def data(self) -> dict[str, Any]:
        """What the page draws."""
        return {"title": self.title, "series": [series._asdict() for series in self.series]}

    @property
    def epochs(self) -> list[int]:
        """All epochs of which a line has a value."""
        return sorted({epoch for series in self.series for epoch, _ in series.points})


def charts(runs: Sequence[str], metrics: Sequence[Sequence[Mapping[str, Any]]]) -> list[Chart]:
    """Sort what runs measured into charts, one for every metric.

    Args:
        runs: Their names.
        metrics: Of each run the rows of `metrics.jsonl`.

    Returns:
        A chart for each metric, and one for the learning rate; those of losses first.

    Example:
        >>> rows = [{"epoch": 1, "lr": 0.1, "train": {"loss": 2.0}, "validation": {"loss": 2.5}}]
        >>> [(chart.title, [series.name for series in chart.series]) for chart in charts(["mine"], [rows])]
        [('loss', ['mine, validation', 'mine, train']), ('lr', ['mine'])]
    """
    found: dict[str, list[Series]] = {}
    for number, (name, rows) in enumerate(zip(runs, metrics, strict=True)):
        lines: dict[tuple[str, str], list[tuple[int, float | None]]] = {}
        for row in rows:
            for part in PARTS:
                for metric, value in row.get(part, {}).items():
                    if isinstance(value, int | float):
                        lines.setdefault((metric, part), []).append((row["epoch"], _finite(value)))
            if isinstance(row.get("lr"), int | float):
                lines.setdefault(("lr", ""), []).append((row["epoch"], _finite(row["lr"])))
        for (metric, part), points in lines.items():
            called = f"{name}, {part}" if part else name
            found.setdefault(metric, []).append(Series(called, number, part == "train", points))
    order = sorted(found, key=lambda metric: (metric == "lr", metric != "loss", list(found).index(metric)))
    return [Chart(metric, found[metric]) for metric in order]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(value: float | None) -> str:
    return "no number" if value is None else f"{value:.4g}"
