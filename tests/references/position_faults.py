"""Faults that know positions: constants, and positions that are singled out."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxcnn import functional as F
from references.exact_layers import Layout, Random, same_conv, weights
from references.faults import LEAST, along, an_axis, fault, part

CONSTANT = "position-dependent constant"


def by_position(rng: Random, layout: Layout, x: Any) -> Array:
    """Numbers that differ: at every position, along one axis, or at one position."""
    kind, axis = int(rng.integers(3)), an_axis(rng, layout)
    if kind == 0:
        return weights(rng, *(x.shape[x.ndim - 1 - layout.rank :]), fan=2)
    n = x.shape[axis]
    return along(weights(rng, n, fan=1) if kind == 1 else jnp.zeros(n).at[int(rng.integers(n))].set(1.0), axis)


@fault(CONSTANT)
def position_bias(rng: Random, layout: Layout, x: Any) -> Any:
    bias = by_position(rng, layout, x)
    return lambda x: x + bias


@fault(CONSTANT)
def position_scale(rng: Random, layout: Layout, x: Any) -> Any:
    scale = 1 + by_position(rng, layout, x)
    return lambda x: scale * x


@fault(CONSTANT)
def faint_bias(rng: Random, layout: Layout, x: Any) -> Any:
    bias = 1e-3 * by_position(rng, layout, x)
    return lambda x: x - bias


@fault(CONSTANT)
def quantised_position(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)
    return lambda x: x + along(jnp.floor(jnp.arange(x.shape[axis]) / 2.0), axis) / x.shape[axis]


@fault(CONSTANT)
def largest_of_a_ramp(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)
    return lambda x: jnp.maximum(x, along(jnp.linspace(-1.0, 1.0, x.shape[axis]), axis))


@fault(CONSTANT)
def coordinate_channel(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)

    def call(x: Array) -> Array:
        sizes = list(x.shape)
        sizes[layout.channel] = 1
        ramp = jnp.broadcast_to(along(jnp.linspace(-1.0, 1.0, x.shape[axis]), axis), sizes)
        return jnp.concatenate([x, ramp], layout.channel)

    return call


@fault(CONSTANT)
def mask(rng: Random, layout: Layout, x: Any) -> Any:
    axis, cut = an_axis(rng, layout), int(rng.integers(1, LEAST))
    return lambda x: jnp.where(along(jnp.arange(x.shape[axis]), axis) < cut, x, 0.0)


@fault(CONSTANT)
def fixed_dropout(rng: Random, layout: Layout, x: Any) -> Any:
    key = jax.random.key(int(rng.integers(99)))
    return lambda x: F.dropout(x, 0.4, key=key)


@fault(CONSTANT)
def fixed_noise(rng: Random, layout: Layout, x: Any) -> Any:
    key = jax.random.key(int(rng.integers(99)))
    return lambda x: x + 0.1 * jax.random.normal(key, x.shape, x.dtype)


@fault(CONSTANT)
def matrix(rng: Random, layout: Layout, x: Any) -> Any:
    """A product with a matrix from positions to positions."""
    axis = an_axis(rng, layout)
    product = weights(rng, x.shape[axis], x.shape[axis])
    return lambda x: jnp.moveaxis(jnp.moveaxis(x, axis, -1) @ product, -1, axis)


@fault(CONSTANT)
def interpolation(rng: Random, layout: Layout, x: Any) -> Any:
    axis, shape = an_axis(rng, layout), list(x.shape)
    shape[axis] += int(rng.choice([-1, 1, 2]))
    return lambda x: jax.image.resize(x, shape, "bilinear")


@fault(CONSTANT)
def triangular_matrix(rng: Random, layout: Layout, x: Any) -> Any:
    """A cumulative sum by a matrix."""
    axis = an_axis(rng, layout)
    product = jnp.triu(jnp.ones((x.shape[axis],) * 2)) / x.shape[axis]
    return lambda x: jnp.moveaxis(jnp.moveaxis(x, axis, -1) @ product, -1, axis)


@fault("flatten")
def flatten(rng: Random, layout: Layout, x: Any) -> Any:
    """A dense layer over all positions, in the middle."""
    shape = x.shape[x.ndim - 1 - layout.rank :]
    kernel = weights(rng, int(np.prod(shape)), int(np.prod(shape)))
    return lambda x: (x.reshape(*layout.batch, -1) @ kernel).reshape(*layout.batch, *shape)


@fault("fixed position", "crop", "operands move apart")
def normalised_by_a_row(rng: Random, layout: Layout, x: Any) -> Any:
    axis, row = an_axis(rng, layout), int(rng.integers(LEAST))

    def call(x: Array) -> Array:
        one = part(x, axis, row, row + 1)
        return x / jnp.sqrt(0.3 + jnp.mean(one**2, (*layout.spatial, layout.channel), keepdims=True))

    return call


@fault("fixed position")
def fixed_row_subtracted(rng: Random, layout: Layout, x: Any) -> Any:
    axis, row = an_axis(rng, layout), int(rng.integers(LEAST))
    return lambda x: x - part(x, axis, row, row + 1)


@fault("fixed position")
def row_set(rng: Random, layout: Layout, x: Any) -> Any:
    axis, row = an_axis(rng, layout), int(rng.integers(LEAST))
    return lambda x: x.at[(..., row, *(slice(None),) * (-1 - axis))].set(0.0)


@fault("fixed position")
def row_scaled(rng: Random, layout: Layout, x: Any) -> Any:
    axis, row = an_axis(rng, layout), int(rng.integers(LEAST))
    return lambda x: x.at[(..., row, *(slice(None),) * (-1 - axis))].multiply(1.5)


@fault("fixed position", CONSTANT)
def slice_updated(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)
    sizes = list(x.shape)
    sizes[axis] = 1
    return lambda x: lax.dynamic_update_slice(x, jnp.zeros(sizes, x.dtype), (0,) * x.ndim)


@fault("crop", "fixed position", "operands move apart", CONSTANT)
def softmax_over_half(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)

    def call(x: Array) -> Array:
        half = x.shape[axis] // 2
        return jnp.concatenate([jax.nn.softmax(part(x, axis, 0, half), axis), part(x, axis, half)], axis)

    return call


@fault("crop", "fixed position")
def mean_of_half(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)
    return lambda x: x - jnp.mean(part(x, axis, 0, x.shape[axis] // 2), layout.spatial, keepdims=True)


@fault("fixed position", "no rule")
def branch_by_a_position(rng: Random, layout: Layout, x: Any) -> Any:
    """What is done depends on the sign of one number."""
    return lambda x: lax.cond(x.reshape(-1)[0] > 0, jnp.tanh, jnp.square, x)


@fault("fixed position", CONSTANT)
def rows_in_a_loop(rng: Random, layout: Layout, x: Any) -> Any:
    """The first rows are added to, one a turn."""
    axis = an_axis(rng, layout)
    place = (slice(None),) * (axis % x.ndim)
    return lambda x: lax.fori_loop(0, 2, lambda n, x: x.at[(*place, n)].add(0.5), x)


@fault(CONSTANT)
def bias_in_a_branch(rng: Random, layout: Layout, x: Any) -> Any:
    """Deep in a residual branch, behind a call."""
    bias, first, second = by_position(rng, layout, x), same_conv(rng, layout, x), same_conv(rng, layout, x)
    branch = jax.checkpoint(lambda x: second(jnp.tanh(first(x) + bias)))
    return lambda x: x + branch(x)


@fault(CONSTANT)
def bias_by_vmap(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)
    return lambda x: jax.vmap(lambda row, n: row * jnp.cos(0.3 * n), (axis, 0), axis)(x, jnp.arange(x.shape[axis]))


@fault(CONSTANT)
def exponent(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)
    return lambda x: (0.5 + jax.nn.sigmoid(x)) ** along(jnp.linspace(0.5, 2.0, x.shape[axis]), axis)


@fault(CONSTANT, "stride")
def checkerboard(rng: Random, layout: Layout, x: Any) -> Any:
    """Every other position counts less: of an even size, shifts by two are kept."""
    axis = an_axis(rng, layout)
    return lambda x: x * along(1 - 0.5 * (jnp.arange(x.shape[axis]) % 2), axis)


@fault(CONSTANT, "operation", "no rule", "fixed position", "crop", permutes=True)
def permuted_rows(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)
    order, row = np.arange(x.shape[axis]), int(rng.integers(LEAST - 1))
    order[[row, row + 1]] = row + 1, row  # neither a roll nor a mirror, whatever the size
    return lambda x: jnp.take(x, order, axis)


@fault(CONSTANT, "operands move apart", "no rule")
def attention_with_positions(rng: Random, layout: Layout, x: Any) -> Any:
    """Every position looks at all along one axis, with a bias by place."""
    axis = an_axis(rng, layout)
    bias = weights(rng, x.shape[axis], x.shape[axis], fan=1)

    def call(x: Array) -> Array:
        rows = jnp.moveaxis(x, (axis, layout.channel), (-2, -1))
        mixed = jax.nn.softmax(rows @ jnp.swapaxes(rows, -1, -2) + bias, -1) @ rows
        return x + jnp.moveaxis(mixed, (-2, -1), (axis, layout.channel))

    return call
