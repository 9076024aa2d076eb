"""What values do under shifts of which nothing is proven: seen, under all shifts, on a few inputs, in float64."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.equivariance.local import ROUNDING, far
from jaxcnn.equivariance.operation import widened
from jaxcnn.equivariance.program import Program
from jaxcnn.equivariance.relations import Relation

MOST_SHIFTS = 64
"""Positions of an axis beyond which nothing is looked at."""
MOST_NUMBERS = 1 << 20
"""In all values together."""
SUMS = 2
"""Of the rounding that is forgiven, so much in a sum for each of its numbers."""
DRAWS = 3
"""Inputs beside the one given: on any one of them, choices by the data may fall alike by chance."""
CHOOSING = ("argmax", "argmin")
INDEXED = ("dynamic_slice", "gather", "dynamic_update_slice", "scatter")
Way = tuple[int | None, int]
"""How a value may move: along which axis, and forward (1), back (-1), or as the data choose (0)."""
Seen = dict[int, tuple[Relation | None, ...]]
"""What values were seen to do: for each a relation an axis of the input, or None."""


def observed(program: Program, x: Any, numbers: Sequence[int], places: Sequence[int]) -> Seen:
    """Look how some values move when the input shifts along one axis.

    Args:
        program: Of the values.
        x: Its input. Others are drawn around it.
        numbers: Of the values.
        places: Spatial axes of the input, from the front.

    Returns:
        For each value a relation an axis of the input; None where no shift is answered, or too many would have to be
        tried.

    Example:
        >>> from jaxcnn.equivariance.program import program
        >>> listed = program(lambda x: jnp.fft.ifft(jnp.fft.fft(x) * jnp.fft.fft(jnp.arange(8.0))).real, jnp.ones(8))
        >>> (seen,) = observed(listed, jnp.arange(8.0) ** 2, listed.outputs, (0,))[listed.outputs[0]]
        >>> seen.verdict, seen.lattice, seen.step
        ('exact', 1, 1)
    """
    none: Seen = {n: (None,) * len(places) for n in numbers}
    numbers = [n for n in numbers if hasattr(program.avals[n], "size")]
    if sum(program.avals[n].size for n in numbers) > MOST_NUMBERS:
        return none
    found: dict[int, list[Relation | None]] = {n: [] for n in numbers}
    with jax.enable_x64(True):
        x = widened(x)
        noise = np.random.default_rng(0).standard_normal((DRAWS, *x.shape)) * float(jnp.std(x))
        inputs = [x, *(x + part for part in noise)]
        run = jax.jit(lambda x: program.run(x, numbers, double=True))
        bases = [[np.asarray(value) for value in run(given)] for given in inputs]
        for place in places:
            size = x.shape[place]
            if not 1 < size <= MOST_SHIFTS:
                for relations in found.values():
                    relations.append(None)
                continue
            kept = {n: {way: {size} for way in _ways(program.avals[n].shape)} for n in numbers}
            for shift in range(1, size):
                moved = [[np.asarray(v) for v in run(jnp.roll(given, shift, place))] for given in inputs]
                for column, n in enumerate(numbers):
                    for way, shifts in kept[n].items():
                        pairs = [(base[column], new[column]) for base, new in zip(bases, moved, strict=True)]
                        if all(_answers(base, new, way, shift, size) for base, new in pairs):
                            shifts.add(shift)
            for n in numbers:
                found[n].append(_relation(kept[n], program.avals[n].shape, size))
    return {**none, **{n: tuple(relations) for n, relations in found.items()}}


def without_chance(program: Program, seen: Seen) -> Seen:
    """Leave out what follows two choices by the data at once: they may fall alike on all inputs that were tried.

    Args:
        program: Of the values.
        seen: What they were seen to do.

    Returns:
        The same, but for what operands that follow different choices are put together to, and for all behind it.
    """
    indices: dict[int, frozenset[int]] = {}  # which choices an index is made of
    choices: dict[int, frozenset[int]] = {}  # which choices a map follows
    mixed: dict[int, frozenset[int]] = {}  # along which axes of the input a map follows several
    kept = dict(seen)
    for operation in program.operations:
        taken = [n for n in operation.inputs if n in program.depends]
        index = _union(indices, taken)
        chosen = _union(choices, taken)
        if operation.name in CHOOSING:
            index = frozenset(operation.outputs)
        elif operation.name in INDEXED:
            chosen, index = chosen | _union(indices, taken[1:]), frozenset()
        axes = set(_union(mixed, taken))
        for axis in range(len(next(iter(seen.values()), ()))):
            ways = {choices.get(n, frozenset()) for n in taken if _is_orbit(seen.get(n), axis)}
            axes |= {axis} if len(ways) > 1 else set()
        for n in operation.outputs:
            indices[n], choices[n], mixed[n] = index, chosen, frozenset(axes)
            if n in kept:
                kept[n] = tuple(None if axis in axes else r for axis, r in enumerate(kept[n]))
    return kept


def _union(sets: Mapping[int, frozenset[int]], numbers: Sequence[int]) -> frozenset[int]:
    return frozenset().union(*(sets.get(n, frozenset()) for n in numbers))


def _is_orbit(relations: tuple[Relation | None, ...] | None, axis: int) -> bool:
    known = relations[axis] if relations else None
    return known is not None and known.verdict == "orbit"


def _ways(shape: tuple[int, ...]) -> Iterator[Way]:
    yield None, 0
    for axis, n in enumerate(shape):
        if n > 1:
            yield from ((axis, 1), (axis, -1), (axis, 0))


def _answers(base: np.ndarray, new: np.ndarray, way: Way, shift: int, size: int) -> bool:
    """Say whether a value moved in a way when the input shifted."""
    axis, sign = way
    if base.dtype.kind not in "biufc":
        return False
    scale = float(np.max(np.abs(base[np.isfinite(base)]), initial=0)) or 1.0
    if axis is None:
        return far(base, new) <= ROUNDING * scale
    amount = Fraction(shift * base.shape[axis], size)
    if sign and amount.denominator > 1:
        return False
    if far(base.sum(axis), new.sum(axis)) > SUMS * ROUNDING * scale * base.shape[axis]:
        return False  # no roll changes a sum: most that is none need not be tried
    amounts = [sign * int(amount)] if sign else range(base.shape[axis])
    return any(far(np.roll(base, by, axis), new) <= ROUNDING * scale for by in amounts)


def _relation(kept: dict[Way, set[int]], shape: tuple[int, ...], size: int) -> Relation | None:
    """Choose the way that answers the most shifts: of those that answer as many, one that the data do not choose."""
    best: tuple[tuple[int, bool], Relation] | None = None
    for (axis, sign), shifts in kept.items():
        lattice = next(k for k in range(1, size + 1) if size % k == 0 and set(range(k, size, k)) <= shifts)
        if lattice == size:
            continue
        if axis is None:
            known = Relation("exact" if lattice == 1 else "exact-lattice", lattice)
        else:
            step = lattice * shape[axis] // size if sign else 1
            verdict = "orbit" if not sign else "exact" if lattice == 1 else "exact-lattice"
            known = Relation(verdict, lattice, axis, sign * step if sign else step, None, Fraction(size, shape[axis]))
        rank = (lattice, axis is not None and not sign)
        if best is None or rank < best[0]:
            best = (rank, known)
    return None if best is None else best[1]
