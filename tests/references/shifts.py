"""What a function does under shifts, measured by brute force: which positions each unit depends on, which rolls of the
input are rolls of the output, which units keep their value when content is shifted, which see padding.

Nothing here knows how a network is made: functions run, on inputs that differ along one axis, and results are compared.
Unions and intersections over several inputs stand for all inputs; values are float64, so that a dependence, however
small, stands out from rounding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np
from jax import Array

BATCH = 32
EQUAL = 1e-9  # relative: results that differ by less are the same value, rounded
Function = Callable[[Array], Sequence[Array]]


class Runner:
    """A function of one image, compiled once for a fixed batch of images; its results as NumPy arrays."""

    def __init__(self, fn: Callable[..., Sequence[Array]]) -> None:
        self.batched = jax.jit(jax.vmap(fn))

    def __call__(self, *arguments: np.ndarray) -> list[np.ndarray]:
        count, chunks = len(arguments[0]), []
        for start in range(0, count, BATCH):
            rows = np.minimum(np.arange(start, start + BATCH), count - 1)
            with jax.enable_x64(True):
                results = self.batched(*(argument[rows] for argument in arguments))
                chunks.append([np.asarray(result)[: count - start] for result in results])
        return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]


def images(rng: np.random.Generator, count: int, shape: Sequence[int]) -> np.ndarray:
    """Inputs of several characters, so that no extremum hides a position in all of them.

    In turn: plain noise, noise with far outliers, large at the borders, noise of two signs and many sizes.
    """
    x = rng.standard_normal((count, *shape))
    h, w = np.ogrid[: shape[0], : shape[1]]
    border = np.minimum(np.minimum(h, shape[0] - 1 - h), np.minimum(w, shape[1] - 1 - w)) < 2
    x[1::4] *= np.exp(rng.standard_normal(x[1::4].shape))
    x[2::4] *= 1 + 4 * border[..., None]
    x[3::4] *= rng.choice([0.3, 1, 3, 9], x[3::4].shape)
    return x


@dataclass(frozen=True)
class Shifted:
    """Results for inputs moved along one axis: `results[t, p]` is of input `t` moved by `p` positions."""

    results: np.ndarray  # (trials, positions, *output)

    def projected(self, axis: int) -> np.ndarray:
        """Each unit along an axis of the result as a few generic combinations of its values, `(t, p, units, k)`."""
        moved = np.moveaxis(self.results, 2 + axis, 2)
        flat = moved.reshape(*moved.shape[:3], -1)
        return flat @ np.random.default_rng(0).uniform(0.5, 1.5, (flat.shape[-1], 3)) / flat.shape[-1] ** 0.5

    @cached_property
    def flat(self) -> np.ndarray:
        return self.results.reshape(*self.results.shape[:2], -1)


def same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether values are equal up to rounding; infinities, which a minimum of padding alone is, to themselves."""
    with np.errstate(invalid="ignore"):
        near = np.abs(one - other) <= EQUAL * (1 + np.maximum(np.abs(one), np.abs(other)))
    return (near & np.isfinite(one) & np.isfinite(other)) | (one == other)


class Truth:
    """The measurements of one result of a function, made once and asked many times.

    Args:
        depends: For each input axis, `(positions, *output)`: whether a unit's value depends on that row or column.
        rolled: For each input axis, results for rolled inputs.
        kept: For each input axis, results for inputs shifted, with new content at the border that opens; position 0 is
            the input itself.
        padded: For each input axis, whether a unit's value depends on what pads that axis; None if not known.
    """

    def __init__(
        self,
        depends: Sequence[np.ndarray],
        rolled: Sequence[Shifted],
        kept: Sequence[Shifted],
        padded: Sequence[np.ndarray] | None,
    ) -> None:
        self.depends, self.rolled, self.kept, self.padded = depends, rolled, kept, padded
        self.shape = depends[0].shape[1:]

    def positions(self, axis: int) -> int:
        return len(self.depends[axis])

    def dependence(self, axis: int, out: int | None) -> np.ndarray:
        """`(positions, units)`: which rows (or columns) units along an axis of the result depend on; None: one unit."""
        return along(self.depends[axis], out)

    def invariant(self, axis: int) -> np.ndarray:
        """`(positions,)`: whether a roll by p leaves the result as it is."""
        y = self.rolled[axis].flat
        return same(y, y[:, :1]).all((0, 2))

    def rolls(self, axis: int, out: int) -> np.ndarray:
        """`(trials, positions, units)`: whether the input's roll by p is the result's roll by q."""
        y = self.rolled[axis].projected(out)
        expected = np.stack([np.roll(y[:, 0], q, 1) for q in range(y.shape[2])], 1)  # (t, q, units, k)
        return same(y[:, :, None], expected[:, None]).all((3, 4))

    def kept_pairs(self, axis: int, out: int) -> np.ndarray:
        """`(positions, units, units)`: whether unit j of an input is unit j' of the input shifted by p, always."""
        y = self.kept[axis].projected(out)
        return same(y[:, :, None], y[:, :1, :, None]).all((0, 4))

    def padding(self, axis: int, out: int | None) -> np.ndarray:
        """`(units,)`: whether padding along an input axis changes units."""
        assert self.padded is not None
        return along(self.padded[axis][None], out)[0]


