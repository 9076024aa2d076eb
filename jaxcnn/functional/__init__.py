"""Pure functions on channels-last arrays: convolution, pooling, dense layers, normalisation."""

from jaxcnn.functional.conv import conv, conv_matrix, conv_transpose, dense_to_conv, depthwise_conv

__all__ = [
    "conv",
    "conv_matrix",
    "conv_transpose",
    "dense_to_conv",
    "depthwise_conv",
]
