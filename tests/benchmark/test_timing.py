"""How measurements are taken, on a clock that moves only as the work says: no test waits for a real one."""

import gc
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxcnn import benchmark
from jaxcnn.benchmark import timing


class Clock:
    """Time, which passes in calls alone."""

    def __init__(self) -> None:
        self.now = 0.0
        self.called: list[str] = []

    def perf_counter(self) -> float:
        return self.now

    def work(self, name: str, seconds: Callable[[int], float]) -> Callable[[], None]:
        """A call that takes `seconds(how often it was called before)`."""

        def call() -> None:
            self.now += seconds(self.called.count(name))
            self.called.append(name)

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    return clock


def test_measurements_fill_the_time(clock: Clock) -> None:
    found = benchmark.measure(clock.work("a", lambda n: 0.1), seconds=2.0)
    assert found.seconds == pytest.approx([0.1] * 20)
    assert (found.calls, found.steady, found.notes) == (1, True, [])
    assert found.warmup == len(clock.called) - 20


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, 7), (1e6, 1000)])
def test_there_are_enough_and_not_too_many(clock: Clock, seconds: float, expected: int) -> None:
    assert len(benchmark.measure(clock.work("a", lambda n: 1.0), seconds=seconds).seconds) == expected


def test_short_work_is_measured_many_calls_at_a_time(clock: Clock) -> None:
    found = benchmark.measure(clock.work("a", lambda n: 1e-4), seconds=0.1)
    assert found.calls == 20
    assert found.seconds == pytest.approx([1e-4] * 50)


def test_warm_up_goes_on_until_it_is_steady(clock: Clock) -> None:
    """The first twelve calls are slow: none of them is measured."""
    found = benchmark.measure(clock.work("a", lambda n: max(12 - n, 1) * 0.1), seconds=30.0)
    assert found.steady
    assert found.seconds == pytest.approx([0.1] * len(found.seconds))


def test_work_that_never_becomes_steady_is_measured_and_told(clock: Clock) -> None:
    found = benchmark.measure(clock.work("a", lambda n: 0.1 * 1.2**n), seconds=2.0)
    assert not found.steady
    assert "warm-up did not become steady" in found.notes[0]
    assert "the quartiles are" in found.notes[1]
    assert found.notes[2].startswith("drift: from the first measurement to the last, times grew by")


def test_turns_go_there_and_back(clock: Clock) -> None:
    calls = {name: clock.work(name, lambda n: 1.0) for name in "abc"}
    found = benchmark.alternate(calls, seconds=4.0, least=4, most=4)
    assert {name: len(samples.seconds) for name, samples in found.items()} == {"a": 4, "b": 4, "c": 4}
    assert "".join(clock.called[-12:]) == "abccbaabccba"


def test_what_slows_the_machine_slows_all_and_cancels(clock: Clock) -> None:
    """The machine is three times as slow from the fortieth call on, whoever makes it."""

    def slow(factor: float) -> Callable[[int], float]:
        return lambda n: factor * (3.0 if len(clock.called) > 40 else 1.0)

    found = benchmark.alternate({"a": clock.work("a", slow(1.1)), "b": clock.work("b", slow(1.0))}, seconds=30.0)
    told = benchmark.ratio(found["a"].seconds, found["b"].seconds)
    assert told.median == pytest.approx(1.1)
    assert told.verdict == "slower"


def test_the_garbage_collector_is_off_meanwhile_and_on_after(clock: Clock) -> None:
    seen = []

    def call() -> None:
        clock.now += 1.0
        seen.append(gc.isenabled())
        if len(seen) == 9:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        benchmark.measure(call)
    assert seen == [False] * 9
    assert gc.isenabled()


def test_results_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[Any] = []
    monkeypatch.setattr(timing.jax, "block_until_ready", waited.append)
    benchmark.measure(lambda: "result", seconds=0.0, least=1, most=1)
    assert waited
    assert set(waited) == {"result"}


def test_nothing_to_measure() -> None:
    with pytest.raises(ValueError, match="none is left"):
        benchmark.alternate({})
    with pytest.raises(ValueError, match=r"`least` \(=9\) to `most` \(=3\)"):
        benchmark.measure(lambda: None, least=9, most=3)


def test_stages_and_a_donated_argument() -> None:
    """The program runs on a copy: the argument is still there, and the program takes it when it is called."""
    x = jnp.ones(3)
    program, stages = benchmark.compile_stages(lambda x, y: x + y, x, jnp.ones(3), donate=(0,))
    assert x.tolist() == [1.0] * 3
    assert program(x, jnp.ones(3)).tolist() == [2.0] * 3
    assert min(stages.trace_s, stages.lower_s, stages.compile_s, stages.first_s) > 0
    jitted = jax.jit(lambda x: 2 * x)
    assert benchmark.compile_stages(jitted, jnp.ones(3))[0](jnp.ones(3)).tolist() == [2.0] * 3
