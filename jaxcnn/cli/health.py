"""Probes of `jaxcnn doctor --deep`, each in a process of its own: what is known to go wrong may end it."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from jaxcnn.lowering.fusions import FLAG

SECONDS = 120
"""After which a process hangs."""
_BEGIN = "import jax, jax.numpy as jnp\nfrom jaxcnn import functional as F, lowering\nstatus = lowering.enable()\n"
_FUSED = "import jax, jax.numpy as jnp\n{guard}"
_GUARD = "from jaxcnn.lowering.fusions import switch_off_wrong_fusions; switch_off_wrong_fusions()\n"
CACHE = (
    "hits = []\n"
    "jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if 'cache_hits' in event else None)\n"
    "jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((64, 64))).block_until_ready()\n"
    "print(len(hits))\n"
)
TIER = (
    "text = jax.jit(F.conv).lower(jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 4, 4))).compile().as_text()\n"
    "print(status.tier, 'jaxcnn_convolution' in text)\n"
)
LOOP = (
    "slope = jax.grad(lambda k, x: (F.conv(x, k) ** 2).sum())\n"
    "steps = lambda k, x: jax.lax.scan(lambda k, _: (k - 1e-3 * slope(k, x), None), k, None, length=3)[0]\n"
    "found = lowering.lint(steps, jnp.ones((3, 3, 4, 4)), jnp.ones((2, 8, 8, 4)))\n"
    "print(len(found), *(finding.reason for finding in found[:1]))\n"
)
MATVEC = (
    "i = jnp.arange(32769, dtype='float32')\n"
    "x = jnp.stack([i, 0 * i, 0 * i], 1)\n"
    "norm = jax.jit(jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2)))\n"
    "print('right' if float(norm(x)[-1]) == 32768.0 ** 2 else 'wrong')\n"
)
RANK = (
    "x = jnp.ones((3, 1, 2, 2, 8, 8, 8))\n"
    "y = jax.jit(lambda a, b: jnp.sum(a * b, 3))(x, x)\n"
    "print('right' if bool((y == 2).all()) else 'wrong')\n"
)


class Finding(NamedTuple):
    """What a probe found."""

    name: str
    state: Literal["ok", "mended", "known", "problem"]
    """`mended`: this jaxlib has the fault, and jaxcnn keeps it off; `known`: it has it, and nothing here mends it."""
    told: str


def probe() -> Iterator[Finding]:
    """Run every probe, one after another.

    Yields:
        What each found.
    """
    yield _cache()
    yield _tier()
    yield _loop()
    yield _fault("jax#39103", "a vmapped product and sum", MATVEC)
    yield _fault("jax#39257", "a sum over an array of rank 7", RANK)


def _cache() -> Finding:
    """A program that one process compiled must not be compiled again by the next."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
        }
        _, second = (_run(_BEGIN + CACHE, settings) for _ in range(2))
    name = "compilation cache"
    if not second.isdigit():
        return Finding(name, "problem", second)
    if int(second):
        return Finding(name, "ok", f"a second process found {second} programs there (jax#38445 does not come up)")
    return Finding(name, "known", "a second process found nothing there: each compiles anew (jax#38445)")


def _tier() -> Finding:
    """A convolution must be compiled by the tier that is said to be in use."""
    told = _run(_BEGIN + TIER)
    tier, _, called = told.partition(" ")
    good = called in ("True", "False") and (called == "True") == (tier == "onednn")
    return Finding("lowering", "ok" if good else "problem", f"{tier} compiles convolutions" if good else told)


def _loop() -> Finding:
    """No slow convolution may be left in a loop."""
    told = _run(_BEGIN + LOOP)
    good = told == "0"
    return Finding("loop", "ok" if good else "problem", "no slow convolution is left in a loop" if good else told)


def _fault(name: str, what: str, program: str) -> Finding:
    """A fault of some jaxlibs, as it is without jaxcnn and with what jaxcnn switches off."""
    flags = " ".join(flag for flag in os.environ.get("XLA_FLAGS", "").split() if not flag.startswith(FLAG))
    plain = _run(_FUSED.format(guard="") + program, {"XLA_FLAGS": flags})
    if plain == "right":
        return Finding(name, "ok", f"{what} comes out right")
    guarded = _run(_FUSED.format(guard=_GUARD) + program, {"XLA_FLAGS": flags})
    if guarded == "right":
        return Finding(name, "mended", f"{what}: {plain} in this jaxlib; right where jaxcnn.lowering is enabled")
    return Finding(name, "problem", f"{what}: {guarded}")


def _run(program: str, settings: Mapping[str, str] | None = None) -> str:
    """Run a program; return the last line that it prints, or how it ended."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", program],
            env={**os.environ, **(settings or {})}, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"hangs: no end after {SECONDS} s"
    if done.returncode < 0:
        return f"crashes ({signal.Signals(-done.returncode).name})"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return lines[-1] if lines else f"ended with {done.returncode}"
