"""The fused kernels on and off, which of them a program calls, and how near their results must be."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from jaxcnn.lowering import fused
from jaxcnn.lowering.library import load
from references.tolerance import TOLERANCE

DTYPES = ("float32", "bfloat16")


@contextmanager
def registered() -> Iterator[None]:
    """Compile the fused operations to the kernels."""
    fused.register(load().handle)
    jax.clear_caches()
    yield
    fused.unregister()
    jax.clear_caches()


def pure(f: Callable[..., Any], *args: Any) -> Any:
    """What `f` gives without the kernels."""
    fused.unregister()
    jax.clear_caches()
    try:
        return jax.jit(f)(*args)
    finally:
        fused.register(load().handle)
        jax.clear_caches()


def handlers(f: Callable[..., Any], *args: Any) -> set[str]:
    text = jax.jit(f).lower(*args).as_text()
    return {name for name in fused.KERNELS if f"@{name}(" in text}


def close(ours: Any, expected: Any, dtype: str = "float32", factor: float = 1) -> None:
    rtol, atol = TOLERANCE[dtype]["rtol"] * factor, TOLERANCE[dtype]["atol"] * factor
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        b = np.asarray(b, np.float64)
        scale = np.abs(b[np.isfinite(b)]).max(initial=1)
        np.testing.assert_allclose(np.asarray(a, np.float64), b, rtol=rtol, atol=atol * scale)
