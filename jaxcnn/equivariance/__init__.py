"""What shifts, turns and mirrors of an input do to a function: actions, errors, assertions, and the audit."""

from jaxcnn.equivariance.actions import Action, Compose, Crop, Flip, Roll, Rot90, Shift
from jaxcnn.equivariance.fourier import FourierShift, Rotate

__all__ = [
    "Action",
    "Compose",
    "Crop",
    "Flip",
    "FourierShift",
    "Roll",
    "Rot90",
    "Rotate",
    "Shift",
]
