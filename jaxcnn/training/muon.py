"""Muon: kernels moved by the nearest orthogonal matrix to their momentum."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Of Newton-Schulz's steps x -> a x + b x^3 + c x^5: they bring singular values near 1 fast, and not to 1."""


def nearly_orthogonal(matrix: Array, *, steps: int) -> Array:
    """Bring the singular values of a matrix near 1 by Newton-Schulz's steps, from where the matrix has norm 1.

    Args:
        matrix: `(rows, columns)`.
        steps: Of the iteration.

    Returns:
        Array of that shape.

    Example:
        >>> import numpy as np
        >>> near = nearly_orthogonal(jnp.diag(jnp.array([3.0, 4.0])), steps=3)
        >>> np.round(np.linalg.svd(near, compute_uv=False).astype(float), 2).tolist()
        [1.09, 0.8]

    Reference:
        Jordan et al., Muon, 2024.
    """
    a, b, c = _QUINTIC
    x = matrix / (jnp.linalg.norm(matrix) + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def muon(momentum: float | Array) -> optax.GradientTransformation:
    """Build Muon's direction for kernels, of the size of Adam's, and Adam's for what is no kernel.

    Args:
        momentum: Decay of the velocity.

    Returns:
        The transformation; see `make_optimizer`.

    Example:
        >>> direction = muon(0.9)
        >>> params = {"bias": jnp.zeros(2)}
        >>> direction.update(params, direction.init(params), params)[0]["bias"].tolist()
        [0.0, 0.0]

    Reference:
        Jordan et al., Muon, 2024; Liu et al., Muon is Scalable for LLM Training, 2025 (0.2).
    """

    def shapes(params: Any) -> Any:
        return jax.tree.map(lambda p: optax.contrib.MuonDimensionNumbers(tuple(range(p.ndim - 1)), p.ndim - 1), params)

    def as_large_as_adams(update: Any, _: Any) -> Array:
        sides = math.prod(update.shape[:-1]), update.shape[-1]
        return 0.2 * math.sqrt(max(sides)) * update

    orthogonal = optax.chain(
        optax.contrib.scale_by_muon(beta=momentum, weight_dimension_numbers=shapes),
        optax.stateless_with_tree_map(as_large_as_adams),
    )
    return optax.partition({"muon": orthogonal, "rest": optax.scale_by_adam()}, _labels)


def spherical_muon(momentum: float | Array) -> optax.GradientTransformation:
    """Build Muon's direction from Nesterov's momentum, by three steps of Newton-Schulz, and for what is no kernel
    Nesterov's own.

    Args:
        momentum: Decay of the velocity.

    Returns:
        The transformation, for use with `keep_norms`.

    Example:
        >>> direction = spherical_muon(0.5)
        >>> params = {"bias": jnp.ones(2)}
        >>> direction.update(params, direction.init(params), params)[0]["bias"].tolist()
        [1.5, 1.5]

    Reference:
        Jordan, airbench94 with Muon, 2024.
    """

    def orthogonal(update: Any, _: Any) -> Array:
        return nearly_orthogonal(update.reshape(-1, update.shape[-1]), steps=3).reshape(update.shape)

    return optax.chain(
        optax.trace(momentum, nesterov=True),
        optax.partition({"muon": optax.stateless_with_tree_map(orthogonal), "rest": optax.identity()}, _labels),
    )


def keep_norms() -> optax.GradientTransformation:
    """Bring every kernel to norm sqrt(its outputs) before a step is taken from there.

    Returns:
        The transformation, to stand last.

    Example:
        >>> last = keep_norms()
        >>> params = {"kernel": jnp.full((2, 4), 5.0)}
        >>> updates, _ = last.update({"kernel": jnp.zeros((2, 4))}, last.init(params), params)
        >>> round(float(jnp.linalg.norm(params["kernel"] + updates["kernel"])), 4)
        2.0

    Reference:
        Jordan, airbench94 with Muon, 2024.
    """

    def from_there(update: Any, kernel: Any) -> Array:
        if kernel.ndim < 2:
            return update
        return update + (math.sqrt(kernel.shape[-1]) / jnp.linalg.norm(kernel) - 1) * kernel

    return optax.stateless_with_tree_map(from_there)


def _labels(params: Any) -> Any:
    return jax.tree.map(lambda p: "muon" if p.ndim >= 2 else "rest", params)
