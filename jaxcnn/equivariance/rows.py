"""The layers of a program, as an audit lists them."""

import dataclasses

import numpy as np

from jaxcnn.analysis.layers import group, name_groups
from jaxcnn.equivariance.operation import Operation
from jaxcnn.equivariance.program import Program
from jaxcnn.equivariance.units import BORDERS, has_window


@dataclasses.dataclass(frozen=True)
class Row:
    """A layer.

    Attributes:
        name: Its name stack, or its operation and a number.
        scope: The name stack that its operations share.
        op: Its main operation.
        operations: In order.
        output: Number of the value that it gives.
    """

    name: str
    scope: str
    op: str
    operations: tuple[Operation, ...]
    output: int


def rows_of(program: Program, rank: int) -> list[Row]:
    """Sort a program's operations into layers, as a summary does; a padding goes to the window that it is made for.

    Args:
        program: The program.
        rank: How many spatial axes its input has.

    Returns:
        Layers, in the order in which they end.
    """
    equations, outputs, home = program.equations()
    if not any(equation.depends for equation in equations):
        return []
    groups = [g for g in group(equations, outputs, (), rank=rank) if g.last.depends]
    order = {operation: n for n, operation in enumerate(program.operations)}
    used = {n for operation in program.operations for n in operation.inputs}.union(program.outputs)
    rows = []
    for g, name in zip(groups, name_groups(groups, lambda g: ""), strict=True):
        operations = tuple(sorted((home[id(equation)] for equation in g.equations), key=order.__getitem__))
        last = home[id(g.last)]
        output = max(last.outputs, key=lambda n: (n in used, int(np.prod(np.shape(program.avals[n])))))
        rows.append(Row(name, g.name, g.op, operations, output))
    return _with_paddings(program, rows, order)


def _with_paddings(program: Program, rows: list[Row], order: dict[Operation, int]) -> list[Row]:
    """Join rows that are nothing but borders to the one window, of the same scope, that takes them in."""
    kept: list[Row] = []
    for n, row in enumerate(rows):
        made = {number for operation in row.operations for number in operation.outputs}
        takers = [m for m in range(n + 1, len(rows)) if any(made.intersection(op.inputs) for op in rows[m].operations)]
        borders = all(op.name in BORDERS for op in row.operations if program.depends.intersection(op.inputs))
        other = rows[takers[0]] if len(takers) == 1 else None
        if borders and other and other.scope == row.scope and any(map(has_window, other.operations)):
            together = tuple(sorted((*row.operations, *other.operations), key=order.__getitem__))
            rows[takers[0]] = dataclasses.replace(other, operations=together)
        else:
            kept.append(row)
    return kept
