"""The audit of a network: what each layer promises under shifts, whether it keeps it, and why it promises no more."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn import analysis
from jaxcnn.config import unknown
from jaxcnn.equivariance.cause import Cause
from jaxcnn.equivariance.causes import explain
from jaxcnn.equivariance.findings import Audit, AuditedLayer
from jaxcnn.equivariance.fractional import HalfPixel, explain_fractional, measured_relations
from jaxcnn.equivariance.local import Local
from jaxcnn.equivariance.measure import Measured, measure, shifts_of
from jaxcnn.equivariance.program import Program, program, widened
from jaxcnn.equivariance.relations import VERDICTS, Relation, relations
from jaxcnn.equivariance.rows import Row, rows_of
from jaxcnn.equivariance.turns import is_transposed, turned
from jaxcnn.equivariance.units import has_window, persists, unit

MODES = ("circular", "interior", "fractional")
ROUNDING_64 = 1e-9
"""What float64 may leave of nothing, relative to a map's largest magnitude."""
SUSPICIOUS = 64
"""Units in the last place beyond which a difference is looked at again, in float64."""
MOST_DOUBTS = 6
"""Shifts that are looked at again."""
APPROXIMATE = 0.05
"""Largest relative difference that counts as approximate equivariance."""
TIE_BREAK = 1e-3
UNTOLD = ("operation", "border", "global reduction", "batch statistics")
"""Causes that say nothing where an operation has no rule."""


def audit(
    fn: Callable[[Array], Any],
    x: Array,
    *,
    mode: str = "circular",
    spatial_axes: Sequence[int] = (-3, -2),
    tolerance: float | None = None,
) -> Audit:
    """Prove or refute, layer by layer, that a network answers shifts of its input.

    What every operation promises is read off the jaxpr (`analysis.trace`). Then the network runs on the input and on
    its shifts (all of them along each axis, up to 64 of a longer one, and some along both), and each layer's output is
    compared with what it promised. Where a layer promises less than what it takes in, the cause is looked for by
    substitution: its operands are rolled exactly, in float64, and one thing after the other is changed (padding to
    circular, stride to dense, a constant to its mean ...) until the operation moves with them.

    `mode="fractional"` moves by half a pixel, of which no contract speaks: what is exact, approximate and broken is
    measured, in float64, on the input without its highest wave, and a layer that moves less well than what it takes in
    gets its cause as well: `aliasing nonlinearity` where a finer grid helps, or a linear operation in its place.

    A layer's verdict is one of

    - `exact`: every shift of the input shifts it by (shift / jump), or leaves it as it is;
    - `orbit`: every shift shifts it by an amount that the data choose (adaptive polyphase sampling);
    - `exact-lattice`: so do the multiples of the jump or of a stride, given as `lattice`;
    - `exact-interior`: so it is away from the borders: `margin` says how far in;
    - `approximate`: it promises nothing, and is off by at most 5 % of its largest magnitude;
    - `broken`: it promises nothing, and is further off, given as `error`;
    - `unknown`: an operation without a rule is on the way.

    Causes: `zero padding`, `mirrored padding`, `incomplete padding`, `no padding`, `stride`, `remainder` (positions
    that a stride drops), `crop`, `flatten`, `fixed position`, `position-dependent constant`, `cumulative operation`,
    `sort`, `transposed axes`, `mirrored axis`, `operands move apart`, `border` (the borders of a padded map are taken
    in), `batch statistics`, `global reduction`, `ties`, `floating point`, `aliasing nonlinearity`, `not finite`,
    `no rule`, and `operation` where nothing that was tried brings it back.

    Args:
        fn: Any JAX function of one array; calls are seen through, loops of up to 64 turns unrolled.
        x: The input on which it is tried, `(*batch, *spatial, channels)` or as `spatial_axes` says. Shifts must change
            it.
        mode: `circular`; `interior`, where content that was never seen comes in at the borders; or `fractional`.
        spatial_axes: Positions of x's spatial axes.
        tolerance: Largest error, relative to a layer's largest magnitude, of what it keeps exactly; None forgives
            rounding: what float64 does away with. 0 asks for bit equality.

    Returns:
        The `Audit`: `.layers`, each with `.name`, `.verdict`, `.cause`, `.error`, `.contract`; `.verdict` of the
        result. Its `str()` is a table.

    Raises:
        ValueError: An unknown mode, axes that x has not got, an input that no shift changes, or one that is not finite.

    Example:
        >>> from jaxcnn import functional as F
        >>> kernel = jax.random.normal(jax.random.key(0), (3, 3, 1, 1))
        >>> x = jax.random.normal(jax.random.key(1), (8, 8, 1))
        >>> found = audit(lambda x: F.conv(jax.nn.relu(F.conv(x, kernel, padding_mode="circular")), kernel), x)
        >>> [(layer.name, layer.verdict) for layer in found.layers]
        [('conv1', 'exact'), ('relu1', 'exact'), ('conv2', 'exact-interior')]
        >>> str(found.layers[2].cause)
        'zero padding 1 and 1 before a window of 3'
    """
    if mode not in MODES:
        raise ValueError(unknown("mode", mode, MODES))
    x = jnp.asarray(x)
    places = _places(x, spatial_axes)
    sizes = tuple(x.shape[place] for place in places)
    listed = program(fn, x)
    values = [n for operation in listed.operations for n in operation.outputs if n in listed.depends]
    facts = analysis.trace(lambda x: listed.run(x, values), x, spatial_axes=places).outputs
    contracts = dict(zip(values, facts, strict=True))
    rows = rows_of(listed, len(places))
    if mode == "fractional":
        return _fractional(listed, x, contracts, rows, places)
    known = {n: relations(fact, mode, sizes) for n, fact in contracts.items()}
    start = analysis.trace(lambda x: x, x, spatial_axes=places).outputs[0]
    known[listed.input] = relations(start, mode, sizes)
    shifts = shifts_of(sizes, mode)
    judged = _Judged(listed, x, known, places, mode, shifts, tolerance)
    outputs = [row.output for row in rows]
    ends = [n for n in listed.outputs if n in listed.depends and n not in outputs]
    measured = judged.measured(outputs + ends)
    layers = tuple(_layer(judged, row, contracts[row.output], measured, column) for column, row in enumerate(rows))
    verdicts = [_verdict_of(judged, n, measured, (outputs + ends).index(n))[0] for n in listed.outputs if n in known]
    worst = max(verdicts, key=VERDICTS.index, default="exact")
    return Audit(layers, worst, mode, tuple(x.shape), len(shifts))


