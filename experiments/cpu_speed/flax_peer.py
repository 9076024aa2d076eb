"""Stock Flax: the same networks written plainly in NNX, jitted, donated, by XLA's own rules.

Batches lie on the device, ready to use (ours gathers them). The module is split once and merged inside the program,
as Flax's guide to performance has it.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import worker
from flax import nnx
from problems import BATCHES, CLASSES, LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, make_batches

from jaxcnn import runs

max_pool = partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))


class Unit(nnx.Module):
    """A 3x3 convolution, its batch norm and ReLU."""

    def __init__(self, in_channels, out_channels, *, dtype, rngs):
        self.conv = nnx.Conv(in_channels, out_channels, (3, 3), use_bias=False, dtype=dtype, rngs=rngs)
        self.norm = nnx.BatchNorm(out_channels, momentum=0.9, dtype=dtype, rngs=rngs)

    def __call__(self, x):
        return nnx.relu(self.norm(self.conv(x)))


class Residual(nnx.Module):
    """Two units and the input."""

    def __init__(self, channels, *, dtype, rngs):
        self.unit1 = Unit(channels, channels, dtype=dtype, rngs=rngs)
        self.unit2 = Unit(channels, channels, dtype=dtype, rngs=rngs)

    def __call__(self, x):
        return x + self.unit2(self.unit1(x))


class ResNet9(nnx.Module):
    """Eight convolutions, two residuals, three pools and a dense layer."""

    def __init__(self, *, dtype, rngs):
        self.unit1 = Unit(3, 64, dtype=dtype, rngs=rngs)
        self.unit2 = Unit(64, 128, dtype=dtype, rngs=rngs)
        self.residual1 = Residual(128, dtype=dtype, rngs=rngs)
        self.unit3 = Unit(128, 256, dtype=dtype, rngs=rngs)
        self.unit4 = Unit(256, 512, dtype=dtype, rngs=rngs)
        self.residual2 = Residual(512, dtype=dtype, rngs=rngs)
        self.dense = nnx.Linear(512, CLASSES, dtype=dtype, rngs=rngs)

    def __call__(self, x):
        x = self.residual1(max_pool(self.unit2(self.unit1(x))))
        x = max_pool(self.unit4(max_pool(self.unit3(x))))
        return self.dense(self.residual2(x).max((1, 2)))


class LeNet5(nnx.Module):
    """Two 5x5 convolutions with pools, three dense layers."""

    def __init__(self, *, dtype, rngs):
        self.conv1 = nnx.Conv(1, 6, (5, 5), dtype=dtype, rngs=rngs)
        self.conv2 = nnx.Conv(6, 16, (5, 5), padding="VALID", dtype=dtype, rngs=rngs)
        self.dense1 = nnx.Linear(400, 120, dtype=dtype, rngs=rngs)
        self.dense2 = nnx.Linear(120, 84, dtype=dtype, rngs=rngs)
        self.dense = nnx.Linear(84, CLASSES, dtype=dtype, rngs=rngs)

    def __call__(self, x):
        x = max_pool(nnx.relu(self.conv1(x)))
        x = max_pool(nnx.relu(self.conv2(x)))
        x = x.reshape(x.shape[0], -1)
        return self.dense(nnx.relu(self.dense2(nnx.relu(self.dense1(x)))))


class ThreeLayer(nnx.Module):
    """Three 3x3 convolutions, each with ReLU and a 2x2 max pool, and a dense head."""

    def __init__(self, *, dtype, rngs):
        self.conv1 = nnx.Conv(3, 16, (3, 3), dtype=dtype, rngs=rngs)
        self.conv2 = nnx.Conv(16, 32, (3, 3), dtype=dtype, rngs=rngs)
        self.conv3 = nnx.Conv(32, 64, (3, 3), dtype=dtype, rngs=rngs)
        self.dense = nnx.Linear(1024, CLASSES, dtype=dtype, rngs=rngs)

    def __call__(self, x):
        for conv in (self.conv1, self.conv2, self.conv3):
            x = max_pool(nnx.relu(conv(x)))
        return self.dense(x.reshape(x.shape[0], -1))


NETWORKS = {"resnet9": ResNet9, "lenet5": LeNet5, "three_layer": ThreeLayer}


class Flax:
    """A Flax network in training. Modes: `outside` (one program a step) and `loop` (all steps of a chunk in one)."""

    def __init__(self, asked):
        self.mode, self.dtype = asked.mode, asked.dtype
        self.model = NETWORKS[asked.network](dtype=jnp.dtype(asked.dtype), rngs=nnx.Rngs(asked.seed))
        transform = optax.chain(optax.add_decayed_weights(WEIGHT_DECAY), optax.sgd(LEARNING_RATE, momentum=MOMENTUM))
        self.optimizer = nnx.Optimizer(self.model, transform, wrt=nnx.Param)
        self.graph, self.state = nnx.split((self.model, self.optimizer))
        self.batches = jax.device_put(make_batches(asked.network, asked.batch, asked.seed))
        self.ready = [(self.batches[0][i], self.batches[1][i]) for i in range(BATCHES)]
        self.step = jax.jit(self.one, donate_argnums=0)
        self.steps = jax.jit(self.many, donate_argnums=0)
        self.taken = 0
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(self.model, nnx.Param)))

    def facts(self):
        """Return versions and XLA's flags."""
        about = runs.environment()
        return {name: about[name] for name in ("packages", "python", "flags")} | {"lowering": "XLA's own"}

    def one(self, state, images, labels):
        """Take one step."""
        model, optimizer = nnx.merge(self.graph, state)

        def objective(model):
            outputs = model(images).astype(jnp.float32)
            return optax.softmax_cross_entropy_with_integer_labels(outputs, labels).mean()

        loss, grads = nnx.value_and_grad(objective)(model)
        optimizer.update(model, grads)
        return nnx.state((model, optimizer)), loss

    def many(self, state, batches, start, count):
        """Take any number of steps in a loop."""

        def body(i, carry):
            images, labels = (jax.lax.dynamic_index_in_dim(a, i % BATCHES, keepdims=False) for a in batches)
            return self.one(carry[0], images, labels)

        return jax.lax.fori_loop(start, start + count, body, (state, jnp.float32(0)))

    def load(self, file: str) -> None:
        """Take the parameters of a file."""
        params = nnx.state(self.model, nnx.Param)
        with np.load(file) as arrays:
            named = {name.replace("norm.offset", "norm.bias"): array for name, array in arrays.items()}
        taken = jax.tree_util.tree_map_with_path(
            lambda path, _: jnp.asarray(named[".".join(key.key for key in path if hasattr(key, "key"))]), params
        )
        nnx.update(self.model, taken)
        self.graph, self.state = nnx.split((self.model, self.optimizer))

    def logits(self) -> np.ndarray:
        """Return the outputs on the first batch."""
        model, _ = nnx.merge(self.graph, jax.tree.map(jnp.copy, self.state))
        return np.asarray(model(self.ready[0][0]), np.float32)

    def advance(self, steps: int) -> float:
        """Take steps."""
        start = self.taken % BATCHES
        self.taken += steps
        loss = 0.0
        if self.mode == "loop":
            self.state, loss = self.steps(self.state, self.batches, start, steps)
        else:
            for i in range(start, start + steps):
                self.state, loss = self.step(self.state, *self.ready[i % BATCHES])
        jax.block_until_ready(self.state)
        return float(loss)


if __name__ == "__main__":
    worker.work(Flax)
