from collections.abc import Callable

import jax
import numpy as np
import pytest
from flax import nnx

from jaxcnn import data, nn
from jaxcnn.config import Config, OptimConfig


@pytest.fixture(scope="session")
def config() -> Config:
    """A run of four epochs of eight batches."""
    return Config(epochs=4, batch=16, chunk=3, eval_batch=7, optim=OptimConfig("adamw", lr=0.01))


@pytest.fixture(scope="session")
def make_net() -> Callable[..., nn.Module]:
    """A network with all that a state can hold: parameters, statistics, and dropout that draws from the key."""

    def make(seed: int = 0, classes: int = 3) -> nn.Module:
        rngs = nnx.Rngs(seed)
        return nn.Sequential(
            nn.Conv(1, 4, (3, 3), rngs=rngs),
            norm=nn.BatchNorm(4),
            relu=nn.Activation(jax.nn.relu),
            pool=nn.GlobalPool("avg"),
            dropout=nn.Dropout(0.2),
            head=nn.Dense(4, classes, rngs=rngs),
        )

    return make


@pytest.fixture(scope="session")
def dataset() -> data.Dataset:
    """Stripes of three widths, under noise."""
    generator = np.random.default_rng(0)
    targets = np.arange(180) % 3
    stripes = (np.arange(8) // (1 + targets[:, None]) % 2)[:, None, :, None] * 150
    inputs = (stripes + generator.integers(0, 80, (180, 8, 8, 1))).astype(np.uint8)
    return data.from_arrays((inputs, targets), test=0.2, name="stripes")
