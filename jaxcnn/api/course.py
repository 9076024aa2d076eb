"""The programs of a run and how they are fed: all that a config settles before the first step."""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from jaxcnn import data as datasets
from jaxcnn import training
from jaxcnn.api.problem import Augment, Problem, make_evaluate
from jaxcnn.config import Config, OptimConfig
from jaxcnn.training.forward import Apply, forward
from jaxcnn.training.steps import TrainSteps

_ABOVE_ALL_COUNTERS = np.uint32(2**32 - 1)
"""Folded into the seed for training's key: the model's parameters are drawn from (seed, 0), (seed, 1), ..."""


class Course(NamedTuple):
    """What steps are taken with."""

    config: Config
    dataset: datasets.Dataset
    monitor: str
    """The validation metric whose value chooses the best epoch."""
    key: jax.Array
    """Draws the order of the data, the augmentation and the dropout."""
    begin: Callable[[], training.TrainState]
    """Makes the state before the first step."""
    schedule: Callable[[int], Any]
    """Learning rate by step."""
    train_steps: TrainSteps
    evaluate: Any
    network: Apply
    """Takes raw inputs."""
    augment: training.Augment | None
    feed: training.Feed
    steps: int
    """In an epoch."""
    chunk: int
    """Steps in a call of the compiled program."""
    mesh: Mesh | None
    """The devices."""

    @property
    def mode(self) -> Literal["max", "min"]:
        """Whether the largest or the smallest value is the best."""
        return "min" if self.monitor == "loss" else "max"

    def events(
        self, state: training.TrainState, progress: training.Progress, stop: Callable[[], bool]
    ) -> Iterator[Any]:
        """Train, from a state and how far it had come: see `training.epochs`."""
        config = self.config
        return training.epochs(
            state, self.train_steps, self.evaluate, self.dataset.train,
            training.place(self.mesh, tuple(self.dataset.validation), "data"),
            epochs=config.epochs, batch=config.batch, chunk=self.chunk, last_batch=config.last_batch,
            monitor=self.monitor, mode=self.mode, patience=config.patience, save_every=config.save_every,
            stop=stop, feed=self.feed, order=self.order, progress=progress,
        )  # fmt: skip

    def order(self, key: jax.Array, epoch: int) -> jax.Array:
        """Draw the order of the examples in an epoch, from 0."""
        config, (inputs, targets) = self.config, self.dataset.train
        if config.data.sampling == "shuffled":
            return training.epoch_order(key, len(inputs), config.batch, epoch=epoch, last_batch=config.last_batch)
        classes = len(self.dataset.classes)
        return training.balanced_order(key, targets, classes, config.batch, epoch=epoch, last_batch=config.last_batch)


def lay_out(config: Config, dataset: datasets.Dataset, problem: Problem, augment: Augment | None) -> Course:
    """Build a run's programs; nothing is compiled yet.

    Args:
        config: What the run is told.
        dataset: Its data.
        problem: Its network and its loss.
        augment: An augmentation of the user's own.

    Returns:
        The course.
    """
    mesh = training.make_mesh(config.mesh)
    for size in ("batch", "eval_batch"):
        training.check_batch(size, getattr(config, size), mesh)
    steps = training.steps_per_epoch(len(dataset.train.inputs), config.batch, config.last_batch)
    change = _augment(config, dataset, augment)
    optimizer, train_steps = make_steps(config, dataset, problem, change, mesh)
    jax.eval_shape(optimizer.init, problem.params)  # tells of groups that name no layer
    key = jax.random.fold_in(jax.random.key(config.seed), _ABOVE_ALL_COUNTERS)

    def begin() -> training.TrainState:
        average = config.ema is not None
        state = training.create_state(problem.params, problem.statistics, optimizer, key, ema=average)
        return training.place(mesh, state, "state")

    feed, chunk = _feed(config, dataset, mesh)
    course = Course(
        config,
        dataset,
        problem.monitor,
        key,
        begin,
        _schedule(config.optim, steps, config.epochs),
        train_steps,
        make_evaluate(config, dataset, problem, problem.metrics, mesh),
        forward(problem.apply, prepare=dataset.preprocessing, dtype=config.dtype),
        change,
        feed,
        steps,
        chunk,
        mesh,
    )
    jax.eval_shape(partial(course.order, epoch=0), key)  # tells what cannot be balanced before a run is begun
    return course


@lru_cache(maxsize=256)
def _schedule(optim: OptimConfig, steps: int, epochs: int) -> Callable[[Any], Any]:
    """Return a learning rate by step; the members of one program that share it share what is compiled."""
    return jax.jit(training.make_schedule(optim, steps_per_epoch=steps, epochs=epochs))


def make_steps(
    config: Config, dataset: datasets.Dataset, problem: Problem, augment: training.Augment | None, mesh: Mesh | None
) -> tuple[optax.GradientTransformation, TrainSteps]:
    """Build the optimizer and the steps that a config asks for, some of whose numbers may be traced."""
    steps = training.steps_per_epoch(len(dataset.train.inputs), config.batch, config.last_batch)
    optimizer = training.make_optimizer(
        config.optim, steps_per_epoch=steps, epochs=config.epochs, frozen=problem.frozen
    )
    return optimizer, training.make_train_steps(
        problem.apply, optimizer, problem.loss, metrics=problem.metrics, prepare=dataset.preprocessing,
        augment=augment, steps_per_epoch=steps, batch=config.batch, dtype=config.dtype, ema=config.ema, mesh=mesh,
        accumulate=config.optim.accumulate,
    )  # fmt: skip


def make_augment(config: Config, dataset: datasets.Dataset) -> training.Augment | None:
    """Build the augmentation that a config asks for, whose strength may be traced."""
    white = 1 / dataset.preprocessing.scale
    return training.make_augment(config.augment, classes=len(dataset.classes) or None, white=white)


def _feed(config: Config, dataset: datasets.Dataset, mesh: Mesh | None) -> tuple[training.Feed, int]:
    """Return how steps get their examples, and how many of them at once."""
    data, cap, alone = dataset.train, config.data.memory, jax.process_count() == 1
    fit = None if cap is None else training.steps_that_fit(data, batch=config.batch, megabytes=cap)
    if fit is None and alone:
        return training.resident(data, mesh=mesh), config.chunk
    steps = min(fit or config.chunk, config.chunk)
    return training.streamed(data, batch=config.batch, steps=steps, mesh=mesh), steps


def _augment(config: Config, dataset: datasets.Dataset, own: Augment | None) -> training.Augment | None:
    """Return the augmentation, tried on the shapes of a batch: what does not fit is told before anything is written."""
    inputs, targets = (jax.ShapeDtypeStruct((config.batch, *a.shape[1:]), a.dtype) for a in dataset.train)
    if own is not None:
        change = training.on_inputs(own)
    else:
        change = make_augment(config, dataset)
        if targets.ndim > 2 and (moving := training.moves(config.augment)):
            raise ValueError(f"`augment.{moving[0]}` moves images, and not the labels of their pixels: it must be off")
    if change is not None:
        shapes: Any = (
            inputs,
            targets,
            jax.ShapeDtypeStruct((config.batch,), "int32"),
            jax.ShapeDtypeStruct((), "int32"),
        )
        jax.eval_shape(change, jax.random.key(0), training.Batch(*shapes))
    return change