def _fractional(
    listed: Program, x: Array, contracts: dict[int, analysis.Facts], rows: list[Row], places: tuple[int, ...]
) -> Audit:
    """Audit shifts by half a pixel."""
    facts = list(contracts.values())
    known, errors = measured_relations(listed, x, list(contracts), facts, places, approximate=APPROXIMATE)
    layers = []
    for row in rows:
        found: dict[tuple[str, str], Cause] = {}
        for axis in range(len(places)):
            part = unit(listed, known, row.operations, row.output, axis)
            if part is None or not persists(listed, known, row.operations, row.output, axis):
                continue
            with jax.enable_x64(True):
                values = listed.run(widened(x), part.inputs, double=True)
                local = HalfPixel(listed, part, dict(zip(part.inputs, values, strict=True)), known)
                found |= {(cause.kind, cause.text): cause for cause in explain_fractional(local)}
        verdicts = tuple(r.verdict for r in known[row.output])
        contract = tuple(str(axis.contract) for axis in contracts[row.output].axes)
        shape, worst = _shape(contracts[row.output].shape, x), max(verdicts, key=VERDICTS.index)
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


def _shape(shape: tuple[int, ...], x: Array) -> tuple[int, ...]:
    """Leave out the batch of one that an operation may add."""
    return shape[1:] if len(shape) > x.ndim and shape[:1] == (1,) else shape


