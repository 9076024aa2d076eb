"""Layers behind those that left nothing of an interior: what each loses of a map that is whole, judged one by one.

Windows one after the other reach further and further in from the borders, until no position is left that new content
does not reach. From there on no layer promises anything, and none could be told from any other; so each is looked at
alone, as if the map that it takes in had just begun.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxcnn import analysis
from jaxcnn.equivariance.cause import Cause
from jaxcnn.equivariance.causes import explain
from jaxcnn.equivariance.local import Local
from jaxcnn.equivariance.operation import widened
from jaxcnn.equivariance.program import Program
from jaxcnn.equivariance.relations import Relation, relations
from jaxcnn.equivariance.rows import Row
from jaxcnn.equivariance.units import unit

Known = Mapping[int, tuple[Relation, ...]]


class UsedUp:
    """Which values have nothing left of an interior, and nothing worse than that."""

    def __init__(self, program: Program, x: Array, known: Known, mode: str):
        self.program, self.x, self.known, self.mode = program, x, known, mode
        self.values: set[int] = set()

    def causes(self, row: Row, told: tuple[Cause, ...]) -> tuple[Cause, ...]:
        """Add to a layer's causes what it would lose of a map that is whole.

        Args:
            row: The layer; those before it have been asked about.
            told: Its causes.

        Returns:
            The causes.
        """
        made = {n for operation in row.operations for n in operation.outputs if n in self.program.depends}
        taken = {n for operation in row.operations for n in operation.inputs if n in self.program.depends} - made
        if not any(r.verdict == "broken" for r in self.known[row.output]):
            return told
        if taken & self.values:
            if not all(n in self.values or self._has_interior(n) for n in taken):
                return told
            own = self._of_whole_maps(row, sorted(taken), sorted(made))
            if own is None:
                return told
            told = (*told, *(cause for cause in own if cause.kind not in {known.kind for known in told}))
        elif not told or any(n not in self.values and not self._has_interior(n) for n in taken):
            return told
        if all(cause.kind in ("border", "stride") for cause in told):
            self.values |= made
        return told

    def _has_interior(self, number: int) -> bool:
        return all(r.promises for r in self.known[number])

    def _of_whole_maps(self, row: Row, taken: list[int], made: list[int]) -> tuple[Cause, ...] | None:
        """Explain what a layer loses of maps that lost nothing; None where it takes none that tells."""
        shapes = {n: self.program.avals[n] for n in taken}
        places = {n: [r.axis for r in self.known[n]] for n in taken}
        main = max(taken, key=lambda n: (len({*places[n]} - {None}), shapes[n].size))
        order = [i for _, i in sorted((place, i) for i, place in enumerate(places[main]) if place is not None)]
        along = {n: [place for i in order if (place := places[n][i]) is not None] for n in taken}
        sizes = [shapes[main].shape[place] for place in along[main]]
        if not sizes or any([shapes[n].shape[place] for place in along[n]] != sizes for n in taken):
            return None
        fixed = dict.fromkeys(set(taken) - {main})
        values = {n: jnp.zeros(aval.shape, aval.dtype) for n, aval in shapes.items()}

        def alone(x: Array) -> list[Array]:
            given = {main: x, **{n: _like(x, along[main], values[n], along[n]) for n in fixed}}
            return [*given.values(), *self.program.replay({**self.program.constants, **given}, made)]

        traced = analysis.trace(
            alone, jax.ShapeDtypeStruct(shapes[main].shape, shapes[main].dtype), spatial_axes=tuple(along[main])
        )
        fresh = {
            n: relations(facts, self.mode, tuple(sizes))
            for n, facts in zip([main, *fixed, *made], traced.outputs, strict=True)
        }
        lost = dict.fromkeys(self.program.depends, (Relation("broken"),) * len(sizes))
        known = {**lost, **fresh}
        causes: list[Cause] = []
        for axis in range(len(sizes)):
            part = unit(self.program, known, row.operations, row.output, axis)
            if part is None or part.before.verdict in ("broken", "unknown"):
                continue
            with jax.enable_x64(True):
                given = self.program.run(widened(self.x), part.inputs, double=True)
                local = Local(self.program, part, dict(zip(part.inputs, given, strict=True)), known)
                causes += explain(local, norm=row.op.endswith("norm"), mode=self.mode)
        return tuple({(cause.kind, cause.text): cause for cause in causes}.values())


def _like(x: Array, axes: Any, other: Array, places: Any) -> Array:
    """Return a map of another's shape and type that moves as one does: its mean over all that does not move."""
    line = jnp.mean(x.astype(jnp.float32), [axis for axis in range(x.ndim) if axis not in axes])
    order = sorted(range(len(places)), key=lambda n: places[n])  # the axes of `line` stand in the order of x's
    line = line.transpose([sorted(axes).index(axes[n]) for n in order])
    shape = [other.shape[axis] if axis in places else 1 for axis in range(other.ndim)]
    return jnp.broadcast_to(line.reshape(shape), other.shape).astype(other.dtype)
