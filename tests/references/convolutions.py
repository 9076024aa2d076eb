"""Convolutions of every kind, drawn by Hypothesis, and what each is compared by."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from jax import Array, lax

from references.arrays import normal

# Errors allowed, relative to the largest value of the result: accumulated in float32, rounded once.
RELATIVE = {"float32": 1e-5, "bfloat16": 1e-2, "float16": 2e-3}


@dataclass(frozen=True)
class Case:
    """Shapes and parameters of one `lax.conv_general_dilated`."""

    lhs: tuple[int, ...]
    rhs: tuple[int, ...]
    dtype: str
    parameters: dict[str, Any]
    seed: int

    def convolve(self, lhs: Array, rhs: Array) -> Array:
        return lax.conv_general_dilated(lhs, rhs, **self.parameters)

    def arrays(self) -> tuple[Array, Array]:
        return normal(self.seed, self.lhs, self.dtype), normal(self.seed + 1, self.rhs, self.dtype)

    def cotangent(self) -> Array:
        shape = jax.eval_shape(self.convolve, *self.arrays()).shape
        return normal(self.seed + 2, shape, self.dtype)

    def value_and_gradients(self) -> tuple[np.ndarray, ...]:
        """The convolution and both its gradients, compiled as one program, as float32."""

        def compute(lhs: Array, rhs: Array, cotangent: Array) -> tuple[Array, ...]:
            out, transpose = jax.vjp(self.convolve, lhs, rhs)
            return out, *transpose(cotangent)

        results = jax.jit(compute)(*self.arrays(), self.cotangent())
        return tuple(np.asarray(result, np.float32) for result in results)

    def reference(self) -> tuple[np.ndarray, ...]:
        """The same by NumPy in float64, tap by tap: XLA's own rule reads beyond some maps of negative padding."""
        p = self.parameters
        specs = p["dimension_numbers"]
        groups, batch_groups = p["feature_group_count"], p["batch_group_count"]
        arrays = (*self.arrays(), self.cotangent())
        lhs, rhs, g = (np.asarray(a, np.float64).transpose(spec) for a, spec in zip(arrays, specs, strict=True))
        whole = lhs.shape
        if (
            batch_groups > 1
        ):  # (group, batch, channels, *spatial), (group, out, channels, *window), (group, batch, out, ...)
            lhs = lhs.reshape(batch_groups, -1, *whole[1:])
        else:
            lhs = lhs.reshape(whole[0], groups, -1, *whole[2:]).swapaxes(0, 1)
        rhs = rhs.reshape(len(lhs), -1, *rhs.shape[1:])
        g = g.reshape(len(g), len(lhs), -1, *g.shape[2:]).swapaxes(0, 1)
        out, dlhs, drhs = np.zeros_like(g), np.zeros_like(lhs), np.zeros_like(rhs)
        for tap in np.ndindex(rhs.shape[3:]):
            seen = [[], []]
            for axis, offset in enumerate(tap):
                positions = np.arange(g.shape[3 + axis])
                at = positions * p["window_strides"][axis] + offset * p["rhs_dilation"][axis] - p["padding"][axis][0]
                step = p["lhs_dilation"][axis]
                inside = (at >= 0) & (at % step == 0) & (at // step < lhs.shape[3 + axis])
                seen[0].append(positions[inside])
                seen[1].append(at[inside] // step)
            there, here = ((slice(None),) * 3 + np.ix_(*positions) for positions in seen)
            weights = rhs[(slice(None),) * 3 + tap]
            out[there] += np.einsum("gnc...,goc->gno...", lhs[here], weights)
            dlhs[here] += np.einsum("gno...,goc->gnc...", g[there], weights)
            both = (array.reshape(*array.shape[:3], -1) for array in (lhs[here], g[there]))
            drhs[(slice(None),) * 3 + tap] = np.einsum("gncp,gnop->goc", *both)
        if batch_groups == 1:
            dlhs = dlhs.swapaxes(0, 1)
        results = (out.swapaxes(0, 1), dlhs, drhs)
        shapes = (arrays[2].shape, arrays[0].shape, arrays[1].shape)
        return tuple(
            r.reshape([shape[axis] for axis in spec]).transpose(np.argsort(spec))
            for r, shape, spec in zip(results, shapes, (specs[2], specs[0], specs[1]), strict=True)
        )


@st.composite
def convolutions(draw: Any, dtypes: tuple[str, ...] = ("float32", "bfloat16")) -> Case:
    """Ranks 1 to 3, any order of axes, strides, dilations, groups, batch groups, padding below zero and huge."""
    rank = draw(st.integers(1, 3))

    def axes(values: st.SearchStrategy) -> list[Any]:
        return [draw(values) for _ in range(rank)]

    kind = draw(st.sampled_from(["plain", "plain", "groups", "depthwise", "batch groups"]))
    groups = draw(st.integers(2, 3)) if kind != "plain" else 1
    inputs = 1 if kind == "depthwise" else draw(st.sampled_from([1, 2, 3, 8, 16]))
    outputs = draw(st.sampled_from([1, 2, 5, 16]))
    if kind == "depthwise":
        groups = draw(st.sampled_from([3, 8, 16]))
    batch = draw(st.integers(1, 3))
    lhs = [batch * (groups if kind == "batch groups" else 1), inputs * (1 if kind == "batch groups" else groups)]
    lhs += axes(st.integers(1, 9))
    rhs = [outputs * groups, inputs, *axes(st.integers(1, 4))]
    last = [(0, rank + 1, *range(1, rank + 1)), (rank + 1, rank, *range(rank)), (0, rank + 1, *range(1, rank + 1))]
    first = [tuple(range(rank + 2))] * 3
    orders = st.permutations(range(rank + 2)).map(tuple)
    specs = draw(st.one_of(st.just(last), st.just(first), st.tuples(orders, orders, orders)))
    amounts = st.one_of(st.integers(0, 3), st.integers(-2, 12))
    dilated = draw(st.booleans())
    parameters = {
        "window_strides": axes(st.integers(1, 3)),
        "padding": axes(st.tuples(amounts, amounts)),
        "lhs_dilation": axes(st.integers(1, 3)) if dilated else [1] * rank,
        "rhs_dilation": axes(st.integers(1, 2)),
        "dimension_numbers": lax.ConvDimensionNumbers(*specs),
        "feature_group_count": 1 if kind == "batch groups" else groups,
        "batch_group_count": groups if kind == "batch groups" else 1,
    }
    case = Case(place(lhs, specs[0]), place(rhs, specs[1]), draw(st.sampled_from(dtypes)), parameters, 0)
    amounts = (parameters[name] for name in ("lhs_dilation", "rhs_dilation", "padding"))
    for size, window, dilation, holes, padding in zip(lhs[2:], rhs[2:], *amounts, strict=True):
        assume((size - 1) * dilation + 1 + sum(padding) >= (window - 1) * holes + 1)  # else the result is empty
    return case


def place(sizes: list[int], spec: tuple[int, ...]) -> tuple[int, ...]:
    """Put the sizes (batch or out, features or in, *spatial) where a specification says."""
    shape = [0] * len(sizes)
    for size, axis in zip(sizes, spec, strict=True):
        shape[axis] = size
    return tuple(shape)


def assert_close(ours: np.ndarray, theirs: np.ndarray, dtype: str) -> float:
    """Compare two results of the same convolution; return their largest difference over the largest value."""
    scale = max(float(np.abs(theirs).max(initial=0)), 1e-30)
    assert ours.shape == theirs.shape
    error = float(np.abs(ours - theirs).max(initial=0)) / scale
    assert error < RELATIVE[dtype], f"relative error {error:.2e}"
    return error
