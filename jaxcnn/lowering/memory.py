"""The C library's memory, kept between the executions of a program."""

import ctypes
import os
import sys

# Of glibc's malloc.h: the parameters of mallopt, and what they are set to.
SETTINGS = {
    "M_MMAP_MAX": (-4, 0),  # large blocks come from the heap, not from fresh pages that the kernel clears each time
    "M_TRIM_THRESHOLD": (-1, 2**31 - 1),  # the heap's end is not given back
    "M_TOP_PAD": (-2, 2**26),  # it grows by 64 MB
    "M_ARENA_MAX": (-8, 1),  # one heap, whichever of XLA's threads asks
}


def keep_memory() -> bool:
    """Make malloc keep what it has got, unless `JAXCNN_MALLOC=default` says otherwise.

    XLA takes the temporary arrays of every execution from malloc anew. By default glibc maps blocks of that size
    afresh, and the kernel clears each page at its first touch: a large share of a training step. The process then
    holds on to the most that it ever needed.

    Returns:
        Whether all settings were taken: glibc alone has them.

    Example:
        >>> keep_memory() in (True, False)
        True

    Reference:
        mallopt(3).
    """
    if os.environ.get("JAXCNN_MALLOC") == "default" or sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    taken = [mallopt(parameter, value) for parameter, value in SETTINGS.values()]
    return all(taken)
