"""Nearest neighbours in feature space: which images a network finds alike."""

from typing import Literal

import numpy as np
from jax import Array

AT_ONCE = 1 << 24
"""Distances that are held at once."""


def nearest(
    features: np.ndarray | Array,
    queries: np.ndarray | Array,
    *,
    count: int = 5,
    metric: Literal["euclidean", "cosine"] = "euclidean",
) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows nearest to each query.

    Distances are `|a - b|`, or `1 - a.b / (|a| |b|)`, computed in float64. Of equal distances the first row is named
    first. A query that is itself among the rows finds itself first, at 0: ask for one more.

    Args:
        features: `(rows, features)`, see `features`.
        queries: `(queries, features)`.
        count: How many for each.
        metric: `euclidean` or `cosine`.

    Returns:
        Numbers of the rows and their distances, `(queries, count)` each, the nearest first.

    Raises:
        ValueError: Shapes that do not fit, too few rows, another metric, or a row of zeros, which has no direction.

    Example:
        >>> rows, distances = nearest(np.array([[0.0, 0], [3, 4], [1, 0]]), np.array([[0.0, 0]]), count=2)
        >>> rows.tolist(), distances.tolist()
        ([[0, 2]], [[0.0, 1.0]])
    """
    a, b = np.asarray(features, np.float64), np.asarray(queries, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"`features` and `queries` must be (rows, features) of as many features; got {a.shape} and {b.shape}"
        )
    if not 1 <= count <= len(a):
        raise ValueError(f"`count` (={count}) must be from 1 to the number of rows, {len(a)}")
    if metric not in ("euclidean", "cosine"):
        raise ValueError(f"`metric` (={metric!r}) must be 'euclidean' or 'cosine'")
    if metric == "cosine":
        a, b = (_directions(name, rows) for name, rows in (("features", a), ("queries", b)))
    middle = a.mean(0)  # far from zero, squares would swallow what rows differ by
    a, b = a - middle, b - middle
    found, distances, squares = [], [], (a**2).sum(1)
    size = max(1, AT_ONCE // len(a))
    for start in range(0, len(b), size):
        part = b[start : start + size]
        order = np.argsort(squares - 2 * part @ a.T, axis=1, kind="stable")[:, :count]
        off = np.linalg.norm(a[order] - part[:, None], axis=-1)
        found.append(order)
        distances.append(off**2 / 2 if metric == "cosine" else off)  # |a - b|^2 = 2 - 2 a.b of unit vectors
    return np.concatenate(found or [np.zeros((0, count), int)]), np.concatenate(distances or [np.zeros((0, count))])


def _directions(name: str, rows: np.ndarray) -> np.ndarray:
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    if not sizes.all():
        raise ValueError(f"`{name}` must have no row of zeros for 'cosine'; row {int(np.argmin(sizes))} is one")
    return rows / sizes
