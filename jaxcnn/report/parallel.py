"""Parallel coordinates: every trial of a sweep as a line through its values."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

WIDE = 30.0
"""Values of which the largest is so many times the least are spaced by their logarithms."""


def draw_parallel(
    rows: Sequence[tuple[Mapping[str, Any], float]], path: str | os.PathLike[str], *, score: str = "validation"
) -> None:
    """Draw an axis for every field and one for the score, and a line for each trial, coloured by its score.

    Args:
        rows: Values by name, the same names in all, and the score; a trial whose score is NaN is left out.
        path: File to write; its ending (`.png`, `.svg`, `.pdf`) says the format.
        score: What the score is called.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: No trial with a score.

    Example:
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp(), "sweep.png")
        >>> draw_parallel([({"lr": 0.1, "act": "relu"}, 0.9), ({"lr": 0.001, "act": "gelu"}, 0.8)], file)
        >>> file.stat().st_size > 1000
        True
    """
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("a figure needs matplotlib: pip install 'jaxcnn[experiments]'") from error
    kept = [(values, float(value)) for values, value in rows if math.isfinite(value)]
    if not kept:
        raise ValueError("no trial has a score to draw")
    scores = np.array([value for _, value in kept])
    columns = {name: [values[name] for values, _ in kept] for name in kept[0][0]} | {score: scores.tolist()}
    figure = Figure(figsize=(1.6 * len(columns) + 1.5, 4), layout="constrained")
    axes = figure.add_subplot()
    heights = np.stack([_axis(axes, at, name, column) for at, (name, column) in enumerate(columns.items())], 1)
    span = np.ptp(scores) or 1.0
    for at in np.argsort(scores):  # the best are drawn last, on top
        colour = colormaps["viridis"]((scores[at] - scores.min()) / span)
        axes.plot(range(len(columns)), heights[at], color=colour, lw=1.5, alpha=0.8)
    axes.set_xticks(range(len(columns)), list(columns))
    axes.set_yticks([])
    axes.set(xlim=(-0.3, len(columns) - 0.4), ylim=(-0.06, 1.06))
    for side in ("top", "bottom", "left", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=110)


def _axis(axes: Any, at: int, name: str, column: Sequence[Any]) -> np.ndarray:
    """Draw an axis with its ticks; return how high every value stands on it, from 0 to 1."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in column)
    known = sorted(set(column)) if numbers else list(dict.fromkeys(map(str, column)))
    if not numbers:
        places = {value: k / max(len(known) - 1, 1) for k, value in enumerate(known)}
        heights, ticks = np.array([places[str(value)] for value in column]), places
    else:
        low, high = float(known[0]), float(known[-1])
        log = low > 0 and high / low >= WIDE

        def place(value: float) -> float:
            if high == low:
                return 0.5
            return math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)

        shown = known if len(known) <= 6 else [low, math.sqrt(low * high) if log else (low + high) / 2, high]
        heights, ticks = np.array([place(float(v)) for v in column]), {f"{v:.4g}": place(float(v)) for v in shown}
    axes.axvline(at, color="gray", lw=1)
    for text, height in ticks.items():
        axes.annotate(text, (at, height), xytext=(4, 0), textcoords="offset points", fontsize=7, va="center")
    return heights
