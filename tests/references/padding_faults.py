"""Faults at borders: padding that is not circular, or too little of it; faults in sampling."""

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from jaxcnn import functional as F
from references.exact_layers import Layout, Random, same_conv, weights
from references.faults import FAULTS, LEAST, Build, Fault, an_axis, fault, kernel_of, part


def padded_conv(mode: str) -> Build:
    def build(rng: Random, layout: Layout, x: Any) -> Any:
        kernel = kernel_of(rng, layout, x)
        return None if kernel is None else lambda x: F.conv(x, kernel, padding_mode=mode)

    return build


FAULTS["zero padding"] = Fault(padded_conv("zeros"), ("zero padding",))
FAULTS["mirrored padding"] = Fault(padded_conv("reflect"), ("mirrored padding",))
FAULTS["repeated padding"] = Fault(padded_conv("replicate"), ("mirrored padding",))


@fault("zero padding")
def zero_padding_of_one_axis(rng: Random, layout: Layout, x: Any) -> Any:
    """Zeros along one axis, a circle along the others."""
    kernel, zeros = kernel_of(rng, layout, x, 3), an_axis(rng, layout)
    if kernel is None:
        return None
    around, ends = [(0, 0)] * x.ndim, [(0, 0)] * x.ndim
    for axis in layout.spatial:
        (ends if axis == zeros else around)[axis] = (1, 1)
    return lambda x: F.conv(jnp.pad(jnp.pad(x, around, mode="wrap"), ends), kernel, padding="VALID")


@fault("zero padding")
def dilated_zero_padding(rng: Random, layout: Layout, x: Any) -> Any:
    kernel = kernel_of(rng, layout, x)
    return None if kernel is None else lambda x: F.conv(x, kernel, dilation=2)


@fault("zero padding")
def causal_padding(rng: Random, layout: Layout, x: Any) -> Any:
    """Zeros in front alone."""
    kernel = kernel_of(rng, layout, x)
    return kernel if kernel is None else lambda x: F.conv(x, kernel, padding=[(n - 1, 0) for n in kernel.shape[:-2]])


@fault("zero padding")
def same_pool(rng: Random, layout: Layout, x: Any) -> Any:
    """The pool that reaches beyond the border, after circular convolutions."""
    operation, strides = [F.max_pool, F.avg_pool][rng.integers(2)], int(rng.integers(1, 3))
    if layout.channels_first or any(n % strides or n < 2 * LEAST for n in layout.sizes(x)):
        return None
    return lambda x: operation(x, (3,) * layout.rank, strides=strides, padding="SAME")


@fault("zero padding")
def same_pool_by_lax(rng: Random, layout: Layout, x: Any) -> Any:
    window = [3 if axis - x.ndim in layout.spatial else 1 for axis in range(x.ndim)]
    return lambda x: lax.reduce_window(x, -jnp.inf, lax.max, window, (1,) * x.ndim, "SAME")


@fault("zero padding")
def blur_with_zeros(rng: Random, layout: Layout, x: Any) -> Any:
    if layout.channels_first:
        return None
    return lambda x: F.blur_pool(x, strides=1, padding_mode="zeros", spatial_axes=layout.spatial)


@fault("zero padding")
def transposed_conv(rng: Random, layout: Layout, x: Any) -> Any:
    kernel = kernel_of(rng, layout, x, 3)
    if kernel is None or max(layout.sizes(x)) > 10:
        return None
    return lambda x: F.conv_transpose(x, kernel, strides=2, padding="SAME")


@fault("incomplete padding", "mirrored padding")
def off_by_one_pad(rng: Random, layout: Layout, x: Any) -> Any:
    """A circular pad whose halo is one row further in than it should be."""
    kernel, axis = kernel_of(rng, layout, x, 3), layout.spatial[0]
    if kernel is None:
        return None
    others = [(1, 1) if a - x.ndim in layout.spatial[1:] else (0, 0) for a in range(x.ndim)]

    def call(x: Array) -> Array:
        x = jnp.pad(x, others, mode="wrap") if layout.rank > 1 else x
        wrapped = jnp.concatenate([part(x, axis, -2, -1), x, part(x, axis, 0, 1)], axis)
        return F.conv(wrapped, kernel, padding="VALID")

    return call


@fault("incomplete padding")
def short_pad(rng: Random, layout: Layout, x: Any) -> Any:
    """A circular pad that is one row short, so that the map is one row smaller."""
    kernel, ends, short = kernel_of(rng, layout, x, 3), [(0, 0)] * x.ndim, an_axis(rng, layout)
    if kernel is None:
        return None
    for axis in layout.spatial:
        ends[axis] = (1, 0) if axis == short else (1, 1)
    return lambda x: F.conv(jnp.pad(x, ends, mode="wrap"), kernel, padding="VALID")


@fault("mirrored padding")
def symmetric_padding(rng: Random, layout: Layout, x: Any) -> Any:
    kernel, ends = (
        kernel_of(rng, layout, x, 3),
        [(1, 1) if a - x.ndim in layout.spatial else (0, 0) for a in range(x.ndim)],
    )
    return kernel if kernel is None else lambda x: F.conv(jnp.pad(x, ends, mode="symmetric"), kernel, padding="VALID")


