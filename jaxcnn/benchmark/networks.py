"""Whole networks as works: inference, training, and an epoch's steps in one program, one by one, or by `nnx.jit`."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh

from jaxcnn import nn, training
from jaxcnn.benchmark.works import Work, draw, struct

STEPS = 8
"""In a call of a program that trains."""
LEARNING_RATE, MOMENTUM = 0.01, 0.9


def inference(module: nn.Module, facts: Mapping[str, Any], shape: tuple[int, ...], *, batch: int, dtype: str) -> Work:
    """Return the evaluation of a batch.

    Args:
        module: The network.
        facts: What tells it from others.
        shape: Of an image.
        batch: Images.
        dtype: That it computes in.

    Returns:
        The work.

    Example:
        >>> from jaxcnn.models import create
        >>> model = create("linear", input_shape=(8, 8, 1))
        >>> inference(model, {"model": "linear"}, (8, 8, 1), batch=4, dtype="float32").per_call
        {'images_per_s': 4}
    """
    fn, params = nn.functionalize(module)
    (x,) = draw(0, struct(batch, *shape, dtype=dtype))
    about = {"name": "infer", **facts, "batch": batch, "shape": list(shape), "dtype": dtype}
    return Work(about, fn, (params, x), {"images_per_s": batch})


class Training:
    """A network in training on random images, and the ways to take its steps.

    Args:
        module: The network.
        facts: What tells it from others.
        shape: Of an image.
        classes: Of its outputs.
        batch: Images in a step.
        dtype: That activations are computed in.
        steps: In a call; a batch of images of its own each.
        mesh: Devices that share each batch; None is one.

    Example:
        >>> from jaxcnn.models import create
        >>> model = create("linear", input_shape=(8, 8, 1))
        >>> setting = Training(model, {"model": "linear"}, (8, 8, 1), classes=10, batch=4, dtype="float32", steps=2)
        >>> setting.scan().per_call
        {'images_per_s': 8}
    """

    def __init__(
        self,
        module: nn.Module,
        facts: Mapping[str, Any],
        shape: tuple[int, ...],
        *,
        classes: int,
        batch: int,
        dtype: str,
        steps: int = STEPS,
        mesh: Mesh | None = None,
    ):
        self.facts = {**facts, "batch": batch, "shape": list(shape), "dtype": dtype, "steps": steps}
        self.steps, self.batch = steps, batch
        self.module = module
        self.apply, self.params, self.statistics = nn.split(module)
        self.optimizer = optax.sgd(LEARNING_RATE, momentum=MOMENTUM)
        images = np.random.default_rng(0).integers(0, 256, (steps * batch, *shape), np.uint8)
        training.check_batch("batch", batch, mesh)
        self.data = training.place(mesh, (images, np.arange(steps * batch, dtype=np.int32) % classes), "data")
        self.order = jnp.arange(steps * batch, dtype=jnp.int32)
        self.dtype, self.mesh = dtype, mesh
        self.train_steps = training.make_train_steps(
            self.apply, self.optimizer, training.cross_entropy, prepare=scaled, batch=batch, dtype=dtype,
            mesh=mesh,
        )  # fmt: skip

    def scan(self, name: str = "train") -> Work:
        """Return all steps as one program, as `jaxcnn train` takes them."""

        def steps(state: Any, data: Any, order: jax.Array) -> Any:
            return self.train_steps(state, data, order, start=0, count=self.steps)

        return self._work(name, "scan", steps, (self._state(), self.data, self.order))

    def last_loss(self, steps: int) -> float:
        """Return the loss of the last of so many steps from the first parameters."""
        state, loss = self._state(), 0.0
        for step in range(steps):
            state, metrics = self.train_steps(state, self.data, self.order, start=step, count=1)
            loss = float(metrics["loss"])
        return loss

    def loop(self) -> Work:
        """Return the same steps one by one, the program called from Python for each."""
        held: list[Any] = [self._state(), None]

        def call() -> Any:
            for step in range(self.steps):
                held[:] = self.train_steps(held[0], self.data, self.order, start=step, count=1)
            return held[1]

        return dataclasses.replace(self._work("epoch", "loop", None, ()), ready=call)

    def nnx_jit(self) -> Work:
        """Return the same steps as Flax's examples take them: `nnx.jit` of a step that changes its module."""
        module = nnx.clone(self.module)
        optimizer = nnx.Optimizer(module, self.optimizer, wrt=nnx.Param)

        @nnx.jit
        def step(module: Any, optimizer: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
            def objective(module: Any) -> jax.Array:
                outputs = module(scaled(images).astype(self.dtype), training=True, key=jax.random.key(0))
                return training.cross_entropy(outputs.astype(jnp.float32), labels)

            loss, gradient = nnx.value_and_grad(objective)(module)
            optimizer.update(module, gradient)
            return loss

        batches = [
            tuple(array[i : i + self.batch] for array in self.data) for i in range(0, len(self.order), self.batch)
        ]

        def call() -> Any:
            return [step(module, optimizer, *batch) for batch in batches]

        return dataclasses.replace(self._work("epoch", "nnx.jit", None, ()), ready=call)

    def ensemble(self, members: int) -> dict[str, Work]:
        """Return the same steps of several networks, with parameters of their own: by vmap, `lax.map`, one by one.

        On a CPU also by as many threads as it has cores, each of which calls the program of one network.
        """
        states = jax.tree.map(lambda leaf: jnp.stack([leaf] * members), self._state())

        def one(state: Any, data: Any, order: jax.Array) -> Any:
            return self.train_steps(state, data, order, start=0, count=self.steps)

        programs: dict[str, Callable[..., Any]] = {
            "vmap": lambda states, data, order: jax.vmap(lambda state: one(state, data, order))(states),
            "map": lambda states, data, order: jax.lax.map(lambda state: one(state, data, order), states),
        }
        works = {way: self._work("ensemble", way, fn, (states, self.data, self.order)) for way, fn in programs.items()}
        cores = (os.cpu_count() or 1) if jax.local_devices()[0].platform == "cpu" else 1
        for plan in training.plans(members, cores=cores):
            if plan.apart:
                call = self._apart(plan, members)
                works[str(plan)] = dataclasses.replace(self._work("ensemble", str(plan), None, ()), ready=call)
        return {
            way: dataclasses.replace(
                work,
                facts={**work.facts, "members": members},
                per_call={name: members * amount for name, amount in work.per_call.items()},
                times=members * work.times,
            )
            for way, work in works.items()
        }

    def _apart(self, plan: training.Plan, count: int) -> Callable[[], Any]:
        """Return a call that takes all networks' steps, each by a call of one program."""

        def steps(values: Any, state: Any, examples: Any, order: jax.Array, start: Any, count: Any) -> Any:
            return self.train_steps.program(state, examples, order, start, count)

        def unmeasured(values: Any, params: Any, statistics: Any, data: Any) -> dict[str, jax.Array]:
            return {}

        members = training.Members(steps, unmeasured, {}, count=count, plan=plan)
        orders = jnp.stack([self.order] * count)
        held = [members.hold([self._state() for _ in range(count)])]

        def call() -> Any:
            held[0], metrics = members.train(held[0], self.data, orders, start=0, count=self.steps)
            return held[0], metrics

        return call

    def _state(self) -> training.TrainState:
        state = training.create_state(self.params, self.statistics, self.optimizer, jax.random.key(0))
        return training.place(self.mesh, state, "state")

    def _work(self, name: str, way: str, fn: Any, args: tuple[Any, ...]) -> Work:
        """A work that costs as many gradients as there are steps."""

        def gradient(statistics: Any, params: Any, images: jax.Array) -> Any:
            def objective(params: Any) -> jax.Array:
                outputs, _ = self.apply(params, statistics, images, training=True, key=jax.random.key(0))
                return training.cross_entropy(outputs.astype(jnp.float32), jnp.zeros(len(images), jnp.int32))

            return jax.grad(objective)(params)

        images = struct(self.batch, *self.facts["shape"], dtype=self.dtype)
        return Work(
            {"name": name, "way": way, **self.facts}, fn, args, {"images_per_s": self.steps * self.batch},
            carries=True, costed=(gradient, (self.statistics, self.params, images)), times=self.steps,
        )  # fmt: skip


def scaled(images: jax.Array) -> jax.Array:
    """Return images of bytes as floats around 0.

    Args:
        images: From 0 to 255.

    Returns:
        From -0.5 to 0.5, float32.

    Example:
        >>> scaled(jnp.array([0, 255], jnp.uint8)).tolist()
        [-0.5, 0.5]
    """
    return images.astype(jnp.float32) / 255 - 0.5
