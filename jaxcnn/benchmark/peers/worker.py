"""A peer's process: it builds the network that it is told of, and then trains or evaluates it when asked.

One JSON object a line comes in and one goes out. The standard library and NumPy alone: peers run in environments of
their own, where jaxcnn is not installed.

The first line says `network` (layers, as `jaxcnn.benchmark.describe` writes them down), `way`, `dtype`, `learning_rate`
and `momentum`, and names the file `arrays`, which holds parameters (`parameter:NAME`), `images` (steps, batch, height,
width, channels), float32, and `labels` (steps, batch). Then `{"do": ...}` asks for

    logits      outputs for the first batch, with the statistics that the network has
    train       so many `steps`, batch after batch, from the first on; the last step's loss
    infer       the first batch once
    facts       versions, threads, and the most memory that the process took
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Task:
    """What is built and trained."""

    network: list[dict[str, Any]]
    way: str
    dtype: str
    learning_rate: float
    momentum: float
    parameters: Mapping[str, np.ndarray]
    images: np.ndarray
    labels: np.ndarray


class Trainer(Protocol):
    """A network with its optimizer and data, ready."""

    def logits(self) -> np.ndarray:
        """Return the outputs for the first batch, in evaluation, float32."""
        ...

    def infer(self) -> None:
        """Evaluate the first batch, and wait for it."""
        ...

    def train(self, steps: int) -> float:
        """Take steps, on the first batch and those after it, and wait; return the last loss."""
        ...

    def facts(self) -> dict[str, Any]:
        """Return versions and settings."""
        ...


def serve(make: Callable[[Task], Trainer]) -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    trainer = make(_task(json.loads(sys.stdin.readline())))
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(_answer(trainer, **asked)), file=answers, flush=True)


def _task(told: dict[str, Any]) -> Task:
    with np.load(told.pop("arrays")) as file:
        arrays = dict(file)
    prefix = "parameter:"
    named = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return Task(**told, parameters=named, images=arrays["images"], labels=arrays["labels"])


def _answer(trainer: Trainer, do: str, steps: int = 1) -> dict[str, Any]:
    if do == "logits":
        return {"logits": trainer.logits().tolist()}
    if do == "train":
        return {"loss": trainer.train(steps)}
    if do == "infer":
        trainer.infer()
        return {}
    return {**trainer.facts(), "python": sys.version.split()[0], "peak_rss_bytes": _most_memory()}


def _most_memory() -> int | None:
    """Return the peak of this process; what getrusage tells is the starting process's too."""
    try:
        told = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in told.splitlines() if line.startswith("VmHWM")), None)
