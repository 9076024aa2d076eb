"""The course of the learning rate over a run, by name."""

import math
from collections.abc import Callable

import jax.numpy as jnp
import optax

from jaxcnn.config import OptimConfig, unknown
from jaxcnn.functional.traced import is_traced

_START, _END = 25.0, 1e4
"""One-cycle starts at lr / 25 and ends 10,000 times below that, as in optax and PyTorch."""


def make_schedule(config: OptimConfig, *, steps_per_epoch: int, epochs: int) -> optax.Schedule:
    """Build the learning rate as a function of the step, from 0.

    The rate rises linearly for W = `warmup` epochs, lr t / W; then, with t counted from there on and T the
    steps that are left, it is by the name of the schedule

        constant    lr
        linear      lr (1 - t / T)
        polynomial  lr (1 - t / T)^`power`
        cosine      lr (1 + cos(pi t / T)) / 2
        step        lr `step_factor`^floor(t / (`step_epochs` epochs))
        one-cycle   lr / 25 to lr in W by half a cosine, lr to lr / 250,000 in T by another;
                    W is 30 % of the run where `warmup` is 0

    A warm-up that is longer than the run is cut off by its end.

    Args:
        config: Name, rate and shape of the schedule.
        steps_per_epoch: Steps in an epoch.
        epochs: Epochs of the run.

    Returns:
        `schedule(step) -> rate`, as optax takes it.

    Raises:
        ValueError: An unknown name, a rate, warm-up or power that is negative or not finite, or sizes below 1.

    Example:
        >>> from jaxcnn.config import OptimConfig
        >>> schedule = make_schedule(OptimConfig(lr=0.1, warmup=1), steps_per_epoch=10, epochs=5)
        >>> [round(float(schedule(step)), 4) for step in (0, 5, 10, 30, 50)]
        [0.0, 0.05, 0.1, 0.05, 0.0]

    Reference:
        Loshchilov and Hutter, SGDR, 2017 (cosine). Smith and Topin, Super-Convergence, 2018 (one-cycle).
    """
    if config.schedule not in _AFTER_WARMUP:
        raise ValueError(unknown("schedule", config.schedule, _AFTER_WARMUP))
    sizes = {"steps_per_epoch": steps_per_epoch, "epochs": epochs, "step_epochs": config.step_epochs}
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"`{name}` (={value}) must be at least 1")
    for name in ("lr", "warmup", "power"):
        if not is_traced(getattr(config, name)) and not 0 <= getattr(config, name) < math.inf:
            raise ValueError(f"`{name}` (={getattr(config, name)}) must be finite, and not negative")
    steps = steps_per_epoch * epochs
    warmup = round(config.warmup * steps_per_epoch)
    if config.schedule == "one-cycle":
        warmup = warmup or round(0.3 * steps)
        rise = optax.cosine_decay_schedule(config.lr / _START, max(warmup, 1), alpha=_START)
    else:
        rise = optax.linear_schedule(0.0, config.lr, max(warmup, 1))
    after = _AFTER_WARMUP[config.schedule](config, max(steps - warmup, 1), steps_per_epoch)
    joined = optax.join_schedules([rise, after], [warmup])
    return lambda step: joined(jnp.asarray(step, float))  # of integers it would be float32, also among float64


_AFTER_WARMUP: dict[str, Callable[[OptimConfig, int, int], optax.Schedule]] = {
    "constant": lambda config, steps, epoch: optax.constant_schedule(config.lr),
    "linear": lambda config, steps, epoch: optax.polynomial_schedule(config.lr, 0.0, 1, steps),
    "polynomial": lambda config, steps, epoch: optax.polynomial_schedule(config.lr, 0.0, config.power, steps),
    "cosine": lambda config, steps, epoch: optax.cosine_decay_schedule(config.lr, steps),
    "one-cycle": lambda config, steps, epoch: optax.cosine_decay_schedule(config.lr, steps, alpha=1 / (_START * _END)),
    "step": lambda config, steps, epoch: optax.exponential_decay(
        config.lr, config.step_epochs * epoch, config.step_factor, staircase=True
    ),
}
