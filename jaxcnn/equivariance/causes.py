"""Why a layer loses equivariance: each cause is established by a change that brings it back, none is guessed."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from jaxcnn.equivariance import position_causes, window_causes
from jaxcnn.equivariance.cause import Cause
from jaxcnn.equivariance.local import ROUNDING, Local
from jaxcnn.equivariance.position_causes import CUMULATIVE
from jaxcnn.equivariance.windows import window_of

WORDS = {
    "reduce_sum": "a sum",
    "reduce_max": "a maximum",
    "reduce_min": "a minimum",
    "dot_general": "a matrix product",
    "conv_general_dilated": "a convolution",
    "argmax": "the place of a maximum",
    "argmin": "the place of a minimum",
    "cumsum": "a cumulative sum",
}
"""What primitives are called by those who do not know them."""
DRAWS = 8
"""Operands that are tried where those of the input tell nothing."""
OUTSIDE = ("zero padding", "mirrored padding", "incomplete padding", "no padding", "remainder", "crop")
"""What does no harm where borders are left out."""


def explain(local: Local, *, norm: bool, mode: str) -> tuple[Cause, ...]:
    """Find out why a unit loses equivariance along an axis.

    Args:
        local: The unit, with its operands.
        norm: Whether it is part of a normalisation.
        mode: Of the audit.

    Returns:
        Causes, all of which have to go; one of kind `operation` where nothing that was tried helps.
    """
    last = local.unit.operations[-1]
    try:
        as_it_is = local.error()
        if as_it_is < ROUNDING:  # perhaps because the map is even by chance, as after a ReLU that lets nothing through
            local, as_it_is = _telling(local)
    except (TypeError, ValueError) as error:
        return (Cause("operation", f"{last.name}: {error}", last.name, float("nan")),)
    if as_it_is < ROUNDING:
        return (_inherited(local, norm, mode),)
    for search in (*window_causes.SEARCHES, *position_causes.SEARCHES):
        found = tuple(cause for cause in search(local, as_it_is) if mode == "circular" or cause.kind not in OUTSIDE)
        if found:
            return found
    names = ", ".join(dict.fromkeys(operation.name for operation in local.unit.operations))
    return (Cause("operation", f"{names}: no change that was tried brings it back", last.name, as_it_is),)


def _telling(local: Local) -> tuple[Local, float]:
    """Return the unit with operands on which it does not move with them, and by how much; as it is if it always does.

    Several are drawn: what a sign decides may come out the same after all few shifts that are tried.
    """
    error = 0.0
    for seed in range(DRAWS):
        general = _general(local, seed)
        if (error := general.error()) >= ROUNDING:
            return general, error
    return local, error


def _general(local: Local, seed: int) -> Local:
    """Return the unit with operands that have nothing in common with themselves, moved."""
    noise = np.random.default_rng(seed)
    values = {
        number: value + noise.standard_normal(value.shape) if jnp.issubdtype(value.dtype, jnp.floating) else value
        for number, value in local.values.items()
    }
    return dataclasses.replace(local, values=values)


def _inherited(local: Local, norm: bool, mode: str) -> Cause:
    """The unit itself moves with its operands: what it takes in does not, near the borders or from outside."""
    last, before = local.unit.operations[-1], local.unit.before
    what = WORDS.get(last.name, last.name)
    if mode == "interior" and (last.name == "sort" or last.name in CUMULATIVE):
        kind = "sort" if last.name == "sort" else "cumulative operation"
        return Cause(kind, f"{what} along positions: content that comes in changes it", last.name, 0.0, 0.0)
    if mode == "interior" and any(window_of(last, axis) for axis in range(len(last.avals[0].shape))):
        return Cause("border", f"the windows of {what} reach beyond the interior that is left", last.name, 0.0, 0.0)
    if mode == "interior":
        kind = "batch statistics" if norm else "global reduction"
        text = f"{what} over positions: content that comes in changes it"
        return Cause(kind, text, last.name, 0.0, 0.0)
    if sum(local.relation(n).verdict == "orbit" for n in local.unit.inputs) > 1:
        return Cause("operands move apart", "its operands follow different choices by the data", last.name, 0.0)
    if before.verdict != "exact-interior":
        text = f"nothing is known of {last.name} on what it takes here"  # though it moved, whenever it was tried
        return Cause("no rule", text, last.name, 0.0, 0.0)
    text = f"{what} takes in the borders of a map that keeps its promise in the interior alone"
    return Cause("border", text, last.name, 0.0, 0.0)
