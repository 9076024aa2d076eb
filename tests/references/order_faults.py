"""Faults in the order of positions, and what new content at the borders reaches."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxcnn import functional as F
from references.exact_layers import Layout, Random
from references.faults import along, an_axis, fault


@fault("cumulative operation")
def cumulative_sum(rng: Random, layout: Layout, x: Any) -> Any:
    axis, operation = an_axis(rng, layout), [jnp.cumsum, lambda x, a: lax.cummax(x, a % x.ndim)][rng.integers(2)]
    return lambda x: operation(x, axis) / 2


@fault("cumulative operation", "operation", "fixed position", "crop", "operands move apart")
def scan_along_rows(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)

    def call(x: Array) -> Array:
        rows = jnp.moveaxis(x, axis, 0)
        _, y = lax.scan(lambda carry, row: (0.5 * carry + row, 0.5 * carry + row), jnp.zeros_like(rows[0]), rows)
        return jnp.moveaxis(y, 0, axis)

    return call


@fault("sort")
def sort(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)
    return lambda x: jnp.sort(x, axis)


@fault("sort", "operands move apart")
def sort_added(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)
    return lambda x: x + jnp.sort(x, axis)


@fault("transposed axes")
def transposed_axes(rng: Random, layout: Layout, x: Any) -> Any:
    return (lambda x: jnp.swapaxes(x, *layout.spatial)) if layout.rank == 2 else None


@fault("operands move apart")
def transposed_and_added(rng: Random, layout: Layout, x: Any) -> Any:
    square = layout.rank == 2 and len(set(layout.sizes(x))) == 1
    return (lambda x: x + jnp.swapaxes(x, *layout.spatial)) if square else None


@fault("mirrored axis")
def mirrored_axis(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)
    return lambda x: jnp.flip(x, axis)


@fault("operands move apart")
def mirrored_and_added(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)
    return lambda x: x + jnp.flip(x, axis)


@fault("flatten", "transposed axes", "operation", permutes=True)
def reshaped_for_transposed(rng: Random, layout: Layout, x: Any) -> Any:
    """Axes that were to be transposed, by a reshape."""
    if layout.rank != 2 or len(set(layout.sizes(x))) == 1:
        return None
    shape, (one, other) = list(x.shape), layout.spatial
    shape[one], shape[other] = shape[other], shape[one]
    return lambda x: x.reshape(shape)


@fault("operation", "no rule")
def position_of_the_maximum(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)
    return lambda x: x + jnp.argmax(x, axis, keepdims=True) / x.shape[axis]


@fault("operation", "no rule", "position-dependent constant", "operands move apart", permutes=True)
def skew(rng: Random, layout: Layout, x: Any) -> Any:
    """Every row rolled by its own number."""
    if layout.rank != 2:
        return None

    def call(x: Array) -> Array:
        rows = jnp.moveaxis(x, layout.spatial, (0, 1))
        rolled = jax.vmap(lambda row, n: jnp.roll(row, n, 0))(rows, jnp.arange(len(rows)))
        return jnp.moveaxis(rolled, (0, 1), layout.spatial)

    return call


@fault("no rule")
def gain_by_frequency(rng: Random, layout: Layout, x: Any) -> Any:
    """A low-pass by Fourier transform, with a gain that knows positions: an operation without a rule."""
    axis = an_axis(rng, layout)

    def call(x: Array) -> Array:
        gain = along(jnp.linspace(1.0, 0.5, x.shape[axis]), axis)
        return jnp.fft.ifft(jnp.fft.fft(x, axis=axis) * gain, axis=axis).real * gain

    return call


@fault("batch statistics", mode="interior")
def batch_statistics(rng: Random, layout: Layout, x: Any) -> Any:
    zeros, ones = jnp.zeros(layout.channels(x)), jnp.ones(layout.channels(x))
    if layout.channels_first:
        return None
    return lambda x: F.batch_norm(x, ones, zeros, zeros, ones, training=True)[0]


@fault("batch statistics", mode="interior")
def instance_statistics(rng: Random, layout: Layout, x: Any) -> Any:
    return None if layout.channels_first else lambda x: F.instance_norm(x, spatial_axes=layout.spatial)


@fault("global reduction", mode="interior")
def global_gate(rng: Random, layout: Layout, x: Any) -> Any:
    return lambda x: x * jax.nn.sigmoid(jnp.mean(x, layout.spatial, keepdims=True))


@fault("sort", mode="interior")
def sort_of_an_interior(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)
    return lambda x: jnp.sort(x, axis)
