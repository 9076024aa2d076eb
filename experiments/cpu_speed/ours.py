"""jaxcnn, with its lowering on: steps inside the compiled loop of `training.make_train_steps`, or one by one."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import worker
from flax import nnx
from jax import Array
from problems import BATCHES, CLASSES, LEARNING_RATE, MOMENTUM, PROBLEMS, WEIGHT_DECAY, make_batches

from jaxcnn import lowering, models, nn, runs, training


def network(name: str) -> nn.Module:
    """Make a network by name."""
    shape = PROBLEMS[name].input_shape
    if name != "three_layer":
        return models.create(name, num_classes=CLASSES, input_shape=shape)
    rngs, layers, channels = nnx.Rngs(0), {}, shape[-1]
    for i, width in enumerate((16, 32, 64), 1):
        layers[f"conv{i}"] = nn.Conv(channels, width, (3, 3), padding=1, rngs=rngs)
        layers[f"activation{i}"] = nn.Activation("relu")
        layers[f"pool{i}"] = nn.MaxPool((2, 2))
        channels = width
    features = shape[0] // 8 * (shape[1] // 8) * channels
    return nn.Sequential(**layers, flatten=nn.Flatten(), dense=nn.Dense(features, CLASSES, rngs=rngs))


def optimizer() -> optax.GradientTransformation:
    """Return SGD with momentum and weight decay."""
    return optax.chain(optax.add_decayed_weights(WEIGHT_DECAY), optax.sgd(LEARNING_RATE, momentum=MOMENTUM))


def make_step(apply, optimizer: optax.GradientTransformation, dtype: str):
    """Return the body of `training.make_train_steps` without the loop: `step(state, images, labels) -> state, loss`."""

    def objective(params, statistics, images: Array, labels: Array):
        outputs, statistics = apply(params, statistics, images.astype(dtype), training=True)
        return training.cross_entropy(outputs.astype(jnp.float32), labels), statistics

    def step(state: training.TrainState, images: Array, labels: Array):
        gradient = jax.value_and_grad(objective, has_aux=True)
        (loss, statistics), grads = gradient(state.params, state.statistics, images, labels)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return training.TrainState(state.step + 1, params, statistics, opt_state, state.key), loss

    return step


def flat(params) -> dict[str, Array]:
    """Return parameters by name; the head's are named as if they stood in the trunk."""
    named = jax.tree_util.tree_flatten_with_path(params)[0]
    return {".".join(key.key for key in path if key.key != "head"): leaf for path, leaf in named}


class Ours:
    """A jaxcnn network in training.

    Modes: `loop` (one program takes all steps of a chunk) and `outside` (one program a step, called from Python).
    Both gather their batch from the whole data on the device.
    """

    def __init__(self, asked):
        lowering.enable()
        self.mode, self.dtype, self.batch = asked.mode, asked.dtype, asked.batch
        self.apply, params, statistics = nn.split(network(asked.network))
        self.optimizer = optimizer()
        self.state = training.create_state(params, statistics, self.optimizer, jax.random.key(asked.seed))
        images, labels = make_batches(asked.network, asked.batch, asked.seed)
        self.data = jax.device_put((images.reshape(-1, *images.shape[2:]), labels.reshape(-1)))
        most = max(asked.steps, asked.warmup) + BATCHES
        self.order = jnp.arange(most * asked.batch, dtype=jnp.int32) % labels.size
        self.train_steps = training.make_train_steps(
            self.apply, self.optimizer, training.cross_entropy, batch=asked.batch, dtype=asked.dtype
        )
        self.step = jax.jit(self.gathered(make_step(self.apply, self.optimizer, asked.dtype)), donate_argnums=0)
        self.taken = 0
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(params))

    def gathered(self, step):
        """Return a step that gathers batch i."""

        def whole(state, data, order, i):
            examples = jax.lax.dynamic_slice_in_dim(order, i * self.batch, self.batch)
            return step(state, *(jnp.take(array, examples, axis=0, mode="clip") for array in data))

        return whole

    def facts(self) -> dict[str, Any]:
        """Return versions, the commit, XLA's flags and the lowering in use."""
        about = runs.environment()
        kept = ("packages", "python", "commit", "flags")
        return {name: about[name] for name in kept} | {"lowering": dataclasses.asdict(lowering.status())}

    def load(self, file: str) -> None:
        """Write the parameters, which all sides begin with."""
        arrays: dict[str, Any] = {name: np.asarray(leaf) for name, leaf in flat(self.state.params).items()}
        np.savez(file, **arrays)

    def logits(self) -> np.ndarray:
        """Return the outputs on the first batch."""
        program = jax.jit(partial(self.apply, training=True))
        images = self.data[0][: self.batch].astype(self.dtype)
        return np.asarray(program(self.state.params, self.state.statistics, images)[0], np.float32)

    def advance(self, steps: int) -> float:
        """Take steps."""
        start = self.taken % BATCHES
        self.taken += steps
        if self.mode == "loop":
            self.state, metrics = self.train_steps(self.state, self.data, self.order, start=start, count=steps)
            loss = metrics["loss"]
        else:
            loss = 0.0
            for i in range(start, start + steps):
                self.state, loss = self.step(self.state, self.data, self.order, np.int32(i))
        jax.block_until_ready(self.state)
        return float(loss)


if __name__ == "__main__":
    worker.work(Ours)
