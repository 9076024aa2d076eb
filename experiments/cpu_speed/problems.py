"""What is trained: networks by name, their data and the optimizer's settings, the same for every side.

NumPy only: the peers' interpreters import this file.
"""

from dataclasses import dataclass

import numpy as np

CLASSES = 10
BATCHES = 4
"""Different batches; step i takes batch i % BATCHES."""
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-3, 0.9, 5e-4
"""SGD with momentum; the decay is added to the gradient of every parameter."""


@dataclass(frozen=True)
class Problem:
    """A network's input, and how many steps of it a process takes."""

    input_shape: tuple[int, int, int]
    steps: int


PROBLEMS = {
    "resnet9": Problem((32, 32, 3), steps=15),
    "lenet5": Problem((28, 28, 1), steps=250),
    "three_layer": Problem((32, 32, 3), steps=100),
}


def make_batches(network: str, batch: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return synthetic images (BATCHES, batch, height, width, channels), float32, and labels (BATCHES, batch)."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((BATCHES, batch, *PROBLEMS[network].input_shape), dtype=np.float32)
    return images, rng.integers(0, CLASSES, (BATCHES, batch), dtype=np.int32)
