"""A training run on disk: a folder that says what was done, and holds all that is needed to go on."""

from jaxcnn.runs.checkpoint import Saving
from jaxcnn.runs.environment import environment
from jaxcnn.runs.folder import is_run, new_folder
from jaxcnn.runs.run import Run

__all__ = ["Run", "Saving", "environment", "is_run", "new_folder"]
