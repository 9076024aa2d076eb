"""Shifts by half a pixel: what no contract speaks of is measured, in float64, on an input without its highest wave."""

import dataclasses
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn.analysis import Facts
from jaxcnn.equivariance import position_causes
from jaxcnn.equivariance.cause import Cause, established, moving_operand
from jaxcnn.equivariance.findings import Audit, AuditedLayer, own_shape
from jaxcnn.equivariance.fourier import delay
from jaxcnn.equivariance.local import ROUNDING, Local, far
from jaxcnn.equivariance.operation import widened
from jaxcnn.equivariance.program import Program
from jaxcnn.equivariance.relations import APPROXIMATE, VERDICTS, Relation
from jaxcnn.equivariance.rows import Row
from jaxcnn.equivariance.units import unit
from jaxcnn.equivariance.window_causes import fed, named_padding
from jaxcnn.equivariance.windows import averaged, rewindowed, window_of

HALF = 0.5
EXACT = 1e-6
"""Largest relative error that counts as none: filters that resample are kept in float32."""
FINER = 8
"""How many times as fine the grid is on which a nonlinearity is tried."""
BETTER = 3.0
"""How many times smaller an error must be on that grid for aliasing to be its cause."""


def measured_relations(
    program: Program,
    x: Any,
    values: Sequence[int],
    facts: Sequence[Facts],
    places: Sequence[int],
) -> tuple[dict[int, tuple[Relation, ...]], dict[int, float]]:
    """Move the input by half a pixel along each axis, and say how well every value moves with it.

    Args:
        program: The program.
        x: Its input.
        values: Numbers of values.
        facts: Of each: which axes move, and their jumps.
        places: Spatial axes of the input.

    Returns:
        Relations by number, and each value's largest error, relative to its largest magnitude.
    """
    known: dict[int, list[Relation]] = {n: [] for n in (program.input, *values)}
    errors = dict.fromkeys(known, 0.0)
    with jax.enable_x64(True):
        x = widened(x)
        for place in places:
            x = delay(delay(x, HALF, place), -HALF, place)  # away with the wave that half a pixel erases

        def differences(x: Array) -> list[Any]:
            base, found = program.run(x, values, double=True), []
            for i, place in enumerate(places):
                moved = program.run(delay(x, HALF, place), values, double=True)
                axes = [fact.axes[i] for fact in facts]
                found.append([_difference(*each) for each in zip(base, moved, axes, strict=True)])
            return found

        found = np.asarray(jax.jit(differences)(x), float)
    for i, place in enumerate(places):
        known[program.input].append(Relation("exact", 1, place, 1, jump=Fraction(1)))
        for n, fact, error in zip(values, facts, found[i].tolist(), strict=True):
            verdict = "exact" if error <= EXACT else "approximate" if error <= APPROXIMATE else "broken"
            axis, errors[n] = fact.axes[i].axis, max(errors[n], error)
            moves = verdict != "broken" and axis is not None
            known[n].append(Relation(verdict, int(verdict == "exact"), axis, int(moves), jump=fact.axes[i].jump))
    return {n: tuple(relations) for n, relations in known.items()}, errors


def _difference(old: Array, new: Array, axis: Any) -> Array:
    if not jnp.issubdtype(old.dtype, jnp.floating):
        return (old != new).any().astype(float) if axis.axis is None else jnp.ones(())
    if axis.axis is not None and axis.jump:
        old = delay(old, HALF / float(axis.jump), axis.axis)
    scale = jnp.abs(old).max()
    return jnp.abs(new - old).max() / jnp.where(scale > 0, scale, 1)


@dataclasses.dataclass(frozen=True)
class HalfPixel(Local):
    """A unit whose operands move by half a pixel of the input."""

    def error(
        self, instead: Any = None, *, target: Any = None, change: Any = lambda given: given, **options: Any
    ) -> float:
        """Return how far the unit is from moving with its operands, or not at all; see `Local.error`."""
        moved, size, amount = {}, 1, 0.0
        for number, value in self.values.items():
            r = self.relation(number)
            moved[number] = value
            if r.axis is not None and r.jump:
                moved[number] = delay(value, HALF / float(r.jump), r.axis)
                size, amount = value.shape[r.axis], HALF / float(r.jump)
        base, found = self.run(change(self.values), instead, target), self.run(change(moved), instead, target)
        scale = float(np.max(np.abs(base), initial=0)) or 1.0
        answers = [far(base, found)]
        if np.issubdtype(base.dtype, np.floating):
            for axis, n in enumerate(base.shape):
                answers.append(far(np.asarray(delay(jnp.asarray(base), amount * n / size, axis)), found))
        return min(answers) / scale


def explain_fractional(local: HalfPixel) -> tuple[Cause, ...]:
    """Find out why a unit does not move by fractions of a pixel.

    Args:
        local: The unit, with its operands.

    Returns:
        Causes, all of which have to go.
    """
    last, error = local.unit.operations[-1], local.error()
    if error < ROUNDING:
        return (Cause("border", f"{last.name} mixes arrays that move differently", last.name, 0.0, 0.0),)
    for search in (_window, _coarser, _nonlinear, *position_causes.SEARCHES):
        found = tuple(cause for cause in search(local, error) if cause.kind != "flatten" or _is_flat(local))
        if found:
            return found
    return (Cause("operation", f"{last.name}: no change that was tried brings it back", last.name, error),)


def _is_flat(local: Local) -> bool:
    """Whether no axis of the unit's result carries positions of the input."""
    return local.known[local.unit.target][local.unit.axis].axis is None


