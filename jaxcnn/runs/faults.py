"""What is left of a run when it cannot write: said in the same line as what went wrong."""

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxcnn.runs.checkpoint import Saving
from jaxcnn.runs.disk import RunWriteError
from jaxcnn.runs.steps import newest_intact


@contextlib.contextmanager
def telling_what_is_left(run: Path) -> Iterator[None]:
    """Add to an error of writing from which checkpoint the run can go on.

    Args:
        run: The run's folder.

    Returns:
        A context.

    Raises:
        RunWriteError: One was raised in it.
    """
    try:
        yield
    except RunWriteError as error:
        step, _ = newest_intact(run / "steps")
        left = "the run has no checkpoint yet" if step is None else f"the checkpoint of step {step} is intact"
        command = f"jaxcnn train --out {shlex.quote(str(run))}"
        raise RunWriteError(f"{error}; {left}: set that right, and go on with `{command}`") from error


class Told:
    """A checkpoint that is being written, whose error says what is left of the run.

    Args:
        saving: The checkpoint.
        run: The run's folder.
    """

    def __init__(self, saving: Saving, run: Path) -> None:
        self.saving, self.run = saving, run

    def result(self, timeout: float | None = None) -> Any:
        """Wait until it is on disk, and raise what went wrong."""
        with telling_what_is_left(self.run):
            return self.saving.result(timeout)
