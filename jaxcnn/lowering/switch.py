"""Which lowering of convolution is in use on the CPU: turn one on, turn it off, say which."""

import os
import warnings
from dataclasses import dataclass
from typing import Any, get_args

import jax
from jax import lax
from jax.interpreters import mlir

from jaxcnn.config import Lowering, unknown
from jaxcnn.lowering.canonical import Rule, canonical_rule
from jaxcnn.lowering.fusions import switch_off_wrong_fusions

TIERS = get_args(Lowering)


@dataclass(frozen=True)
class Status:
    """Which lowering compiles convolutions for the CPU, and why.

    Attributes:
        tier: `xla` (XLA's own rule) or `canonical`.
        reason: One line.

    Example:
        >>> Status("canonical", "asked for").tier
        'canonical'
    """

    tier: str
    reason: str


_xla_rule: Rule | None = None  # XLA's own rule, kept while ours is registered
_status = Status("xla", "not enabled: call jaxcnn.lowering.enable()")


def enable(tier: str | None = None) -> Status:
    """Compile every convolution for the CPU by a faster rule, in any JAX program.

    Derivatives, vmap and scan keep working, since only the last step, the lowering of `lax.conv_general_dilated_p`,
    changes. Starts no backend. Clears what was compiled before. Fusions that this jaxlib is known to compute wrong are
    switched off, whatever the tier, if no backend has started yet: call it before the first computation.

    Args:
        tier: `auto` (the fastest there is), `canonical` or `xla`; None reads the environment variable
            `JAXCNN_LOWERING`, and means `auto` where it is not set.

    Returns:
        What is in use now.

    Raises:
        ValueError: A tier that does not exist.

    Example:
        >>> enable("canonical").tier
        'canonical'
        >>> disable().tier
        'xla'
    """
    global _xla_rule, _status
    tier = tier or os.environ.get("JAXCNN_LOWERING") or "auto"
    if tier not in TIERS:
        raise ValueError(unknown("lowering", tier, TIERS))
    disable()
    switch_off_wrong_fusions()
    if tier == "xla":
        _status = Status("xla", "asked for")
        return _status
    try:
        rule = registered_rule()
        mlir.register_lowering(lax.conv_general_dilated_p, canonical_rule(rule), platform="cpu")
    except Exception as error:  # a future JAX may move what we register with: its own rule still works
        _status = Status("xla", f"this jax ({jax.__version__}) refused the canonical rule: {error!r}")
        warnings.warn(_status.reason, stacklevel=2)
        return _status
    _xla_rule = rule
    jax.clear_caches()
    _status = Status("canonical", "asked for" if tier == "canonical" else "the fastest there is")
    return _status


def disable() -> Status:
    """Give the CPU's convolutions back to XLA's own rule, and clear what was compiled under ours.

    Returns:
        What is in use now: `xla`.

    Example:
        >>> disable().tier
        'xla'
    """
    global _xla_rule, _status
    if _xla_rule is not None:
        mlir.register_lowering(lax.conv_general_dilated_p, _xla_rule, platform="cpu")
        _xla_rule = None
        jax.clear_caches()
    _status = Status("xla", "not enabled: call jaxcnn.lowering.enable()")
    return _status


def status() -> Status:
    """Tell which lowering compiles convolutions for the CPU.

    Returns:
        The tier and the reason.

    Example:
        >>> status().tier in ("xla", "canonical")
        True
    """
    return _status


def registered_rule() -> Any:
    """Return the CPU rule of `lax.conv_general_dilated_p` that is registered now.

    JAX has no public way to ask; the private table is read here, and nowhere else.

    Returns:
        The lowering rule.

    Example:
        >>> callable(registered_rule())
        True
    """
    from jax._src.interpreters.mlir import _platform_specific_lowerings

    entry = _platform_specific_lowerings["cpu"][lax.conv_general_dilated_p]
    return entry.rule
