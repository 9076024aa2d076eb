"""What is known about a network before it runs."""

from jaxcnn.analysis.costs import flops, macs
from jaxcnn.analysis.effective import EffectiveField, effective_receptive_field
from jaxcnn.analysis.facts import AxisFacts, Contract, Facts
from jaxcnn.analysis.network import network
from jaxcnn.analysis.rules import rule
from jaxcnn.analysis.sizes import output_size
from jaxcnn.analysis.summary import Layer, Summary, summarize
from jaxcnn.analysis.tracing import Step, Trace, trace

__all__ = [
    "AxisFacts",
    "Contract",
    "EffectiveField",
    "Facts",
    "Layer",
    "Step",
    "Summary",
    "Trace",
    "effective_receptive_field",
    "flops",
    "macs",
    "network",
    "output_size",
    "rule",
    "summarize",
    "trace",
]