class _Judged:
    """A program, its promises, and what was measured of them."""

    def __init__(
        self,
        listed: Program,
        x: Array,
        known: dict[int, tuple[Relation, ...]],
        places: tuple[int, ...],
        mode: str,
        shifts: np.ndarray,
        tolerance: float | None,
    ):
        self.program, self.x, self.known, self.places = listed, x, known, places
        self.mode, self.shifts, self.tolerance = mode, shifts, tolerance
        self.doubts: dict[int, float] = {}
        """Of values whose promises seem broken: by how much they are in float64."""
        self.is_transposed = is_transposed(listed, known)
        self.tied: set[int] = set()
        """Of those: the ones that keep their promise once equal numbers are told apart."""

    def measured(self, values: list[int]) -> Measured:
        """Measure all values, those that seem to break a promise again in float64."""
        found = self._measure(self.x, values, self.shifts)
        worst = np.nanmax(np.nan_to_num(found.promised, nan=0.0), axis=0, initial=0.0)
        limits = [SUSPICIOUS * _eps(self.program.avals[n].dtype) for n in values]
        doubted = [
            column for column, limit in enumerate(limits) if not worst[column] <= min(limit, self.tolerance or limit)
        ]
        if self.tolerance == 0:
            doubted = [column for column in range(len(values)) if worst[column] > 0]
        if doubted:
            order = dict.fromkeys(int(np.nanargmax(found.promised[:, column])) for column in doubted)
            shifts = self.shifts[list(order)[:MOST_DOUBTS]]
            numbers = [values[column] for column in doubted]
            again = self._double(self.x, numbers, shifts)
            self.doubts = dict(zip(numbers, again, strict=True))
            orbits = [n for n in numbers if self.doubts[n] > ROUNDING_64 and self._is_orbit(n)]
            if orbits:
                noise = np.random.default_rng(0).standard_normal(self.x.shape) * TIE_BREAK
                untied = self._double(jnp.asarray(self.x + noise, self.x.dtype), orbits, shifts)
                self.tied = {n for n, error in zip(orbits, untied, strict=True) if error <= ROUNDING_64}
        return found

    def _measure(self, x: Any, values: list[int], shifts: np.ndarray, **options: Any) -> Measured:
        known = [self.known[n] for n in values]
        return measure(self.program, x, values, known, shifts, self.places, mode=self.mode, **options)

    def _double(self, x: Array, values: list[int], shifts: np.ndarray) -> list[float]:
        with jax.enable_x64(True):
            found = self._measure(widened(x), values, shifts, double=True)
        return np.nanmax(np.nan_to_num(found.promised, nan=0.0), axis=0, initial=0.0).tolist()

    def _is_orbit(self, number: int) -> bool:
        """Whether a value depends on a choice by the data."""
        return any(r.verdict == "orbit" for r in self.known[number]) or any(
            any(r.verdict == "orbit" for r in known) for known in self.known.values()
        )


def _layer(judged: _Judged, row: Row, facts: analysis.Facts, measured: Measured, column: int) -> AuditedLayer:
    verdict, causes = _verdict_of(judged, row.output, measured, column)
    known = judged.known[row.output]
    causes = causes or _causes(judged, row)
    promised = measured.promised[:, column]
    kept = float(np.nanmax(promised)) if np.isfinite(promised).any() else None
    return AuditedLayer(
        name=row.name,
        op=row.op,
        shape=_shape(facts.shape, judged.x),
        verdict=verdict,
        verdicts=tuple(r.verdict for r in known),
        contract=tuple(str(axis.contract if judged.mode == "circular" else axis.interior) for axis in facts.axes),
        lattice=tuple(r.lattice for r in known),
        margin=tuple(r.margin for r in known),
        error=float(np.max(measured.whole[:, column], initial=0.0)),
        kept=kept,
        refuted=_is_refuted(judged, row.output),
        causes=causes,
    )


def _is_refuted(judged: _Judged, number: int) -> bool:
    if np.isinf(judged.doubts.get(number, 0.0)):
        return False  # there is nothing to compare
    return judged.doubts.get(number, 0.0) > ROUNDING_64 and number not in judged.tied


