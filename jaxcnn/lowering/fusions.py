"""Fusions of XLA:CPU that compute wrong: switched off where they are known to."""

import os
from importlib import metadata

FLAG = "--xla_cpu_experimental_ynn_fusion_type"
WRONG = ((0, 10), (0, 13))
"""From the first jaxlib to before the second. In 0.10.2 and 0.12.0.1 a max over windows can lose NaN; in 0.12.0.1 two
bfloat16 convolutions between max pools come out as uninitialised memory. XLA aborts on a flag that it does not know, so
none is set for a version that nobody has tried."""


def switch_off_wrong_fusions() -> bool:
    """Add to `XLA_FLAGS` what switches off YNNPACK's fusions, where jaxlib is known to get them wrong.

    XLA reads the variable once, when the first backend starts: call this before any computation. A user's own
    setting of the flag stands.

    Returns:
        Whether the flag was added.

    Example:
        >>> switch_off_wrong_fusions() and switch_off_wrong_fusions()  # the second call finds it there
        False
    """
    version = tuple(int(part) for part in metadata.version("jaxlib").split(".")[:2])
    flags = os.environ.get("XLA_FLAGS", "")
    if not WRONG[0] <= version < WRONG[1] or FLAG in flags:
        return False
    os.environ["XLA_FLAGS"] = f"{flags} {FLAG}=".strip()
    return True
