"""One network in every framework: the same analysis, but for names."""

from typing import Any

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from jax import lax

from jaxcnn import analysis, nn
from jaxcnn import functional as F
from jaxcnn.analysis import costs

HEIGHT, WIDTH = 33, 29
CONV_MACS = (8 * 33 * 29 * 25 * 3, 16 * 9 * 8 * 9 * 8, 16 * 9 * 8 * 9 * 16)


class Ours(nn.Module):
    """The network: 5x5 convolution, norm, ReLU, 3x3 max pool, strided convolution, residual, global mean, dense."""

    def __init__(self, rngs):
        self.conv1 = nn.Conv(3, 8, (5, 5), padding=2, rngs=rngs)
        self.norm1 = nn.BatchNorm(8)
        self.pool = nn.MaxPool((3, 3), strides=2, padding=1)
        self.conv2 = nn.Conv(8, 16, (3, 3), strides=2, padding=1, rngs=rngs)
        self.norm2 = nn.BatchNorm(16)
        self.conv3 = nn.Conv(16, 16, (3, 3), padding=1, rngs=rngs)
        self.norm3 = nn.BatchNorm(16)
        self.mean = nn.GlobalPool("avg")
        self.dense = nn.Dense(16, 10, rngs=rngs)

    def __call__(self, x, *, training=False, key=None):
        x = self.pool(jax.nn.relu(self.norm1(self.conv1(x))))
        x = jax.nn.relu(self.norm2(self.conv2(x)))
        x = jax.nn.relu(x + self.norm3(self.conv3(x)))
        return self.dense(self.mean(x))


class Nnx(nnx.Module):
    """The same in plain Flax NNX."""

    def __init__(self, rngs):
        self.conv1 = nnx.Conv(3, 8, (5, 5), padding=2, rngs=rngs)
        self.norm1 = nnx.BatchNorm(8, use_running_average=True, rngs=rngs)
        self.conv2 = nnx.Conv(8, 16, (3, 3), strides=2, padding=1, rngs=rngs)
        self.norm2 = nnx.BatchNorm(16, use_running_average=True, rngs=rngs)
        self.conv3 = nnx.Conv(16, 16, (3, 3), padding="SAME", rngs=rngs)
        self.norm3 = nnx.BatchNorm(16, use_running_average=True, rngs=rngs)
        self.dense = nnx.Linear(16, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm1(self.conv1(x)))
        x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        x = nnx.relu(self.norm2(self.conv2(x)))
        x = nnx.relu(x + self.norm3(self.conv3(x)))
        return self.dense(x.mean((-3, -2)))


class Linen(linen.Module):
    """The same in Flax Linen, which names its layers itself."""

    @linen.compact
    def __call__(self, x):
        x = linen.Conv(8, (5, 5))(x)
        x = linen.relu(linen.BatchNorm(use_running_average=True)(x))
        x = linen.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        x = linen.Conv(16, (3, 3), strides=2, padding=1)(x)
        x = linen.relu(linen.BatchNorm(use_running_average=True)(x))
        y = linen.BatchNorm(use_running_average=True)(linen.Conv(16, (3, 3))(x))
        return linen.Dense(10)(linen.relu(x + y).mean((-3, -2)))


class Equinox(eqx.Module):
    """The same in Equinox: one image, channels first."""

    convs: list[eqx.nn.Conv2d]
    norms: list[eqx.nn.BatchNorm]
    pool: eqx.nn.MaxPool2d
    dense: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key, 4)
        self.convs = [
            eqx.nn.Conv2d(3, 8, 5, padding=2, key=keys[0]),
            eqx.nn.Conv2d(8, 16, 3, stride=2, padding=1, key=keys[1]),
            eqx.nn.Conv2d(16, 16, 3, padding="SAME", key=keys[2]),
        ]
        self.norms = [eqx.nn.BatchNorm(channels, "batch", mode="batch") for channels in (8, 16, 16)]
        self.pool = eqx.nn.MaxPool2d(3, 2, padding=1)
        self.dense = eqx.nn.Linear(16, 10, key=keys[3])

    def __call__(self, x, state):
        def norm(i, x):
            return self.norms[i](x, state, inference=True)[0]

        x = self.pool(jax.nn.relu(norm(0, self.convs[0](x))))
        x = jax.nn.relu(norm(1, self.convs[1](x)))
        x = jax.nn.relu(x + norm(2, self.convs[2](x)))
        return self.dense(x.mean((1, 2)))


