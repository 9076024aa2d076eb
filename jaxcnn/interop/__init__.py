"""Doors to other tools: programs that run without jaxcnn, and files of weights."""

from jaxcnn.interop.stablehlo import PLATFORMS, to_stablehlo
from jaxcnn.interop.weights import Weights, read_weights, write_weights

__all__ = ["PLATFORMS", "Weights", "read_weights", "to_stablehlo", "write_weights"]
