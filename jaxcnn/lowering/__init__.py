"""How convolution runs on a CPU. A library user calls `enable()`; the command does it for you."""

from jaxcnn.lowering.lint import Finding, lint
from jaxcnn.lowering.switch import Status, disable, enable, status

__all__ = ["Finding", "Status", "disable", "enable", "lint", "status"]
