"""TF-Slim's networks, whose receptive fields google-research/receptive_field has measured: a few lines each.

Layers are `jax.lax` alone. Kernels are handed in from outside, so that they can be abstract: nothing is allocated.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from references import slim_inception


class Layers:
    """The layers of one network: asks for its kernels by shape, and keeps the maps that have a name."""

    def __init__(self, kernel):
        self.kernel, self.asked = kernel, 0
        self.ends, self.convolutions = {}, {}

    def end(self, x, name):
        """Keep a map, and how many convolutions it has taken."""
        if name:
            self.ends[name], self.convolutions[name] = x, self.asked
        return x

    def conv(self, x, features, window, stride=1, padding="SAME", name=None, groups=1):
        window = (window, window) if isinstance(window, int) else window
        kernel = self.kernel((*window, x.shape[-1] // groups, features))
        self.asked += 1
        order = ("NHWC", "HWIO", "NHWC")
        x = lax.conv_general_dilated(
            x, kernel, (stride, stride), padding, dimension_numbers=order, feature_group_count=groups
        )
        return self.end(jax.nn.relu(x), name)

    def max(self, x, window, stride, padding="SAME", name=None):
        sizes, strides = (1, window, window, 1), (1, stride, stride, 1)
        return self.end(lax.reduce_window(x, -np.inf, lax.max, sizes, strides, padding), name)

    def avg(self, x):
        return lax.reduce_window(x, 0.0, lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME") / 9

    def chain(self, x, steps):
        """Take steps in a row: convolutions (features, window[, stride, padding]), or functions of a map."""
        for step in steps:
            x = step(x) if callable(step) else self.conv(x, *step)
        return x

    def mixed(self, x, *branches, name=None):
        """Concatenate the ends of several chains."""
        return self.end(jnp.concatenate([self.chain(x, branch) for branch in branches], -1), name)


def network(name, size):
    """Return `fn(kernels, x)`, a dict of maps, abstract kernels and input, and each map's number of convolutions."""
    build, shapes, counts = NETWORKS[name], [], {}

    def record(shape):
        shapes.append(jax.ShapeDtypeStruct(shape, "float32"))
        return jnp.zeros(shape)

    def first(x):
        layers = Layers(record)
        build(layers, x)
        counts.update(layers.convolutions)

    def fn(kernels, x):
        kernels = iter(kernels)
        layers = Layers(lambda shape: next(kernels))
        build(layers, x)
        return layers.ends

    x = jax.ShapeDtypeStruct((1, size, size, 3), "float32")
    jax.eval_shape(first, x)
    return fn, shapes, x, counts


def alexnet_v2(layers, x):
    x = layers.conv(x, 64, 11, 4, "VALID", "conv1")
    x = layers.conv(layers.max(x, 3, 2, "VALID", "pool1"), 192, 5, name="conv2")
    x = layers.max(x, 3, 2, "VALID")
    for i, features in enumerate((384, 384, 256), 3):
        x = layers.conv(x, features, 3, name=f"conv{i}")
    layers.max(x, 3, 2, "VALID", "pool5")


def vgg(counts, layers, x):
    for stage, (count, features) in enumerate(zip(counts, (64, 128, 256, 512, 512), strict=True), 1):
        for i in range(1, count + 1):
            x = layers.conv(x, features, 3, name=f"conv{stage}_{i}")
        x = layers.max(x, 2, 2, "VALID", f"pool{stage}")
    layers.chain(x, [(4096, 7, 1, "VALID"), (4096, 1), (1000, 1, 1, "SAME", "fc8")])


def resnet(counts, layers, x):
    """Bottlenecks with the stride in the 3x3 of a block's last unit; v2, with its norms before, has v1's geometry."""

    def same(x, features, window, stride):  # slim's conv2d_same: padded as at stride 1
        return layers.conv(x, features, window, stride, [(window // 2, window // 2)] * 2)

    x = layers.max(same(x, 64, 7, 2), 3, 2)
    for block, (count, width, stride) in enumerate(zip(counts, (64, 128, 256, 512), (2, 2, 2, 1), strict=True), 1):
        for unit in range(1, count + 1):
            step = stride if unit == count else 1
            shortcut = layers.conv(x, 4 * width, 1, step) if unit == 1 else layers.max(x, 1, step)
            y = same(layers.conv(x, width, 1), width, 3, step)
            x = jax.nn.relu(shortcut + layers.conv(y, 4 * width, 1))
        layers.end(x, f"block{block}")


def mobilenet_v1(multiplier, layers, x):
    x = layers.conv(x, int(32 * multiplier), 3, 2, name="Conv2d_0")
    for i, features in enumerate((64, 128, 128, 256, 256, *[512] * 6, 1024, 1024), 1):
        channels = x.shape[-1]
        x = layers.conv(x, channels, 3, 2 if i in (2, 4, 6, 12) else 1, groups=channels)
        x = layers.conv(x, int(features * multiplier), 1, name=f"Conv2d_{i}_pointwise")


NETWORKS = {
    "alexnet_v2": alexnet_v2,
    "vgg_a": partial(vgg, (1, 1, 2, 2, 2)),
    "vgg_16": partial(vgg, (2, 2, 3, 3, 3)),
    "inception_v2": partial(slim_inception.v2, True),
    "inception_v2-no-separable-conv": partial(slim_inception.v2, False),
    "inception_v3": slim_inception.v3,
    "inception_v4": slim_inception.v4,
    "inception_resnet_v2": partial(slim_inception.resnet_v2, "VALID"),
    "inception_resnet_v2-same": partial(slim_inception.resnet_v2, "SAME"),
    "mobilenet_v1": partial(mobilenet_v1, 1.0),
    "mobilenet_v1_075": partial(mobilenet_v1, 0.75),
    "resnet_v1_50": partial(resnet, (3, 4, 6, 3)),
    "resnet_v1_101": partial(resnet, (3, 4, 23, 3)),
    "resnet_v1_152": partial(resnet, (3, 8, 36, 3)),
    "resnet_v1_200": partial(resnet, (3, 24, 36, 3)),
}
"""By their names in google-research/receptive_field: `build(layers, x)`."""
