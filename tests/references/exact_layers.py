"""Layers that keep every shift, or every multiple of their strides, drawn to fit the map that they are given."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxcnn import functional as F

SMALLEST, LARGEST = 4, 16
Random = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where a network's arrays have what."""

    rank: int
    channels_first: bool
    batch: tuple[int, ...] = ()

    @property
    def spatial(self) -> tuple[int, ...]:
        end = 0 if self.channels_first else -1
        return tuple(range(end - self.rank, end))

    @property
    def channel(self) -> int:
        return -1 - self.rank if self.channels_first else -1

    def sizes(self, x: Array) -> tuple[int, ...]:
        return tuple(x.shape[axis] for axis in self.spatial)

    def channels(self, x: Array) -> int:
        return x.shape[self.channel]

    def along_channels(self, v: Array) -> Array:
        """Shape one number a channel so that it broadcasts."""
        return v.reshape(-1, *(1,) * self.rank) if self.channels_first else v


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer: what it is called, what it does, and whether it strides, so that a lattice is all that is left."""

    kind: str
    call: Callable[[Array], Array]
    strides: bool = False
    head: bool = False


def weights(rng: Random, *shape: int, fan: int | None = None) -> Array:
    """Draw weights that keep activations of order 1."""
    return jnp.asarray(rng.standard_normal(shape) / math.sqrt(fan or max(math.prod(shape[:-1]), 1)), jnp.float32)


def kernel_sizes(rng: Random, layout: Layout, x: Array, dilation: int = 1) -> tuple[int, ...]:
    most = [min(5, (n - 1) // dilation + 1) for n in layout.sizes(x)]
    return tuple(int(rng.integers(1, m + 1)) for m in most)


def convolve(layout: Layout, x: Array, kernel: Array, *, strides: Sequence[int], dilation: int, groups: int) -> Array:
    """Convolve circularly, by `F.conv` or, channels first, by what JAX itself has."""
    if not layout.channels_first:
        return F.conv(x, kernel, strides=strides, padding_mode="circular", dilation=dilation, groups=groups)
    pads = [(0, 0)] * x.ndim
    for axis, k, s, n in zip(layout.spatial, kernel.shape, strides, layout.sizes(x), strict=False):
        around = max((math.ceil(n / s) - 1) * s + (k - 1) * dilation + 1 - n, 0)
        pads[axis] = (around // 2, around - around // 2)
    x = jnp.pad(x, pads, mode="wrap")
    letters = "HW"[: layout.rank]
    batched = x.reshape(-1, *x.shape[-1 - layout.rank :])
    y = lax.conv_general_dilated(
        batched, kernel, tuple(strides), "VALID", rhs_dilation=(dilation,) * layout.rank,
        dimension_numbers=(f"NC{letters}", f"{letters}IO", f"NC{letters}"), feature_group_count=groups,
    )  # fmt: skip
    return y.reshape(*x.shape[: -1 - layout.rank], *y.shape[1:])


def some_strides(rng: Random, layout: Layout, x: Array) -> tuple[int, ...] | None:
    """Draw strides that divide the sizes, and do not make them too small."""
    fitting = [[s for s in (1, 2, 3) if n % s == 0 and n // s >= SMALLEST] for n in layout.sizes(x)]
    drawn = tuple(int(rng.choice(s)) for s in fitting)
    return drawn if max(drawn) > 1 else None


def conv(rng: Random, layout: Layout, x: Array, strides: Sequence[int] | None = None) -> Layer:
    taken, dilation = layout.channels(x), int(rng.choice([1, 1, 1, 2]))
    groups = int(rng.choice([g for g in (1, 1, 2, taken) if taken % g == 0]))
    given = groups * int(rng.integers(1, 4)) if groups < 4 else groups
    window = kernel_sizes(rng, layout, x, dilation)
    kernel = weights(rng, *window, taken // groups, given)
    bias = layout.along_channels(0.3 * weights(rng, given)) if rng.random() < 0.5 else 0.0
    activation = jax.nn.relu if rng.random() < 0.4 else lambda x: x
    steps = strides or (1,) * layout.rank

    def call(x: Array) -> Array:
        return activation(convolve(layout, x, kernel, strides=steps, dilation=dilation, groups=groups) + bias)

    return Layer("conv", call, strides=max(steps) > 1)


def strided_conv(rng: Random, layout: Layout, x: Array) -> Layer | None:
    strides = some_strides(rng, layout, x)
    return None if strides is None else conv(rng, layout, x, strides)


def same_conv(rng: Random, layout: Layout, x: Array) -> Callable[[Array], Array]:
    """A convolution that keeps the shape."""
    kernel = weights(rng, *kernel_sizes(rng, layout, x), layout.channels(x), layout.channels(x))
    return partial(convolve, layout, kernel=kernel, strides=(1,) * layout.rank, dilation=1, groups=1)


def pool(rng: Random, layout: Layout, x: Array) -> Layer | None:
    strides = some_strides(rng, layout, x)
    if strides is None:
        return None
    if layout.channels_first:
        sizes = [1] * x.ndim
        for axis, s in zip(layout.spatial, strides, strict=True):
            sizes[axis] = s
        return Layer("lax pool", lambda x: lax.reduce_window(x, -jnp.inf, lax.max, sizes, sizes, "VALID"), strides=True)
    operation = [F.max_pool, F.avg_pool, F.min_pool][rng.integers(3)]
    if rng.random() < 0.5:
        return Layer("pool", lambda x: operation(x, strides), strides=True)
    window = tuple(int(rng.integers(2, 4)) for _ in strides)
    options = {"strides": strides, "padding": "SAME", "padding_mode": "circular"}
    return Layer("circular pool", lambda x: operation(x, window, **options), strides=True)


def tile_pool(rng: Random, layout: Layout, x: Array) -> Layer | None:
    strides = some_strides(rng, layout, x)
    if strides is None:
        return None
    reduce = [jnp.max, jnp.mean][rng.integers(2)]

    def call(x: Array) -> Array:
        shape, within = [], []
        steps = dict(zip((axis % x.ndim for axis in layout.spatial), strides, strict=True))
        for axis, n in enumerate(x.shape):
            shape += [n // steps[axis], steps[axis]] if axis in steps else [n]
            within += [len(shape) - 1] if axis in steps else []
        return reduce(x.reshape(shape), axis=tuple(within))

    return Layer("tile pool", call, strides=True)


def activation(rng: Random, layout: Layout, x: Array) -> Layer:
    name = str(rng.choice(["relu", "gelu", "tanh", "silu"]))
    return Layer(name, getattr(jax.nn, name))


def norm(rng: Random, layout: Layout, x: Array) -> Layer:
    channels = layout.channels(x)
    scale, offset = (layout.along_channels(1 + 0.2 * weights(rng, channels, fan=1)) for _ in range(2))
    kind = str(rng.choice(["batch", "layer", "instance", "group"]))
    if layout.channels_first:
        axes = {"layer": layout.channel, "instance": layout.spatial, "group": (*layout.spatial, layout.channel)}

        def call(x: Array) -> Array:
            if kind == "batch":
                return x * scale + offset
            mean, variance = (f(x, axis=axes[kind], keepdims=True) for f in (jnp.mean, jnp.var))
            return (x - mean) * lax.rsqrt(variance + 1e-3) * scale + offset

        return Layer(f"{kind} norm", call)
    options = {"epsilon": 1e-3, "spatial_axes": layout.spatial}
    groups = int(rng.choice([g for g in (1, 2, 3) if channels % g == 0]))
    calls = {
        "batch": lambda x: F.batch_norm(x, scale, offset, 0.1 * offset, scale**2, training=False)[0],
        "layer": lambda x: F.layer_norm(x, scale, offset, epsilon=1e-3),
        "instance": lambda x: F.instance_norm(x, scale, offset, **options),
        "group": lambda x: F.group_norm(x, scale, offset, groups=groups, **options),
    }
    return Layer(f"{kind} norm", calls[kind])


def residual(rng: Random, layout: Layout, x: Array) -> Layer:
    first, second = same_conv(rng, layout, x), same_conv(rng, layout, x)
    if rng.random() < 0.5:
        return Layer("residual", lambda x: x + first(jax.nn.relu(x)))
    return Layer("residual", lambda x: jax.nn.relu(x + 0.5 * second(jax.nn.relu(first(x)))))


def strided_residual(rng: Random, layout: Layout, x: Array) -> Layer | None:
    strides = some_strides(rng, layout, x)
    if strides is None:
        return None
    one, other = (weights(rng, *kernel_sizes(rng, layout, x), layout.channels(x), 3) for _ in range(2))
    sampled = partial(convolve, layout, strides=strides, dilation=1, groups=1)
    return Layer("strided residual", lambda x: sampled(x, one) + jax.nn.relu(sampled(x, other)), strides=True)


def roll(rng: Random, layout: Layout, x: Array) -> Layer:
    axis, shift = int(rng.choice(layout.spatial)), int(rng.integers(1, 4))
    return Layer("roll", lambda x: jnp.roll(x, shift, axis))


def mix(rng: Random, layout: Layout, x: Array) -> Layer:
    kernel = weights(rng, layout.channels(x), int(rng.integers(2, 5)))

    def call(x: Array) -> Array:
        return jnp.moveaxis(jnp.moveaxis(x, layout.channel, -1) @ kernel, -1, layout.channel)

    return Layer("mix", call)


def gate(rng: Random, layout: Layout, x: Array) -> Layer:
    """Scale every channel by what the mean of the map says."""
    kernel = weights(rng, layout.channels(x), layout.channels(x))
    across = (layout.channel, layout.spatial)[rng.integers(2)]

    def call(x: Array) -> Array:
        mean = jnp.mean(x, axis=across, keepdims=True)
        if across == layout.channel:
            return x * jax.nn.sigmoid(mean)
        excited = jnp.moveaxis(jnp.moveaxis(mean, layout.channel, -1) @ kernel, -1, layout.channel)
        return x * jax.nn.sigmoid(excited)

    return Layer("gate", call)


def repeat(rng: Random, layout: Layout, x: Array) -> Layer | None:
    axes = [axis for axis in layout.spatial if 2 * x.shape[axis] <= LARGEST]
    return Layer("repeat", lambda x: jnp.repeat(x, 2, axes[0])) if axes else None


def concatenation(rng: Random, layout: Layout, x: Array) -> Layer:
    branch = same_conv(rng, layout, x)
    return Layer("concatenation", lambda x: jnp.concatenate([jax.nn.relu(branch(x)), x], layout.channel))


def turned_conv(rng: Random, layout: Layout, x: Array) -> Layer:
    """A convolution in the other layout, there and back."""
    other = Layout(layout.rank, not layout.channels_first, layout.batch)
    kernel = weights(rng, *kernel_sizes(rng, layout, x), layout.channels(x), 3)

    def call(x: Array) -> Array:
        x = jnp.moveaxis(x, layout.channel, other.channel)
        y = convolve(other, x, kernel, strides=(1,) * layout.rank, dilation=1, groups=1)
        return jnp.moveaxis(y, other.channel, layout.channel)

    return Layer("turned conv", call)


def blur(rng: Random, layout: Layout, x: Array) -> Layer | None:
    strides, taps = some_strides(rng, layout, x), int(rng.integers(2, 5))
    if strides is None or layout.channels_first:
        return None
    return Layer(
        "blur", lambda x: F.blur_pool(x, strides=strides, taps=taps, spatial_axes=layout.spatial), strides=True
    )


def polyphase(rng: Random, layout: Layout, x: Array) -> Layer | None:
    strides = some_strides(rng, layout, x)
    if strides is None or layout.channels_first or layout.batch:
        return None
    return Layer("polyphase", lambda x: F.polyphase_pool(x, strides=strides, spatial_axes=layout.spatial), strides=True)


def sampled_slice(rng: Random, layout: Layout, x: Array) -> Layer | None:
    strides = some_strides(rng, layout, x)
    if strides is None:
        return None
    first = tuple(int(rng.integers(s)) for s in strides)

    def call(x: Array) -> Array:
        steps = [slice(None)] * x.ndim
        for axis, s, start in zip(layout.spatial, strides, first, strict=True):
            steps[axis] = slice(start, None, s)
        return x[tuple(steps)]

    return Layer("slice", call, strides=True)


def softmax(rng: Random, layout: Layout, x: Array) -> Layer:
    axis = int(rng.choice((*layout.spatial, layout.channel)))
    return Layer("softmax", lambda x: x + jax.nn.softmax(x, axis))


LAYERS = (
    conv, conv, conv, conv, conv, activation, activation, norm, norm, residual, residual, roll, mix, gate, repeat,
    concatenation, turned_conv, pool, tile_pool, strided_conv, strided_residual, blur, polyphase, sampled_slice,
    softmax,
)  # fmt: skip
REACHING = ("instance norm", "group norm", "gate", "softmax", "polyphase")
"""Layers whose every output sees the whole map: whatever comes in at a border changes it."""


def heads(rng: Random, layout: Layout, x: Array) -> list[Layer]:
    """A global pool and a dense layer."""
    reduce = [jnp.mean, jnp.max][rng.integers(2)]
    kernel = weights(rng, layout.channels(x), 5)
    return [
        Layer("global pool", lambda x: reduce(x, layout.spatial), head=True),
        Layer("dense", lambda x: x @ kernel, head=True),
    ]