def haiku_network(x, initialize=False):
    """The same in Haiku, whose pool has no amount of padding but SAME."""

    def norm(x):
        return hk.BatchNorm(create_scale=True, create_offset=True, decay_rate=0.9, eps=1e-5)(x, initialize)

    x = hk.max_pool(jax.nn.relu(norm(hk.Conv2D(8, 5)(x))), (3, 3, 1), (2, 2, 1), "SAME")
    x = jax.nn.relu(norm(hk.Conv2D(16, 3, stride=2, padding=((1, 1), (1, 1)))(x)))
    x = jax.nn.relu(x + norm(hk.Conv2D(16, 3)(x)))
    return hk.Linear(10)(x.mean((-3, -2)))


def layer(window, in_channels, out_channels):
    return {"kernel": jnp.ones((*window, in_channels, out_channels)), "bias": jnp.ones(out_channels)}


def norm_layer(channels):
    return {"scale": jnp.ones(channels), "offset": jnp.ones(channels)}


PLAIN = {
    "conv1": layer((5, 5), 3, 8),
    "norm1": norm_layer(8),
    "conv2": layer((3, 3), 8, 16),
    "norm2": norm_layer(16),
    "conv3": layer((3, 3), 16, 16),
    "norm3": norm_layer(16),
    "dense": layer((), 16, 10),
}


def functional_network(params, x):
    """The same of our pure functions."""

    def conv(name, x, **options):
        return F.conv(x, params[name]["kernel"], params[name]["bias"], **options)

    def norm(name, x):
        ones = jnp.ones(x.shape[-1])
        return F.batch_norm(x, *params[name].values(), 0 * ones, ones, training=False, momentum=0.9, epsilon=1e-5)[0]

    x = F.max_pool(jax.nn.relu(norm("norm1", conv("conv1", x, padding=2))), (3, 3), strides=2, padding=1)
    x = jax.nn.relu(norm("norm2", conv("conv2", x, strides=2, padding=1)))
    x = jax.nn.relu(x + norm("norm3", conv("conv3", x)))
    return F.dense(F.global_avg_pool(x), params["dense"]["kernel"], params["dense"]["bias"])


def lax_network(params, x):
    """The same without any library, and channels in the middle of the batch: x is (height, n, channels, width)."""

    def conv(name, x, strides, pad):
        x = lax.conv_general_dilated(
            x, params[name]["kernel"], (strides,) * 2, ((pad, pad),) * 2, dimension_numbers=("HNCW", "HWIO", "HNCW")
        )
        return x + params[name]["bias"][:, None]

    def norm(name, x):
        return x / np.sqrt(np.float32(1 + 1e-5)) * params[name]["scale"][:, None] + params[name]["offset"][:, None]

    x = jnp.maximum(norm("norm1", conv("conv1", x, 1, 2)), 0)
    x = lax.reduce_window(x, -jnp.inf, lax.max, (3, 1, 1, 3), (2, 1, 1, 2), ((1, 1), (0, 0), (0, 0), (1, 1)))
    x = jnp.maximum(norm("norm2", conv("conv2", x, 2, 1)), 0)
    x = jnp.maximum(x + norm("norm3", conv("conv3", x, 1, 1)), 0)
    return x.mean((0, 3)) @ params["dense"]["kernel"] + params["dense"]["bias"]


def of_ours():
    return *nn.functionalize(Ours(nnx.Rngs(0))), (0, 1, 2)


def of_nnx():
    return *nn.functionalize(Nnx(nnx.Rngs(0))), (0, 1, 2)


def of_linen():
    variables = Linen().init(jax.random.key(0), jnp.ones((HEIGHT, WIDTH, 3)))

    def fn(params, x):
        return Linen().apply({"params": params, "batch_stats": variables["batch_stats"]}, x)

    return fn, variables["params"], (0, 1, 2)


def of_equinox():
    model, state = eqx.nn.make_with_state(Equinox)(key=jax.random.key(0))
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    return lambda params, x: eqx.combine(params, rest)(x, state), params, (2, 0, 1)


def of_haiku():
    net = hk.without_apply_rng(hk.transform_with_state(haiku_network))
    params, state = net.init(jax.random.key(0), jnp.ones((1, HEIGHT, WIDTH, 3)), True)
    state = {name: jax.tree.map(jnp.ones_like if "var" in name else jnp.zeros_like, state[name]) for name in state}
    return lambda params, x: net.apply(params, state, x)[0], params, (0, 1, 2)


FRAMEWORKS = {
    "nn": of_ours,
    "nnx": of_nnx,
    "linen": of_linen,
    "equinox": of_equinox,
    "haiku": of_haiku,
    "functional": lambda: (functional_network, PLAIN, (0, 1, 2)),
    "lax": lambda: (lax_network, PLAIN, (0, "n", 2, 1)),
}
each = pytest.mark.parametrize("name", FRAMEWORKS)


