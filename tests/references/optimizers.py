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


def rmsprop(p, g, lr, t, memory, momentum):
    memory["s"] = 0.99 * memory.get("s", 0) + 0.01 * g**2
    return p - lr * g / (np.sqrt(memory["s"]) + 1e-8)


def lion(p, g, lr, t, memory, momentum):
    a = memory.get("a", 0)
    memory["a"] = 0.99 * a + 0.01 * g
    return p - lr * np.sign(0.9 * a + 0.1 * g)


def orthogonal(matrix):
    """Five Newton-Schulz steps, with the coefficients of Jordan et al., 2024, on the wide form of the matrix."""
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    x = matrix / np.sqrt(np.sum(matrix**2))
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


def muon(p, g, lr, t, memory, momentum):
    if p.ndim < 2:
        return adam(p, g, lr, t, memory, momentum)
    memory["a"] = momentum * memory.get("a", 0) + (1 - momentum) * g
    h = momentum * memory["a"] / (1 - momentum ** (t + 1)) + (1 - momentum) * g / (1 - momentum**t)
    h = h.reshape(-1, h.shape[-1])
    return p - lr * 0.2 * np.sqrt(max(h.shape)) * orthogonal(h).reshape(p.shape)


def lamb(p, g, lr, t, memory, momentum, decay):
    memory["a"] = 0.9 * memory.get("a", 0) + 0.1 * g
    memory["b"] = 0.999 * memory.get("b", 0) + 0.001 * g**2
    u = (memory["a"] / (1 - 0.9**t)) / (np.sqrt(memory["b"] / (1 - 0.999**t)) + 1e-6) + decay * p
    norms = np.sqrt(np.sum(p**2)), np.sqrt(np.sum(u**2))
    return p - lr * u * (norms[0] / norms[1] if all(norms) else 1.0)


OPTIMIZERS = {
    "sgd": sgd,
    "momentum": with_momentum,
    "nesterov": nesterov,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adam,
    "lion": lion,
    "lamb": lamb,
    "muon": muon,
}
DECOUPLED = ("adamw", "lion", "lamb", "muon")


def train(name, params, grads, lrs, *, momentum=0.9, weight_decay=0.0, decay=None, clip=None, lookahead=(0, 0.5)):
    """Apply the gradients of some steps to a dict of parameters."""
    params, memory = dict(params), {key: {} for key in params}
    slow, (every, share) = dict(params), lookahead
    decoupled = decay == "decoupled" or (decay is None and name in DECOUPLED)
    for t, (g, lr) in enumerate(zip(grads, lrs, strict=True), 1):
        norm = np.sqrt(sum(np.sum(value**2) for value in g.values()))
        scale = 1.0 if clip is None else min(1.0, clip / norm)
        for key, p in params.items():
            d = weight_decay if p.ndim >= 2 else 0.0
            gradient, options = g[key] * scale + (0 if decoupled else d * p), {}
            if name == "lamb":
                options = {"decay": d if decoupled else 0.0}  # the norms of its steps are those of the decayed ones
            pulled = 0 if not decoupled or options else lr * d * p
            params[key] = OPTIMIZERS[name](p, gradient, lr, t, memory[key], momentum, **options) - pulled
        if every and t % every == 0:
            slow = {key: slow[key] + share * (p - slow[key]) for key, p in params.items()}
            params = dict(slow)
    return params
