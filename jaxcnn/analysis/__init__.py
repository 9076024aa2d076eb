"""What is known about a network before it runs."""

from jaxcnn.analysis.sizes import output_size
from jaxcnn.analysis.summary import Layer, Summary, summarize

__all__ = ["Layer", "Summary", "output_size", "summarize"]
