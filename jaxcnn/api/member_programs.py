"""The programs of members: one network's steps and measurements, as functions of the numbers that members differ in."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn import data as datasets
from jaxcnn import training
from jaxcnn.api.course import Course, lay_out, make_augment, make_steps
from jaxcnn.api.members import varied, with_values
from jaxcnn.api.plans import Chosen, choose
from jaxcnn.api.problem import Problem, make_evaluate, pose
from jaxcnn.config import Config

TRIAL_STEPS = 4
"""Steps that plans are compared by."""


class MemberPrograms:
    """A group of configs as pure functions of what they differ in, and the courses that they would take alone.

    Args:
        configs: Of one group, see `members.grouped`.
        dataset: Their data.
    """

    def __init__(self, configs: Sequence[Config], dataset: datasets.Dataset):
        self.configs, self.dataset, self.values = configs, dataset, varied(configs)
        self.problems = [pose(config, dataset, config.model.name, None, None) for config in configs]
        self.courses = [
            lay_out(config, dataset, problem, None) for config, problem in zip(configs, self.problems, strict=True)
        ]
        rates = self.values.get("model.dropout")
        most = {} if rates is None else {"model.dropout": float(rates.max())}  # a layer of rate 0 might not be there
        self.template = with_values(configs[0], most)
        self.test = jax.jit(partial(self.evaluate, details=True))
        self.problem = pose(self.template, dataset, self.template.model.name, None, None) if most else self.problems[0]

    @property
    def course(self) -> Course:
        """What all members share."""
        return self.courses[0]

    def member(self, values: Mapping[str, Any]) -> tuple[Config, Problem]:
        """Return a member's config and its problem, whose numbers may be traced."""
        config = with_values(self.template, values)
        loss = training.make_loss(config.loss, self.dataset.train.targets, len(self.dataset.classes))
        rate = values.get("model.dropout")
        apply = self.problem.apply if rate is None else partial(self.problem.apply, dropout=rate)
        return config, self.problem._replace(apply=apply, loss=loss)

    def steps(
        self, values: Mapping[str, Any], state: training.TrainState, examples: Any, order: Any, start: Any, count: Any
    ) -> Any:
        """Take a member's steps."""
        config, problem = self.member(values)
        _, made = make_steps(config, self.dataset, problem, make_augment(config, self.dataset), None)
        return made.program(state, examples, order, start, count)

    def evaluate(
        self, values: Mapping[str, Any], params: Any, statistics: Any, data: Any, *, details: bool = False
    ) -> Any:
        """Measure a member."""
        config, problem = self.member(values)
        metrics = problem.metrics | (problem.details if details else {})
        return make_evaluate(config, self.dataset, problem, metrics, None)(params, statistics, data)

    def orders(self, epochs: Sequence[int]) -> Any:
        """Draw every member's order of the examples, each in its own epoch, from 0."""
        pairs = zip(self.courses, epochs, strict=True)
        return jnp.stack([course.order(course.key, epoch) for course, epoch in pairs])

    def members(self, plan: training.Plan) -> training.Members:
        """Return the programs of a plan."""
        return training.Members(self.steps, self.evaluate, self.values, count=len(self.configs), plan=plan)

    def choose(self, plan: training.Plan | None, train: Any, told: Callable[[training.Plan], Any]) -> Chosen:
        """Return the plan to run by."""
        if plan is not None:
            return Chosen(plan, {}, remembered=False)
        steps, orders = min(TRIAL_STEPS, self.course.steps), self.orders([0] * len(self.configs))

        def trial(plan: training.Plan) -> tuple[int | None, Callable[[], Any]]:
            members = self.members(plan)
            held = [members.hold([course.begin() for course in self.courses])]
            needed = members.bytes_needed(held[0], train, orders)

            def call() -> Any:
                held[0], metrics = members.train(held[0], train, orders, start=0, count=steps)
                return metrics

            return needed, call

        config = dataclasses.asdict(with_values(self.template, {"seed": 0, "epochs": 1}))
        shapes = [[list(array.shape), str(array.dtype)] for array in train]
        about = [config, shapes, sorted(self.values), len(self.configs)]
        return choose(training.plans(len(self.configs), cores=_cores()), trial, about=about, told=told)


def _cores() -> int:
    """Return how many programs can run side by side."""
    return (os.cpu_count() or 1) if jax.local_devices()[0].platform == "cpu" else 1
