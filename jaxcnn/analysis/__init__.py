"""What is known about a network before it runs."""

from jaxcnn.analysis.facts import AxisFacts, Contract, Facts
from jaxcnn.analysis.sizes import output_size
from jaxcnn.analysis.summary import Layer, Summary, summarize
from jaxcnn.analysis.tracing import Step, Trace, trace

__all__ = [
    "AxisFacts",
    "Contract",
    "Facts",
    "Layer",
    "Step",
    "Summary",
    "Trace",
    "output_size",
    "summarize",
    "trace",
]
