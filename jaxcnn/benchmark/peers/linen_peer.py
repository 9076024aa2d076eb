"""Flax Linen: a compact module, a TrainState, a jitted step that donates it."""

import jax
import jax.numpy as jnp
import optax
import worker
from flax import linen as nn
from flax.training.train_state import TrainState
from jax_training import Steps, cross_entropy

FUNCTIONS = {"relu": nn.relu, "tanh": nn.tanh, "sigmoid": nn.sigmoid}
POOLS = {"max": nn.max_pool, "avg": nn.avg_pool}


class Network(nn.Module):
    """The layers, one after another."""

    layers: tuple
    dtype: str

    @nn.compact
    def __call__(self, x, *, training):
        return self.run(self.layers, x.astype(self.dtype), training)

    def run(self, layers, x, training):
        for layer in layers:
            x = self.one(layer, x, training)
        return x

    def one(self, layer, x, training):
        kind, name = layer["kind"], layer["name"].replace(".", "_")
        if kind == "conv":
            return nn.Conv(
                layer["channels"][1], tuple(layer["window"]), strides=tuple(layer["strides"]),
                padding=[(amount, amount) for amount in layer["padding"]], kernel_dilation=tuple(layer["dilation"]),
                feature_group_count=layer["groups"], use_bias=layer["bias"], dtype=self.dtype, name=name,
            )(x)  # fmt: skip
        if kind == "dense":
            return nn.Dense(layer["channels"][1], use_bias=layer["bias"], dtype=self.dtype, name=name)(x)
        if kind == "batch_norm":
            return nn.BatchNorm(
                not training, momentum=layer["momentum"], epsilon=layer["epsilon"], dtype=self.dtype, name=name
            )(x)
        if kind == "residual":
            body, shortcut = (self.run(layer[part], x, training) for part in ("body", "shortcut"))
            return self.run(layer["then"], body + shortcut, training)
        if kind == "activation":
            return FUNCTIONS[layer["function"]](x)
        if kind == "pool":
            padding = [(amount, amount) for amount in layer["padding"]]
            return POOLS[layer["how"]](x, tuple(layer["window"]), tuple(layer["strides"]), padding)
        if kind == "global_pool":
            return x.max((1, 2)) if layer["how"] == "max" else x.mean((1, 2))
        if kind == "flatten":
            return x.reshape(len(x), -1)
        if kind == "subsample":
            return x[:, :: layer["strides"], :: layer["strides"]]
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, layer["channels"] - x.shape[-1])))


class State(TrainState):
    """A TrainState with statistics."""

    statistics: dict


def nested(parameters):
    """Return parameters as jaxcnn has them in Linen's tree."""
    tree = {}
    for name, array in parameters.items():
        layer, kind = name.rsplit(".", 1)
        tree.setdefault(layer.replace(".", "_"), {})[{"offset": "bias"}.get(kind, kind)] = jnp.asarray(array)
    return tree


def linen_network(task):
    """Return the network in training."""
    model = Network(tuple(task.network), task.dtype)
    params = nested(task.parameters)
    statistics = {
        name: {"mean": jnp.zeros(len(leaves["scale"])), "var": jnp.ones(len(leaves["scale"]))}
        for name, leaves in params.items()
        if "scale" in leaves
    }
    state = State.create(
        apply_fn=model.apply, params=params, tx=optax.sgd(task.learning_rate, momentum=task.momentum),
        statistics=statistics,
    )  # fmt: skip

    def evaluate(state, images):
        variables = {"params": state.params, "batch_stats": state.statistics}
        return model.apply(variables, images, training=False).astype(jnp.float32)

    def step(state, images, labels):
        def objective(params):
            variables = {"params": params, "batch_stats": state.statistics}
            outputs, changed = model.apply(variables, images, training=True, mutable=["batch_stats"])
            return cross_entropy(outputs, labels), changed.get("batch_stats", {})

        (loss, statistics), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
        return state.apply_gradients(grads=gradient).replace(statistics=statistics), loss

    return Steps(state, evaluate, step, task.images, task.labels, ("flax", "optax"))


if __name__ == "__main__":
    worker.serve(linen_network)