@fault("zero padding")
def padding_with_a_number(rng: Random, layout: Layout, x: Any) -> Any:
    """Another number than zero beyond the border."""
    kernel, ends = (
        kernel_of(rng, layout, x, 3),
        [(1, 1) if a - x.ndim in layout.spatial else (0, 0) for a in range(x.ndim)],
    )
    return (
        kernel if kernel is None else lambda x: F.conv(jnp.pad(x, ends, constant_values=0.5), kernel, padding="VALID")
    )


@fault("no padding")
def valid_conv(rng: Random, layout: Layout, x: Any) -> Any:
    kernel = kernel_of(rng, layout, x)
    return None if kernel is None else lambda x: F.conv(x, kernel, padding="VALID")


@fault("zero padding", "crop", "position-dependent constant", "fixed position")
def shift_with_zeros(rng: Random, layout: Layout, x: Any) -> Any:
    """A shift that should have been a roll."""
    axis = an_axis(rng, layout)
    return lambda x: jnp.concatenate([jnp.zeros_like(part(x, axis, 0, 1)), part(x, axis, 0, -1)], axis)


@fault("crop")
def crop(rng: Random, layout: Layout, x: Any) -> Any:
    axis, start = an_axis(rng, layout), int(rng.integers(2))
    return lambda x: part(x, axis, start, -1)


@fault("zero padding", "crop", "no padding")
def difference(rng: Random, layout: Layout, x: Any) -> Any:
    """Differences of neighbours, with a zero for the last."""
    axis = an_axis(rng, layout)
    ends = [(0, 0)] * x.ndim
    ends[axis] = (0, 1)
    return lambda x: jnp.pad(jnp.diff(x, axis=axis), ends)


@fault("remainder")
def odd_size(rng: Random, layout: Layout, x: Any) -> Any:
    """A pool or a convolution whose stride leaves a position."""
    sizes = layout.sizes(x)
    if layout.channels_first or not any(n % 2 for n in sizes) or min(sizes) < 5:
        return None
    if rng.random() < 0.5:
        return lambda x: F.max_pool(x, (2,) * layout.rank)
    kernel = weights(rng, *(3,) * layout.rank, x.shape[-1], x.shape[-1])
    return lambda x: F.conv(x, kernel, strides=2, padding_mode="circular")


@fault("stride")
def stride(rng: Random, layout: Layout, x: Any) -> Any:
    """Sampling at a fixed phase, up-sampled again, so that no size tells."""
    axis = an_axis(rng, layout)
    return None if x.shape[axis] % 2 else lambda x: jnp.repeat(part(x, axis, 0, None, 2), 2, axis)


@fault("stride")
def tile_means(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)
    if x.shape[axis] % 2:
        return None

    def call(x: Array) -> Array:
        shape = list(x.shape)
        shape[axis : axis + 1 or None] = [x.shape[axis] // 2, 2]
        return x - jnp.repeat(jnp.mean(x.reshape(shape), axis), 2, axis)

    return call


@fault("stride", permutes=True)
def swapped_neighbours(rng: Random, layout: Layout, x: Any) -> Any:
    axis = an_axis(rng, layout)
    if x.shape[axis] % 2 or x.shape[axis] == LEAST:  # of four, 1 0 3 2 is the mirror image 3 2 1 0, rolled by two
        return None
    shape = list(x.shape)
    shape[axis : axis + 1 or None] = [x.shape[axis] // 2, 2]
    return lambda x: jnp.flip(x.reshape(shape), axis).reshape(x.shape)


@fault("operands move apart")
def phases_chosen_apart(rng: Random, layout: Layout, x: Any) -> Any:
    """Two branches, each sampled at its own phase."""
    if layout.channels_first or layout.batch or any(n % 2 for n in layout.sizes(x)):
        return None
    branch = same_conv(rng, layout, x)
    return lambda x: sampled(layout, x) + sampled(layout, branch(x))


def sampled(layout: Layout, x: Array) -> Array:
    """Keep the phase of the largest norm: of equal ones, the first."""
    steps, shape = layout.rank, x.shape
    split = x.reshape(*(size for n in shape[:steps] for size in (n // 2, 2)), shape[-1])
    order = (*range(1, 2 * steps, 2), *range(0, 2 * steps, 2), 2 * steps)
    phases = split.transpose(order).reshape(2**steps, *(n // 2 for n in shape[:steps]), shape[-1])
    norms = jnp.sum(phases**2, range(1, phases.ndim))
    return lax.dynamic_index_in_dim(phases, jnp.argmax(norms), keepdims=False)


@fault("ties", tied=True)
def ties(rng: Random, layout: Layout, x: Any) -> Any:
    """Phases of equal norm: the first of them is no choice that moves with the map."""
    if layout.channels_first or layout.batch or any(n % 2 or n < 6 for n in layout.sizes(x)):
        return None
    return lambda x: sampled(layout, x)
