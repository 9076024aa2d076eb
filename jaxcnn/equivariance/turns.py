"""Layers that promise as much as before, but of other axes, in the other direction, or of a map that moves no more."""

from collections.abc import Iterator, Mapping, Sequence

from jaxcnn.equivariance.cause import Cause
from jaxcnn.equivariance.operation import Operation
from jaxcnn.equivariance.program import Program
from jaxcnn.equivariance.relations import Relation

Known = Mapping[int, tuple[Relation, ...]]


def turned(program: Program, known: Known, operations: Sequence[Operation], target: int) -> Iterator[Cause]:
    """Find what turns a map round without breaking a promise.

    Args:
        program: Of the layer.
        known: Relations of all values that depend on the input.
        operations: Of the layer.
        target: Its result.

    Yields:
        Causes: transposed axes, a mirrored axis, a sort along positions.
    """
    after = known[target]
    made = {number for operation in operations for number in operation.outputs}
    inputs = dict.fromkeys(n for op in operations for n in op.inputs if n in known and n not in made)
    for before in (known[n] for n in inputs):
        if len(_moving(before)) > 1 and len(_moving(after)) > 1 and _order(before) != _order(after):
            yield Cause(
                "transposed axes", "the axes are transposed: rows of the input run along columns", "transpose", 0.0
            )
        for axis, (one, other) in enumerate(zip(before, after, strict=True)):
            rest = other.verdict == "exact-interior" != one.verdict  # a few neighbours that a table turned round
            if one.moves and other.moves and (one.step > 0) != (other.step > 0) and not rest:
                yield Cause("mirrored axis", f"spatial axis {axis} is mirrored", "rev", 0.0)
    for operation in operations:
        if operation.name == "sort" and operation.inputs[0] in known:
            place = operation.params["dimension"]
            for axis, (one, other) in enumerate(
                zip(known[operation.inputs[0]], known[operation.outputs[0]], strict=True)
            ):
                if one.moves and one.axis == place and not other.moves and other.promises:
                    yield Cause("sort", f"a sort along spatial axis {axis}: its map moves no more", "sort", 0.0)


def is_transposed(program: Program, known: Known) -> bool:
    """Say whether the last map of a program has its axes in another order than the input: none turned them back.

    Args:
        program: Any.
        known: Relations of all its values that depend on the input.

    Returns:
        Whether it has.
    """
    numbers = [n for operation in program.operations for n in operation.outputs if n in known]
    maps = [n for n in numbers if len(_moving(known[n])) > 1]
    told = all(r.verdict != "unknown" for n in program.outputs if n in known for r in known[n])
    return bool(maps) and told and _order(known[maps[-1]]) != _order(known[program.input])


def _moving(relations: Sequence[Relation]) -> list[int]:
    return [r.axis for r in relations if r.axis is not None and r.moves]


def _order(relations: Sequence[Relation]) -> list[int]:
    """Return the spatial axes in the order in which a map has them."""
    return sorted((n for n, r in enumerate(relations) if r.moves), key=lambda n: relations[n].axis or 0)
