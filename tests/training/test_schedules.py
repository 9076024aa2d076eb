import dataclasses
import math

import numpy as np
import pytest

from jaxcnn import training
from jaxcnn.config import OptimConfig

STEPS_PER_EPOCH, EPOCHS = 10, 12
STEPS = STEPS_PER_EPOCH * EPOCHS


def expected(name, t, warmup):
    """The learning rate at step t, for a peak of 1, drops by 0.1 every 3 epochs, and W warm-up steps."""
    if name == "one-cycle":
        warmup = warmup or 36
        if t < warmup:
            return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * t / warmup)) / 2
        low, share = 1 / 250_000, (t - warmup) / (STEPS - warmup)
        return low + (1 - low) * (1 + math.cos(math.pi * share)) / 2
    if t < warmup:
        return t / warmup
    t -= warmup
    return {
        "constant": 1.0,
        "linear": 1 - t / (STEPS - warmup),
        "polynomial": (1 - t / (STEPS - warmup)) ** 1.5,
        "cosine": (1 + math.cos(math.pi * t / (STEPS - warmup))) / 2,
        "step": 0.1 ** (t // (3 * STEPS_PER_EPOCH)),
    }[name]


@pytest.mark.parametrize("warmup", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("name", ["constant", "linear", "polynomial", "cosine", "one-cycle", "step"])
def test_schedules_are_their_formulas(name, warmup):
    config = OptimConfig(lr=1.0, schedule=name, warmup=warmup, step_epochs=3, power=1.5)
    schedule = training.make_schedule(config, steps_per_epoch=STEPS_PER_EPOCH, epochs=EPOCHS)
    steps = [0, 1, 5, 10, 24, 25, 29, 30, 35, 36, 37, 59, 61, 90, STEPS - 1, STEPS]
    rates = [float(schedule(np.int32(t))) for t in steps]
    values = [expected(name, t, round(warmup * STEPS_PER_EPOCH)) for t in steps]
    np.testing.assert_allclose(rates, values, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["constant", "linear", "polynomial", "cosine", "step"])
def test_a_run_may_end_in_its_warmup(name):
    config = OptimConfig(lr=1.0, schedule=name, warmup=4)
    schedule = training.make_schedule(config, steps_per_epoch=5, epochs=2)
    np.testing.assert_allclose([float(schedule(t)) for t in range(10)], np.arange(10) / 20, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "cosin"}, "unknown schedule 'cosin': did you mean 'cosine'"),
        ({"lr": -1.0}, r"`lr` \(=-1.0\)"),
        ({"lr": float("nan")}, r"`lr` \(=nan\) must be finite"),
        ({"lr": float("inf")}, r"`lr` \(=inf\) must be finite"),
        ({"power": -1.0}, r"`power` \(=-1.0\)"),
        ({"warmup": -1.0}, r"`warmup` \(=-1.0\)"),
        ({"step_epochs": 0}, r"`step_epochs` \(=0\)"),
    ],
)
def test_bad_settings_are_named(change, message):
    config = dataclasses.replace(OptimConfig(), **change)
    with pytest.raises(ValueError, match=message):
        training.make_schedule(config, steps_per_epoch=10, epochs=2)


@pytest.mark.parametrize("name", ["steps_per_epoch", "epochs"])
def test_an_empty_run_is_an_error(name):
    sizes = {"steps_per_epoch": 10, "epochs": 2, name: 0}
    with pytest.raises(ValueError, match=rf"`{name}` \(=0\)"):
        training.make_schedule(OptimConfig(), **sizes)
