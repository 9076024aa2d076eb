"""Settings that may be traced: programs that differ in numbers alone are one program, and the numbers its inputs."""

from typing import Any

from jax.core import Tracer


def is_traced(value: Any) -> bool:
    """Tell a setting whose value is not known while the program is made, and so cannot be checked.

    Args:
        value: A number, or a tracer in the place of one.

    Returns:
        Whether it is a tracer.

    Example:
        >>> import jax
        >>> jax.eval_shape(lambda rate: print(is_traced(rate), is_traced(0.5)), 0.5)
        True False
    """
    return isinstance(value, Tracer)


def is_off(value: Any) -> bool:
    """Tell a setting that is known to be zero, so that what it asks for can be left out of the program.

    Args:
        value: A number, or a tracer in the place of one.

    Returns:
        Whether it is zero; a tracer is not.

    Example:
        >>> is_off(0.0), is_off(0.1)
        (True, False)
    """
    return not is_traced(value) and not value
