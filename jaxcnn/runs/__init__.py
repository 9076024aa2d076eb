"""A training run on disk: a folder that says what was done, and holds all that is needed to go on."""

from jaxcnn.runs.checkpoint import Saving
from jaxcnn.runs.disk import RunWriteError
from jaxcnn.runs.environment import environment
from jaxcnn.runs.folder import is_run, new_folder
from jaxcnn.runs.lock import RunLockedError
from jaxcnn.runs.processes import any_process
from jaxcnn.runs.resume import Resumption
from jaxcnn.runs.run import Run
from jaxcnn.runs.score import SCORES, headline, score_name

__all__ = [
    "SCORES",
    "Resumption",
    "Run",
    "RunLockedError",
    "RunWriteError",
    "Saving",
    "any_process",
    "environment",
    "headline",
    "is_run",
    "new_folder",
    "score_name",
]
