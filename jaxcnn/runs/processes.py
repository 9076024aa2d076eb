"""Several processes on one run: the first one writes, and the others wait for it."""

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

T = TypeVar("T")


def is_first() -> bool:
    """Tell whether this process is the one that writes: the only one, or that of index 0."""
    return jax.process_index() == 0


def first(do: Callable[[], T]) -> T | None:
    """Do something in the first process alone; it is done when this returns in any.

    Args:
        do: What to do.

    Returns:
        What it returned, None in the other processes.

    Raises:
        RuntimeError: In the other processes, where it failed.
    """
    if jax.process_count() == 1:
        return do()
    error, value = None, None
    if is_first():
        try:
            value = do()
        except Exception as raised:
            error = raised
    agree(error)
    return value


def any_process(flag: bool) -> bool:
    """Tell whether it holds in any of the processes; all of them ask at once.

    Args:
        flag: Whether it does in this one.

    Returns:
        The same in all of them.

    Example:
        >>> any_process(True)
        True
    """
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.int32(flag)).any())


def agree(error: BaseException | None) -> None:
    """Raise in every process where one has failed.

    Args:
        error: What went wrong in this one.

    Raises:
        RuntimeError: Another process failed. In the one that did, its own error is raised.
    """
    if jax.process_count() > 1:
        failed = np.flatnonzero(multihost_utils.process_allgather(np.int32(error is not None)))
    else:
        failed = []
    if error is not None:
        raise error
    if len(failed):
        raise RuntimeError(f"process {failed[0]} could not go on: its own message says why")
