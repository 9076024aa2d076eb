"""Architectures, one a file, and the registry that makes them by name."""

from jaxcnn.models.registry import available, create

__all__ = ["available", "create"]
