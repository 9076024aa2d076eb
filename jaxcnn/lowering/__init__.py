"""How convolution runs on a CPU. A library user calls `enable()`; the command does it for you."""

from jaxcnn.lowering.switch import Status, disable, enable, status

__all__ = ["Status", "disable", "enable", "status"]
