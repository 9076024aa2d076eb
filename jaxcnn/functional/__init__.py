"""Pure functions on channels-last arrays: convolution, pooling, dense layers, normalisation."""

from jaxcnn.functional.adaptive_pool import adaptive_avg_pool, adaptive_max_pool, global_avg_pool, global_max_pool
from jaxcnn.functional.antialiased import antialiased_activation
from jaxcnn.functional.batch_norm import batch_norm
from jaxcnn.functional.bias import add_bias
from jaxcnn.functional.blur import blur_pool
from jaxcnn.functional.conv import conv, conv_matrix, conv_transpose, dense_to_conv, depthwise_conv
from jaxcnn.functional.dense import dense, flatten
from jaxcnn.functional.drop_path import drop_path
from jaxcnn.functional.dropout import dropout
from jaxcnn.functional.filters import FILTERS, apply_filter
from jaxcnn.functional.gelu import gelu
from jaxcnn.functional.group import p4_conv, p4_lift_conv, p4m_conv, p4m_lift_conv
from jaxcnn.functional.group_maps import group_action, group_pool
from jaxcnn.functional.norm import group_norm, instance_norm, layer_norm
from jaxcnn.functional.ordered_sum import order_independent_sum
from jaxcnn.functional.polyphase import polyphase_pool, polyphase_unpool
from jaxcnn.functional.pool import avg_pool, lp_pool, max_pool, min_pool

__all__ = [
    "FILTERS",
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "add_bias",
    "antialiased_activation",
    "apply_filter",
    "avg_pool",
    "batch_norm",
    "blur_pool",
    "conv",
    "conv_matrix",
    "conv_transpose",
    "dense",
    "dense_to_conv",
    "depthwise_conv",
    "drop_path",
    "dropout",
    "flatten",
    "gelu",
    "global_avg_pool",
    "global_max_pool",
    "group_action",
    "group_norm",
    "group_pool",
    "instance_norm",
    "layer_norm",
    "lp_pool",
    "max_pool",
    "min_pool",
    "order_independent_sum",
    "p4_conv",
    "p4_lift_conv",
    "p4m_conv",
    "p4m_lift_conv",
    "polyphase_pool",
    "polyphase_unpool",
]
