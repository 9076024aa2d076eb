"""What happens in the course of a run."""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from jaxcnn.training.state import TrainState

Values = dict[str, Any]
"""Metrics by name: floats, and NumPy arrays for those that are not scalars."""


class Progress(NamedTuple):
    """How far a run has come; with the state, all that is needed to resume it.

    Example:
        >>> Progress(epoch=3, best_value=0.91, best_epoch=2).step
        0
    """

    epoch: int = 0
    """Epochs finished."""
    best_value: float | None = None
    """Best value of the monitored metric so far; None before the first epoch's end."""
    best_epoch: int = 0
    """The epoch, from 1, that reached it."""
    value: float | None = None
    """The monitored metric at the end of the epoch just finished; None within an epoch."""
    step: int = 0
    """Steps of the running epoch that are done."""
    sums: Values | None = None
    """Within an epoch: what its steps' metrics add up to, in parts of their mean over the whole epoch."""

    def after_epoch(self, value: float, mode: Literal["max", "min"]) -> "Progress":
        """Return how far a run has come when the running epoch has ended with a value of the monitored metric."""
        sign, epoch = (1 if mode == "max" else -1), self.epoch + 1
        before = self.best_value
        if before is None or math.isnan(before) or sign * value > sign * before:
            return Progress(epoch, value, epoch, value)
        return Progress(epoch, before, self.best_epoch, value)

    def has_given_up(self, patience: int | None) -> bool:
        """Tell whether so many epochs have ended without a better one."""
        return patience is not None and self.epoch - self.best_epoch >= patience


@dataclass(frozen=True)
class Compiled:
    """The programs are compiled: the first event.

    Example:
        >>> f"compiling took {Compiled(seconds=1.25).seconds:.1f} s"
        'compiling took 1.2 s'
    """

    seconds: float
    """Wall time that it took."""


@dataclass(frozen=True)
class Chunk:
    """Some steps are done.

    Example:
        >>> chunk = Chunk(epoch=1, step=50, steps=93, metrics={"loss": 0.5}, images_per_s=1e4)
        >>> chunk.loss, chunk.accuracy
        (0.5, None)
    """

    epoch: int
    """The running epoch, from 1."""
    step: int
    """Steps of the epoch that are done."""
    steps: int
    """Steps in the epoch."""
    metrics: Values
    """Means over the chunk: `loss`, and the metrics of `train_steps`."""
    images_per_s: float
    """Training speed over the chunk."""
    images: int = 0
    """Images of the chunk."""
    state: TrainState | None = None
    """Where a checkpoint is due: the state after the chunk, valid until the next event is asked for."""
    progress: Progress | None = None
    """To resume from `state`."""

    @property
    def loss(self) -> float:
        """Mean loss over the chunk."""
        return self.metrics["loss"]

    @property
    def accuracy(self) -> float | None:
        """Mean accuracy over the chunk, None where it is not measured."""
        return self.metrics.get("accuracy")


@dataclass(frozen=True)
class Epoch:
    """An epoch is done and the network is evaluated on the validation set.

    Example:
        >>> def keep_best(events):
        ...     kept = None
        ...     for event in events:
        ...         if isinstance(event, Epoch) and event.best:
        ...             kept = jax.device_get(event.state.params)
        ...     return kept
    """

    epoch: int
    """The epoch, from 1."""
    state: TrainState
    """Valid until the next event is asked for: the next step is given its memory."""
    train: Values
    """Means over the epoch's steps: `loss`, and the metrics of `train_steps`."""
    validation: Values
    """What `evaluate` returned."""
    best: bool
    """Whether this epoch is the best so far, by the monitored metric."""
    stop: bool
    """Whether early stopping ends the run here."""
    seconds: float
    """Wall time of the epoch: its steps and the evaluation."""
    progress: Progress
    """To resume from here."""


@dataclass(frozen=True)
class Stopped:
    """The run was asked to stop, before its end: the last event.

    Example:
        >>> Stopped(Progress(epoch=1, step=20)).progress.step
        20
    """

    progress: Progress
    """That of the last event with a state; where there was none, that which the run was resumed from."""
