"""Every array that a function computes on the way to its result, in the order in which `analysis.trace` reads them."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.extend import core

from jaxcnn.analysis import Step
from jaxcnn.analysis.equations import CALLS
from jaxcnn.analysis.rules import RULES

LOOPS = frozenset(["scan", "while", "cond"])
INLINED = CALLS | {"run_state", "xla_call", "named_call"}
"""Calls whose equations are listed and run one by one. The rules of derivative that some bring with them are left out:
the derivative is that of what they compute, so that a ReLU's at 0 is 1/2, the limit of central differences."""


@dataclasses.dataclass(frozen=True, eq=False)
class Intermediate:
    """An equation of a program, and its largest result.

    Attributes:
        scope: Its name stack, with those of the calls around it, as in `analysis.Step`.
        primitive: Its name; `scan`, `while` and `cond` are one equation each.
        calls: Names of the calls around it, such as `relu`, outermost first.
        equation: The jaxpr's.
        result: Which of its results is the largest one.

    Example:
        >>> found, _ = intermediates(lambda x: jax.nn.relu(2 * x), 1.0)
        >>> [(one.primitive, one.calls, one.shape) for one in found]
        [('mul', (), ()), ('max', ('custom_jvp_call', 'relu'), ())]
    """

    scope: str
    primitive: str
    calls: tuple[str, ...]
    equation: Any = dataclasses.field(repr=False)
    result: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        return tuple(getattr(self.equation.outvars[self.result].aval, "shape", ()))

    @property
    def dtype(self) -> Any:
        """Of the result."""
        return self.equation.outvars[self.result].aval.dtype


Evaluate = Callable[..., tuple[Array, ...]]


def intermediates(fn: Callable[..., Any], *args: Any) -> tuple[tuple[Intermediate, ...], Evaluate]:
    """List what a function computes on the way to its result, and make a function that returns it.

    Args:
        fn: Any JAX function. Its calls are inlined; loops and branches are one equation each.
        *args: Pytrees of arrays or `jax.ShapeDtypeStruct`.

    Returns:
        One `Intermediate` an equation, in the order of `analysis.trace(fn, *args).steps` (which also lists the
        equations inside loops: see `steps_of`); and `evaluate(*args, chosen=None)`, which returns the arrays of those
        at the positions `chosen`, all by default. It is a JAX function of arguments like these: jit it, and what was
        not chosen costs nothing.

    Example:
        >>> import jax.numpy as jnp
        >>> found, evaluate = intermediates(lambda x: jnp.exp(2 * x).sum(), jnp.arange(2.0))
        >>> [one.primitive for one in found]
        ['mul', 'exp', 'reduce_sum']
        >>> [array.tolist() for array in evaluate(jnp.arange(2.0), chosen=(0, 2))]
        [[0.0, 2.0], 8.389056205749512]
    """
    program = jax.make_jaxpr(fn)(*args)
    found = tuple(_listed(program, "", ()))

    def evaluate(*args: Any, chosen: Sequence[int] | None = None) -> tuple[Array, ...]:
        arrays: list[Array] = []
        _run(program, jax.tree.leaves(args), arrays)
        return tuple(arrays if chosen is None else (arrays[place] for place in chosen))

    return found, evaluate


def steps_of(found: Sequence[Intermediate], steps: Sequence[Step]) -> tuple[Step | None, ...]:
    """Find the step of `analysis.trace` that says what is known of each intermediate.

    Args:
        found: By `intermediates`.
        steps: Of a trace of the same function and arguments.

    Returns:
        One `Step` an intermediate; None for loops and branches, of which the trace lists the insides.

    Raises:
        ValueError: Steps of another program.

    Example:
        >>> from jaxcnn.analysis import trace
        >>> found, _ = intermediates(lambda x: 2 * x, 1.0)
        >>> steps = trace(lambda x: 2 * x, jax.ShapeDtypeStruct((), "float32"), spatial_axes=()).steps
        >>> [step.primitive for step in steps_of(found, steps)]
        ['mul']
    """
    dead: set[tuple[int, int]] = set()

    def match(place: int, at: int) -> list[Step | None] | None:
        """Match the intermediates from `place` with the steps from `at`; None where that cannot be."""
        start, matched = (place, at), []
        while place < len(found) and start not in dead:
            one = found[place]
            if one.primitive in LOOPS:
                for skipped in sorted(_sizes(one.equation), reverse=True):
                    rest = match(place + 1, at + skipped) if at + skipped <= len(steps) else None
                    if rest is not None:
                        return [*matched, None, *rest]
                break
            if at == len(steps) or steps[at].primitive != one.primitive or tuple(steps[at].output.shape) != one.shape:
                break
            matched.append(steps[at])
            place, at = place + 1, at + 1
        if place == len(found) and at == len(steps):
            return matched
        dead.add(start)
        return None

    whole = match(0, 0)
    if whole is None:
        raise ValueError(f"`steps` ({len(steps)} of them) are not those of the program of `found` ({len(found)})")
    return tuple(whole)


