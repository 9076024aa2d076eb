"""Primitives: pure functions that stay one operation of a program, so that a backend may run them as one kernel.

Everywhere else such an operation is what its function says: that is its default lowering, and JAX derives from it
whatever rule it is not given.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend import core
from jax.interpreters import ad, batching, mlir

DEFAULT: dict[core.Primitive, Any] = {}
"""The lowering rule of each primitive where no other is registered."""

side_by_side: Any = jax.make_user_context(False)
"""`with side_by_side(True):` compiles programs that run beside others, each on a core, so that a backend need not
divide their operations. A program that was compiled without it is another one."""

Function = Callable[..., Sequence[Array]]
Rule = Callable[..., Any]


class _Fused(core.Primitive):
    """A primitive that says what it computes, for whoever reads a jaxpr."""

    multiple_results = True

    def __init__(self, name: str, function: Function):
        super().__init__(name)
        self.function = function


def primitive(
    name: str, function: Function, *, jvp: Rule | None = None, transpose: Rule | None = None, fold: Rule | None = None
) -> core.Primitive:
    """Make a JAX primitive of a pure function.

    `bind(*arrays, **parameters)` returns the list `function(*arrays, **parameters)`. For a fused derivative, three
    primitives point at each other: the `jvp` of an operation binds a linear one, whose `transpose` binds the backward
    pass. Derivatives of these two are JAX's of their functions, of any order.

    Args:
        name: What a jaxpr shows.
        function: Takes arrays and hashable keyword parameters, and returns a sequence of arrays.
        jvp: `(primals, tangents, **parameters)` to (outputs, tangents), some of the given tangents `ad.Zero`.
        transpose: `(cotangents, *arrays, **parameters)` to one cotangent an array, None for those that are known; the
            linear ones are `ad.UndefinedPrimal`.
        fold: `(arrays, axes)` of a vmap, axes None where an array has no batch, to None, or to arrays without it and a
            function that gives an output its batch back: (output, axis).

    Returns:
        The primitive. Other backends' rules are registered with `jax.interpreters.mlir.register_lowering`.

    Example:
        >>> double = primitive("double", lambda x, *, by: [by * x])
        >>> jax.make_jaxpr(lambda x: double.bind(x, by=2))(jnp.ones(3)).eqns[0].primitive.name
        'double'
        >>> jax.jit(jax.vmap(jax.grad(lambda x: double.bind(x, by=2)[0])))(jnp.ones(3)).tolist()
        [2.0, 2.0, 2.0]
    """
    new = _Fused(name, function)

    @functools.cache
    def compiled(**parameters: Any) -> Function:
        return jax.jit(functools.partial(new.bind, **parameters))

    @new.def_impl
    def run(*arrays: Array, **parameters: Any) -> Sequence[Array]:
        return compiled(**parameters)(*arrays)

    @new.def_abstract_eval
    def shapes(*avals: Any, **parameters: Any) -> Sequence[Any]:
        return jax.make_jaxpr(functools.partial(function, **parameters))(*avals).out_avals

    def plain_jvp(primals: Sequence[Any], tangents: Sequence[Any], **parameters: Any) -> tuple[Any, Any]:
        live = [i for i, tangent in enumerate(tangents) if not isinstance(tangent, ad.Zero)]
        partial = _of(function, primals, live, parameters)
        _, slopes = jax.jvp(partial, [primals[i] for i in live], [tangents[i] for i in live])
        return new.bind(*primals, **parameters), slopes

    def plain_transpose(cotangents: Sequence[Any], *arrays: Any, **parameters: Any) -> list[Any]:
        linear = [i for i, array in enumerate(arrays) if ad.is_undefined_primal(array)]
        partial = _of(function, arrays, linear, parameters)
        back = jax.linear_transpose(partial, *(arrays[i].aval for i in linear))
        given = dict(zip(linear, back([ad.instantiate_zeros(c) for c in cotangents]), strict=True))
        return [given.get(i) for i in range(len(arrays))]

    def batched(arrays: Sequence[Any], axes: Sequence[Any], **parameters: Any) -> tuple[Any, Any]:
        folded = None if fold is None else fold(arrays, axes)
        if folded is None:
            outputs = jax.vmap(functools.partial(function, **parameters), axes)(*arrays)
            return outputs, [0] * len(outputs)
        arrays, unfold = folded
        outputs, axes = zip(*map(unfold, new.bind(*arrays, **parameters)), strict=True)
        return outputs, axes

    DEFAULT[new] = mlir.lower_fun(function, multiple_results=True)
    mlir.register_lowering(new, DEFAULT[new])
    ad.primitive_jvps[new] = jvp or plain_jvp
    ad.primitive_transposes[new] = transpose or plain_transpose
    batching.primitive_batchers[new] = batched
    return new


def _of(function: Function, arrays: Sequence[Any], which: Sequence[int], parameters: dict[str, Any]) -> Function:
    """Return `function` of the arrays at `which` alone, the others fixed."""

    def partial(*values: Array) -> list[Array]:
        given = dict(zip(which, values, strict=True))
        return list(function(*(given.get(i, array) for i, array in enumerate(arrays)), **parameters))

    return partial


def members_are_channels(arrays: Sequence[Any], axes: Sequence[int | None]) -> tuple[list[Array], Any]:
    """Take the maps of all members of a vmap as the channels of one map: a `fold`.

    Args:
        arrays: Maps and vectors whose last axis is of channels.
        axes: Their batch axes, None where an array has none; at least one has.

    Returns:
        Arrays without a batch, and what gives an output its batch back.

    Example:
        >>> arrays, back = members_are_channels([jnp.zeros((2, 5, 3)), jnp.zeros(3)], [0, None])
        >>> arrays[0].shape, arrays[1].shape, back(arrays[0])[0].shape
        ((5, 6), (6,), (5, 2, 3))
    """
    size = next(array.shape[axis] for array, axis in zip(arrays, axes, strict=True) if axis is not None)
    merged = [merge(array, axis, size, -1) for array, axis in zip(arrays, axes, strict=True)]
    return merged, lambda output: split(output, size, -1)


def merge(array: Array, axis: int | None, size: int, into: int) -> Array:
    """Merge a batch axis into another, before which it moves; one that is missing is made.

    Args:
        array: Any.
        axis: Its batch axis, or None.
        size: Of the batch.
        into: The axis that takes it in: negative, so that the batch axis does not count.

    Returns:
        The array, with that axis `size` times as long.

    Example:
        >>> merge(jnp.zeros((2, 5, 3)), 0, 2, -1).shape, merge(jnp.zeros(3), None, 2, -1).shape
        ((5, 6), (6,))
    """
    if axis is None:
        array, axis = jnp.broadcast_to(array, (size, *array.shape)), 0
    array = jnp.moveaxis(array, axis, into - 1)
    before, after = array.shape[: into - 1], array.shape[array.ndim + into + 1 :]
    return array.reshape(*before, size * array.shape[into], *after)


def split(array: Array, size: int, into: int) -> tuple[Array, int]:
    """Undo `merge`.

    Args:
        array: Any.
        size: Of the batch.
        into: The axis that took it in, negative.

    Returns:
        The array, and its batch axis.

    Example:
        >>> array, axis = split(jnp.zeros((5, 6)), 2, -1)
        >>> array.shape, axis
        ((5, 2, 3), 1)
    """
    at = array.ndim + into
    return array.reshape(*array.shape[:at], size, array.shape[at] // size, *array.shape[at + 1 :]), at
