"""Dropout."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Key, Num

from jaxcnn.functional import window as win
from jaxcnn.functional.traced import is_off, is_traced


def dropout(x: Num[Array, "*shape"], rate: int | float | Array, *, key: Key[Array, ""]) -> Num[Array, "*shape"]:
    """Set a random share of the values to zero, and scale the others up by `1 / (1 - rate)`.

    The expected output is the input, so evaluation applies nothing.

    Args:
        x: Any array.
        rate: Share of the values dropped, in [0, 1); 0 returns x.
        key: Draws the values dropped, as `jax.random.key` makes it.

    Returns:
        An array of x's shape and dtype.

    Raises:
        ValueError: A rate outside [0, 1).
        TypeError: An array that is not floating point.

    Example:
        >>> dropped = dropout(jnp.ones(1000), 0.5, key=jax.random.key(0))
        >>> sorted(set(dropped.tolist())), 450 < int((dropped == 0).sum()) < 550
        ([0.0, 2.0], True)

    Reference:
        Srivastava et al., "Dropout", 2014.
    """
    (x,) = win.floating(x=x)
    if not is_traced(rate) and not 0 <= rate < 1:
        raise ValueError(f"`rate` (={rate}) must be in [0, 1): the share of values that is dropped")
    if is_off(rate):
        return x
    kept = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(kept, x / jnp.asarray(1 - rate, x.dtype), 0)
