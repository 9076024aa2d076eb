"""One process that trains one network in one way, and prints one JSON line. Standard library and NumPy only.

It either times steps, or (`--parameters FILE`) computes what tells whether two sides train the same network.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

CHUNKS = 5
"""Timed steps are taken in this many chunks; a sample is a chunk's time over its steps."""
CHECKED_STEPS = 4
"""Losses compared: the last of them comes after three updates."""


class Trainer(Protocol):
    """A network with its optimizer and data."""

    parameters: int

    def load(self, file: str) -> None:
        """Take the parameters in an .npz file; the first side writes them there."""
        ...

    def logits(self) -> np.ndarray:
        """Return the outputs on the first batch, as in training, in float32."""
        ...

    def facts(self) -> dict[str, Any]:
        """Return versions and settings, as they are after all steps."""
        ...

    def advance(self, steps: int) -> float:
        """Take steps, wait until they are done, and return a loss: of one step, that step's."""
        ...


def arguments() -> argparse.Namespace:
    """Read what the runner asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", required=True)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), required=True)
    parser.add_argument("--mode", required=True, help="how steps are taken; see the worker")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--warmup", type=int, default=1, help="steps before the timed ones, beside the first")
    parser.add_argument("--steps", type=int, default=CHUNKS)
    parser.add_argument("--parameters", help="compare, from the parameters in this file, instead of timing")
    return parser.parse_args()


def work(make: Callable[[argparse.Namespace], Trainer]) -> None:
    """Do what the command line says with the trainer that `make` makes."""
    asked = arguments()
    trainer = make(asked)
    result = check(trainer, asked.parameters) if asked.parameters else measure(trainer, asked.warmup, asked.steps)
    print(json.dumps(result | process_facts() | trainer.facts()), flush=True)


def check(trainer: Trainer, file: str) -> dict[str, Any]:
    """Return the number of parameters, the first logits and the losses of the first steps."""
    trainer.load(file)
    logits = trainer.logits().tolist()
    losses = [trainer.advance(1) for _ in range(CHECKED_STEPS)]
    return {"parameters": trainer.parameters, "logits": logits, "losses": losses}


def measure(trainer: Trainer, warmup: int, steps: int) -> dict[str, Any]:
    """Time steps in chunks of equal length."""
    start = time.perf_counter()
    trainer.advance(1)
    first = time.perf_counter() - start
    if warmup:
        trainer.advance(warmup)
    length, samples, loss = max(1, steps // CHUNKS), [], 0.0
    for _ in range(min(steps, CHUNKS)):
        start = time.perf_counter()
        loss = trainer.advance(length)
        samples.append((time.perf_counter() - start) / length * 1e3)
    return {
        "median_ms": round(float(np.median(samples)), 4),
        "samples_ms": [round(sample, 4) for sample in samples],
        "steps_a_sample": length,
        "first_step_s": round(first, 2),
        "last_loss": loss,
    }


def process_facts() -> dict[str, Any]:
    """Return the peak memory of this process, and the settings of its malloc and threads that its environment had."""
    settings = ("MALLOC_", "OMP_", "GOMP_", "KMP_")
    return {
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith(settings)},
    }
