"""A jaxpr as one flat list: calls and loop bodies inlined, and every value traced back to what it depends on."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from jax.extend import core

CALLS = {
    "jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint",
    "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr", "custom_lin",
}  # fmt: skip
"""Primitives that run the one jaxpr in their parameters, on their own inputs."""


@dataclasses.dataclass(eq=False)
class Value:
    """An array of the program.

    Example:
        >>> Value(None, depends=True).reads
        frozenset()
    """

    aval: Any
    """Its shape and type."""
    depends: bool = False
    """Whether it depends on the input."""
    reads: frozenset[int] = frozenset()
    """Which constants (parameters) it is computed from, by their positions; of what does not depend on the input."""
    maker: "Equation | None" = dataclasses.field(default=None, repr=False)
    """The equation that gave it; None for inputs and literals."""
    closed: bool = False
    """Whether it is an array that the program brings with it, such as running statistics."""
    literal: Any = None
    """What stands in the program itself, such as the 0.0 of a ReLU."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        return tuple(getattr(self.aval, "shape", ()))


@dataclasses.dataclass(eq=False)
class Equation:
    """One operation, on values.

    Example:
        >>> Equation("add", {}, (), (), "", ()).depends
        False
    """

    primitive: str
    params: dict[str, Any]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    scope: str
    """Name stack."""
    calls: tuple[tuple[int, str], ...]
    """The calls it stands in, outermost first: a number for each call, and its name ("" for those without one)."""

    @property
    def depends(self) -> bool:
        """Whether any input depends on the program's input."""
        return any(value.depends for value in self.inputs)

    @property
    def output(self) -> Value:
        """The largest result."""
        return max(self.outputs, key=lambda value: math.prod(value.shape))

    @property
    def reads(self) -> frozenset[int]:
        """Constants that reach it without passing through what depends on the input."""
        return frozenset().union(*(value.reads for value in self.inputs if not value.depends))


def flatten(closed: core.ClosedJaxpr) -> tuple[list[Equation], Value, list[Value]]:
    """List a program's equations in order, with calls, loops and branches inlined.

    Args:
        closed: A jaxpr whose last argument is the input; the others are constants.

    Returns:
        The equations that are no calls, the input, and the outputs.

    Example:
        >>> import jax
        >>> closed = jax.make_jaxpr(lambda w, x: jax.nn.relu(w * x))(2.0, 3.0)
        >>> equations, x, _ = flatten(closed)
        >>> [(e.primitive, e.reads, [name for _, name in e.calls]) for e in equations]
        [('mul', frozenset({0}), []), ('max', frozenset(), ['', 'relu'])]
    """
    jaxpr = closed.jaxpr
    last = len(jaxpr.invars) - 1
    inputs = [
        Value(v.aval, i == last, frozenset() if i == last else frozenset([i])) for i, v in enumerate(jaxpr.invars)
    ]
    equations: list[Equation] = []
    outputs = _inline(jaxpr, inputs, "", (), equations, itertools.count())
    return equations, inputs[-1], outputs


def _inline(
    jaxpr: core.Jaxpr,
    inputs: Sequence[Value],
    scope: str,
    calls: tuple[tuple[int, str], ...],
    equations: list[Equation],
    numbers: Iterator[int],
) -> list[Value]:
    """Append a jaxpr's equations, and return its outputs."""
    values: dict[Any, Value] = dict(zip(jaxpr.invars, inputs, strict=True))
    values.update((v, Value(v.aval, closed=True)) for v in jaxpr.constvars)

    def read(atom: Any) -> Value:
        return Value(atom.aval, literal=atom.val) if isinstance(atom, core.Literal) else values[atom]

    for eqn in jaxpr.eqns:
        stack = "/".join(filter(None, (scope, str(eqn.source_info.name_stack))))
        taken, name = [read(atom) for atom in eqn.invars], eqn.primitive.name
        inside = (*calls, (next(numbers), str(eqn.params.get("name", ""))))
        outputs: Sequence[Value] | None = None
        bodies = _bodies(name, eqn.params, taken)
        for body, arguments in bodies:
            made = _inline(body, arguments, stack, inside if name in CALLS else calls, equations, numbers)
            outputs = made if name in CALLS else outputs
        if bodies and outputs is None:  # a loop or a branch: what it gives depends on all that it takes
            outputs = [_mixed(v.aval, taken) for v in eqn.outvars]
        if outputs is None:
            outputs = [_mixed(v.aval, taken) for v in eqn.outvars]
            if outputs:
                equation = Equation(name, eqn.params, tuple(taken), tuple(outputs), stack, calls)
                for output in outputs:
                    output.maker = equation
                equations.append(equation)
        values.update(zip(eqn.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _bodies(name: str, params: dict[str, Any], taken: list[Value]) -> list[tuple[core.Jaxpr, list[Value]]]:
    """Return the jaxprs that an equation runs, and what each is given."""
    if name in CALLS:
        inner = next(iter(core.jaxprs_in_params(params)))
        return [(inner, taken)] if len(inner.invars) == len(taken) else []
    if name == "scan":
        if "ft_in" in params:  # newer jax
            kept, carried = (len(part) for part in params["ft_in"].unpack()[:2])
        else:
            kept, carried = params["num_consts"], params["num_carry"]
        inner = _plain(params["jaxpr"])
        return [(inner, _turning(inner, taken, kept, kept + carried))]
    if name == "while":
        inner, skipped, kept = _plain(params["body_jaxpr"]), params["cond_nconsts"], params["body_nconsts"]
        return [(inner, _turning(inner, taken[skipped:], kept, len(inner.invars)))]
    if name == "cond":
        return [(_plain(branch), taken[1:]) for branch in params["branches"]]
    return []


def _plain(jaxpr: Any) -> core.Jaxpr:
    """Return a jaxpr without the constants that it may bring."""
    return getattr(jaxpr, "jaxpr", jaxpr)


def _turning(body: core.Jaxpr, given: Sequence[Value], start: int, end: int) -> list[Value]:
    """Return what a loop's body is given in a later turn; from `start` to `end` it is what the turn before made."""
    depends = [value.depends for value in given]
    while True:
        values = [
            Value(v.aval, depends=True) if turns else Value(v.aval, False, value.reads, closed=value.closed)
            for v, value, turns in zip(body.invars, given, depends, strict=True)
        ]
        made = _inline(body, values, "", (), [], itertools.count())
        after = [turns or (start <= i < end and made[i - start].depends) for i, turns in enumerate(depends)]
        if after == depends:
            return values
        depends = after


def _mixed(aval: Any, taken: Sequence[Value]) -> Value:
    """Return a result of some values."""
    depends = any(value.depends for value in taken)
    return Value(aval, depends, frozenset() if depends else frozenset().union(*(value.reads for value in taken)))