def _coarser(local: Local, error: float) -> Iterator[Cause]:
    """Sampling, however it is written: exact where the map holds no wave that the coarser grid cannot hold."""
    source = moving_operand(local)
    after = local.known[local.unit.target][local.unit.axis].jump
    if source is None or not after:
        return
    number, axis = source
    stride = abs(after / (local.relation(number).jump or after))
    if stride <= 1:
        return

    def held(given: dict[int, Any]) -> dict[int, Any]:
        x = given[number]
        spectrum = jnp.moveaxis(jnp.fft.rfft(x, axis=axis), axis, -1)
        kept = np.arange(spectrum.shape[-1]) * 2 * float(stride) < x.shape[axis]
        low = jnp.fft.irfft(jnp.where(kept, spectrum, 0), n=x.shape[axis])
        return {**given, number: jnp.moveaxis(low, -1, axis)}

    if local.holds(change=held):
        text = f"stride {stride} keeps waves that the coarser grid cannot hold"
        yield established(local, "stride", text, error, change=held)


def _window(local: Local, error: float) -> Iterator[Cause]:
    """A convolution or a pool: its padding, its stride, its maximum."""
    source, last = moving_operand(local), local.unit.operations[-1]
    found = None if source is None else fed(local, *source)
    if source is None or found is None:
        return
    feed, axis = found
    window = window_of(last, axis)
    if window is None:
        return
    place, positions = last.outputs[0], local.values[source[0]].shape[source[1]]
    choose = averaged if "max" in last.name or "min" in last.name else rewindowed
    dense = {place: choose(last, axis, circular=False, dense=True)}
    whole = {place: choose(last, axis, circular=True, dense=True)}
    if not local.holds(whole, change=feed):
        return
    if choose is averaged:
        text = f"{last.name} makes waves that its grid cannot hold: an average in its place moves exactly"
        yield established(local, "aliasing nonlinearity", text, error, whole, change=feed)
    if positions * window.holes % window.strides:
        text = f"stride {window.strides} leaves a remainder on {positions * window.holes} positions"
        yield established(local, "remainder", text, error, whole, change=feed)
    elif window.span > window.strides and not local.holds(dense):  # tiles need no padding
        kind, text = named_padding(local, window, positions * window.holes, last.avals[0].shape[axis] * window.holes)
        yield established(local, kind, text, error, whole, change=feed)
    if window.strides > 1:
        text = f"stride {window.strides} keeps waves that the coarser grid cannot hold"
        yield established(local, "stride", text, error, whole, change=feed)


def _nonlinear(local: Local, error: float) -> Iterator[Cause]:
    """An element-wise function: on a finer grid, low-passed, it moves better."""
    source, last = moving_operand(local), local.unit.operations[-1]
    dependent = [k for k, number in enumerate(last.inputs) if number in local.program.depends]
    if source is None or len(local.unit.operations) > 1 or not dependent:
        return
    shape, axis = local.values[source[0]].shape, source[1]
    if local.program.avals[last.outputs[0]].shape != shape:
        return

    def finer(*taken: Any) -> list[Any]:
        grown = [_resampled(x, axis, FINER) if k in dependent and x.shape == shape else x for k, x in enumerate(taken)]
        given = dict(zip(last.inputs, grown, strict=True))
        made = local.program.replay(given, [last.outputs[0]], double=True)
        return [_resampled(made[0], axis, 1 / FINER)]

    try:
        restored = local.error({last.outputs[0]: finer})
    except (TypeError, ValueError):
        return
    if restored * BETTER < error:
        text = f"a nonlinearity ({last.name}) makes waves that its grid cannot hold"
        yield Cause("aliasing nonlinearity", text, last.name, error, restored)


def _resampled(x: Array, axis: int, times: float) -> Array:
    """Sample the trigonometric polynomial through a signal more finely, or what a coarser grid can hold of it."""
    n = x.shape[axis]
    size = round(n * times)
    kept = (min(n, size) - 1) // 2 + 1
    spectrum = jnp.moveaxis(jnp.fft.rfft(x, axis=axis), axis, -1)[..., :kept]
    return jnp.moveaxis(jnp.fft.irfft(spectrum, n=size), -1, axis) * times


def half_pixel_audit(
    listed: Program, x: Array, contracts: dict[int, Facts], rows: Sequence[Row], places: tuple[int, ...]
) -> Audit:
    """Audit shifts by half a pixel along each axis.

    Args:
        listed: The program.
        x: Its input.
        contracts: Facts of all its values that depend on the input.
        rows: Its layers.
        places: Spatial axes of the input.

    Returns:
        The audit.
    """
    facts = list(contracts.values())
    known, errors = measured_relations(listed, x, list(contracts), facts, places)
    layers = []
    for row in rows:
        found: dict[tuple[str, str], Cause] = {}
        for axis in range(len(places)):
            part = unit(listed, known, row.operations, row.output, axis)
            if part is None:
                continue
            with jax.enable_x64(True):
                values = listed.run(widened(x), part.inputs, double=True)
                local = HalfPixel(listed, part, dict(zip(part.inputs, values, strict=True)), known)
                found |= {(cause.kind, cause.text): cause for cause in explain_fractional(local)}
        verdicts = tuple(r.verdict for r in known[row.output])
        contract = tuple(str(axis.contract) for axis in contracts[row.output].axes)
        shape, worst = own_shape(contracts[row.output].shape, x.ndim), max(verdicts, key=VERDICTS.index)
        layers.append(
            AuditedLayer(
                row.name,
                row.op,
                shape,
                worst,
                verdicts,
                contract,
                error=errors[row.output],
                causes=tuple(found.values()),
            )
        )
    ends = [r.verdict for n in listed.outputs if n in known for r in known[n]]
    return Audit(
        tuple(layers), max(ends, key=VERDICTS.index, default="exact"), "fractional", tuple(x.shape), len(places)
    )
