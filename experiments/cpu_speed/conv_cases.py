"""Single convolutions that are timed: shapes, and their data. NumPy only: the peer's interpreter imports it."""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import worker

DIRECTIONS = ("forward", "input", "kernel")
"""The output, and the gradients with respect to input and kernel."""


@dataclass(frozen=True)
class Case:
    """One convolution: input `(batch, *spatial, channels)`, kernel `(*window, channels // groups, filters)`."""

    input: tuple[int, ...]
    window: tuple[int, ...]
    filters: int
    padding: int = 0
    strides: int = 1
    dilation: int = 1
    groups: int = 1
    transposed: bool = False
    kernel: tuple[int, ...] = field(init=False)
    output: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        channels, spatial = self.input[-1], self.input[1:-1]
        kernel = (*self.window, channels // self.groups, self.filters)
        reach = [self.dilation * (size - 1) + 1 - 2 * self.padding for size in self.window]
        if self.transposed:
            sizes = [(n - 1) * self.strides + r for n, r in zip(spatial, reach, strict=True)]
        else:
            sizes = [(n - r) // self.strides + 1 for n, r in zip(spatial, reach, strict=True)]
        object.__setattr__(self, "kernel", kernel)
        object.__setattr__(self, "output", (self.input[0], *sizes, self.filters))


CASES = {
    "3x3 64": Case((128, 32, 32, 64), (3, 3), 64, padding=1),
    "3x3 128": Case((128, 16, 16, 128), (3, 3), 128, padding=1),
    "3x3 strided": Case((128, 32, 32, 64), (3, 3), 128, padding=1, strides=2),
    "1x1 256": Case((64, 16, 16, 256), (1, 1), 256),
    "3x3 dilated": Case((32, 32, 32, 64), (3, 3), 64, padding=2, dilation=2),
    "3x3 grouped": Case((128, 16, 16, 128), (3, 3), 128, padding=1, groups=4),
    "3x3 depthwise": Case((64, 32, 32, 128), (3, 3), 128, padding=1, groups=128),
    "7x7 stem": Case((32, 112, 112, 3), (7, 7), 64, padding=3, strides=2),
    "5x5 LeNet": Case((512, 28, 28, 1), (5, 5), 6, padding=2),
    "1-D": Case((32, 1024, 64), (9,), 64, padding=4),
    "3-D": Case((16, 16, 16, 16, 16), (3, 3, 3), 32, padding=1),
    "4x4 transposed": Case((32, 16, 16, 128), (4, 4), 64, padding=1, strides=2, transposed=True),
}

Make = Callable[[Case, str, str, dict[str, np.ndarray]], tuple[Callable[[], object], Callable[[object], np.ndarray]]]
"""`make(case, dtype, direction, arrays) -> call, fetch`: `call()` computes and waits; `fetch` of what it returns is a
float32 array, channels last."""


def arrays(case: Case, seed: int) -> dict[str, np.ndarray]:
    """Return input, kernel and the output's gradient; sums of products have a variance of about 1."""
    rng = np.random.default_rng(seed)
    taps = float(np.prod(case.kernel[:-1]))
    return {
        "input": rng.standard_normal(case.input, dtype=np.float32),
        "kernel": rng.standard_normal(case.kernel, dtype=np.float32) / np.float32(taps**0.5),
        "gradient": rng.standard_normal(case.output, dtype=np.float32),
    }


def fingerprint(value: np.ndarray) -> list[float]:
    """Return a result's shape, norm and its parts along three fixed directions of unit length."""
    rng, flat = np.random.default_rng(0), value.astype(np.float64).ravel()
    parts = []
    for _ in range(3):
        direction = rng.standard_normal(flat.size)
        parts.append(float(flat @ direction / np.linalg.norm(direction)))
    return [*value.shape, float(np.linalg.norm(flat)), *parts]


def work(make: Make, facts: Callable[[], dict]) -> None:
    """Time the cases asked for, or (`--check 1`) describe their results; print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", required=True, help="a JSON list of [case, dtype, direction]")
    parser.add_argument("--seconds", type=float, default=0.2, help="time spent on a case, beside its warm-up")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", type=int, default=0)
    asked = parser.parse_args()
    results = {}
    for name, dtype, direction in json.loads(asked.cases):
        case = CASES[name]
        call, fetch = make(case, dtype, direction, arrays(case, asked.seed))
        result = fingerprint(fetch(call())) if asked.check else median_ms(call, asked.seconds)
        results[f"{name}, {dtype}, {direction}"] = result
    print(json.dumps({"results": results} | worker.process_facts() | facts()), flush=True)


def median_ms(call: Callable[[], object], seconds: float) -> float:
    """Return the median time of a call: of at least 3, at most 200, after two that warm up."""
    call()
    samples, begin = [], time.perf_counter()
    call()
    warm = time.perf_counter() - begin
    for _ in range(int(np.clip(seconds / warm, 3, 200))):
        start = time.perf_counter()
        call()
        samples.append((time.perf_counter() - start) * 1e3)
    return round(float(np.median(samples)), 4)
