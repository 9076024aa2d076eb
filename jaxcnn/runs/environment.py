"""Where a run ran: what its result depends on beside its config."""

import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from jaxcnn import __version__

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def environment() -> dict[str, Any]:
    """Return the facts of this process and machine; neither the host nor its user is named.

    Returns:
        `python`, `platform`, `cpus`, `packages` (name to version), `device` (`platform`, `kind`, `count`), `flags`
        (JAX's, XLA's and jaxcnn's environment variables), `commit` (jaxcnn's, None where it is no git checkout;
        `+` marks uncommitted changes), `command`.

    Example:
        >>> sorted(environment()["packages"])
        ['flax', 'jax', 'jaxcnn', 'jaxlib', 'numpy', 'optax', 'orbax-checkpoint']
    """
    devices = jax.devices()
    flags = {name: value for name, value in os.environ.items() if name.startswith(("JAX_", "XLA_", "JAXCNN_"))}
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "packages": {"jaxcnn": __version__} | {name: metadata.version(name) for name in PACKAGES},
        "device": {"platform": devices[0].platform, "kind": devices[0].device_kind, "count": len(devices)},
        "flags": dict(sorted(flags.items())),
        "commit": _commit(Path(__file__).parents[2]),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def _commit(checkout: Path) -> str | None:
    """Return the commit of a git checkout, whose root this is; not that of a repository around it."""
    if not (checkout / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "-C", str(checkout), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
