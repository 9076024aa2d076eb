"""Keras 3 on JAX: a functional model, trained by a jitted, donated step of its stateless calls, as its guide has it."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import jax
import jax.numpy as jnp
import keras
import worker
from jax_training import Steps, cross_entropy
from keras import layers, ops

POOLS = {"max": layers.MaxPooling2D, "avg": layers.AveragePooling2D}
GLOBAL_POOLS = {"max": layers.GlobalMaxPooling2D, "avg": layers.GlobalAveragePooling2D}


class Subsample(layers.Layer):
    """Keep one position in so many, and put channels of zeros after those of the input."""

    def __init__(self, strides=1, channels=0):
        super().__init__()
        self.strides, self.channels = strides, channels

    def call(self, x):
        x = x[:, :: self.strides, :: self.strides]
        return ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, max(self.channels - x.shape[-1], 0))))


def run(described, x, named):
    """Apply layers; those with parameters are entered into `named`."""
    for layer in described:
        x = one(layer, x, named)
    return x


def one(layer, x, named):
    """Apply one layer."""
    kind = layer["kind"]
    if kind == "residual":
        body, shortcut = (run(layer[part], x, named) for part in ("body", "shortcut"))
        return run(layer["then"], layers.add([body, shortcut]), named)
    if kind in ("subsample", "pad_channels"):
        return Subsample(**{name: value for name, value in layer.items() if name in ("strides", "channels")})(x)
    if kind == "flatten":
        return layers.Flatten()(x)
    if kind == "activation":
        return layers.Activation(layer["function"])(x)
    if kind == "global_pool":
        return GLOBAL_POOLS[layer["how"]]()(x)
    if kind == "pool":
        padded = any(layer["padding"])
        x = padding(layer["padding"], float("-inf"))(x) if padded else x
        return POOLS[layer["how"]](tuple(layer["window"]), tuple(layer["strides"]))(x)
    if kind == "conv":
        same = all(s == 1 and 2 * p == d * (w - 1) for s, p, d, w in zip(
            layer["strides"], layer["padding"], layer["dilation"], layer["window"], strict=True
        ))  # fmt: skip
        if any(layer["padding"]) and not same:
            x = layers.ZeroPadding2D(tuple(layer["padding"]))(x)
        made = layers.Conv2D(
            layer["channels"][1], tuple(layer["window"]), tuple(layer["strides"]),
            padding="same" if same and any(layer["padding"]) else "valid", dilation_rate=tuple(layer["dilation"]),
            groups=layer["groups"], use_bias=layer["bias"],
        )  # fmt: skip
    elif kind == "dense":
        made = layers.Dense(layer["channels"][1], use_bias=layer["bias"])
    else:
        made = layers.BatchNormalization(momentum=layer["momentum"], epsilon=layer["epsilon"])
    named[layer["name"]] = made
    return made(x)


def padding(amounts, value):
    """Return a layer that pads maps by a value."""
    widths = ((0, 0), *((amount, amount) for amount in amounts), (0, 0))
    return layers.Lambda(lambda x: ops.pad(x, widths, constant_values=value))


def load(named, parameters):
    """Take parameters as jaxcnn has them."""
    names = {"scale": "gamma", "offset": "beta"}
    for name, array in parameters.items():
        layer, kind = name.rsplit(".", 1)
        getattr(named[layer], names.get(kind, kind)).assign(array)


def keras_network(task):
    """Return the network in training."""
    if task.dtype == "bfloat16":
        keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    named = {}
    inputs = keras.Input(task.images.shape[2:])
    model = keras.Model(inputs, run(task.network, inputs, named))
    load(named, task.parameters)
    optimizer = keras.optimizers.SGD(task.learning_rate, momentum=task.momentum)
    optimizer.build(model.trainable_variables)
    state = tuple(
        [jnp.copy(variable.value) for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    )

    def evaluate(state, images):
        return model.stateless_call(*state[:2], images, training=False)[0].astype(jnp.float32)

    def step(state, images, labels):
        trained, others, moments = state

        def objective(trained):
            outputs, changed = model.stateless_call(trained, others, images, training=True)
            return cross_entropy(outputs, labels), changed

        (loss, others), gradient = jax.value_and_grad(objective, has_aux=True)(trained)
        trained, moments = optimizer.stateless_apply(moments, gradient, trained)
        return (trained, others, moments), loss

    return Steps(state, evaluate, step, task.images, task.labels, ("keras",))


if __name__ == "__main__":
    worker.serve(keras_network)
