"""Canonical lowering: every convolution reaches XLA:CPU channels-last, its transposes written out.

XLA:CPU has one fast convolution, for NHWC x HWIO -> NHWC; it runs every other layout as a naive loop. Its pass that
rewrites layouts visits the entry computation only, never the body of a loop, and JAX's gradients of a convolution have
other layouts. So inside `lax.scan` a kernel gradient takes tens of times longer than outside (jax#12868). Transposes
that stand in the program before XLA sees it make the layout right everywhere.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.interpreters import mlir

Rule = Callable[..., Any]


def canonical_rule(xla: Rule) -> Rule:
    """Return a lowering rule of `lax.conv_general_dilated_p` that transposes to the fast layout and back.

    Args:
        xla: XLA's own rule, which lowers what is canonical already, and complex numbers.

    Returns:
        A rule for `mlir.register_lowering`.

    Example:
        >>> import jax
        >>> callable(canonical_rule(lambda ctx, lhs, rhs, **params: [lhs]))
        True
    """

    def rule(
        ctx: mlir.LoweringRuleContext,
        lhs: Any,
        rhs: Any,
        *,
        dimension_numbers: Any,
        padding: Any,
        lhs_dilation: Any,
        feature_group_count: int,
        batch_group_count: int,
        **params: Any,
    ) -> Any:
        lhs_spec, rhs_spec, out_spec = (tuple(spec) for spec in dimension_numbers)
        fast = fast_layout(len(lhs_spec) - 2)
        is_fast = (lhs_spec, rhs_spec, out_spec) == (fast.lhs_spec, fast.rhs_spec, fast.out_spec)
        aval: Any = ctx.avals_in[0]
        groups = {"feature_group_count": feature_group_count, "batch_group_count": batch_group_count}
        place = {"padding": padding, "lhs_dilation": lhs_dilation}
        amounts = [(low, high, step - 1) for (low, high), step in zip(padding, lhs_dilation, strict=True)]
        crops = any(min(pair) < 0 for pair in padding)
        if (is_fast and batch_group_count == 1 and not crops) or np.issubdtype(aval.dtype, np.complexfloating):
            return xla(ctx, lhs, rhs, dimension_numbers=dimension_numbers, **place, **groups, **params)
        if crops:  # XLA:CPU reads beyond a map of grouped channels whose padding is negative
            # (and a crop at one end may take away what is padded at the other: both at once)
            place = {"padding": [(0, 0)] * len(amounts), "lhs_dilation": [1] * len(amounts)}

        def prepare(lhs: Array) -> Array:
            lhs = lax.transpose(lhs, (lhs_spec[0], *lhs_spec[2:], lhs_spec[1]))
            if crops:
                lhs = lax.pad(lhs, np.zeros((), lhs.dtype), [(0, 0, 0), *amounts, (0, 0, 0)])
            if batch_group_count == 1:
                return lhs
            # XLA expands batch groups to an axis of zeros; groups of features are the same sums.
            split = lhs.reshape(batch_group_count, lhs.shape[0] // batch_group_count, *lhs.shape[1:])
            return lax.collapse(jnp.moveaxis(split, 0, -2), split.ndim - 2)

        order = (out_spec[0], *out_spec[2:], out_spec[1])
        out: Any = ctx.avals_out[0]
        inner = out.update(shape=tuple(out.shape[axis] for axis in order))
        # XLA's rule is called by hand: binding the primitive again would come back to whichever rule is registered.
        lhs, lhs_aval = write(ctx, prepare, lhs, aval)
        turn = (*rhs_spec[2:], rhs_spec[1], rhs_spec[0])
        rhs, rhs_aval = write(ctx, lambda rhs: lax.transpose(rhs, turn), rhs, ctx.avals_in[1])
        groups = {"feature_group_count": feature_group_count * batch_group_count, "batch_group_count": 1}
        fast_ctx = ctx.replace(avals_in=[lhs_aval, rhs_aval], avals_out=[inner])
        (result,) = xla(fast_ctx, lhs, rhs, dimension_numbers=fast, **place, **groups, **params)
        return [write(ctx, lambda result: lax.transpose(result, np.argsort(order)), result, inner)[0]]

    return rule


def write(ctx: mlir.LoweringRuleContext, function: Callable[[Array], Array], x: Any, aval: Any) -> tuple[Any, Any]:
    """Write a function of one array into the program that is being lowered; return its value and abstract value."""
    shape = jax.eval_shape(function, jax.ShapeDtypeStruct(aval.shape, aval.dtype)).shape
    result = aval.update(shape=shape)
    (value,) = mlir.lower_fun(function, multiple_results=False)(ctx.replace(avals_in=[aval], avals_out=[result]), x)
    return value, result


def fast_layout(rank: int) -> lax.ConvDimensionNumbers:
    """Return the one layout that XLA:CPU convolves fast: NHWC, HWIO, NHWC.

    Args:
        rank: Number of spatial axes.

    Returns:
        Positions of (batch, channels, *spatial), (out, in, *spatial), (batch, channels, *spatial).

    Example:
        >>> fast_layout(1).rhs_spec
        (2, 1, 0)
    """
    maps = (0, rank + 1, *range(1, rank + 1))
    return lax.ConvDimensionNumbers(maps, (rank + 1, rank, *range(rank)), maps)
