"""The `jaxcnn` command: a file for each verb, and what they share."""

from jaxcnn.cli.dispatch import main

__all__ = ["main"]
