"""Learning rates of their own for layers that patterns name."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxcnn import nn


class Rate(NamedTuple):
    """What a layer's learning rate is multiplied by.

    Example:
        >>> Rate("head", 2.0).epochs
        inf
    """

    pattern: str
    """Names layers or parameters, see `nn.select`."""
    factor: float
    """Of the learning rate."""
    epochs: float = math.inf
    """After which the layers stay as they are."""


def parse_rate(text: str) -> Rate:
    """Read `PATTERN=FACTOR`, or `PATTERN=FACTOR@EPOCHS`.

    Args:
        text: Such as `*/bias=64` or `whiten/bias=1@3`.

    Returns:
        The rate.

    Raises:
        ValueError: Another form, or numbers that are negative or not finite.

    Example:
        >>> parse_rate("whiten/bias=0.5@3")
        Rate(pattern='whiten/bias', factor=0.5, epochs=3.0)
    """
    pattern, sign, told = text.rpartition("=")
    factor, at, epochs = told.partition("@")
    try:
        rate = Rate(pattern, float(factor), float(epochs) if at else math.inf)
    except ValueError:
        rate = Rate("", -1.0)
    if not sign or not rate.pattern or not 0 <= rate.factor < math.inf or not rate.epochs >= 0:
        raise ValueError(
            f"`rates` (={text!r}) must be PATTERN=FACTOR or PATTERN=FACTOR@EPOCHS, such as */bias=64 or whiten=1@3"
        )
    return rate


class RatesState(NamedTuple):
    """Steps that were taken.

    Example:
        >>> RatesState(jnp.zeros((), jnp.int32)).step.item()
        0
    """

    step: Array


def scale_by_rates(rates: Sequence[str], *, steps_per_epoch: int) -> optax.GradientTransformation:
    """Multiply the updates of layers by factors; of several patterns that name one the last counts.

    Args:
        rates: See `parse_rate`.
        steps_per_epoch: Steps in an epoch.

    Returns:
        The transformation, to stand behind the learning rate.

    Raises:
        ValueError: A rate of another form; from its functions, a pattern that names nothing.

    Example:
        >>> scale = scale_by_rates(["head=2", "head/bias=0@1"], steps_per_epoch=10)
        >>> params = {"head": {"kernel": jnp.ones(1), "bias": jnp.ones(1)}}
        >>> updates, state = scale.update(params, scale.init(params), params)
        >>> updates["head"]["kernel"].item(), updates["head"]["bias"].item()
        (2.0, 0.0)
    """
    parsed = [parse_rate(text) for text in rates]

    def init(params: Any) -> RatesState:
        for rate in parsed:
            nn.select(params, [rate.pattern])
        return RatesState(jnp.zeros((), jnp.int32))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, RatesState]:
        named = [nn.select(updates, [rate.pattern]) for rate in parsed]

        def moved(update: Array, *is_named: bool) -> Array:
            rate = next((rate for rate, on in zip(parsed[::-1], is_named[::-1], strict=True) if on), None)
            if rate is None:
                return update
            if math.isinf(rate.epochs):
                return rate.factor * update
            return jnp.where(state.step < rate.epochs * steps_per_epoch, rate.factor * update, 0)

        return jax.tree.map(moved, updates, *named), RatesState(state.step + 1)

    return optax.GradientTransformation(init, update)
