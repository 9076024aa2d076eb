"""The Python door: train a network, load it, evaluate it."""

from jaxcnn.api.fit import Finished, Started, fit, fit_events
from jaxcnn.api.load import Loaded, evaluate, load

__all__ = ["Finished", "Loaded", "Started", "evaluate", "fit", "fit_events", "load"]
