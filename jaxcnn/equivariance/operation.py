"""One operation of a program, and how it runs: in the types that the program says, or in double precision."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

OF_BITS = {"bitcast_convert_type", "reduce_precision", "nextafter", "random_bits", "random_wrap", "rng_bit_generator"}
"""Operations whose result depends on how a number is stored: they run in the type that the program says."""


@dataclasses.dataclass(frozen=True, eq=False)
class Operation:
    """One operation of a program, on values that are known by number.

    Attributes:
        primitive: JAX's.
        params: Of the primitive.
        inputs: Numbers of the values that it takes.
        outputs: Numbers of those that it gives.
        scope: Its name stack.
        calls: The calls around it, outermost first: a number for each, and its name.
        avals: Shapes and types of the operands, as the program has them.
        context: What the primitive is bound under, such as a mesh.
    """

    primitive: Any
    params: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    scope: str
    calls: tuple[tuple[int, str], ...]
    avals: tuple[Any, ...]
    context: Any = dataclasses.field(repr=False)

    @property
    def name(self) -> str:
        return self.primitive.name


def apply(operation: Operation, taken: Sequence[Any], *, double: bool = False) -> Sequence[Any]:
    """Run one operation.

    Args:
        operation: Of a program.
        taken: Its operands.
        double: Run in float64 whatever the types say, where the operation can.

    Returns:
        Its results.
    """
    params = operation.params
    if double:
        if operation.name not in OF_BITS:
            with contextlib.suppress(TypeError, ValueError):
                return [widened(value) for value in _bind(operation, taken, _wide(params))]
        taken = [_narrowed(value, aval.dtype) for value, aval in zip(taken, operation.avals, strict=True)]
    made = _bind(operation, taken, params)
    return [widened(value) for value in made] if double else made


def _narrowed(value: Any, dtype: Any) -> Any:
    return value if getattr(value, "dtype", dtype) == dtype else jnp.asarray(value).astype(dtype)


def _bind(operation: Operation, taken: Sequence[Any], params: dict[str, Any]) -> Sequence[Any]:
    primitive = operation.primitive
    params = primitive.get_bind_params(params)
    functions, params = ((), params) if isinstance(params, dict) else params  # jax 0.10.0 gives a pair
    with operation.context.manager:
        made = primitive.bind(*functions, *taken, **params)
    return made if primitive.multiple_results else [made]


def widened(value: Any) -> Any:
    """Return an array of floating-point numbers in double precision, any other as it is.

    Args:
        value: Array or number.

    Returns:
        The same numbers.

    Example:
        >>> import jax
        >>> with jax.enable_x64(True):
        ...     widened(jnp.ones(2, "bfloat16")).dtype, widened(3)
        (dtype('float64'), 3)
    """
    kind = _wide_type(getattr(value, "dtype", None))
    return value if kind is None or value.dtype == kind else jnp.asarray(value).astype(kind)


def _wide_type(dtype: Any) -> Any:
    """Return the type in double precision that stands for a floating or complex one; None for all others."""
    if not isinstance(dtype, np.dtype | type) or dtype is None:
        return None
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return np.dtype(np.complex128)
    return np.dtype(np.float64) if jnp.issubdtype(dtype, jnp.floating) else None


def _wide(params: dict[str, Any]) -> dict[str, Any]:
    """Return a primitive's parameters with floating-point types in double precision."""
    return {name: _wide_type(value) or value if _is_type(value) else value for name, value in params.items()}


def _is_type(value: Any) -> bool:
    return isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic))
