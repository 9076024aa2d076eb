"""Which lowering of convolution is in use on the CPU: turn one on, turn it off, say which."""

import dataclasses
import os
import warnings
from collections import Counter
from typing import Any, get_args

import jax
from jax import lax
from jax.interpreters import mlir

from jaxcnn.config import Lowering, unknown
from jaxcnn.lowering import fused
from jaxcnn.lowering.canonical import Rule, canonical_rule
from jaxcnn.lowering.fusions import switch_off_wrong_fusions
from jaxcnn.lowering.library import Unavailable, load
from jaxcnn.lowering.memory import keep_memory
from jaxcnn.lowering.onednn import onednn_rule

TIERS = get_args(Lowering)


@dataclasses.dataclass(frozen=True)
class Status:
    """Which lowering compiles convolutions for the CPU, and why.

    Attributes:
        tier: `onednn`, `canonical` (XLA's convolution, in the one layout that it runs fast) or `xla` (its own rule).
        reason: One line: why this one, and what would change it.
        refused: Convolutions lowered since `enable` that oneDNN did not take, counted by its reasons. XLA ran them.
        keeps_memory: Whether malloc keeps what it has got between steps: since the first `enable`, for good.

    Example:
        >>> Status("canonical", "asked for").tier
        'canonical'
    """

    tier: str
    reason: str
    refused: dict[str, int] = dataclasses.field(default_factory=dict)
    keeps_memory: bool = False


_xla_rule: Rule | None = None  # XLA's own rule, kept while ours is registered
_status = Status("xla", "not enabled: call jaxcnn.lowering.enable()")
_refused: Counter[str] = Counter()
_keeps_memory = False


def enable(tier: str | None = None) -> Status:
    """Compile every convolution for the CPU by a faster rule, in any JAX program.

    Derivatives, vmap and scan keep working, since only the last step, the lowering of `lax.conv_general_dilated_p`,
    changes. Starts no backend. Clears what was compiled before. Call it before the first computation: fusions that
    this jaxlib is known to compute wrong are switched off only then, and memory is kept between steps from then on
    (`JAXCNN_MALLOC=default` leaves the C library's settings alone).

    Args:
        tier: `auto` (the fastest there is), `onednn`, `canonical` or `xla`; None reads the environment variable
            `JAXCNN_LOWERING`, and means `auto` where it is not set. Where oneDNN cannot be had, `canonical` stands in.

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
    global _status, _keeps_memory
    tier = tier or os.environ.get("JAXCNN_LOWERING") or "auto"
    if tier not in TIERS:
        raise ValueError(unknown("lowering", tier, TIERS))
    disable()
    switch_off_wrong_fusions()
    if tier == "xla":
        _status = Status("xla", "asked for")
        return status()
    _keeps_memory = keep_memory()
    reason = "asked for" if tier == "canonical" else "the fastest there is"
    try:
        canonical = canonical_rule(registered_rule())
        if tier != "canonical":
            try:
                library = load()
                fused.register(library.handle)
                return _register(onednn_rule(library, canonical, _refused), Status("onednn", reason))
            except Exception as error:  # whatever it is, XLA's convolution still works
                reason = str(error) if isinstance(error, Unavailable) else f"oneDNN does not load: {error!r}"
        return _register(canonical, Status("canonical", reason))
    except Exception as error:  # a future JAX may move what we register with: its own rule still works
        disable()
        _status = Status("xla", f"this jax ({jax.__version__}) refused our rules: {error!r}")
        warnings.warn(_status.reason, stacklevel=2)
        return status()


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
        fused.unregister()
        jax.clear_caches()
    _refused.clear()
    _status = Status("xla", "not enabled: call jaxcnn.lowering.enable()")
    return status()


def status() -> Status:
    """Tell which lowering compiles convolutions for the CPU, and what it left to XLA.

    Returns:
        The tier, the reason, and the convolutions that were refused.

    Example:
        >>> status().tier in ("xla", "canonical", "onednn")
        True
    """
    return dataclasses.replace(_status, refused=dict(_refused), keeps_memory=_keeps_memory)


def _register(rule: Rule, tier: Status) -> Status:
    global _xla_rule, _status
    theirs = registered_rule()
    mlir.register_lowering(lax.conv_general_dilated_p, rule, platform="cpu")
    _xla_rule, _status = theirs, tier
    jax.clear_caches()
    return status()


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