def along(mask: np.ndarray, out: int | None) -> np.ndarray:
    """Of a mask `(positions, *output)`: `(positions, units)` along one axis, any of the others."""
    if out is None:
        return mask.reshape(len(mask), -1).any(1, keepdims=True)
    return np.moveaxis(mask, 1 + out, 1).reshape(len(mask), mask.shape[1 + out], -1).any(2)


def measure(
    fn: Function,
    shape: tuple[int, ...],
    *,
    padded: Callable[..., Sequence[Array]] | None = None,
    seed: int = 0,
    trials: int = 4,
    sides: int = 2,
) -> list[Truth]:
    """Measure every result of a function of one image.

    Args:
        fn: From an image `(h, w, c)` to a sequence of arrays.
        shape: The image's.
        padded: `padded(x, value_h, value_w)`: the same function with these values in the padding of each axis.
        seed: Of the images.
        trials: Number of images, each with changes of its own.
        sides: How often each row is changed on each image.

    Returns:
        One `Truth` a result.
    """
    rng, run = np.random.default_rng(seed), Runner(fn)
    bases = images(rng, trials, shape)
    depends, rolled, kept = [], [], []
    original = run(bases)
    for axis in (0, 1):
        n = shape[axis]
        depends.append(_dependence(run, rng, bases, original, axis, sides))
        rolled.append(_sweep(run, np.stack([np.roll(bases, p, 1 + axis) for p in range(n)], 1)))
        fresh = images(rng, trials * n, shape).reshape(trials, n, *shape)
        moved = np.moveaxis(fresh, 2 + axis, 2)  # a view: (trials, p, positions, ...)
        for p in range(n):
            moved[:, p, p:] = np.moveaxis(bases, 1 + axis, 1)[:, : n - p]
        kept.append(_sweep(run, fresh))
    paddings = None if padded is None else _padding(Runner(padded), bases, trials)
    return [
        Truth(
            [depends[axis][i] for axis in (0, 1)],
            [rolled[axis][i] for axis in (0, 1)],
            [kept[axis][i] for axis in (0, 1)],
            None if paddings is None else [paddings[axis][i] for axis in (0, 1)],
        )
        for i in range(len(original))
    ]


def dependence(
    run: Runner, shape: tuple[int, ...], axis: int, *, seed: int = 0, trials: int = 4, sides: int = 2
) -> list[np.ndarray]:
    """Measure what every result of a function depends on along one axis: `(positions, *output)`, as in `Truth`."""
    rng = np.random.default_rng(seed)
    bases = images(rng, trials, shape)
    return _dependence(run, rng, bases, run(bases), axis, sides)


def _sweep(run: Runner, x: np.ndarray) -> list[Shifted]:
    """Run inputs `(trials, positions, *image)`."""
    return [Shifted(y.reshape(*x.shape[:2], *y.shape[1:])) for y in run(x.reshape(-1, *x.shape[2:]))]


def _dependence(
    run: Runner, rng: np.random.Generator, bases: np.ndarray, original: list[np.ndarray], axis: int, sides: int
) -> list[np.ndarray]:
    """Replace one row at a time by another row, larger, smaller or just other, and see what changes."""
    trials, n = len(bases), bases.shape[1 + axis]
    found = [np.zeros((n, *y.shape[1:]), bool) for y in original]
    for side in range(sides):
        x = np.repeat(bases[:, None], n, 1)
        rows = rng.standard_normal((trials, n, *np.delete(bases.shape[1:], axis)))
        signs = (-1.0) ** (np.arange(trials) + side)
        rows += 6 * signs.reshape(-1, *[1] * (rows.ndim - 1)) * rng.uniform(0, 1, rows.shape)
        view = np.moveaxis(x, 2 + axis, 2)
        view[:, np.arange(n), np.arange(n)] = rows
        for mask, y, base in zip(found, run(x.reshape(-1, *bases.shape[1:])), original, strict=True):
            mask |= ~same(y.reshape(trials, n, *y.shape[1:]), base[:, None]).all(0)
    return found


def _padding(run: Runner, bases: np.ndarray, trials: int) -> list[list[np.ndarray]]:
    """Change the padding of one axis at a time, and see what changes."""
    values = np.array([0.0, -7.3, 9.1, 0.37, -61, 58])
    changed = []
    for axis in (0, 1):
        x = np.repeat(bases, len(values), 0)
        varied, fixed = np.tile(values, trials), np.zeros(len(x))
        results = run(x, *((varied, fixed) if axis == 0 else (fixed, varied)))
        pieces = [y.reshape(trials, len(values), *y.shape[1:]) for y in results]
        changed.append([~same(y, y[:, :1]).all((0, 1)) for y in pieces])
    return changed
