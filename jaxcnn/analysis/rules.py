"""The table of rules: for each primitive, what its results are, given what its operands are."""

from collections.abc import Callable, Sequence
from typing import Any

from jax.extend import core

from jaxcnn.analysis.units import Units
from jaxcnn.analysis.world import World

Rule = Callable[[World, core.JaxprEqn, Sequence[Units]], Sequence[Units]]

RULES: dict[str, Rule] = {}
"""By the names of primitives. What is not here is unknown, and so is all that depends on it."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Enter a function in the table of rules.

    It takes the `World`, the equation of the jaxpr and the `Units` of each operand, and returns the `Units` of each
    result; it raises `Unknown` where it cannot say.

    Args:
        *names: Primitives, as a jaxpr writes them.

    Returns:
        A decorator, which returns the function unchanged.

    Raises:
        TypeError: No name.

    Example:
        A new element-wise primitive. `jaxcnn.analysis.combine` has what rules are made of, `units` their values.

        >>> from jaxcnn.analysis.combine import pair
        >>> from jaxcnn.analysis.rules import RULES
        >>> @rule("my_activation")
        ... def activation(world, equation, operands):
        ...     return [pair(world, operands, equation.outvars[0].aval.shape)]
        >>> del RULES["my_activation"]
    """

    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"`rule` takes names of primitives, as in @rule('exp'), got {names}")

    def enter(function: Rule) -> Rule:
        for name in names:
            RULES[name] = function
        return function

    return enter


def scan_sizes(params: dict[str, Any]) -> tuple[int, int]:
    """Return how many constants a scan has, and how many arrays it carries.

    Args:
        params: Of its equation.

    Returns:
        Both numbers.

    Example:
        >>> import jax
        >>> scan = jax.make_jaxpr(lambda x: jax.lax.scan(lambda c, _: (2 * c, c), x, length=3))(1.0).eqns[-1]
        >>> scan_sizes(scan.params)
        (0, 1)
    """
    if "ft_in" in params:  # jax 0.12
        constants, carried, _ = params["ft_in"].unpack()
        return len(constants), len(carried)
    return params["num_consts"], params["num_carry"]


def shape_of(equation: Any) -> tuple[int, ...]:
    """Return the shape of an equation's first result.

    Args:
        equation: Of a jaxpr.

    Returns:
        The shape.

    Example:
        >>> import jax
        >>> shape_of(jax.make_jaxpr(lambda x: x[None])(1.0).eqns[0])
        (1,)
    """
    return tuple(equation.outvars[0].aval.shape)
