"""The Python door: train a network, load it, evaluate it."""

from jaxcnn.api.fit import Finished, Halted, Searching, Started, fit, fit_events
from jaxcnn.api.load import Loaded, evaluate, load

__all__ = ["Finished", "Halted", "Loaded", "Searching", "Started", "evaluate", "fit", "fit_events", "load"]
