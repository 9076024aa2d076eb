"""The numbers of small constants, as far as indices and masks are made of them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

MOST = 1 << 16
"""Elements of a constant that is followed."""


def _divide(a: Any, b: Any) -> Any:
    if np.issubdtype(np.asarray(a).dtype, np.integer):
        return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(np.asarray(a).dtype)
    return np.divide(a, b)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs, "add": np.add, "and": np.bitwise_and, "ceil": np.ceil,
    "clamp": lambda low, x, high: np.clip(x, low, high),
    "div": _divide, "eq": np.equal, "floor": np.floor, "ge": np.greater_equal, "gt": np.greater, "le": np.less_equal,
    "lt": np.less, "max": np.maximum, "min": np.minimum, "mul": np.multiply, "ne": np.not_equal, "neg": np.negative,
    "not": np.invert, "or": np.bitwise_or, "rem": np.fmod, "select_n": lambda which, *cases: np.choose(which, cases),
    "sign": np.sign, "stop_gradient": lambda x: x, "copy": lambda x: x, "sub": np.subtract, "square": np.square,
}  # fmt: skip


def evaluate(equation: Any, values: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Compute an equation on numbers that are all known, where it is small and simple.

    Args:
        equation: Of a jaxpr.
        values: Of its operands.

    Returns:
        The result's numbers, or None.

    Example:
        >>> import jax
        >>> equation = jax.make_jaxpr(lambda x: x + 2)(np.int32(1)).eqns[0]
        >>> int(evaluate(equation, [np.int32(1), np.int32(2)]))
        3
    """
    out, params, name = equation.outvars[0].aval, equation.params, equation.primitive.name
    shape: tuple[int, ...] = tuple(getattr(out, "shape", ()))
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values) or int(np.prod(shape)) > MOST or not isinstance(out.dtype, np.dtype):
        return None
    if name in FUNCTIONS:
        with np.errstate(all="ignore"):
            value = FUNCTIONS[name](*numbers)
    elif name == "iota":
        axis = int(params["dimension"])
        line = np.arange(int(shape[axis])).reshape([-1 if place == axis else 1 for place in range(len(shape))])
        value = np.broadcast_to(line, shape)
    elif name == "broadcast_in_dim":
        sizes = [1] * len(shape)
        for place, to in enumerate(params["broadcast_dimensions"]):
            sizes[to] = np.shape(numbers[0])[place]
        value = np.broadcast_to(np.reshape(numbers[0], sizes), shape)
    elif name in ("reshape", "squeeze", "expand_dims"):
        value = np.reshape(numbers[0], shape)
    elif name == "transpose":
        value = np.transpose(numbers[0], params["permutation"])
    elif name == "reduce_sum":
        value = np.sum(numbers[0], tuple(params["axes"]))
    elif name == "concatenate":
        value = np.concatenate(numbers, params["dimension"])
    elif name == "convert_element_type":
        value = np.asarray(numbers[0])
    else:
        return None
    value = np.asarray(value)
    return value.astype(out.dtype) if value.shape == shape else None
