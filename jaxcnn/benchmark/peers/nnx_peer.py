"""Flax NNX: split once and merged in the jitted, donated step, as Flax's guide to performance has it."""

import jax.numpy as jnp
import optax
import worker
from flax import nnx
from jax_training import Steps, cross_entropy

FUNCTIONS = {"relu": nnx.relu, "tanh": nnx.tanh, "sigmoid": nnx.sigmoid}
POOLS = {"max": nnx.max_pool, "avg": nnx.avg_pool}
RNGS = nnx.Rngs(0)


class Chain(nnx.Module):
    """Layers one after another."""

    def __init__(self, layers, dtype, named):
        self.layers = nnx.List([make(layer, dtype, named) for layer in layers])

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Residual(nnx.Module):
    """Add the shortcut to the body."""

    def __init__(self, layer, dtype, named):
        self.body, self.shortcut, self.then = (
            Chain(layer[part], dtype, named) for part in ("body", "shortcut", "then")
        )

    def __call__(self, x):
        return self.then(self.body(x) + self.shortcut(x))


def make(layer, dtype, named):
    """Return one layer; those with parameters are entered into `named`."""
    kind = layer["kind"]
    if kind == "conv":
        made = nnx.Conv(
            *layer["channels"], tuple(layer["window"]), strides=tuple(layer["strides"]),
            padding=[(amount, amount) for amount in layer["padding"]], kernel_dilation=tuple(layer["dilation"]),
            feature_group_count=layer["groups"], use_bias=layer["bias"], dtype=dtype, rngs=RNGS,
        )  # fmt: skip
    elif kind == "dense":
        made = nnx.Linear(*layer["channels"], use_bias=layer["bias"], dtype=dtype, rngs=RNGS)
    elif kind == "batch_norm":
        made = nnx.BatchNorm(
            layer["channels"], momentum=layer["momentum"], epsilon=layer["epsilon"], dtype=dtype, rngs=RNGS
        )
    elif kind == "residual":
        return Residual(layer, dtype, named)
    else:
        return plain(layer)
    named[layer["name"]] = made
    return made


def plain(layer):
    """Return a function of maps without parameters."""
    kind = layer["kind"]
    if kind == "activation":
        return FUNCTIONS[layer["function"]]
    if kind == "pool":
        padding = [(amount, amount) for amount in layer["padding"]]
        return lambda x: POOLS[layer["how"]](x, tuple(layer["window"]), tuple(layer["strides"]), padding)
    if kind == "global_pool":
        return lambda x: x.max((1, 2)) if layer["how"] == "max" else x.mean((1, 2))
    if kind == "flatten":
        return lambda x: x.reshape(len(x), -1)
    if kind == "subsample":
        return lambda x: x[:, :: layer["strides"], :: layer["strides"]]
    return lambda x: jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, layer["channels"] - x.shape[-1])))


def load(named, parameters):
    """Take parameters as jaxcnn has them."""
    for name, array in parameters.items():
        layer, kind = name.rsplit(".", 1)
        getattr(named[layer], {"offset": "bias"}.get(kind, kind))[...] = jnp.asarray(array)


def nnx_network(task):
    """Return the network in training."""
    named = {}
    dtype = jnp.dtype(task.dtype)
    model = Chain(task.network, dtype, named)
    load(named, task.parameters)
    optimizer = nnx.Optimizer(model, optax.sgd(task.learning_rate, momentum=task.momentum), wrt=nnx.Param)
    graph, state = nnx.split((model, optimizer))

    def evaluate(state, images):
        model, _ = nnx.merge(graph, state)
        model.eval()
        return model(images.astype(dtype)).astype(jnp.float32)

    def step(state, images, labels):
        model, optimizer = nnx.merge(graph, state)
        model.train()
        loss, gradient = nnx.value_and_grad(lambda model: cross_entropy(model(images.astype(dtype)), labels))(model)
        optimizer.update(model, gradient)
        return nnx.state((model, optimizer)), loss

    return Steps(state, evaluate, step, task.images, task.labels, ("flax", "optax"))


if __name__ == "__main__":
    worker.serve(nnx_network)
