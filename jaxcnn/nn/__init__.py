"""Flax NNX modules that own parameters and statistics, and call `jaxcnn.functional`."""

from jaxcnn.nn.activation import Activation, Identity
from jaxcnn.nn.conv import Conv, ConvTranspose, DepthwiseConv
from jaxcnn.nn.dense import Dense, Flatten
from jaxcnn.nn.dropout import Dropout, DropPath
from jaxcnn.nn.functionalize import functionalize, split
from jaxcnn.nn.group import CentredPool, GroupConv, GroupLiftConv, GroupPool
from jaxcnn.nn.initializers import (
    INITIALIZERS,
    Initializer,
    dirac,
    he_normal,
    lecun_normal,
    orthogonal,
    partial_dirac,
    scaled,
)
from jaxcnn.nn.module import Module
from jaxcnn.nn.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from jaxcnn.nn.pool import AdaptivePool, AvgPool, GlobalPool, LpPool, MaxPool, MinPool
from jaxcnn.nn.resample import AntialiasedActivation, BlurPool, PolyphasePool
from jaxcnn.nn.scale import Scale
from jaxcnn.nn.select import freeze, path_of, select
from jaxcnn.nn.sequential import Sequential

__all__ = [
    "INITIALIZERS",
    "Activation",
    "AdaptivePool",
    "AntialiasedActivation",
    "AvgPool",
    "BatchNorm",
    "BlurPool",
    "CentredPool",
    "Conv",
    "ConvTranspose",
    "Dense",
    "DepthwiseConv",
    "DropPath",
    "Dropout",
    "Flatten",
    "GlobalPool",
    "GroupConv",
    "GroupLiftConv",
    "GroupNorm",
    "GroupPool",
    "Identity",
    "Initializer",
    "InstanceNorm",
    "LayerNorm",
    "LpPool",
    "MaxPool",
    "MinPool",
    "Module",
    "PolyphasePool",
    "Scale",
    "Sequential",
    "dirac",
    "freeze",
    "functionalize",
    "he_normal",
    "lecun_normal",
    "orthogonal",
    "partial_dirac",
    "path_of",
    "scaled",
    "select",
    "split",
]
