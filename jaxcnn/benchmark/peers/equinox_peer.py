"""Equinox: layers of one image, vmapped over the batch, channels first; a jitted step that donates its state."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import worker
from equinox import nn
from jax_training import Steps, cross_entropy

FUNCTIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}
POOLS = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}
KEY = jax.random.key(0)


class Residual(eqx.Module):
    """Add the shortcut to the body."""

    body: list
    shortcut: list
    then: list

    def __call__(self, x, state):
        short, state = run(self.shortcut, x, state)
        x, state = run(self.body, x, state)
        return run(self.then, x + short, state)


def run(layers, x, state):
    """Apply layers; batch norms take and give the state, and compute in float32."""
    for layer in layers:
        if isinstance(layer, nn.BatchNorm):
            y, state = layer(x.astype(jnp.float32), state)
            x = y.astype(x.dtype)
        elif isinstance(layer, Residual):
            x, state = layer(x, state)
        else:
            x = layer(x)
    return x, state


class Network(eqx.Module):
    """The layers, one after another."""

    layers: list

    def __call__(self, x, state):
        return run(self.layers, x, state)


def make(layer, parameters):
    """Return one layer with its parameters."""
    kind = layer["kind"]
    if kind == "conv":
        made = nn.Conv2d(
            *layer["channels"], tuple(layer["window"]), tuple(layer["strides"]), tuple(layer["padding"]),
            tuple(layer["dilation"]), layer["groups"], layer["bias"], key=KEY,
        )  # fmt: skip
        return loaded(made, layer["name"], parameters)
    if kind == "dense":
        made = nn.Linear(*layer["channels"], use_bias=layer["bias"], key=KEY)
        return loaded(made, layer["name"], parameters)
    if kind == "batch_norm":
        made = nn.BatchNorm(layer["channels"], "batch", eps=layer["epsilon"], momentum=layer["momentum"], mode="batch")
        return loaded(made, layer["name"], parameters)
    if kind == "residual":
        return Residual(*([make(one, parameters) for one in layer[part]] for part in ("body", "shortcut", "then")))
    if kind == "pool":
        return POOLS[layer["how"]](tuple(layer["window"]), tuple(layer["strides"]), tuple(layer["padding"]))
    return plain(layer)


def plain(layer):
    """Return a function of maps without parameters."""
    kind = layer["kind"]
    if kind == "activation":
        return FUNCTIONS[layer["function"]]
    if kind == "global_pool":
        return lambda x: x.max((1, 2)) if layer["how"] == "max" else x.mean((1, 2))
    if kind == "flatten":
        return lambda x: jnp.moveaxis(x, 0, -1).ravel()  # the order of channels-last maps
    if kind == "subsample":
        return lambda x: x[:, :: layer["strides"], :: layer["strides"]]
    return lambda x: jnp.pad(x, ((0, layer["channels"] - len(x)), (0, 0), (0, 0)))


def loaded(layer, name, parameters):
    """Take parameters as jaxcnn has them."""
    for kind, field in (("kernel", "weight"), ("scale", "weight"), ("offset", "bias"), ("bias", "bias")):
        array = parameters.get(f"{name}.{kind}")
        if array is None:
            continue
        if kind == "kernel":
            array = np.transpose(array, (array.ndim - 1, array.ndim - 2, *range(array.ndim - 2)))
        shape = getattr(layer, field).shape  # a convolution's bias has spatial axes of 1
        layer = eqx.tree_at(lambda made, field=field: getattr(made, field), layer, jnp.asarray(array.reshape(shape)))
    return layer


def cast(params, dtype):
    """Return parameters in half precision, but for those of batch norms."""

    def kept(node):
        return isinstance(node, nn.BatchNorm)

    return jax.tree.map(lambda node: node if kept(node) else node.astype(dtype), params, is_leaf=kept)


def equinox_network(task):
    """Return the network in training."""
    half = task.dtype != "float32"
    model, statistics = eqx.nn.make_with_state(lambda: Network([make(one, task.parameters) for one in task.network]))()
    params, fixed = eqx.partition(model, eqx.is_inexact_array)
    optimizer = optax.sgd(task.learning_rate, momentum=task.momentum)

    def outputs(params, statistics, images, *, training):
        if half:
            params, images = cast(params, task.dtype), images.astype(task.dtype)
        model = eqx.combine(params, fixed)
        model = model if training else nn.inference_mode(model)
        return jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(images, statistics)

    def evaluate(state, images):
        return outputs(*state[:2], images, training=False)[0].astype(jnp.float32)

    def step(state, images, labels):
        params, statistics, moments = state

        def objective(params):
            logits, changed = outputs(params, statistics, images, training=True)
            return cross_entropy(logits, labels), changed

        (loss, statistics), gradient = jax.value_and_grad(objective, has_aux=True)(params)
        updates, moments = optimizer.update(gradient, moments)
        return (optax.apply_updates(params, updates), statistics, moments), loss

    state = (params, statistics, optimizer.init(params))
    images = np.ascontiguousarray(np.moveaxis(task.images, -1, 2))
    return Steps(state, evaluate, step, images, task.labels, ("equinox", "optax"))


if __name__ == "__main__":
    worker.serve(equinox_network)
