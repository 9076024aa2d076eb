"""A function as a list of operations that can be run one by one, changed, or run in double precision."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from jaxcnn.analysis.equations import CALLS, Equation, Value
from jaxcnn.analysis.rules import scan_sizes
from jaxcnn.equivariance.operation import Operation, apply, widened

INLINED = CALLS | {"named_call", "run_state", "xla_call"}
MOST_UNROLLED = 64
"""Turns of a loop that become operations of their own."""


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """A function of one array.

    Attributes:
        operations: In order: calls are inlined, loops of known length unrolled; other loops and branches are one each.
        input: Number of the value that is the argument.
        outputs: Numbers of the results.
        constants: Values that do not depend on the argument, by number.
        avals: Shape and type of each value.
        depends: Numbers of the values that depend on the argument.
    """

    operations: tuple[Operation, ...]
    input: int
    outputs: tuple[int, ...]
    constants: dict[int, Any]
    avals: dict[int, Any]
    depends: frozenset[int]

    def run(self, x: Any, wanted: Sequence[int], *, double: bool = False) -> list[Any]:
        """Compute some of the values: a JAX function, of which what is not wanted costs nothing.

        Args:
            x: The argument.
            wanted: Numbers of the values.
            double: Compute in float64 whatever the types say; `jax.enable_x64` must hold.

        Returns:
            The values.
        """
        given = {self.input: x, **self.constants}
        return self.replay(given, wanted, double=double)

    def replay(
        self,
        given: Mapping[int, Any],
        wanted: Sequence[int],
        *,
        double: bool = False,
        instead: Mapping[int, Callable[..., Sequence[Any]]] | None = None,
    ) -> list[Any]:
        """Compute some of the values from others.

        Args:
            given: Values by number: all that is needed and cannot be computed.
            wanted: Numbers of the values to return.
            double: Compute in float64 whatever the types say.
            instead: Functions that take the place of operations, by the number of their first result.

        Returns:
            The values.
        """
        values = {number: widened(value) for number, value in given.items()} if double else dict(given)
        for operation in self._needed(wanted, values):
            taken = [values[number] for number in operation.inputs]
            other = (instead or {}).get(operation.outputs[0])
            made = apply(operation, taken, double=double) if other is None else other(*taken)
            values.update(zip(operation.outputs, made, strict=True))
        return [values[number] for number in wanted]

    def _needed(self, wanted: Iterable[int], given: Mapping[int, Any]) -> list[Operation]:
        """Return the operations on the way from given values to wanted ones, in order."""
        missing, kept = {number for number in wanted if number not in given}, []
        for operation in reversed(self.operations):
            if missing.intersection(operation.outputs):
                kept.append(operation)
                missing.difference_update(operation.outputs)
                missing.update(number for number in operation.inputs if number not in given)
        if missing:
            raise KeyError(f"values {sorted(missing)} are not given")
        return kept[::-1]

    def equations(self) -> tuple[list[Equation], list[Value], dict[int, Operation]]:
        """Return the program as `analysis` lists one, to be sorted into layers.

        Returns:
            The equations, the outputs, and each equation's operation by its id.
        """
        values = {
            number: Value(
                aval, number in self.depends, literal=self.constants.get(number) if not np.shape(aval) else None
            )
            for number, aval in self.avals.items()
        }
        equations, home = [], {}
        for operation in self.operations:
            taken, made = (tuple(values[n] for n in numbers) for numbers in (operation.inputs, operation.outputs))
            equation = Equation(operation.name, operation.params, taken, made, operation.scope, operation.calls)
            for value in made:
                value.maker = equation
            equations.append(equation)
            home[id(equation)] = operation
        return equations, [values[number] for number in self.outputs], home


def program(fn: Callable[[Any], Any], x: Any) -> Program:
    """List the operations of a function.

    Args:
        fn: A JAX function of one array.
        x: The array, or its `jax.ShapeDtypeStruct`.

    Returns:
        The program.

    Example:
        >>> [operation.name for operation in program(lambda x: jax.nn.relu(2 * x), 1.0).operations]
        ['mul', 'max']
    """
    closed = jax.make_jaxpr(fn)(x)
    builder = _Builder()
    (variable,) = closed.jaxpr.invars
    start = builder.value(variable.aval)
    builder.depends.add(start)
    outputs = builder.jaxpr(closed, [start], "", ())
    needed, live = set(outputs), []
    for operation in reversed(builder.operations):  # what no result needs is no layer
        if needed.intersection(operation.outputs):
            needed.update(operation.inputs)
            live.append(operation)
    return Program(
        tuple(live[::-1]), start, tuple(outputs), builder.constants, builder.avals, frozenset(builder.depends)
    )


def body_of(equation: Any) -> Any:
    """Return what a call runs.

    Args:
        equation: Of a jaxpr.

    Returns:
        A jaxpr, closed or not; None where the equation is no call.

    Example:
        >>> (call,) = jax.make_jaxpr(jax.nn.relu)(1.0).eqns
        >>> body_of(call).eqns[0].primitive.name
        'jit'
    """
    if equation.primitive.name not in INLINED:
        return None
    return next((equation.params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in equation.params), None)


class _Builder:
    """Collects operations."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.constants: dict[int, Any] = {}
        self.avals: dict[int, Any] = {}
        self.depends: set[int] = set()
        self.calls = itertools.count()

    def value(self, aval: Any) -> int:
        number = len(self.avals)
        self.avals[number] = aval
        return number

    def constant(self, value: Any, aval: Any) -> int:
        number = self.value(aval)
        self.constants[number] = value
        return number

    def jaxpr(self, jaxpr: Any, taken: Sequence[int], scope: str, calls: tuple[tuple[int, str], ...]) -> list[int]:
        """Append all that a jaxpr does; return the numbers of its results."""
        plain, constants = (jaxpr.jaxpr, jaxpr.consts) if hasattr(jaxpr, "consts") else (jaxpr, ())
        numbers = dict(zip(plain.invars, taken, strict=True))
        numbers |= {
            variable: self.constant(value, variable.aval)
            for variable, value in zip(plain.constvars, constants, strict=True)
        }

        def read(atom: Any) -> int:
            return self.constant(atom.val, atom.aval) if isinstance(atom, core.Literal) else numbers[atom]

        for equation in plain.eqns:
            stack = "/".join(filter(None, (scope, str(equation.source_info.name_stack))))
            made = self.equation(equation, [read(atom) for atom in equation.invars], stack, calls)
            numbers |= dict(zip(equation.outvars, made, strict=True))
        return [read(atom) for atom in plain.outvars]

    def equation(
        self, equation: Any, taken: list[int], scope: str, calls: tuple[tuple[int, str], ...]
    ) -> Sequence[int]:
        name, params = equation.primitive.name, equation.params
        inner = body_of(equation)
        if inner is not None:
            return self.jaxpr(inner, taken, scope, (*calls, (next(self.calls), str(params.get("name", "")))))
        if name == "scan" and params["length"] <= MOST_UNROLLED:
            return self.scan(params, taken, scope, calls)
        return self.append(
            equation.primitive, params, taken, [out.aval for out in equation.outvars], scope, calls, equation.ctx
        )

    def append(
        self,
        primitive: Any,
        params: dict[str, Any],
        taken: Sequence[int],
        avals: Sequence[Any],
        scope: str,
        calls: tuple[tuple[int, str], ...],
        context: Any,
    ) -> list[int]:
        made = [self.value(aval) for aval in avals]
        types = tuple(self.avals[number] for number in taken)
        operation = Operation(primitive, params, tuple(taken), tuple(made), scope, calls, types, context)
        if self.depends.intersection(taken):
            self.depends.update(made)
        if made:
            self.operations.append(operation)
        return made

    def scan(
        self, params: dict[str, Any], taken: list[int], scope: str, calls: tuple[tuple[int, str], ...]
    ) -> list[int]:
        """Unroll a loop; its slices and the stacking of its results are operations as well."""
        constants, carried = scan_sizes(params)
        fixed, carry, stacked = taken[:constants], taken[constants:][:carried], taken[constants + carried :]
        results: list[list[int]] = []
        turns = range(params["length"])
        for turn in reversed(turns) if params["reverse"] else turns:
            place = f"{scope}/turn{turn}" if scope else f"turn{turn}"
            parts = [
                self.through(lambda a, turn=turn: lax.index_in_dim(a, turn, keepdims=False), [n], place)
                for n in stacked
            ]
            made = self.jaxpr(params["jaxpr"], [*fixed, *carry, *parts], place, calls)
            carry = made[:carried]
            results.append(made[carried:])
        results = results[::-1] if params["reverse"] else results
        columns = zip(*results, strict=True) if results else [() for _ in params["jaxpr"].out_avals[carried:]]
        return [*carry, *(self.through(lambda *parts: jnp.stack(parts), list(column), scope) for column in columns)]

    def through(self, fn: Callable[..., Any], taken: Sequence[int], scope: str) -> int:
        """Append what a function of some values does."""
        closed = jax.make_jaxpr(fn)(*(jax.ShapeDtypeStruct(self.avals[n].shape, self.avals[n].dtype) for n in taken))
        return self.jaxpr(closed, list(taken), scope, ())[0]
