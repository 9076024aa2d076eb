"""Reads a jaxpr with abstract values: each equation by its rule, calls and loops by their bodies."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.extend import core

from jaxcnn.analysis import layout, matrices, pointwise, windows
from jaxcnn.analysis.combine import pair
from jaxcnn.analysis.constants import MOST, evaluate
from jaxcnn.analysis.joining import joined
from jaxcnn.analysis.moves import absorbed, along
from jaxcnn.analysis.products import told_apart
from jaxcnn.analysis.rules import RULES, scan_sizes
from jaxcnn.analysis.units import Units, Unknown
from jaxcnn.analysis.world import World

RULE_FILES = (layout, matrices, pointwise, windows)
"""What enters the table of rules when it is imported."""
GENERAL = frozenset([-1])
"""The source of an array that a function closes over and that is too large to look for equal numbers in."""
MOST_UNROLLED = 64
"""Turns of a loop that are read one by one."""


@dataclasses.dataclass(frozen=True)
class Read:
    """An equation that was read.

    Attributes:
        equation: Of the jaxpr.
        scope: Its name stack, with those of the calls around it.
        repeats: How often it runs; None where that is not known.
        known: Whether something is known of all its results.
        depends: Whether an operand depends on the input.
        results: One array a result; None where nothing is known of it.
        dependent: Which operands depend on the input.
        sources: Which leaves of the other arguments its constant operands are made of.
        calls: Names of the calls around it, such as `relu`, outermost first.
    """

    equation: Any
    scope: str
    repeats: int | None
    known: bool
    depends: bool
    results: tuple[Units | None, ...]
    dependent: tuple[bool, ...]
    sources: frozenset[int]
    calls: tuple[str, ...]


class Reader:
    """Reads jaxprs, and keeps what it read.

    Args:
        world: Of all arrays.
    """

    def __init__(self, world: World):
        self.world = world
        self.reads: list[Read] = []
        self.calls: list[str] = []

    def jaxpr(
        self, jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Units | None], scope: str, repeats: int | None
    ) -> list[Units | None]:
        """Read all equations of a jaxpr, and return its results."""
        known: dict[Any, Units | None] = dict(zip(jaxpr.constvars, constants, strict=True))
        known |= dict(zip(jaxpr.invars, arguments, strict=True))

        def read(atom: Any) -> Units | None:
            return self.literal(atom.val) if isinstance(atom, core.Literal) else known[atom]

        for equation in jaxpr.eqns:
            stack = "/".join(filter(None, (scope, str(equation.source_info.name_stack))))
            results = self.equation(equation, [read(atom) for atom in equation.invars], stack, repeats)
            known |= dict(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def closed(
        self, closed: Any, arguments: Sequence[Units | None], scope: str, repeats: int | None
    ) -> list[Units | None]:
        """Read a jaxpr that brings its constants."""
        if not hasattr(closed, "consts"):
            return self.jaxpr(closed, [], arguments, scope, repeats)
        return self.jaxpr(closed.jaxpr, [self.literal(value) for value in closed.consts], arguments, scope, repeats)

    def literal(self, value: Any) -> Units:
        """Return a number, or an array that a function closes over: its values are known where it is small."""
        shape = np.shape(value)
        small = int(np.prod(shape)) <= MOST and isinstance(getattr(value, "dtype", np.dtype(float)), np.dtype)
        if isinstance(value, Tracer):
            return self.world.constant(shape)
        if not small:
            return dataclasses.replace(self.world.constant(shape), sources=GENERAL)
        return self.world.constant(shape, np.asarray(value))

    def equation(
        self, equation: Any, operands: list[Units | None], scope: str, repeats: int | None
    ) -> list[Units | None]:
        """Read one equation, and return its results."""
        call = CALLS.get(equation.primitive.name) or (_by_function if hasattr(equation.primitive, "function") else None)
        if call and equation.primitive.name not in RULES:
            before = len(self.reads)
            try:
                return call(self, equation, operands, scope, repeats)
            except Unknown:
                del self.reads[before:]
                return self.unfollowed(equation, operands, scope, repeats)
        arrays = [operand for operand in operands if operand is not None]
        depends = len(arrays) < len(operands) or any(operand.depends for operand in arrays)
        results: list[Units | None] = [None] * len(equation.outvars)
        rule = RULES.get(equation.primitive.name)
        if len(arrays) == len(operands) and rule is not None:
            with contextlib.suppress(Unknown):
                results = list(rule(self.world, equation, arrays))
        if not depends:
            results = [self.constant(out, result) for out, result in zip(equation.outvars, results, strict=True)]
            value = evaluate(equation, [operand.value for operand in arrays]) if len(results) == 1 else None
            if value is not None:
                results = [self.world.constant(value.shape, value)]
            sources = frozenset[int]().union(*(operand.sources for operand in arrays))
            if sources:
                results = [dataclasses.replace(result, sources=sources) for result in results if result is not None]
        return self.keep(equation, scope, repeats, operands, results)

    def unfollowed(
        self, equation: Any, operands: list[Units | None], scope: str, repeats: int | None
    ) -> list[Units | None]:
        """Read what a call or a loop computes in one turn, of which nothing is known; return its results."""
        depends = any(operand is None or operand.depends for operand in operands)
        turns = equation.params.get("length", 1) if equation.primitive.name != "while" else None
        every = None if repeats is None or turns is None else repeats * turns
        for inner in core.jaxprs_in_params(equation.params):
            arguments = [None if depends else self.constant(atom, None) for atom in inner.invars]
            constants = [self.constant(atom, None) for atom in inner.constvars]
            self.jaxpr(inner, constants, arguments, scope, every)
        return [None if depends else self.constant(out, None) for out in equation.outvars]

    def constant(self, out: Any, result: Units | None) -> Units:
        """Return a constant, whose positions are all different where no rule says better."""
        shape = getattr(out.aval, "shape", ())
        return self.world.constant(shape) if result is None else result

    def keep(
        self,
        equation: Any,
        scope: str,
        repeats: int | None,
        operands: Sequence[Units | None],
        results: list[Units | None],
    ) -> list[Units | None]:
        """Note an equation that was read; return its results."""
        dependent = tuple(operand is None or operand.depends for operand in operands)
        known = all(result is not None for result in results)
        sources = frozenset[int]().union(*(operand.sources for operand in operands if operand is not None))
        results = [result and told_apart(result) for result in results]
        calls = tuple(self.calls)
        self.reads.append(
            Read(equation, scope, repeats, known, any(dependent), tuple(results), dependent, sources, calls)
        )
        return results


Call = Callable[[Reader, Any, list[Units | None], str, int | None], list[Units | None]]


def _inlined(reader: Reader, equation: Any, operands: Any, scope: str, repeats: int | None) -> list[Units | None]:
    names = ("jaxpr", "call_jaxpr", "fun_jaxpr")
    inner = next(equation.params[name] for name in names if name in equation.params)
    reader.calls.append(str(equation.params.get("name", equation.primitive.name)))
    try:
        return reader.closed(inner, operands, scope, repeats)
    finally:
        reader.calls.pop()


def _by_function(reader: Reader, equation: Any, operands: Any, scope: str, repeats: int | None) -> list[Units | None]:
    """A primitive of `functional.primitive` is what its function says."""
    function = equation.primitive.function
    avals = [jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in equation.invars]
    inner = jax.make_jaxpr(lambda *arrays: function(*arrays, **equation.params))(*avals)
    reader.calls.append(equation.primitive.name)
    try:
        return reader.closed(inner, operands, scope, repeats)
    finally:
        reader.calls.pop()


def _scan(reader: Reader, equation: Any, operands: Any, scope: str, repeats: int | None) -> list[Units | None]:
    params = equation.params
    length, (constants, carried) = params["length"], scan_sizes(params)
    fixed, carry, stacked = operands[:constants], operands[constants:][:carried], operands[constants + carried :]
    if length > MOST_UNROLLED or any(array is None for array in stacked):
        raise Unknown("a long loop")
    before = len(reader.reads)
    outputs: list[list[Units | None]] = []
    for turn in range(length)[::-1] if params["reverse"] else range(length):
        del reader.reads[before:]  # of all turns the last one is kept
        parts = [_part(reader.world, array, turn) for array in stacked]
        every = None if repeats is None else repeats * length
        results = reader.closed(params["jaxpr"], [*fixed, *carry, *parts], scope, every)
        carry = results[:carried]
        outputs.append(results[carried:])
    outputs = outputs[::-1] if params["reverse"] else outputs
    return [*carry, *(_stacked(reader.world, parts) for parts in zip(*outputs, strict=True))]


def _part(world: World, array: Units, turn: int) -> Units:
    one = along(world, array, 0, np.array([turn]), start=turn, stride=1, shape=(1, *array.shape[1:]))
    base, hidden = one.base, one.hidden
    for axis in one.axes[0]:
        base, hidden = absorbed(world, axis, base, hidden)
    return one.replace(shape=array.shape[1:], axes=one.axes[1:], base=base, hidden=hidden)


def _stacked(world: World, parts: Sequence[Units | None]) -> Units | None:
    arrays = [part.replace(shape=(1, *part.shape), axes=((), *part.axes)) for part in parts if part is not None]
    if len(arrays) < len(parts):
        return None
    try:
        whole = joined(world, arrays, 0)
    except Unknown:
        return None
    padded = np.max([array.base.padded for array in arrays], axis=0)
    return dataclasses.replace(whole, base=dataclasses.replace(whole.base, padded=padded))


def _while(reader: Reader, equation: Any, operands: Any, scope: str, repeats: int | None) -> list[Units | None]:
    """A loop of unknown length: known where a turn changes nothing of what is known."""
    params = equation.params
    tested, fixed = params["cond_nconsts"], params["body_nconsts"]
    carry = operands[tested + fixed :]
    (test,) = reader.closed(params["cond_jaxpr"], [*operands[:tested], *carry], scope, None)
    results = reader.closed(params["body_jaxpr"], [*operands[tested : tested + fixed], *carry], scope, None)
    if test is None:
        raise Unknown("a loop whose end is not known")
    ends: list[Units | None] = []
    for first, last in zip(carry, results, strict=True):
        if first is None or last is None or not _moves_alike(first, last):
            ends.append(None)
        elif first.depends or last.depends or test.depends:
            ends.append(pair(reader.world, [test, first, last], first.shape))
        else:
            ends.append(last)
    return ends


def _moves_alike(first: Units, last: Units) -> bool:
    """Whether two arrays carry the same positions, see as much, and tell as many functions apart."""
    if first.field != last.field or [len(p) for p in first.axes] != [len(p) for p in last.axes]:
        return False
    pairs = [
        (a, b) for mine, theirs in zip(first.axes, last.axes, strict=True) for a, b in zip(mine, theirs, strict=True)
    ]
    return all(
        a.size == b.size
        and np.array_equal(a.at, b.at)
        and np.array_equal(a.period, b.period)
        and len(set(zip(a.label.tolist(), b.label.tolist(), strict=True))) == len(set(a.label.tolist()))
        for a, b in [*pairs, (first.base, last.base)]
    )


def _cond(reader: Reader, equation: Any, operands: Any, scope: str, repeats: int | None) -> list[Units | None]:
    which, *arguments = operands
    branches = equation.params["branches"]
    if which is not None and which.value is not None:
        chosen = int(np.clip(which.value, 0, len(branches) - 1))
        return reader.closed(branches[chosen], arguments, scope, repeats)
    results = [reader.closed(branch, arguments, scope, repeats) for branch in branches]
    ends: list[Units | None] = []
    for cases in zip(*results, strict=True):
        if which is None or any(case is None for case in cases):
            ends.append(None)
        else:
            ends.append(pair(reader.world, [which, *cases], cases[0].shape))
    return ends


CALLS: dict[str, Call] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
} | dict.fromkeys(
    (
        "jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2", "custom_jvp_call",
        "custom_vjp_call", "custom_vjp_call_jaxpr", "custom_lin", "run_state", "xla_call", "named_call",
    ),
    _inlined,
)  # fmt: skip