def network(name, batch=None):
    """Return a framework's function, parameters, input and spatial axes, for one image or a batch of them."""
    fn, params, order = FRAMEWORKS[name]()
    sizes = (HEIGHT, WIDTH, 3)
    if name == "haiku":  # its batch norm knows how many axes it was made for
        batch = batch or 1
    if "n" in order:
        shape = tuple(batch or 1 if i == "n" else sizes[i] for i in order)
        return fn, params, jax.ShapeDtypeStruct(shape, "float32"), (order.index(0), order.index(1))
    shape = tuple(sizes[i] for i in order)
    axes = (order.index(0) - 3, order.index(1) - 3)
    if batch:
        shape = (batch, *shape)
        fn = jax.vmap(fn, in_axes=(None, 0)) if name == "equinox" else fn
    return fn, params, jax.ShapeDtypeStruct(shape, "float32"), axes


def facts_of(steps):
    """Tell what is known after every step that changes it, without where the axes stand."""
    told: list[Any] = []
    for step in steps:
        axes = [
            (axis.receptive_field, axis.center, axis.jump, axis.padding, axis.circular, axis.interior)
            for axis in step.facts.axes
        ]
        elementwise = not told and axes[0][0] == 1
        if step.depends and not elementwise and axes not in told[-1:]:
            told.append(axes)
    return told


@each
def test_it_is_the_same_network(name):
    """With all parameters alike, every framework computes the same numbers."""
    image = jax.random.normal(jax.random.key(1), (HEIGHT, WIDTH, 3))
    results = []
    for framework in (name, "functional"):
        fn, params, x, axes = network(framework)
        arranged = image if axes[0] == -3 else jnp.moveaxis(image, -1, 0) if axes[0] == -2 else image.transpose(0, 2, 1)
        same = jax.tree.map(lambda leaf: jnp.full_like(leaf, 0.03), params)
        results.append(jnp.ravel(fn(same, arranged.reshape(x.shape))))
    np.testing.assert_allclose(*results, rtol=1e-4)


@each
@pytest.mark.parametrize("batch", [None, 2])
def test_every_step_tells_the_same(name, batch):
    traced = analysis.trace(*network(name, batch)[:3], spatial_axes=network(name, batch)[3])
    expected = analysis.trace(functional_network, PLAIN, jax.ShapeDtypeStruct((HEIGHT, WIDTH, 3), "float32"))
    assert traced.unknown == {}
    assert facts_of(traced.steps) == facts_of(expected.steps)
    convolutions = [costs.macs(step) for step in traced.steps if step.primitive == "conv_general_dilated"]
    assert convolutions == [(batch or 1) * macs for macs in CONV_MACS]
    assert sum(map(costs.macs, traced.steps)) == (batch or 1) * (sum(CONV_MACS) + 160)


def test_what_they_tell_is_right():
    traced = analysis.trace(functional_network, PLAIN, jax.ShapeDtypeStruct((HEIGHT, WIDTH, 3), "float32"))
    told = [
        [
            (rf, center, jump, padding, str(circular), str(interior))
            for rf, center, jump, padding, circular, interior in axes
        ]
        for axes in facts_of(traced.steps)
    ]
    broken = "position-dependent"
    assert told == [
        [(5, 0, 1, (2, 2), broken, "interior 2..2")] * 2,  # the convolution
        [(7, 0, 2, (2, 2), broken, "interior 2..2 on 2Z")] * 2,  # the pool: its unit 1 begins at a 1 that saw padding
        [(11, 0, 4, (2, 2), broken, "interior 2..2 on 4Z")] * 2,
        [(19, 0, 4, (3, 3), broken, "interior 3..3 on 4Z")] * 2,  # of 9 and 8 positions
        [(51, 16, None, (1, 1), broken, broken), (47, 14, None, (1, 1), broken, broken)],  # 19 + 8 * 4 and 19 + 7 * 4
    ]


@pytest.mark.parametrize(("name", "batch"), [(name, None) for name in FRAMEWORKS if name != "lax"] + [("linen", 2)])
def test_the_table_is_the_same(name, batch):
    """For all whose batch axis stands in front of the spatial ones, as `summarize` takes it to."""
    fn, params, x, axes = network(name, batch)
    summary = analysis.summarize(fn, params, x, spatial_axes=axes)
    expected = analysis.summarize(functional_network, PLAIN, jax.ShapeDtypeStruct((HEIGHT, WIDTH, 3), "float32"))
    assert rows(summary) == rows(expected)
    assert [row[2] for row in rows(summary) if row[2]] == [608, 16, 1168, 32, 2320, 32, 170]
    assert summary.totals["parameters"] == expected.totals["parameters"] == 4346


def rows(summary):
    """A table without names, and without the order of axes in a shape."""
    return [
        (
            layer.op,
            sorted(layer.shape),
            layer.parameters,
            layer.macs,
            layer.receptive_field,
            layer.jump,
            str(layer.contract),
        )
        for layer in summary.layers
    ]
