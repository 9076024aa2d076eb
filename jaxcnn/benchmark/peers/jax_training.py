"""What the JAX peers share: steps that are jitted and donate their state, waited for; batches on the device.

Each gives a state, `evaluate(state, images) -> outputs` and `step(state, images, labels) -> (state, loss)`.
"""

from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np


def cross_entropy(outputs, labels):
    """Return the mean loss, in float32."""
    chosen = jnp.take_along_axis(jax.nn.log_softmax(outputs.astype(jnp.float32)), labels[:, None], 1)
    return -chosen.mean()


class Steps:
    """Run a peer's functions."""

    def __init__(self, state, evaluate, step, images, labels, packages):
        self.state = state
        self.evaluate, self.step = jax.jit(evaluate), jax.jit(step, donate_argnums=0)
        self.batches = [(jax.device_put(x), jax.device_put(y)) for x, y in zip(images, labels, strict=True)]
        self.packages = packages

    def logits(self):
        """Return the outputs for the first batch."""
        return np.asarray(self.evaluate(self.state, self.batches[0][0]), np.float32)

    def infer(self):
        """Evaluate the first batch."""
        jax.block_until_ready(self.evaluate(self.state, self.batches[0][0]))

    def train(self, steps):
        """Take steps."""
        loss = jnp.zeros(())
        for i in range(steps):
            self.state, loss = self.step(self.state, *self.batches[i % len(self.batches)])
        jax.block_until_ready(self.state)
        return float(loss)

    def facts(self):
        """Return versions and the device."""
        packages = {name: version(name) for name in ("jax", "jaxlib", *self.packages)}
        return {"packages": packages, "device": str(jax.devices()[0])}
