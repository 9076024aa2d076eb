"""Kernels for training steps: batch norm and bias with their ReLU or GELU, max pool, and their gradients.

The primitives are those of `jaxcnn.functional`. A max pool that nobody differentiates is XLA's, which is as fast.
"""

import ctypes
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core
from jax.interpreters import mlir

from jaxcnn.functional import bias
from jaxcnn.functional.batch_norm import ACTIVATIONS, BACKWARD, FORWARD
from jaxcnn.functional.extremum import MAX_POOL_WINNERS, SCATTER
from jaxcnn.functional.gelu import BACKWARD as GELU_BACKWARD
from jaxcnn.functional.gelu import FORWARD as GELU
from jaxcnn.functional.primitive import DEFAULT
from jaxcnn.lowering.onednn import spans_devices

DTYPES = ("float32", "bfloat16", "uint8")  # uint8: which tap of a window won
LANES = 32  # fewer channels leave the processor's vectors unfilled, unless a whole row is pooled at once


def _norm_attributes(*, epsilon: float, activation: str | None) -> dict[str, Any]:
    return {"epsilon": np.float32(epsilon), "activation": np.int32(ACTIVATIONS.index(activation))}


def _pool_attributes(*, place: Any, sizes: Any = None) -> dict[str, Any]:
    low = [before for before, _ in place.padding]
    settled = {"window": place.window, "strides": place.strides, "dilation": place.dilation, "low": low}
    return {name: np.array(values, np.int64) for name, values in settled.items()}


def _pool_pays(channels: int, *, place: Any, sizes: Any = None) -> bool:
    halving = place.window == place.strides == (2, 2) and not any(map(any, place.padding))
    return channels % LANES == 0 or (channels < LANES and halving)


class Kernel(NamedTuple):
    """A handler of the library.

    Attributes:
        primitive: What it computes.
        attributes: Takes the primitive's parameters, and returns them as C++ reads them.
        pays: Tells, of a map's channels and the parameters, whether it is faster than XLA.
    """

    primitive: core.Primitive
    attributes: Callable[..., dict[str, Any]]
    pays: Callable[..., bool] = lambda channels, **_: True


KERNELS = {
    "jaxcnn_batch_norm": Kernel(FORWARD, _norm_attributes),
    "jaxcnn_batch_norm_backward": Kernel(BACKWARD, _norm_attributes),
    "jaxcnn_bias_relu": Kernel(bias.FORWARD, dict),
    "jaxcnn_bias_relu_backward": Kernel(bias.BACKWARD, dict),
    "jaxcnn_bias_gelu": Kernel(GELU, dict),
    "jaxcnn_bias_gelu_backward": Kernel(GELU_BACKWARD, dict),
    "jaxcnn_bias_relu_pool": Kernel(bias.POOL, dict),
    "jaxcnn_bias_relu_pool_backward": Kernel(bias.POOL_BACKWARD, lambda sizes: {}),
    "jaxcnn_max_pool_winners": Kernel(MAX_POOL_WINNERS, _pool_attributes, _pool_pays),
    "jaxcnn_pool_scatter": Kernel(SCATTER, _pool_attributes, _pool_pays),
}
"""By their names in the library."""


def register(library: ctypes.CDLL) -> None:
    """Run the primitives by the library's kernels on the CPU, where these cover them.

    Args:
        library: Exports a handler for each of `KERNELS`.
    """
    _register_targets(library)
    for name, kernel in KERNELS.items():
        mlir.register_lowering(kernel.primitive, _rule(name, kernel), platform="cpu")


def unregister() -> None:
    """Run the primitives by XLA on the CPU, as everywhere else."""
    for kernel in KERNELS.values():
        mlir.register_lowering(kernel.primitive, DEFAULT[kernel.primitive], platform="cpu")


@functools.cache
def _register_targets(library: ctypes.CDLL) -> None:
    for name in KERNELS:
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")


def _rule(name: str, kernel: Kernel) -> Any:
    """Return a rule that calls a handler for the maps that it covers, on one device."""
    call = jax.ffi.ffi_lowering(name)

    def rule(ctx: mlir.LoweringRuleContext, *arrays: Any, **parameters: Any) -> Any:
        avals: list[Any] = [*ctx.avals_in, *ctx.avals_out]
        covered = all(aval.dtype in DTYPES and math.prod(aval.shape) for aval in avals)
        if not covered or not kernel.pays(avals[0].shape[-1], **parameters) or spans_devices(ctx):
            return DEFAULT[kernel.primitive](ctx, *arrays, **parameters)
        return call(ctx, *arrays, **kernel.attributes(**parameters))

    return rule
