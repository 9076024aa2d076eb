"""What was promised and measured of a program under shifts, judged layer by layer."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn.analysis import Facts
from jaxcnn.equivariance.cause import Cause
from jaxcnn.equivariance.causes import explain
from jaxcnn.equivariance.findings import AuditedLayer, own_shape
from jaxcnn.equivariance.local import ROUNDING, Local
from jaxcnn.equivariance.measure import Measured, measure
from jaxcnn.equivariance.observed import observed, without_chance
from jaxcnn.equivariance.operation import widened
from jaxcnn.equivariance.program import Program
from jaxcnn.equivariance.relations import APPROXIMATE, VERDICTS, Relation
from jaxcnn.equivariance.rows import Row
from jaxcnn.equivariance.turns import is_transposed, turned
from jaxcnn.equivariance.units import has_window, unit
from jaxcnn.equivariance.used_up import UsedUp

SUSPICIOUS = 64
"""Units in the last place beyond which a difference is looked at again, in float64."""
MOST_DOUBTS = 6
"""Shifts that are looked at again."""
TIE_BREAK = 1e-3
"""Standard deviation of what is added to the input to tell equal numbers apart."""
UNTOLD = ("operation", "border", "global reduction", "batch statistics")
"""Causes that say nothing where an operation has no rule."""


class Judged:
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
        self.seen: dict[int, tuple[Relation | None, ...]] = {}
        """What values do of which nothing is proven, where that was looked at."""
        self.tied: set[int] = set()
        """Of those: the ones that keep their promise once equal numbers are told apart."""

    def measured(self, values: list[int]) -> Measured:
        """Measure all values, those that seem to break a promise again in float64."""
        found = self._measure(self.x, values, self.shifts)
        worst = found.worst
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
            broken = [n for n in numbers if self.doubts[n] > ROUNDING]
            if broken and self._has_choices:  # perhaps between equal numbers
                noise = np.random.default_rng(0).standard_normal(self.x.shape) * TIE_BREAK
                untied = self._double(jnp.asarray(self.x + noise, self.x.dtype), broken, shifts)
                self.tied = {n for n, error in zip(broken, untied, strict=True) if error <= ROUNDING}
        return found

    def look(self, values: list[int]) -> None:
        """See how values move of which nothing is proven."""
        self.seen = without_chance(self.program, observed(self.program, self.x, values, self.places))

    @property
    def best(self) -> dict[int, tuple[Relation, ...]]:
        """What was seen, in the place of what is not proven."""
        return {
            n: tuple(r if r.promises or new is None else new for r, new in zip(self.known[n], seen, strict=True))
            for n, seen in self.seen.items()
        }

    def _measure(self, x: Any, values: list[int], shifts: np.ndarray, **options: Any) -> Measured:
        known = [self.known[n] for n in values]
        return measure(self.program, x, values, known, shifts, self.places, mode=self.mode, **options)

    def _double(self, x: Array, values: list[int], shifts: np.ndarray) -> list[float]:
        with jax.enable_x64(True):
            found = self._measure(widened(x), values, shifts, double=True)
        return found.worst.tolist()

    @property
    def _has_choices(self) -> bool:
        """Whether the data choose anything on the way, as adaptive polyphase sampling lets them."""
        return any(r.verdict == "orbit" for known in self.known.values() for r in known)


def layer_of(
    judged: Judged, row: Row, facts: Facts, measured: Measured, column: int, told: tuple[Cause, ...]
) -> AuditedLayer:
    verdict, causes = verdict_of(judged, row.output, measured, column)
    known = _effective(judged, row.output)
    causes = causes or told
    promised = measured.promised[:, column]
    kept = float(np.nanmax(promised)) if np.isfinite(promised).any() else None
    return AuditedLayer(
        name=row.name,
        op=row.op,
        shape=own_shape(facts.shape, judged.x.ndim),
        verdict=verdict,
        verdicts=tuple(r.verdict for r in known),
        contract=tuple(str(axis.contract if judged.mode == "circular" else axis.interior) for axis in facts.axes),
        lattice=tuple(r.lattice for r in known),
        margin=tuple(r.margin for r in known),
        error=_error(known, float(np.max(measured.whole[:, column], initial=0.0))),
        kept=kept,
        refuted=_is_refuted(judged, row.output),
        proven=known == judged.known[row.output],
        causes=causes,
    )


def _error(known: tuple[Relation, ...], measured: float) -> float:
    """Return what was measured; NaN where it is not known along which axis an array would move."""
    return float("nan") if any(r.verdict == "unknown" and r.axis is None for r in known) else measured


def _is_refuted(judged: Judged, number: int) -> bool:
    if np.isinf(judged.doubts.get(number, 0.0)):
        return False  # there is nothing to compare
    return judged.doubts.get(number, 0.0) > ROUNDING and number not in judged.tied


def verdict_of(judged: Judged, number: int, measured: Measured, column: int) -> tuple[str, tuple[Cause, ...]]:
    """Return a value's verdict, and the cause where measurement tells it."""
    known = _effective(judged, number)
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


