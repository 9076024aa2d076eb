"""What shifts, turns and mirrors of an input do to a function: actions, errors, assertions, and the audit."""

from jaxcnn.equivariance.actions import Action, Compose, Crop, Flip, Roll, Rot90, Shift
from jaxcnn.equivariance.assertions import assert_equivariant, assert_invariant
from jaxcnn.equivariance.audit import audit
from jaxcnn.equivariance.cause import Cause
from jaxcnn.equivariance.consistency import Consistency, consistency, consistency_table
from jaxcnn.equivariance.errors import equivariance_error, invariance_error
from jaxcnn.equivariance.findings import Audit, AuditedLayer
from jaxcnn.equivariance.fourier import FourierShift, Rotate
from jaxcnn.equivariance.intervals import binomial_interval
from jaxcnn.equivariance.lie import LayerDerivative, LieDerivative, lie_derivative
from jaxcnn.equivariance.pooling import unchanged_fraction
from jaxcnn.equivariance.tolerance import rounding

__all__ = [
    "Action",
    "Audit",
    "AuditedLayer",
    "Cause",
    "Compose",
    "Consistency",
    "Crop",
    "Flip",
    "FourierShift",
    "LayerDerivative",
    "LieDerivative",
    "Roll",
    "Rot90",
    "Rotate",
    "Shift",
    "assert_equivariant",
    "assert_invariant",
    "audit",
    "binomial_interval",
    "consistency",
    "consistency_table",
    "equivariance_error",
    "invariance_error",
    "lie_derivative",
    "rounding",
    "unchanged_fraction",
]
