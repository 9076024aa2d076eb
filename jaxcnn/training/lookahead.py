"""Lookahead: slow parameters that follow fast ones, as a wrapper of any optimizer."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array


class LookaheadState(NamedTuple):
    """What `lookahead` carries.

    Example:
        >>> optimizer = lookahead(optax.sgd(0.1), every=5, share=0.5)
        >>> optimizer.init(jnp.ones(2)).slow.tolist()
        [1.0, 1.0]
    """

    inner: Any
    """The wrapped optimizer's state."""
    slow: Any
    """The slow parameters."""
    step: Array
    """Steps since they moved last."""


def lookahead(inner: optax.GradientTransformation, *, every: int, share: float) -> optax.GradientTransformation:
    """Wrap an optimizer, so that every k steps slow parameters s are pulled to its p, and p starts anew from there:

        s += share (p - s);  p = s

    `optax.lookahead` does the same to parameters in pairs; here they stay what any loop carries. The moments of the
    wrapped optimizer are kept. What is evaluated between two pulls are the fast parameters.

    Args:
        inner: The optimizer that moves p.
        every: Steps between two pulls, k; 0 returns `inner` itself.
        share: How far s moves, from above 0 to 1.

    Returns:
        The optimizer.

    Raises:
        ValueError: A negative `every`, or a `share` that is not from above 0 to 1.

    Example:
        >>> optimizer = lookahead(optax.sgd(1.0), every=2, share=0.5)
        >>> params, state = jnp.zeros(1), optimizer.init(jnp.zeros(1))
        >>> for step in range(2):
        ...     updates, state = optimizer.update(-jnp.ones(1), state, params)
        ...     params = optax.apply_updates(params, updates)
        >>> params.tolist()  # two steps of 1 reach 2, and half of that is kept
        [1.0]

    Reference:
        Zhang et al., "Lookahead optimizer: k steps forward, 1 step back", 2019.
    """
    if every < 0:
        raise ValueError(f"`lookahead` (={every}) must be a number of steps, or 0 for none")
    if not 0 < share <= 1:
        raise ValueError(f"`lookahead_share` (={share}) must be from above 0 to 1")
    if every == 0:
        return inner

    def init(params: Any) -> LookaheadState:
        return LookaheadState(inner.init(params), jax.tree.map(jnp.copy, params), jnp.zeros((), jnp.int32))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, LookaheadState]:
        updates, inner_state = inner.update(updates, state.inner, params)
        pull = state.step + 1 == every

        def moved(slow: Array, p: Array, u: Array) -> Array:
            return jnp.where(pull, slow + share * (p + u - slow), slow)

        slow = jax.tree.map(moved, state.slow, params, updates)
        updates = jax.tree.map(lambda s, p, u: jnp.where(pull, s - p, u), slow, params, updates)
        return updates, LookaheadState(inner_state, slow, jnp.where(pull, 0, state.step + 1))

    return optax.GradientTransformation(init, update)
