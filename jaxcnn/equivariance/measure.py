"""How far a program's values are from what was promised of them, under shifts of its input: one compiled loop."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxcnn.equivariance.errors import difference, scale
from jaxcnn.equivariance.interior import canvas, inside
from jaxcnn.equivariance.program import Program
from jaxcnn.equivariance.relations import Relation
from jaxcnn.equivariance.rolls import nearest_roll
from jaxcnn.equivariance.shifts import circular

MOST_SHIFTS = 64
"""Along one axis; of a longer axis these are tried: the smallest ones, powers of two, and the largest."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured of some values under some shifts; errors are relative to a value's largest magnitude.

    Attributes:
        shifts: (n, k) shifts of the input along its spatial axes.
        promised: (n, v) largest difference where a value promises to answer a shift; NaN where it promises nothing.
        whole: (n, v) largest difference to the value moved as a perfectly equivariant one would, borders and all.
    """

    shifts: np.ndarray
    promised: np.ndarray
    whole: np.ndarray

    @property
    def worst(self) -> np.ndarray:
        """(v,) largest difference from what a value promises; 0 where it promises nothing."""
        return np.where(np.isnan(self.promised), 0, self.promised).max(0, initial=0)


def shifts_of(sizes: Sequence[int]) -> np.ndarray:
    """List shifts: along each axis alone, and two along all axes at once.

    Args:
        sizes: Of the spatial axes.

    Returns:
        (n, k) integers, of either sign: up to half the axis, which is every circular shift of it.

    Example:
        >>> shifts_of((4, 2)).tolist()
        [[-1, 0], [1, 0], [2, 0], [0, 1], [-1, 1], [2, 1]]
    """
    along = [_amounts(size) for size in sizes]
    unit = np.eye(len(sizes), dtype=np.int64)
    rows = [amount * unit[axis] for axis, amounts in enumerate(along) for amount in amounts]
    if len(sizes) > 1 and all(along):
        rows += [np.array([amounts[end] for amounts in along]) for end in (0, -1)]
    return np.array(list(dict.fromkeys(tuple(row.tolist()) for row in rows)), np.int64).reshape(-1, len(sizes))


def _amounts(size: int) -> list[int]:
    """Return all amounts by which an axis can be rolled, the smallest first, or some of many."""
    amounts = circular((size,))[1:, 0].tolist()
    if len(amounts) <= MOST_SHIFTS:
        return amounts
    powers = [p for p in amounts if abs(p) & (abs(p) - 1) == 0]
    return sorted({*amounts[: MOST_SHIFTS // 2], *powers, *amounts[-2:]}, key=lambda p: (abs(p), p))


def measure(
    program: Program,
    x: Any,
    values: Sequence[int],
    relations: Sequence[tuple[Relation, ...]],
    shifts: np.ndarray,
    spatial_axes: Sequence[int],
    *,
    mode: str,
    double: bool = False,
) -> Measured:
    """Shift a program's input, and compare its values with those that were promised.

    Args:
        program: The program.
        x: Its input.
        values: Numbers of values.
        relations: Of each value, one an axis.
        shifts: (n, k) shifts.
        spatial_axes: Of the input, from the front.
        mode: `circular`; or `interior`, where content comes in that was not there: that of `interior.canvas`.
        double: Compute in float64.

    Returns:
        What was measured.
    """
    answers, promised = _answers(relations, shifts)
    perfect = _perfect(program, values, relations, shifts, [x.shape[axis] for axis in spatial_axes])
    around, start = canvas(x, spatial_axes, np.abs(shifts).max(0)) if mode == "interior" else (x, None)

    def moved(around: Array, shift: Array) -> Array:
        if start is None:
            return jnp.roll(around, shift, spatial_axes)
        first = jnp.zeros(x.ndim, shift.dtype).at[jnp.array(spatial_axes)].set(start - shift)
        return lax.dynamic_slice(around, first, x.shape)

    def errors(around: Array, base: list[Array], row: tuple[Array, ...]) -> Array:
        shift, answer, ideal = row
        found = program.run(moved(around, shift), values, double=double)
        pairs = []
        for n, (old, new, known) in enumerate(zip(base, found, relations, strict=True)):
            kept = [r.margin for r in known]
            whole = [None if mode == "circular" else (0, 0)] * len(known)
            pairs.append([apart(old, new, known, *each) for each in ((answer[n], kept), (ideal[n], whole))])
        return jnp.array(pairs)

    def all_errors(x: Array, around: Array, rows: tuple[Array, ...]) -> Array:
        base = program.run(x, values, double=double)
        return lax.map(lambda row: errors(around, base, row), rows)

    rows = (jnp.asarray(shifts), jnp.asarray(answers), jnp.asarray(perfect))
    found = np.array(jax.jit(all_errors)(x, around, rows))
    return Measured(shifts, np.where(promised, found[..., 0], np.nan), found[..., 1])


def apart(
    old: Array, new: Array, known: Sequence[Relation], moves: Array, margins: Sequence[tuple[int, int] | None]
) -> Array:
    """Return the largest difference of a value and what it was, moved; relative to its magnitude.

    Args:
        old: What it was.
        new: What it is.
        known: Which of its axes move, one relation an axis of the input.
        moves: By how much. Where the data choose the roll it is looked for.
        margins: How many positions are left out at either end, one an axis of the input: None where content comes
            round.

    Returns:
        A number; infinity where the value holds NaN.
    """
    if not jnp.issubdtype(old.dtype, np.generic) or not old.size:  # random keys are no numbers
        return jnp.zeros((), jnp.float32)
    axes = [(n, r.axis) for n, r in enumerate(known) if r.axis is not None]
    chosen = [axis for n, axis in axes if known[n].verdict == "orbit"]
    for n, axis in axes:
        if axis not in chosen:
            old = jnp.roll(old, moves[n], axis)
    between = nearest_roll(new, old, chosen) if chosen else difference(new, old)
    cut = [(n, axis, margin) for n, axis in axes if (margin := margins[n]) is not None]
    if cut:
        numbers, places, ends = zip(*cut, strict=True)
        low, high = zip(*ends, strict=True)
        kept = inside(old.shape, places, low, high, moves[jnp.array(numbers)])
        between = jnp.where(kept, between, 0)
    return (between.max() / scale(old)).astype(jnp.float32)


def _answers(relations: Sequence[tuple[Relation, ...]], shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much each value promises to move, (n, v, k), and whether it promises anything, (n, v)."""
    answers = np.zeros((len(shifts), len(relations), shifts.shape[1]), np.int64)
    promised = np.ones(answers.shape[:2], bool)
    for n, shift in enumerate(shifts):
        for v, known in enumerate(relations):
            for i, (amount, r) in enumerate(zip(shift.tolist(), known, strict=True)):
                answer = r.answer(amount)
                promised[n, v] &= answer is not None
                answers[n, v, i] = answer or 0
    return answers, promised


def _perfect(
    program: Program, values: Sequence[int], relations: Sequence[tuple[Relation, ...]], shifts: np.ndarray, sizes: Any
) -> np.ndarray:
    """Return by how much perfectly equivariant values would move: shift over jump, to the nearest position."""
    moves = np.zeros((len(shifts), len(values), shifts.shape[1]), np.int64)
    for v, (value, known) in enumerate(zip(values, relations, strict=True)):
        shape = program.avals[value].shape
        for i, r in enumerate(known):
            if r.axis is not None:
                pace = float(r.jump) if r.jump else sizes[i] / shape[r.axis]
                moves[:, v, i] = np.rint(shifts[:, i] / pace)
    return moves