def inner_jaxpr(equation: Any) -> Any:
    """Return what a call runs.

    Args:
        equation: Of a jaxpr.

    Returns:
        A jaxpr, closed or not; None where the equation is no call, or the analysis has a rule for it.

    Example:
        >>> (call,) = jax.make_jaxpr(jax.nn.relu)(1.0).eqns
        >>> inner_jaxpr(call).eqns[0].primitive.name
        'jit'
    """
    name, params = equation.primitive.name, equation.params
    if name in RULES:
        return None
    if name in INLINED:
        return next((params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in params), None)
    function = getattr(equation.primitive, "function", None)
    if function is None:
        return None
    avals = [jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in equation.invars]
    return jax.make_jaxpr(lambda *arrays: function(*arrays, **params))(*avals)


def _plain(jaxpr: Any) -> tuple[Any, Sequence[Any]]:
    """Return a jaxpr, and the constants that it brings."""
    return (jaxpr.jaxpr, jaxpr.consts) if hasattr(jaxpr, "consts") else (jaxpr, ())


def _listed(jaxpr: Any, scope: str, calls: tuple[str, ...]) -> Iterator[Intermediate]:
    for equation in _plain(jaxpr)[0].eqns:
        stack = "/".join(filter(None, (scope, str(equation.source_info.name_stack))))
        inner = inner_jaxpr(equation)
        if inner is not None:
            name = str(equation.params.get("name", equation.primitive.name))
            yield from _listed(inner, stack, (*calls, name))
        elif equation.outvars:
            yield Intermediate(stack, equation.primitive.name, calls, equation, _largest(equation))


def _largest(equation: Any) -> int:
    return int(np.argmax([int(getattr(out.aval, "size", 0)) for out in equation.outvars]))


def _run(jaxpr: Any, arguments: Sequence[Any], arrays: list[Array]) -> list[Any]:
    """Run a jaxpr, and append every equation's largest result."""
    plain, constants = _plain(jaxpr)
    values: dict[Any, Any] = dict(zip(plain.constvars, constants, strict=True))
    values.update(zip(plain.invars, arguments, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in plain.eqns:
        taken, inner = [read(atom) for atom in equation.invars], inner_jaxpr(equation)
        if inner is not None:
            results = _run(inner, taken, arrays)
        else:
            results = _bound(equation, taken)
            if equation.outvars:
                arrays.append(results[_largest(equation)])
        values.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in plain.outvars]


def _bound(equation: Any, taken: Sequence[Any]) -> Sequence[Any]:
    """Run one equation that is no call."""
    params = equation.primitive.get_bind_params(equation.params)
    functions, params = ((), params) if isinstance(params, dict) else params  # jax 0.10.0 gives a pair
    with equation.ctx.manager:
        results = equation.primitive.bind(*functions, *taken, **params)
    return results if equation.primitive.multiple_results else [results]


def _sizes(equation: Any) -> set[int]:
    """Return how many steps `analysis.trace` may list for an equation and what is inside it."""
    name, params = equation.primitive.name, equation.params
    inner = inner_jaxpr(equation)
    if inner is not None:
        return _total(inner)
    if name not in LOOPS:
        return {int(bool(equation.outvars))}
    bodies = [_total(body) for body in core.jaxprs_in_params(params)]
    every = {sum(sizes) for sizes in itertools.product(*bodies)}
    if name == "cond":  # one branch where it is known which, else all
        return every.union(*bodies)
    return every | ({0} if params.get("length") == 0 else set())


def _total(jaxpr: Any) -> set[int]:
    totals = {0}
    for equation in _plain(jaxpr)[0].eqns:
        sizes = _sizes(equation)
        totals = {total + size for total in totals for size in sizes}
    return totals
