"""The metric that a run is chosen by and known for: the accuracy, or what stands for it."""

from collections.abc import Mapping
from typing import Any

SCORES = ("accuracy", "f1", "panoptic_quality")
"""Fractions, of which the larger is the better."""


def score_name(metrics: Mapping[str, Any]) -> str | None:
    """Return which of a run's metrics is its score.

    Args:
        metrics: By name.

    Returns:
        The name; None where there is none but the loss.

    Example:
        >>> score_name({"loss": 0.1, "f1": 0.9}), score_name({"loss": 0.1})
        ('f1', None)
    """
    return next((name for name in SCORES if name in metrics), None)


def headline(metrics: Mapping[str, Any]) -> str:
    """Write the score.

    Args:
        metrics: Values by name.

    Returns:
        Its name and value; nothing where there is none.

    Example:
        >>> headline({"loss": 0.1, "panoptic_quality": 0.9})
        'panoptic quality 90.00%'
    """
    name = score_name(metrics)
    return "" if name is None else f"{name.replace('_', ' ')} {metrics[name]:.2%}"
