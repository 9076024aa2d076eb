"""What a device can do at most: large products of matrices, and arrays that no cache holds."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn import functional as F
from jaxcnn.benchmark.roofline import Peak
from jaxcnn.benchmark.works import Work, draw, run, struct


def peak_works(dtypes: Sequence[str], *, rows: int | None = None, seed: int = 0) -> dict[str, Work]:
    """Return the works whose best tells a peak: products of matrices as such and as convolutions, and moves of memory.

    Args:
        dtypes: Of the products.
        rows: Of the matrices; None for 2048 on a CPU and 8192 elsewhere. The array that is moved has 16 times as many
            numbers as a matrix.
        seed: Draws the numbers.

    Returns:
        Works by name; `facts["peak"]` tells of which.

    Example:
        >>> list(peak_works(["float32"]))[:3]
        ['matrix product float32', '1x1 convolution float32', '3x3 convolution float32']
    """
    n = rows or (2048 if jax.default_backend() == "cpu" else 8192)
    works = {}
    for dtype in dtypes:
        a, b = draw(seed, struct(n, n, dtype=dtype), struct(n, n, dtype=dtype))
        maps, one, three = draw(
            seed,
            struct(max(n // 16, 1), 16, 16, 256, dtype=dtype),
            struct(1, 1, 256, 256, dtype=dtype),
            struct(3, 3, 256, 256, dtype=dtype),
        )
        programs: dict[str, tuple[Any, tuple[Any, ...]]] = {
            "matrix product": (jnp.matmul, (a, b)),
            "1x1 convolution": (lambda k, x: F.conv(x, k), (one, maps)),
            "3x3 convolution": (lambda k, x: F.conv(x, k), (three, maps)),
        }
        for name, (fn, args) in programs.items():
            works[f"{name} {dtype}"] = Work({"name": "peak", "peak": dtype, "case": name, "dtype": dtype}, fn, args)
    x = jnp.ones(16 * n * n, jnp.float32)
    facts = {"name": "peak", "peak": "memory", "dtype": "float32"}
    moves: dict[str, tuple[Any, int]] = {"scale": (lambda x: 2 * x, 2 * x.nbytes), "sum": (jnp.sum, x.nbytes)}
    return works | {
        name: Work({**facts, "case": name}, fn, (x,), costs={"macs": 0, "flops": x.size, "bytes": moved})
        for name, (fn, moved) in moves.items()
    }


def measure_peak(
    dtypes: Sequence[str] = ("float32", "bfloat16"), *, rows: int | None = None, seconds: float = 1.0
) -> tuple[Peak, list[dict[str, Any]]]:
    """Measure a device's peaks.

    Args:
        dtypes: Of the products.
        rows: See `peak_works`.
        seconds: About how long to measure each work.

    Returns:
        The peaks, each the best of its works (by the median of their times), and all records.

    Example:
        >>> peak, records = measure_peak(["float32"], rows=64, seconds=0.02)
        >>> peak.flops_per_s["float32"] > 0 and peak.bytes_per_s > 0, len(records)
        (True, 5)
    """
    records = [
        record for name, work in peak_works(dtypes, rows=rows).items() for record in run({name: work}, seconds=seconds)
    ]
    found: dict[str, float] = {}
    for record in records:
        what = record["work"]["peak"]
        amount = record["costs"]["bytes" if what == "memory" else "flops"]
        found[what] = max(found.get(what, 0.0), amount / record["seconds"]["median"])
    moved = found.pop("memory")
    return Peak(found, moved), records
