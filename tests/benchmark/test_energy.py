"""Energy: read around every measurement, where there is a counter."""

import sys
from types import SimpleNamespace

import jax
import pytest

from jaxcnn import benchmark
from jaxcnn.benchmark import timing


def test_no_counter_on_a_cpu() -> None:
    assert benchmark.energy_meter() is None
    assert benchmark.measure(lambda: None, seconds=0.0).joules is None


def test_counters_of_the_gpus_of_this_process_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [SimpleNamespace(platform="gpu", local_hardware_id=number, id=number) for number in (0, 2)]
    library = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: {0: 1500, 2: 500}[handle],  # millijoules
    )
    monkeypatch.setattr(jax, "local_devices", lambda: gpus)
    monkeypatch.setitem(sys.modules, "pynvml", library)
    meter = benchmark.energy_meter()
    assert meter is not None
    assert meter() == 2.0


def test_a_gpu_without_the_package_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(platform="gpu", local_hardware_id=0, id=0)])
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert benchmark.energy_meter() is None


def test_each_work_pays_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A counter that one call moves by 3 J and the other by 1 J; warm-up is not counted."""
    spent = [0.0]

    def call(joules: float) -> None:
        spent[0] += joules

    monkeypatch.setattr(timing, "energy_meter", lambda: lambda: spent[0])
    found = benchmark.alternate({"three": lambda: call(3.0), "one": lambda: call(1.0)}, seconds=0.0)
    assert found["three"].joules == pytest.approx(3.0)
    assert found["one"].joules == pytest.approx(1.0)
    record = benchmark.make_record({"name": "three"}, found["three"])
    assert record["energy_j"] == pytest.approx(3.0)
