"""A reason for which a layer loses equivariance, and how it is told."""

import dataclasses
from typing import Any

from jaxcnn.equivariance.local import Local


@dataclasses.dataclass(frozen=True)
class Cause:
    """Why a layer promises less than what it is made of.

    Attributes:
        kind: In a word or two, such as `zero padding`, `stride`, `remainder`; the list is in `audit`'s docstring.
        text: With its numbers.
        operation: Name of the primitive.
        error: How far the operation is from moving with its operands, relative to its largest magnitude.
        restored: The same once the cause is taken away; None where no change was found that helps.

    Example:
        >>> str(Cause("stride", "stride 2", "slice", 1.2, 0.0))
        'stride 2'
    """

    kind: str
    text: str
    operation: str
    error: float
    restored: float | None = None

    def __str__(self) -> str:
        return self.text


def established(local: Local, kind: str, text: str, error: float, instead: Any = None, **options: Any) -> Cause:
    """Return a cause with the errors that establish it.

    Args:
        local: The unit.
        kind: In a word or two.
        text: With its numbers.
        error: Of the unit as it is.
        instead: What takes the cause away.
        **options: Of `Local.error`.

    Returns:
        The cause.
    """
    name = local.unit.operations[-1].name
    return Cause(kind, text, name, error, local.error(instead, **options))


def moving_operand(local: Local) -> tuple[int, int] | None:
    """Return the operand that moves, and along which of its axes.

    Args:
        local: The unit.

    Returns:
        A value's number and an axis; None where no operand moves.
    """
    moving = [(n, r.axis) for n in local.unit.inputs if (r := local.relation(n)).axis is not None and r.moves]
    return (moving[0][0], int(moving[0][1] or 0)) if moving else None