def causes_of(judged: Judged, rows: Sequence[Row]) -> list[tuple[Cause, ...]]:
    """Explain why layers promise less than what they take in."""
    told = [_causes(judged, row) for row in rows]
    if judged.mode == "interior":
        used_up = UsedUp(judged.program, judged.x, judged.known, judged.mode)
        return [used_up.causes(row, causes) for row, causes in zip(rows, told, strict=True)]
    first = next((n for n, row in enumerate(rows) if _is_unproven(judged.known[row.output], told[n])), None)
    if first is None:
        return told
    start = judged.program.operations.index(rows[first].operations[0])
    numbers = [n for operation in judged.program.operations[start:] for n in operation.outputs if n in judged.known]
    judged.look([n for n in numbers if not all(r.promises for r in judged.known[n])])
    again = [_causes(judged, row, seen=True) for row in rows[first:]]
    kept = [_effective(judged, row.output) == judged.known[row.output] for row in rows[first:]]
    late = [old if old and keep else new for old, new, keep in zip(told[first:], again, kept, strict=True)]
    return [*told[:first], *late]


def _is_unproven(known: tuple[Relation, ...], causes: tuple[Cause, ...]) -> bool:
    """Whether a layer loses all promises, and nothing that was found says why it should: a stride leaves a lattice."""
    lost = any(not r.promises for r in known)
    return lost and bool(causes) and all(cause.kind in ("no rule", "stride") for cause in causes)


def _effective(judged: Judged, number: int) -> tuple[Relation, ...]:
    """Return what is proven of a value; where nothing is, how it was seen to move with all shifts of some lattice.

    What is unknown stays so: it is said of operations without a rule, whatever they do.
    """
    known = judged.known[number]
    seen = judged.seen.get(number, (None,) * len(known))
    return tuple(new if r.verdict == "broken" and new else r for r, new in zip(known, seen, strict=True))


def _causes(judged: Judged, row: Row, *, seen: bool = False) -> tuple[Cause, ...]:
    """Explain, for each axis of the input, why a layer promises less than what it takes in.

    Args:
        judged: What is known.
        row: The layer.
        seen: Take what was seen of a value, where nothing is proven, for a promise.
    """
    known = judged.known | judged.best if seen else judged.known
    found: dict[tuple[str, str], Cause] = {}
    for axis in range(len(judged.places)):
        part = unit(judged.program, known, row.operations, row.output, axis)
        if part is None or part.before.verdict in ("broken", "unknown"):
            continue
        with jax.enable_x64(True):
            values = judged.program.run(widened(judged.x), part.inputs, double=True)
            local = Local(judged.program, part, dict(zip(part.inputs, values, strict=True)), known)
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
    for cause in turned(judged.program, known, row.operations, row.output):
        if cause.kind != "transposed axes" or judged.is_transposed:
            found.setdefault((cause.kind, cause.text), cause)
    established = [cause for cause in found.values() if cause.kind not in ("no rule", "operation")]
    return tuple(established or found.values())


def _margins(known: Relation) -> str:
    low, high = known.margin or (0, 0)
    return f"{low}..{high}"


def _eps(dtype: Any) -> float:
    return float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else 0.0
