"""Assertions for anybody's tests: a function answers every shift of its input as it should."""

import dataclasses
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn.equivariance.actions import Crop, Roll
from jaxcnn.equivariance.axes import per_axis, places
from jaxcnn.equivariance.errors import difference, scale
from jaxcnn.equivariance.interior import canvas, ground, inside, margins
from jaxcnn.equivariance.rolls import nearest_roll
from jaxcnn.equivariance.shifts import Shifts, at_once, chosen, circular, one_array, smallest_first, sweep
from jaxcnn.equivariance.tolerance import response, rounding

Strides = int | Fraction | Sequence[int | Fraction]


def assert_equivariant(
    fn: Callable[[Array], Array],
    x: Array,
    *,
    mode: str = "circular",
    shifts: Shifts = "all",
    strides: Strides = 1,
    tolerance: float | None = None,
    spatial_axes: Sequence[int] = (-3, -2),
    output_axes: Sequence[int] | None = None,
    up_to_roll: bool = False,
    margin: int | Sequence[Any] | None = None,
) -> None:
    """Assert that a function shifts its output when its input is shifted.

    `fn(shift(x, k s)) == shift(fn(x), k)` for every k, s the strides. The shifts move numbers and round nothing. They
    run many at a time, in one program, at the device's highest precision of products.

    Args:
        fn: A JAX function of one array that returns one array.
        x: Its argument, of any layout. What is asserted is asserted of this x alone: give one without symmetries.
        mode: `circular`: the input is rolled. `interior`: it is moved, and what comes in over the border is new (x's
            own positions, shuffled); only outputs are compared that no border reaches, before and after.
        shifts: `"all"` that the strides divide; how many of them, drawn always the same; or shifts of the input, each
            an amount for all axes or one an axis.
        strides: Positions of the input that are one of the output, a number or one an axis; `Fraction(1, 2)` where the
            output has two for one of the input.
        tolerance: Largest error that passes, a share of the largest value of fn(x); None for what rounding may do: the
            share that `rounding` tells, of the largest value or of the largest response to relative errors of random
            sign in x, whichever is larger. 0 asks for equal values (0 and -0 are), and runs one shift after the other,
            since a program for many may sum in another order. Integers and booleans must always be equal.
        spatial_axes: The axes of x that are shifted.
        output_axes: Those of the output that answer, in the same order; None for the same.
        up_to_roll: Circular only, and of one image: take any roll of the output for an answer, as maps give that choose
            their sampling positions by the data.
        margin: Interior only: positions of the output left out, an int, or one int or (low, high) an axis; None for
            what `analysis.trace` finds.

    Raises:
        AssertionError: It does not. One line names the smallest shift that fails, the error, the tolerance, and the
            first position.
        ValueError: Axes, strides, shifts or a mode that make no sense for x; an fn that gives NaN.
        TypeError: An fn that does not return one array.

    Example:
        >>> import pytest
        >>> def edges(x):
        ...     return x - jnp.roll(x, 1, 0)
        >>> x = jnp.arange(6.0)[:, None] ** 2
        >>> assert_equivariant(edges, x, spatial_axes=(0,))
        >>> assert_equivariant(lambda x: edges(x)[::2], x, spatial_axes=(0,), strides=2)
        >>> with pytest.raises(AssertionError, match=r"not equivariant: the input's roll by \\(-1,\\) is not"):
        ...     assert_equivariant(lambda x: x.at[0].set(0.0), x, spatial_axes=(0,))
    """
    __tracebackhide__ = True
    x = jnp.asarray(x)
    axes = places(spatial_axes, x.shape, "`x`")
    result = one_array(fn, x)
    answering = _answering(result.shape, spatial_axes, output_axes)
    if len(answering) != len(axes):
        raise ValueError(f"`output_axes` (={tuple(answering)}) must be as many as `spatial_axes` (={tuple(axes)})")
    steps = [_fraction(stride) for stride in per_axis("strides", strides, len(axes))]
    lattice, answer = (np.array(part) for part in zip(*[(s.numerator, s.denominator) for s in steps], strict=True))
    sizes = [x.shape[axis] for axis in axes]
    low = high = None
    if mode == "circular":
        if margin is not None:
            raise ValueError(f'`margin` (={margin}) is of `mode` "interior": a roll has no borders')
        for axis, size, stride in zip(axes, sizes, lattice, strict=True):
            if size % stride:
                raise ValueError(f"`strides` (={stride}) must divide the size {size} of axis {axis} of `x`; crop it")
        every = circular([size // stride for size, stride in zip(sizes, lattice, strict=True)]) * lattice
    elif mode == "interior":
        if up_to_roll:
            raise ValueError('`up_to_roll` needs `mode` "circular", got "interior": a map that is moved does not wrap')
        low, high = margins(fn, x, axes, answering, margin)
        left = np.array([result.shape[axis] for axis in answering]) - low - high
        reach = np.minimum((left - 1) // answer, (np.array(sizes) - 1) // lattice)
        if (reach < 1).any():
            raise AssertionError(
                f"not equivariant inside: of the output's shape {result.shape}, {tuple(np.maximum(left, 0).tolist())} "
                f"positions along axes {answering} are out of the borders' reach, which no shift can be seen in"
            )
        every = smallest_first([range(-r, r + 1) for r in reach.tolist()]) * lattice
    else:
        raise ValueError(f'`mode` (={mode!r}) must be "circular" or "interior"')
    wanted = chosen(shifts, every)
    if (wanted % lattice).any():
        off = tuple(wanted[(wanted % lattice).any(1)][0].tolist())
        raise ValueError(f"`shifts` holds {off}, which `strides` (={strides}) does not divide")
    larger, start = canvas(x, axes, np.abs(wanted).max(0).tolist() if low is not None else [0] * len(axes))

    def act(shift: Array) -> Array:
        return Roll(shift, axes)(x) if low is None else Crop(start - shift, tuple(sizes), axes)(larger)

    def compare(y: Array, reference: Array, by: Array) -> Array:
        if up_to_roll:
            return nearest_roll(y, reference, answering)
        apart = difference(y, Roll(by, answering)(reference))
        return apart if low is None else jnp.where(inside(y.shape, answering, low, high, by), apart, 0)

    what = "any roll of the output" if up_to_roll else "the output's by {answer}"
    verb = "the input's roll by {shift} is not" if low is None else "the input's shift by {shift} is not, inside,"
    _all_near(
        _Claim(fn, x, act, compare, f"not equivariant: {verb} {what}"), wanted, wanted // lattice * answer, tolerance
    )


def assert_invariant(
    fn: Callable[[Array], Array],
    x: Array,
    *,
    mode: str = "circular",
    shifts: Shifts = "all",
    tolerance: float | None = None,
    spatial_axes: Sequence[int] = (-3, -2),
) -> None:
    """Assert that a function gives the same when its input is shifted.

    `fn(shift(x, k)) == fn(x)` for every k.

    Args:
        fn: A JAX function of one array that returns one array.
        x: Its argument, of any layout.
        mode: `circular`: the input is rolled. `interior`: x is an object on an even ground, of its corner's value, and
            is moved wherever nothing of it leaves the image.
        shifts: As in `assert_equivariant`.
        tolerance: As in `assert_equivariant`.
        spatial_axes: The axes of x that are shifted.

    Raises:
        AssertionError: It does not; in one line, as of `assert_equivariant`.
        ValueError: Axes, shifts or a mode that make no sense for x; an fn that gives NaN.
        TypeError: An fn that does not return one array.

    Example:
        >>> x = jnp.arange(12.0).reshape(3, 4, 1) ** 2
        >>> assert_invariant(lambda x: x.max((0, 1)), x, tolerance=0)
        >>> assert_invariant(lambda x: x.mean((0, 1)), x)
    """
    __tracebackhide__ = True
    x = jnp.asarray(x)
    axes = places(spatial_axes, x.shape, "`x`")
    one_array(fn, x)
    if mode == "circular":
        every = circular([x.shape[axis] for axis in axes])
    elif mode == "interior":
        every = smallest_first(ground(x, axes))
    else:
        raise ValueError(f'`mode` (={mode!r}) must be "circular" or "interior"')
    wanted = chosen(shifts, every)
    if mode == "interior":
        allowed = set(map(tuple, every.tolist()))
        outside = [shift for shift in wanted.tolist() if tuple(shift) not in allowed]
        if outside:
            raise ValueError(f"`shifts` holds {tuple(outside[0])}, which moves a part of the object out of the image")
    claim = _Claim(
        fn,
        x,
        lambda shift: Roll(shift, axes)(x),
        lambda y, reference, by: difference(y, reference),
        "not invariant: the input's shift by {shift} changes the output",
    )
    _all_near(claim, wanted, wanted, tolerance)


@dataclasses.dataclass(frozen=True)
class _Claim:
    """That fn of a shifted x is near fn of x, in a sense."""

    fn: Callable[[Array], Array]
    x: Array
    act: Callable[[Array], Array]
    compare: Callable[[Array, Array, Array], Array]
    refuted: str


def _all_near(claim: _Claim, shifts: np.ndarray, answers: np.ndarray, tolerance: float | None) -> None:
    """Raise if a claim fails for a shift; the shifts come the smallest first."""
    __tracebackhide__ = True  # pytest shows the caller's line
    if tolerance is not None and not (np.ndim(tolerance) == 0 and tolerance >= 0):
        raise ValueError(f"`tolerance` (={tolerance}) must be a number of 0 or more, or None for that of rounding")
    with jax.default_matmul_precision("highest"):
        size = None if tolerance == 0 else at_once(claim.fn, claim.x)

        def run(shift: Array) -> Array:
            return claim.fn(claim.act(shift))

        still = np.zeros((1 if size is None else min(size, len(shifts)), shifts.shape[1]), shifts.dtype)
        reference = next(sweep(run, [still], size=size))[1][0]  # by the very program that runs the shifts
        _refuse_nan(reference)
        unit, most = float(scale(reference)), tolerance
        if most is None:
            most = rounding(claim.fn, claim.x) * max(1.0, response(claim.fn, claim.x) / unit)
        compare = jax.jit(jax.vmap(lambda y, by: claim.compare(y, reference, by)))
        for rows, results in sweep(run, [shifts], size=size):
            apart = np.asarray(compare(results, answers[rows]))
            flat = apart.reshape(len(rows), -1) / unit
            failing = np.flatnonzero(flat.max(1) > most)
            if len(failing):
                row = failing[0]
                first = np.unravel_index(np.flatnonzero(flat[row] > most)[0], apart.shape[1:])
                shift, answer = (tuple(array[rows[row]].tolist()) for array in (shifts, answers))
                raise AssertionError(
                    claim.refuted.format(shift=shift, answer=answer)
                    + f": error {flat[row].max():.2g} of the largest value, {unit:.3g}; tolerance {most:.2g}; "
                    + f"first at output position {tuple(int(place) for place in first)}"
                )


def _refuse_nan(y: Array) -> None:
    nan = np.argwhere(np.isnan(np.asarray(y))) if jnp.issubdtype(y.dtype, jnp.inexact) else []
    if len(nan):
        raise ValueError(f"`fn` gives NaN for x itself, first at {tuple(nan[0].tolist())}: nothing can be compared")


def _answering(shape: Sequence[int], spatial_axes: Sequence[int], output_axes: Sequence[int] | None) -> tuple[int, ...]:
    """Return the output's axes that answer."""
    if output_axes is not None:
        return places(output_axes, shape, "the output", "output_axes")
    try:
        return places(spatial_axes, shape, "the output")
    except ValueError:
        raise ValueError(
            f"`fn` returns shape {tuple(shape)}, which has not the axes {tuple(spatial_axes)}: name `output_axes`, or "
            "take assert_invariant"
        ) from None


def _fraction(stride: Any) -> Fraction:
    if isinstance(stride, float) or not stride > 0:
        raise ValueError(f"`strides` (={stride}) must be positive ints, or fractions such as Fraction(1, 2)")
    return Fraction(int(stride) if isinstance(stride, np.integer) else stride)
