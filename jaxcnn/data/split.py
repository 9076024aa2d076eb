"""Stratified splits that are the same everywhere, for ever."""

import numpy as np


def stratified_order(targets: np.ndarray, *, seed: int = 0) -> np.ndarray:
    r"""Return an order of the examples in which every prefix holds each class in proportion.

    The j-th example (from 0) of a class of $n_c$, shuffled, stands at $(j + 1/2) / n_c$. A prefix is then Webster's
    (Sainte-Lague's) apportionment: the counts are the nearest whole numbers to the exact shares. So "the
    first k held out, the others trained on" is two slices, memory-mapped ones too, and a larger held-out set
    contains every smaller one.

    The shuffle sorts PCG64's raw output, which NumPy guarantees (the methods of its generators may change).

    Args:
        targets: Class indices, shape (n,). Other shapes and floats are no classes: the order is a mere shuffle.
        seed: Draws the order. It is no run's seed: data sets keep the default.

    Returns:
        The indices 0..n-1, shape (n,), int64.

    Example:
        >>> targets = np.repeat([0, 1], [40, 20])
        >>> np.bincount(targets[stratified_order(targets)[:6]])
        array([4, 2])

    Reference:
        M. L. Balinski, H. P. Young: Fair Representation (1982), Webster's method.
    """
    shuffled = np.argsort(np.random.PCG64(seed).random_raw(len(targets)), kind="stable")
    if targets.ndim != 1 or targets.dtype.kind not in "iu":
        return shuffled
    _, classes, counts = np.unique(targets[shuffled], return_inverse=True, return_counts=True)
    rank = np.empty(len(targets))
    rank[np.argsort(classes, kind="stable")] = np.concatenate([np.arange(count) for count in counts])
    return shuffled[np.argsort((rank + 0.5) / counts[classes], kind="stable")]


def held_out(n: int, share: float, *, name: str = "validation") -> int:
    """Return how many of `n` examples a share is, at least one and not all of them.

    Args:
        n: Number of examples.
        share: The part of them, strictly between 0 and 1.
        name: What the share is called, for messages.

    Returns:
        The nearest whole number to `n * share`.

    Raises:
        ValueError: The share is not between 0 and 1, or leaves one of the two sides empty.

    Example:
        >>> held_out(60_000, 0.1)
        6000
    """
    if not 0 < share < 1:
        raise ValueError(f"`{name}` (={share}) must be a share strictly between 0 and 1")
    count = round(n * share)
    if not 0 < count < n:
        fitting = f", or a share of {1 / n:.2g} or more" if not count and n > 1 else ""
        raise ValueError(
            f"`{name}` (={share}) of {n} examples holds out {count}: both sides need at least one. Give more "
            f"examples{fitting}"
        )
    return count
