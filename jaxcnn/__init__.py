"""jaxcnn: functional convolutional networks in JAX.

The names below load on first use (PEP 562), so that `import jaxcnn` and `jaxcnn --help` are instant.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_SUBMODULES = (
    "analysis", "api", "benchmark", "config", "data", "equivariance", "explain", "functional", "lowering", "models",
    "nn", "runs", "training",
)  # fmt: skip
_FROM = {"evaluate": "jaxcnn.api", "fit": "jaxcnn.api", "fit_members": "jaxcnn.api", "load": "jaxcnn.api"}

__all__ = ["__version__", *_SUBMODULES, *_FROM]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"jaxcnn.{name}")
    if name in _FROM:
        return getattr(importlib.import_module(_FROM[name]), name)
    raise AttributeError(f"module 'jaxcnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
