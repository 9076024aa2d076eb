"""oneDNN lowering: a convolution becomes a call of oneDNN, through XLA's foreign function interface."""

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.interpreters import mlir

from jaxcnn.functional.primitive import side_by_side
from jaxcnn.lowering.canonical import Rule
from jaxcnn.lowering.describe import Refused, describe
from jaxcnn.lowering.library import CONVOLUTION, Library

MOST_BYTES = 2**31 - 1


def onednn_rule(library: Library, otherwise: Rule, refused: Counter[str]) -> Rule:
    """Return a lowering rule of `lax.conv_general_dilated_p` that calls oneDNN.

    Args:
        library: The loaded library.
        otherwise: The rule for what oneDNN does not take.
        refused: Counts it, by reason.

    Returns:
        A rule for `mlir.register_lowering`.
    """

    def rule(ctx: mlir.LoweringRuleContext, lhs: Any, rhs: Any, **params: Any) -> Any:
        try:
            if spans_devices(ctx):
                raise Refused("a program over several devices: XLA would not divide a custom call among them")
            alone = bool(side_by_side.value)
            function = convolution(library, (*ctx.avals_in, *ctx.avals_out), params, alone=alone)
        except Refused as error:
            refused[str(error)] += 1
            return otherwise(ctx, lhs, rhs, **params)
        return mlir.lower_fun(function, multiple_results=False)(ctx, lhs, rhs)

    return rule


def convolution(library: Library, arrays: Sequence[Any], params: dict[str, Any], *, alone: bool = False) -> Any:
    """Return a function of (lhs, rhs) that computes a convolution by oneDNN.

    Args:
        library: The loaded library.
        arrays: Abstract values of both arrays and of the result.
        params: Those of `lax.conv_general_dilated_p`.
        alone: Whether it takes one thread.

    Returns:
        The function.

    Raises:
        Refused: oneDNN does not take it.
    """
    lhs, rhs, out = arrays
    for array in arrays:
        if math.prod(array.shape) == 0 or math.prod(array.shape) * array.dtype.itemsize > MOST_BYTES:
            raise Refused("an empty array, or one of 2 GB or more")
    call = describe(lhs.shape, rhs.shape, out.shape, **params)
    native = lax.Precision.HIGHEST in np.atleast_1d(params["precision"])
    call = dataclasses.replace(call, native=native, alone=alone)
    shapes = call.shapes(lhs.shape, rhs.shape, out.shape)
    if min(map(min, shapes)) < 1:  # no window reaches the map
        return lambda lhs, rhs: lax.full(out.shape, 0, out.dtype)
    library.plan(call.numbers, (lhs.dtype, rhs.dtype, out.dtype), shapes)
    handler = jax.ffi.ffi_call(CONVOLUTION, jax.ShapeDtypeStruct(shapes[2], out.dtype))
    return call.function(lambda lhs, rhs: handler(lhs, rhs, description=call.numbers))


def spans_devices(ctx: mlir.LoweringRuleContext) -> bool:
    """Tell whether XLA will partition this program: on one device, and inside `shard_map`, it does not."""
    context: Any = ctx.module_context.axis_context
    if hasattr(context, "manual_axes"):
        return set(context.manual_axes) != set(context.mesh.axis_names) and context.mesh.size > 1
    return getattr(context, "num_devices", 1) != 1
