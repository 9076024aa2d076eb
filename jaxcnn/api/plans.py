"""Which way members of one program run fastest: measured once on a machine, and remembered."""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxcnn.data.cache import root
from jaxcnn.runs import environment
from jaxcnn.training import Plan

TURNS = 3
"""Times that each plan is measured, in turns; the fastest counts, since what disturbs only slows."""
SHARE_OF_MEMORY = 0.5
"""Of the machine's, that a plan may take."""
FAR = 1.5
"""Times as long as the fastest, from where a plan is not measured again."""
AHEAD = 0.97
"""A plan must take less than this share of the time of one that needs less memory."""


class Chosen(NamedTuple):
    """A plan, and what it was chosen by.

    Example:
        >>> Chosen(Plan("vmap"), {"vmap": 0.1}, remembered=False).plan.way
        'vmap'
    """

    plan: Plan
    seconds: Mapping[str, float]
    """Of the same steps by each plan that was tried; infinite where it needs too much memory."""
    remembered: bool
    """Whether it was measured before, and not now."""


def choose(
    plans: Sequence[Plan],
    trial: Callable[[Plan], tuple[int | None, Callable[[], Any]]],
    *,
    about: Any,
    told: Callable[[Plan], Any] = lambda plan: None,
) -> Chosen:
    """Measure plans in turns, and choose the fastest; where that was done before for the same work, remember it.

    Args:
        plans: In order of the memory they need.
        trial: `trial(plan) -> (bytes that it needs, a call that runs it)`.
        about: What tells the work from others, as JSON can hold it.
        told: Called with each plan before it is compiled.

    Returns:
        The plan.

    Example:
        >>> import tempfile, unittest.mock
        >>> with unittest.mock.patch.dict(os.environ, JAXCNN_CACHE=tempfile.mkdtemp()):
        ...     slow, fast = Plan("one by one"), Plan("vmap")
        ...     def trial(plan):
        ...         return 0, lambda: time.sleep(0.02 if plan == slow else 0.001)
        ...     [choose([slow, fast], trial, about="naps")[::2] for _ in range(2)]
        [(Plan(way='vmap', size=1), False), (Plan(way='vmap', size=1), True)]
    """
    if len(plans) == 1:
        return Chosen(plans[0], {}, remembered=False)
    path = root() / "plans" / f"{_fingerprint([about, list(map(str, plans))])}.json"
    by_name = {str(plan): plan for plan in plans}
    if (known := _read(path)) and set(known) <= set(by_name):
        return Chosen(_fastest(plans, known), known, remembered=True)
    calls, seconds = {}, dict.fromkeys(by_name, math.inf)
    for plan in plans:
        told(plan)
        needed, call = trial(plan)
        if needed is None or needed <= memory():
            call()
            calls[str(plan)] = call
    for _ in range(TURNS):
        best = min(seconds.values())
        for name, call in calls.items():
            if best < math.inf and seconds[name] > FAR * best:
                continue
            began = time.perf_counter()
            jax.block_until_ready(call())
            seconds[name] = min(seconds[name], time.perf_counter() - began)
    _write(path, seconds)
    return Chosen(_fastest(plans, seconds), seconds, remembered=False)


def memory() -> int:
    """Return how many bytes a plan may take.

    Returns:
        Half of the accelerator's memory, or of the machine's.

    Example:
        >>> memory() > 10**8
        True
    """
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    whole = (stats or {}).get("bytes_limit") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(SHARE_OF_MEMORY * whole)


def _fastest(plans: Sequence[Plan], seconds: Mapping[str, float]) -> Plan:
    best = plans[0]
    for plan in plans[1:]:
        if seconds.get(str(plan), math.inf) < AHEAD * seconds.get(str(best), math.inf):
            best = plan
    return best


def _fingerprint(about: Any) -> str:
    here = environment()
    kept = {name: here[name] for name in ("packages", "device", "cpus", "flags") if name in here}
    return hashlib.sha256(json.dumps([about, kept], sort_keys=True, default=str).encode()).hexdigest()[:32]


def _read(path: Path) -> dict[str, float] | None:
    try:
        found = json.loads(path.read_text())
        return {str(name): math.inf if value is None else float(value) for name, value in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # none there, or damaged: it is measured again
        return None


def _write(path: Path, seconds: Mapping[str, float]) -> None:
    told = {name: value if math.isfinite(value) else None for name, value in seconds.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(told))
        part.replace(path)
    except OSError:  # remembered or not, the plan stands
        return
