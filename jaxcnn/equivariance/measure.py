"""How far a program's values are from what was promised of them, under shifts of its input: one compiled loop."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxcnn.equivariance.program import Program
from jaxcnn.equivariance.relations import Relation

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


def shifts_of(sizes: Sequence[int], mode: str) -> np.ndarray:
    """List shifts: along each axis alone, and some along all axes at once.

    Args:
        sizes: Of the spatial axes.
        mode: `circular`: up to half the axis in both directions, which is every shift; `interior`: the same.

    Returns:
        (n, k) integers.

    Example:
        >>> shifts_of((4, 2), "circular").tolist()
        [[1, 0], [2, 0], [-1, 0], [0, 1], [1, 1], [-1, 1]]
    """
    rows = []
    along = [_amounts(size) for size in sizes]
    for axis, amounts in enumerate(along):
        for amount in amounts:
            rows.append([amount if axis == other else 0 for other in range(len(sizes))])
    if len(sizes) > 1 and all(along):
        for amounts in (along, [line[::-1] for line in along]):
            rows.append([line[0] for line in amounts])
    unique = dict.fromkeys(tuple(row) for row in rows)
    return np.array(list(unique), np.int64).reshape(-1, len(sizes))


def _amounts(size: int) -> list[int]:
    amounts = [p if p <= size // 2 else p - size for p in range(1, size)]
    if len(amounts) <= MOST_SHIFTS:
        return amounts
    nearest = sorted(amounts, key=abs)
    powers = [p for p in nearest if abs(p) & (abs(p) - 1) == 0]
    return sorted({*nearest[: MOST_SHIFTS // 2], *powers, nearest[-1], nearest[-2]}, key=lambda p: (p < 0, abs(p)))


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
        mode: `circular`; or `interior`, where random content comes in.
        double: Compute in float64.

    Returns:
        What was measured.
    """
    sizes = [x.shape[axis] for axis in spatial_axes]
    answers, promised = _answers(relations, shifts)
    perfect = _perfect(program, values, relations, shifts, sizes)
    noise = _noise(x)

    def errors(x: Array, base: list[Array], row: tuple[Array, ...]) -> Array:
        shift, answer, ideal = row
        moved = jnp.roll(x, shift, spatial_axes)
        if mode == "interior":
            moved = jnp.where(_entered(x.shape, shift, spatial_axes), noise.astype(x.dtype), moved)
        found = program.run(moved, values, double=double)
        pairs = []
        for n, (old, new, known) in enumerate(zip(base, found, relations, strict=True)):
            inside = [(r.axis, r.margin) for r in known]
            pairs.append(
                jnp.stack(
                    [
                        difference(old, new, known, answer[n], inside),
                        difference(old, new, known, ideal[n], [(r.axis, _margin(r, mode)) for r in known]),
                    ]
                )
            )
        return jnp.stack(pairs)

    def all_errors(x: Array, rows: tuple[Array, ...]) -> Array:
        base = program.run(x, values, double=double)
        return lax.map(lambda row: errors(x, base, row), rows)

    rows = (jnp.asarray(shifts), jnp.asarray(answers), jnp.asarray(perfect))
    found = np.array(jax.jit(all_errors)(x, rows))
    found = np.where(np.isnan(found), np.inf, found)
    return Measured(shifts, np.where(promised, found[..., 0], np.nan), found[..., 1])


def difference(
    old: Array, new: Array, known: Sequence[Relation], moves: Array, inside: Sequence[tuple[int | None, Any]]
) -> Array:
    """Return the largest difference of a value and what it was, moved; relative to its magnitude.

    Args:
        old: What it was.
        new: What it is.
        known: Which of its axes move, one relation an axis of the input.
        moves: By how much.
        inside: Axes, and how many positions are left out at either end: None where content comes round.

    Returns:
        A number; NaN where the value is not finite.
    """
    if not jnp.issubdtype(old.dtype, np.generic) or not old.size:  # random keys are no numbers
        return jnp.zeros((), jnp.float32)
    kept = jnp.ones((1,) * old.ndim, bool)
    orbit = [r.axis for r in known if r.verdict == "orbit" and r.axis is not None]
    if orbit:
        fixed = old
        for n, r in enumerate(known):
            if r.axis is not None and r.axis not in orbit:
                fixed = jnp.roll(fixed, moves[n], r.axis)
        moves = _best_roll(fixed, new, known, moves, orbit)
    for n, (axis, margin) in enumerate(inside):
        if axis is None:
            continue
        old = jnp.roll(old, moves[n], axis)
        if margin is not None:
            place = lax.broadcasted_iota(jnp.int32, tuple(s if a == axis else 1 for a, s in enumerate(old.shape)), axis)
            low, high = margin[0], old.shape[axis] - margin[1]
            came = place - moves[n]
            kept &= (place >= low) & (place < high) & (came >= low) & (came < high)
    if not jnp.issubdtype(old.dtype, jnp.inexact):
        old, new = old.astype(jnp.float32), new.astype(jnp.float32)
    both = jnp.where(old == new, 0, jnp.abs(new - old))  # so that infinities may be equal
    scale = jnp.max(jnp.where(jnp.isfinite(old), jnp.abs(old), 0))
    both = jnp.where(jnp.isnan(old) | jnp.isnan(new), jnp.nan, both)
    return (jnp.max(jnp.where(kept, both, 0)) / jnp.where(scale > 0, scale, 1)).astype(jnp.float32)


def _best_roll(old: Array, new: Array, known: Sequence[Relation], moves: Array, axes: list[int]) -> Array:
    """Return the moves, those along `axes` replaced by the roll that fits best: where the correlation is largest."""
    one, two = (array.astype(jnp.promote_types(array.dtype, jnp.float32)) for array in (old, new))
    product = jnp.fft.fftn(two, axes=axes) * jnp.conj(jnp.fft.fftn(one, axes=axes))
    others = [axis for axis in range(old.ndim) if axis not in axes]
    fit = jnp.fft.ifftn(product.sum(others), axes=list(range(len(axes)))).real
    order = sorted(axes)
    best = dict(zip(order, jnp.unravel_index(jnp.argmax(fit), fit.shape), strict=True))
    return jnp.stack(
        [best[r.axis] if r.verdict == "orbit" and r.axis in best else moves[n] for n, r in enumerate(known)]
    )


def _margin(known: Relation, mode: str) -> Any:
    return (0, 0) if mode == "interior" else None


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


def _entered(shape: tuple[int, ...], shift: Array, spatial_axes: Sequence[int]) -> Array:
    """Say where content comes in that was not there before."""
    new = jnp.zeros((1,) * len(shape), bool)
    for i, axis in enumerate(spatial_axes):
        place = lax.broadcasted_iota(jnp.int32, tuple(s if a == axis else 1 for a, s in enumerate(shape)), axis)
        new |= (place < shift[i]) | (place >= shape[axis] + shift[i])
    return new


def _noise(x: Any) -> np.ndarray:
    """Return content that no input holds: its values in another order."""
    return np.random.default_rng(0).permutation(np.asarray(x).ravel()).reshape(x.shape)
