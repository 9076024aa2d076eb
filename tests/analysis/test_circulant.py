"""Products with matrices that are known and turn with the circle: convolutions with all of it, and resampling."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import analysis
from jaxcnn import functional as F

RNG = np.random.default_rng(0)
KERNEL = RNG.standard_normal((3, 3, 2, 2)).astype(np.float32)
ROW = RNG.standard_normal(12)
CIRCULANT = np.stack([np.roll(ROW, turn) for turn in range(12)]).astype(np.float32)
GENERAL = RNG.standard_normal((12, 12)).astype(np.float32)
X = RNG.standard_normal((12, 8, 2)).astype(np.float32)


def conv(x: Any, **options: Any) -> Any:
    return F.conv(x, jnp.asarray(KERNEL), **{"padding_mode": "circular", **options})


def product(x: Any, matrix: Any) -> Any:
    return jnp.einsum("hwc,hk->kwc", x, matrix)


# What is computed, and the contract along the first axis: its lattice and step, None for none.
CASES: dict[str, tuple[Callable[[Any], Any], tuple[int, int] | None]] = {
    "circulant": (lambda x: product(conv(x), CIRCULANT), (1, 1)),
    "its transpose": (lambda x: product(conv(x), CIRCULANT.T), (1, 1)),
    "as the left factor": (lambda x: jnp.tensordot(CIRCULANT, conv(x), 1), (1, 1)),
    "mirrored": (lambda x: product(conv(x), CIRCULANT[:, ::-1]), (1, -1)),
    "every second": (lambda x: product(conv(x), CIRCULANT[:, ::2]), (2, 1)),
    "interpolation": (lambda x: F.antialiased_activation(conv(x), jnp.tanh), (1, 1)),
    "interpolation by three": (lambda x: conv(F.antialiased_activation(conv(x), jnp.tanh, up=3)), (1, 1)),
    "any matrix": (lambda x: product(conv(x), GENERAL), None),
    "one number changed": (lambda x: product(conv(x), CIRCULANT + (np.arange(144) == 3).reshape(12, 12)), None),
    "after zeros": (lambda x: product(conv(x, padding_mode="zeros"), CIRCULANT), None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_contract(name: str) -> None:
    """As told, and true of every roll; where none is told, no roll moves the result."""
    fn, expected = CASES[name]
    facts = analysis.trace(fn, jax.ShapeDtypeStruct(X.shape, X.dtype)).outputs[0].axes[0]
    told = facts.circular
    assert ((told.lattice, told.step) if told.guarantees else None) == expected
    plain = np.asarray(fn(jnp.asarray(X)))
    for shift in range(1, 12):
        moved = np.asarray(fn(jnp.asarray(np.roll(X, shift, 0))))
        if expected is None:
            assert not any(np.allclose(np.roll(plain, q, 0), moved, atol=1e-3) for q in range(len(plain)))
        elif shift % told.lattice == 0:
            answer = np.roll(plain, shift // told.lattice * told.step, facts.axis or 0)
            np.testing.assert_allclose(moved, answer, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [7, 13, 17])
def test_odd_sizes(size: int) -> None:
    """Their matrices have a few zeros among rounding errors."""
    facts = analysis.trace(lambda x: F.antialiased_activation(x, jnp.tanh), jax.ShapeDtypeStruct((size, 4, 1), X.dtype))
    assert [str(axis.circular) for axis in facts.outputs[0].axes] == ["equivariant", "equivariant"]


@pytest.mark.parametrize(("size", "window"), [(5, 3), (7, 4), (9, 3)])
def test_dilated_averages_of_a_whole_circle(size: int, window: int) -> None:
    """Their taps lie in equal gaps, which begin where the list does, unless told otherwise."""

    def pool(x: Any) -> Any:
        return F.avg_pool(x, (window,), strides=1, padding="SAME", padding_mode="circular", dilation=2)

    x = jnp.asarray(RNG.standard_normal((size, 2)), jnp.float32)
    (facts,) = analysis.trace(pool, x, spatial_axes=(0,)).outputs[0].axes
    assert str(facts.circular) == "equivariant"
    for shift in range(size):
        np.testing.assert_allclose(pool(jnp.roll(x, shift, 0)), np.roll(pool(x), shift, 0), rtol=1e-5, atol=1e-6)
