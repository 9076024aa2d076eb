"""Where in a layer equivariance is lost: the few operations between arrays that keep it and the first that does not."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from jaxcnn.equivariance.operation import Operation
from jaxcnn.equivariance.program import Program
from jaxcnn.equivariance.relations import Relation
from jaxcnn.equivariance.windows import window_of

Known = Mapping[int, tuple[Relation, ...]]
BORDERS = {"pad", "concatenate", "slice", "dynamic_slice", "rev", "gather", "copy", "broadcast_in_dim", "reshape"}
"""What paddings are made of."""


@dataclasses.dataclass(frozen=True)
class Unit:
    """Operations that lose something along one axis of the input.

    Attributes:
        operations: In order; the last one gives the target.
        inputs: Values that they take and that keep more.
        target: The value that they give.
        axis: Which axis of the input.
        before: The worst relation of the inputs.
        after: That of the target.
    """

    operations: tuple[Operation, ...]
    inputs: tuple[int, ...]
    target: int
    axis: int
    before: Relation
    after: Relation


def unit(
    program: Program,
    known: Known,
    operations: Sequence[Operation],
    target: int,
    axis: int,
) -> Unit | None:
    """Find the first operations of a layer that lose what its result has lost.

    What is lost and found again, in the layer or after it, does not count: the slices of a roll, the borders of a
    circular padding.

    Args:
        program: Of the layer.
        known: Relations of all values that depend on the input.
        operations: Of the layer, in order.
        target: Its result.
        axis: Which axis of the input.

    Returns:
        The unit; None where the layer loses nothing, or a later one finds it again.
    """
    made = {number: operation for operation in operations for number in operation.outputs}
    inputs = {n for operation in operations for n in operation.inputs if n in program.depends and n not in made}
    if not inputs or target not in made:
        return None
    best = max((known[n][axis] for n in inputs), key=lambda r: r.rank)

    def lost(number: int) -> bool:
        return number in program.depends and worse(known[number][axis], best)

    if not lost(target) or not _reaches(program, target, lost):
        return None
    bad = _persisting(made, target, lost)
    first = next(op for op in operations if op in bad and not any(n in made and made[n] in bad for n in op.inputs))
    chain = [first]
    if first.name in BORDERS and not _is_cut(program, first, operations) and not _is_beside(first, known, axis):
        every = [op for op in operations if op in bad]
        chain = [first, *_onward(first, every)]
        chain = every if len(chain) == 1 else chain
    elif has_window(first):
        chain = [*_padding(program, first, operations), first]
    last = chain[-1]
    inside = {n for op in chain for n in op.outputs}
    taken = tuple(dict.fromkeys(n for op in chain for n in op.inputs if n in program.depends and n not in inside))
    result = max((n for n in last.outputs if lost(n)), key=lambda n: known[n][axis].rank, default=last.outputs[0])
    before = max((known[n][axis] for n in taken), key=lambda r: r.rank)
    return Unit(tuple(chain), taken, result, axis, before, known[result][axis])


def worse(one: Relation, other: Relation) -> bool:
    """Say whether a relation promises less than another; a roll that the data choose loses nothing by itself.

    Args:
        one: Of a later array.
        other: Of an earlier one.

    Returns:
        Whether it is worse.

    Example:
        >>> worse(Relation("broken"), Relation("exact", 1)), worse(Relation("exact", 1), Relation("exact-lattice", 2))
        (True, False)
    """
    return one.rank > other.rank and (one.verdict != "orbit" or one.lattice > other.lattice)


def _reaches(program: Program, target: int, lost: Callable[[int], bool]) -> bool:
    """Whether a way leads from a value to a result of the program on which nothing is found again."""
    reached = {target}
    for operation in program.operations:
        if reached.intersection(operation.inputs):
            reached.update(filter(lost, operation.outputs))
    return bool(reached.intersection(program.outputs))


def _persisting(made: Mapping[int, Operation], target: int, lost: Callable[[int], bool]) -> set[Operation]:
    """Return the operations from which all that follows, up to the result, is lost."""
    bad: set[Operation] = set()
    waiting = [target]
    while waiting:
        number = waiting.pop()
        operation = made.get(number)
        if operation is None or operation in bad or not lost(number):
            continue
        bad.add(operation)
        waiting += operation.inputs
    return bad


def _onward(first: Operation, bad: Sequence[Operation]) -> list[Operation]:
    """Return what a border is padded for: all up to the next window; nothing where there is none."""
    chain, reached = [], set(first.outputs)
    for operation in bad:
        if operation is first:
            continue
        if operation.name in BORDERS:
            chain.append(operation)
            reached.update(operation.outputs)
        elif reached.intersection(operation.inputs):
            return [*chain, operation] if has_window(operation) else []
    return []


def has_window(operation: Operation) -> bool:
    """Say whether an operation slides a window along any axis.

    Args:
        operation: Of a program.

    Returns:
        Whether it does.
    """
    rank = len(getattr(operation.avals[0], "shape", ())) if operation.avals else 0  # an iota takes nothing
    return any(window_of(operation, axis) for axis in range(rank))


def _is_beside(first: Operation, known: Known, axis: int) -> bool:
    """Whether arrays are put beside each other along another axis than the one that moves: channels."""
    moving = {known[n][axis].axis for n in first.inputs if n in known}
    return first.name == "concatenate" and first.params["dimension"] not in moving


def _is_cut(program: Program, first: Operation, operations: Sequence[Operation]) -> bool:
    """Whether a slice goes on by itself, rather than to be put beside what it was taken from: a border, or a roll."""
    if first.name not in ("slice", "dynamic_slice", "gather"):
        return False
    source, reached = first.inputs[0], set(first.outputs)
    siblings = {n for op in operations if op.name == first.name and op.inputs[0] == source for n in op.outputs}
    for operation in operations:
        if reached.intersection(operation.inputs):
            if operation.name == "concatenate":
                beside = set(operation.inputs) - reached
                return not beside & (siblings | {source})
            if operation.name not in ("rev", "broadcast_in_dim", "reshape", "squeeze", "concatenate"):
                return True
            reached.update(operation.outputs)
            siblings.update(operation.outputs if siblings.intersection(operation.inputs) else ())
    return True


def _padding(program: Program, window: Operation, operations: Sequence[Operation]) -> list[Operation]:
    """Return what pads a window's operand: it went unnoticed where the map had nothing but an interior to lose."""
    chain, wanted = [], {window.inputs[0]}
    for operation in reversed(operations):
        made = wanted.intersection(operation.outputs)
        if made and operation.name in BORDERS and not _is_cut(program, operation, operations):
            chain.append(operation)
            wanted.update(n for n in operation.inputs if n in program.depends)
    return chain[::-1]
