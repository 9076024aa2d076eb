"""The Python door: train networks, load them, evaluate them."""

from jaxcnn.api.classify import Classifier, classifier
from jaxcnn.api.fit import Finished, Halted, Searching, Started, fit, fit_events
from jaxcnn.api.fit_members import MemberEnded, MembersEpoch, Planned, fit_members, fit_members_events
from jaxcnn.api.load import Loaded, evaluate, evaluated, load
from jaxcnn.api.weights import evaluate_weights, save_weights

__all__ = [
    "Classifier",
    "Finished",
    "Halted",
    "Loaded",
    "MemberEnded",
    "MembersEpoch",
    "Planned",
    "Searching",
    "Started",
    "classifier",
    "evaluate",
    "evaluate_weights",
    "evaluated",
    "fit",
    "fit_events",
    "fit_members",
    "fit_members_events",
    "load",
    "save_weights",
]
