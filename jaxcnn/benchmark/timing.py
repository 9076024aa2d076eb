"""How long compiled work takes: its stages apart, then repetitions that are blocked on, until they are steady."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcnn.benchmark.energy import energy_meter
from jaxcnn.benchmark.statistics import drift

SHORTEST = 2e-3
"""Seconds that one measurement takes at least: of shorter work, several calls one after another."""
STEADY = 0.05
"""Two blocks of warm-up whose medians differ by less are steady."""
WIDE = 1.5
"""Quartiles that are farther apart than by this factor are told."""
BLOCK = 3
"""Measurements in a block of warm-up."""


@dataclass(frozen=True)
class Stages:
    """Seconds from a Python function to its first result.

    Example:
        >>> Stages(0.1, 0.2, 1.5, 0.01).trace_s
        0.1
    """

    trace_s: float
    """To a jaxpr."""
    lower_s: float
    """To StableHLO."""
    compile_s: float
    """To a program of the device."""
    first_s: float
    """Its first run: memory is taken, and libraries choose their kernels."""


def compile_stages(fn: Callable[..., Any], *args: Any, donate: tuple[int, ...] = ()) -> tuple[Any, Stages]:
    """Compile a function for its arguments, and run it once.

    Args:
        fn: A function of arrays; one that is jitted is taken as it is.
        *args: Its arguments, arrays. Those that are donated are copied for the first run.
        donate: Numbers of the arguments whose memory the result may take; not of a function that is jitted already.

    Returns:
        The compiled program, and how long each stage took.

    Example:
        >>> import jax.numpy as jnp
        >>> program, stages = compile_stages(lambda x: x * 2, jnp.ones(3))
        >>> program(jnp.ones(3)).tolist(), stages.compile_s > 0
        ([2.0, 2.0, 2.0], True)
    """
    jitted: Any = fn if hasattr(fn, "trace") else jax.jit(fn, donate_argnums=donate)
    jax.block_until_ready(args)
    marks = [time.perf_counter()]
    traced = jitted.trace(*args)
    marks.append(time.perf_counter())
    lowered = traced.lower()
    marks.append(time.perf_counter())
    program = lowered.compile()
    marks.append(time.perf_counter())
    given = [jax.tree.map(lambda leaf: leaf.copy(), arg) if i in donate else arg for i, arg in enumerate(args)]
    jax.block_until_ready(given)
    began = time.perf_counter()
    jax.block_until_ready(program(*given))
    trace_s, lower_s, compile_s = np.diff(marks).tolist()
    return program, Stages(trace_s, lower_s, compile_s, time.perf_counter() - began)


@dataclass(frozen=True)
class Samples:
    """Measurements of one kind of work, in the order in which they were taken.

    Example:
        >>> Samples((0.1, 0.2), calls=1, warmup=6, steady=True).seconds
        (0.1, 0.2)
    """

    seconds: tuple[float, ...]
    """Of one call each: the mean where several calls are one measurement."""
    calls: int
    """In a measurement."""
    warmup: int
    """Calls before the first measurement, the run after compilation not counted."""
    steady: bool
    """Whether two blocks of warm-up agreed; else the first measurements may still be slow."""
    joules: float | None = None
    """Energy of one call, the mean of all; None where no device counts it."""
    throttled: int | None = None
    """How often the processor slowed itself meanwhile because it was hot; None where it does not tell."""

    @property
    def notes(self) -> list[str]:
        """What is to be told of them."""
        told = [] if self.steady else ["warm-up did not become steady: the spread holds what is left of it"]
        if self.throttled:
            told.append(f"the processor throttled itself {self.throttled} times meanwhile")
        q1, q3 = np.quantile(self.seconds, (0.25, 0.75))
        if q3 > WIDE * q1:
            told.append(
                f"the quartiles are {q3 / q1:.1f} times apart: the machine was busy, or the work has two speeds"
            )
        trend = drift(self.seconds).told
        return [*told, *([trend] if trend else [])]


def measure(call: Callable[[], Any], *, seconds: float = 3.0, least: int = 7, most: int = 1000) -> Samples:
    """Repeat a call until it is steady, and then measure it.

    Every result is blocked on before the clock is read. Python's garbage collector is off meanwhile.

    Args:
        call: Work, which returns what is to be waited for.
        seconds: About how long to measure; warm-up takes at most half as long again.
        least: Measurements at least, however long they take.
        most: Measurements at most.

    Returns:
        The measurements.

    Raises:
        ValueError: A size out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> double = jax.jit(lambda x: x * 2)
        >>> samples = measure(lambda: double(jnp.ones(3)), seconds=0.1)
        >>> len(samples.seconds) >= 7 and min(samples.seconds) > 0
        True
    """
    (samples,) = alternate({"": call}, seconds=seconds, least=least, most=most).values()
    return samples


def alternate(
    calls: Mapping[str, Callable[[], Any]],
    *,
    seconds: float = 3.0,
    least: int = 7,
    most: int = 1000,
    shortest: float = SHORTEST,
) -> dict[str, Samples]:
    """Measure several kinds of work in turns, so that what slows the machine slows all of them.

    Each turn measures every one once; every other turn goes the other way round. `statistics.ratio` compares the turns.

    Args:
        calls: Work by name.
        seconds: About how long to measure each.
        least: Turns at least.
        most: Turns at most.
        shortest: Seconds that one measurement takes at least, by several calls one after another.

    Returns:
        Measurements by name, equally many of each: those of one turn stand at the same place.

    Raises:
        ValueError: Nothing to measure, or a size out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> found = alternate({"ones": lambda: jnp.ones(9), "zeros": lambda: jnp.zeros(9)}, seconds=0.05)
        >>> len(found["ones"].seconds) == len(found["zeros"].seconds) >= 7
        True
    """
    if not calls or not 1 <= least <= most or seconds < 0:
        raise ValueError(
            f"`least` (={least}) to `most` (={most}) turns of {len(calls)} calls, {seconds} s: none is left"
        )
    with _undisturbed():
        ready = {name: _warmed(call, seconds / 2, shortest) for name, call in calls.items()}
        meter = energy_meter()
        spent = dict.fromkeys(calls, 0.0)
        turn = sum(calls * each for calls, each, _, _ in ready.values())
        turns = int(np.clip(seconds * len(calls) / max(turn, 1e-9), least, most))
        taken: dict[str, list[float]] = {name: [] for name in calls}
        before = _throttle_count()
        for number in range(turns):
            for name in list(calls)[:: 1 if number % 2 == 0 else -1]:
                before_j = meter() if meter else 0.0
                taken[name].append(_seconds(calls[name], ready[name][0]))
                spent[name] += meter() - before_j if meter else 0.0
        after = _throttle_count()
    throttled = None if before is None or after is None else after - before
    return {
        name: Samples(
            tuple(taken[name]), repeats, warmup, steady, spent[name] / (turns * repeats) if meter else None, throttled
        )
        for name, (repeats, _, warmup, steady) in ready.items()
    }


def _warmed(call: Callable[[], Any], seconds: float, shortest: float) -> tuple[int, float, int, bool]:
    """Call until two blocks agree; return calls in a measurement, seconds of a call, calls so far, and if they did."""
    each = _agreed(_seconds(call, 1))
    repeats = max(1, round(shortest / each)) if each < shortest else 1
    done, spent, last = 1, each, float("inf")
    while True:
        block = [_seconds(call, repeats) for _ in range(BLOCK)]
        median = _agreed(float(np.median(block)))
        done, spent = done + BLOCK * repeats, spent + BLOCK * median * repeats
        if abs(median - last) < STEADY * median:
            return max(1, round(shortest / median)) if median < shortest else 1, median, done, True
        if spent > seconds and last < float("inf"):
            return repeats, median, done, False
        last = median


def _agreed(seconds: float) -> float:
    """Return the longest of all processes' times, by which they take the same number of turns."""
    if jax.process_count() == 1:
        return seconds
    from jax.experimental import multihost_utils

    return float(np.max(multihost_utils.process_allgather(np.float32(seconds))))


def _seconds(call: Callable[[], Any], repeats: int) -> float:
    """Return what one call takes, by so many one after another, each of which is waited for."""
    began = time.perf_counter()
    for _ in range(repeats):
        jax.block_until_ready(call())
    return (time.perf_counter() - began) / repeats


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep Python's garbage collector from the measurements."""
    on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _throttle_count() -> int | None:
    """Return how often the cores have slowed themselves since the machine started; None where Linux does not tell."""
    files = list(Path("/sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))
    try:
        return sum(int(file.read_text()) for file in files) if files else None
    except (OSError, ValueError):
        return None
