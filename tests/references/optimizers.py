"""PyTorch's optimizers, in NumPy and float64: `update(p, g, lr, t, memory) -> p`, t from 1."""

import numpy as np


def sgd(p, g, lr, t, memory, momentum):
    return p - lr * g


def with_momentum(p, g, lr, t, memory, momentum):
    memory["v"] = momentum * memory.get("v", 0) + g
    return p - lr * memory["v"]


def nesterov(p, g, lr, t, memory, momentum):
    memory["v"] = momentum * memory.get("v", 0) + g
    return p - lr * (g + momentum * memory["v"])


def adagrad(p, g, lr, t, memory, momentum):
    memory["s"] = memory.get("s", 0) + g**2
    return p - lr * g / (np.sqrt(memory["s"]) + 1e-10)


def adam(p, g, lr, t, memory, momentum):
    memory["a"] = 0.9 * memory.get("a", 0) + 0.1 * g
    memory["b"] = 0.999 * memory.get("b", 0) + 0.001 * g**2
    return p - lr * (memory["a"] / (1 - 0.9**t)) / (np.sqrt(memory["b"] / (1 - 0.999**t)) + 1e-8)


OPTIMIZERS = {
    "sgd": sgd,
    "momentum": with_momentum,
    "nesterov": nesterov,
    "adagrad": adagrad,
    "adam": adam,
    "adamw": adam,
}


def train(name, params, grads, lrs, *, momentum=0.9, weight_decay=0.0, clip=None):
    """Apply the gradients of some steps to a dict of parameters."""
    params, memory = dict(params), {key: {} for key in params}
    for t, (g, lr) in enumerate(zip(grads, lrs, strict=True), 1):
        norm = np.sqrt(sum(np.sum(value**2) for value in g.values()))
        scale = 1.0 if clip is None else min(1.0, clip / norm)
        for key, p in params.items():
            decay = weight_decay if p.ndim >= 2 else 0.0
            if name == "adamw":
                start, gradient = p * (1 - lr * decay), g[key] * scale
            else:
                start, gradient = p, g[key] * scale + decay * p
            params[key] = OPTIMIZERS[name](start, gradient, lr, t, memory[key], momentum)
    return params
