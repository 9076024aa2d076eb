"""Energy that the devices took, where they count it themselves: NVIDIA's GPUs, through NVML."""

from collections.abc import Callable
from typing import Any

import jax


def energy_meter() -> Callable[[], float] | None:
    """Return what reads the energy that this process's GPUs have taken so far.

    Their counters are read by `nvidia-ml-py` (the extra `energy`). They move about every 20 ms, so that only sums over
    many measurements are exact.

    Returns:
        A function that returns joules, of which differences have a meaning; None where no device counts, or the
        package is not there.

    Example:
        >>> meter = energy_meter()
        >>> meter is None or meter() > 0
        True

    Reference:
        NVIDIA Management Library, nvmlDeviceGetTotalEnergyConsumption (Volta and newer).
    """
    gpus = [device for device in jax.local_devices() if device.platform in ("gpu", "cuda")]
    if not gpus:
        return None
    try:
        import pynvml  # pyright: ignore[reportMissingImports]

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(_number(gpu)) for gpu in gpus]

        def read() -> float:
            return sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in handles) / 1e3

        read()
    except Exception:  # not installed, no driver, an older GPU: there is nothing to read, and the benchmark goes on
        return None
    return read


def _number(gpu: Any) -> int:
    """Return a GPU's number among those that the driver sees."""
    number = gpu.local_hardware_id
    return gpu.id if number is None else number