def _verdict_of(judged: _Judged, number: int, measured: Measured, column: int) -> tuple[str, tuple[Cause, ...]]:
    """Return a value's verdict, and the cause where measurement tells it."""
    known = judged.known[number]
    if np.isinf(measured.whole[:, column]).any():
        return "unknown", (Cause("not finite", "it holds NaN, or infinities that come and go", "", float("inf")),)
    verdict = max((r.verdict for r in known), key=VERDICTS.index, default="exact")
    doubt = judged.doubts.get(number)
    if number in judged.tied:
        text = f"equal numbers: told apart by a change of {TIE_BREAK}, it keeps its promise"
        return "broken", (Cause("ties", text, "argmax", doubt or 0.0, 0.0),)
    if _is_refuted(judged, number):
        return "unknown", ()
    if doubt is not None and judged.tolerance is not None and verdict not in ("broken", "unknown"):
        error = float(np.nanmax(measured.promised[:, column]))
        if error > judged.tolerance:
            text = f"floating point: an error of {error:.1e} is {doubt:.0e} in float64"
            return "approximate", (Cause("floating point", text, "", error, doubt),)
    if verdict == "broken" and np.max(measured.whole[:, column], initial=0.0) <= APPROXIMATE:
        verdict = "approximate"
    return verdict, ()


def _causes(judged: _Judged, row: Row) -> tuple[Cause, ...]:
    """Explain, for each axis of the input, why a layer promises less than what it takes in."""
    found: dict[tuple[str, str], Cause] = {}
    for axis in range(len(judged.places)):
        part = unit(judged.program, judged.known, row.operations, row.output, axis)
        if part is None or not persists(judged.program, judged.known, row.operations, row.output, axis):
            continue
        if part.before.verdict in ("broken", "unknown"):
            continue
        with jax.enable_x64(True):
            values = judged.program.run(widened(judged.x), part.inputs, double=True)
            local = Local(judged.program, part, dict(zip(part.inputs, values, strict=True)), judged.known)
            causes = explain(local, norm=row.op.endswith("norm"), mode=judged.mode)
        if (
            part.before.verdict == "exact-interior"
            and part.after.verdict == "broken"
            and has_window(part.operations[-1])
        ):
            text = f"nothing is left of the interior, {_margins(part.before)} before it"
            rest = Cause("border", text, part.operations[-1].name, causes[0].error, causes[0].restored)
            told = [cause for cause in causes if cause.kind not in ("operation", "border")]
            causes = (rest, *told) if all(cause.kind == "stride" for cause in told) else (*told, rest)
        if part.after.verdict == "unknown" and causes[0].kind in UNTOLD:
            name = part.operations[-1].name
            causes = (Cause("no rule", f"nothing is known of {name} on what it takes here", name, causes[0].error),)
        for cause in causes:
            found.setdefault((cause.kind, cause.text), cause)
    for cause in turned(judged.program, judged.known, row.operations, row.output):
        if cause.kind != "transposed axes" or judged.is_transposed:
            found.setdefault((cause.kind, cause.text), cause)
    established = [cause for cause in found.values() if cause.kind not in ("no rule", "operation")]
    return tuple(established or found.values())


def _margins(known: Relation) -> str:
    low, high = known.margin or (0, 0)
    return f"{low}..{high}"


def _places(x: Array, spatial_axes: Sequence[int]) -> tuple[int, ...]:
    """Return the spatial axes from the front, and refuse an input on which nothing could be seen."""
    if isinstance(spatial_axes, int):
        raise ValueError(f"`spatial_axes` (={spatial_axes}) must be a sequence of positions, such as ({spatial_axes},)")
    for axis in spatial_axes:
        if not -x.ndim <= axis < x.ndim:
            raise ValueError(f"`spatial_axes` (={tuple(spatial_axes)}) names axis {axis}, but x has {x.ndim} axes")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"`x` must hold floating-point numbers, got {x.dtype}")
    if not bool(jnp.isfinite(x).all()):
        raise ValueError("`x` must be finite, got NaN or infinity")
    places = tuple(sorted(axis % x.ndim for axis in spatial_axes))
    if all(x.shape[place] == 1 for place in places):
        raise ValueError(
            f"`x` (shape {x.shape}) has one position along `spatial_axes` {tuple(spatial_axes)}: none to shift"
        )
    for place in places:
        if x.shape[place] > 1 and bool((x == jnp.roll(x, 1, place)).all()):
            raise ValueError(f"`x` is the same all along axis {place}: no shift changes it, so nothing could be seen")
    return places


def _eps(dtype: Any) -> float:
    return float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else 0.0
