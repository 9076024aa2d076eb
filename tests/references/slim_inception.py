"""TF-Slim's Inception networks, on the `Layers` of `references.slim`."""

from functools import partial

import jax

V2 = {
    "3b": (64, 64, 64, 64, 96, 32), "3c": (64, 64, 96, 64, 96, 64), "4a": (128, 160, 64, 96),
    "4b": (224, 64, 96, 96, 128, 128), "4c": (192, 96, 128, 96, 128, 128), "4d": (160, 128, 160, 128, 160, 96),
    "4e": (96, 128, 192, 160, 192, 96), "5a": (128, 192, 192, 256), "5b": (352, 192, 320, 160, 224, 128),
    "5c": (352, 192, 320, 192, 224, 128),
}  # fmt: skip
"""Features of Inception v2's blocks, those of stride 2 with four."""


def v2(separable, layers, x):
    if separable:
        x = layers.conv(layers.conv(x, 24, 7, 2, groups=3), 64, 1, name="Conv2d_1a_7x7")
    else:
        x = layers.conv(x, 64, 7, 2, name="Conv2d_1a_7x7")
    x = layers.conv(layers.max(x, 3, 2, name="MaxPool_2a_3x3"), 64, 1, name="Conv2d_2b_1x1")
    x = layers.max(layers.conv(x, 192, 3, name="Conv2d_2c_3x3"), 3, 2, name="MaxPool_3a_3x3")
    for block, (a, b, c, d, *rest) in V2.items():
        if rest:
            pool = partial(layers.max, window=3, stride=1) if block == "5c" else layers.avg
            e, f = rest
            branches = [(a, 1)], [(b, 1), (c, 3)], [(d, 1), (e, 3), (e, 3)], [pool, (f, 1)]
        else:
            branches = [(a, 1), (b, 3, 2)], [(c, 1), (d, 3), (d, 3, 2)], [partial(layers.max, window=3, stride=2)]
        x = layers.mixed(x, *branches, name=f"Mixed_{block}")


def v3(layers, x):
    x = stem(layers, x)
    for block, last in zip("bcd", (32, 64, 64), strict=True):
        branches = [(64, 1)], [(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)], [layers.avg, (last, 1)]
        x = layers.mixed(x, *branches, name=f"Mixed_5{block}")
    branches = [(384, 3, *HALF)], [(64, 1), (96, 3), (96, 3, *HALF)], [halved(layers)]
    x = layers.mixed(x, *branches, name="Mixed_6a")
    for block, n in zip("bcde", (128, 160, 160, 192), strict=True):
        long = [(n, 1), (n, (7, 1)), (n, (1, 7)), (n, (7, 1)), (192, (1, 7))]
        branches = [(192, 1)], [(n, 1), (n, (1, 7)), (192, (7, 1))], long, [layers.avg, (192, 1)]
        x = layers.mixed(x, *branches, name=f"Mixed_6{block}")
    long = [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, *HALF)]
    x = layers.mixed(x, [(192, 1), (320, 3, *HALF)], long, [halved(layers)], name="Mixed_7a")
    for block in "bc":
        fork = forked(layers, 384)
        branches = [(320, 1)], [(384, 1), fork], [(448, 1), (384, 3), fork], [layers.avg, (192, 1)]
        x = layers.mixed(x, *branches, name=f"Mixed_7{block}")


def v4(layers, x):
    half = halved(layers)
    x = layers.conv(x, 32, 3, *HALF, name="Conv2d_1a_3x3")
    x = layers.conv(layers.conv(x, 32, 3, 1, "VALID", "Conv2d_2a_3x3"), 64, 3, name="Conv2d_2b_3x3")
    x = layers.mixed(x, [half], [(96, 3, *HALF)], name="Mixed_3a")
    long = [(64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3, 1, "VALID")]
    x = layers.mixed(x, [(64, 1), (96, 3, 1, "VALID")], long, name="Mixed_4a")
    x = layers.mixed(x, [(192, 3, *HALF)], [half], name="Mixed_5a")
    for block in "bcde":
        branches = [(96, 1)], [(64, 1), (96, 3)], [(64, 1), (96, 3), (96, 3)], [layers.avg, (96, 1)]
        x = layers.mixed(x, *branches, name=f"Mixed_5{block}")
    x = layers.mixed(x, [(384, 3, *HALF)], [(192, 1), (224, 3), (256, 3, *HALF)], [half], name="Mixed_6a")
    for block in "bcdefgh":
        long = [(192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))]
        branches = [(384, 1)], [(192, 1), (224, (1, 7)), (256, (7, 1))], long, [layers.avg, (128, 1)]
        x = layers.mixed(x, *branches, name=f"Mixed_6{block}")
    long = [(256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, *HALF)]
    x = layers.mixed(x, [(192, 1), (192, 3, *HALF)], long, [half], name="Mixed_7a")
    for block in "bcd":
        fork, long = forked(layers, 256), [(384, 1), (448, (3, 1)), (512, (1, 3))]
        branches = [(256, 1)], [(384, 1), fork], [*long, fork], [layers.avg, (256, 1)]
        x = layers.mixed(x, *branches, name=f"Mixed_7{block}")


def resnet_v2(padding, layers, x):
    half, pool = (2, padding), halved(layers, padding)
    x = stem(layers, x, padding)
    branches = [(96, 1)], [(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)], [layers.avg, (64, 1)]
    x = layers.mixed(x, *branches, name="Mixed_5b")
    for _ in range(10):
        x = residual(layers, x, [(32, 1)], [(32, 1), (32, 3)], [(32, 1), (48, 3), (64, 3)])
    x = layers.mixed(x, [(384, 3, *half)], [(256, 1), (256, 3), (384, 3, *half)], [pool], name="Mixed_6a")
    for _ in range(20):
        x = residual(layers, x, [(192, 1)], [(128, 1), (160, (1, 7)), (192, (7, 1))])
    layers.end(x, "PreAuxLogits")
    short, long = [(256, 1), (288, 3, *half)], [(256, 1), (288, 3), (320, 3, *half)]
    x = layers.mixed(x, [(256, 1), (384, 3, *half)], short, long, [pool], name="Mixed_7a")
    for _ in range(10):
        x = residual(layers, x, [(192, 1)], [(192, 1), (224, (1, 3)), (256, (3, 1))])
    layers.conv(x, 1536, 1, name="Conv2d_7b_1x1")


HALF = (2, "VALID")


def halved(layers, padding="VALID"):
    return partial(layers.max, window=3, stride=2, padding=padding)


def stem(layers, x, padding="VALID"):
    """What v3 and Inception-ResNet begin with."""
    x = layers.conv(x, 32, 3, 2, padding, "Conv2d_1a_3x3")
    x = layers.conv(layers.conv(x, 32, 3, 1, padding, "Conv2d_2a_3x3"), 64, 3, name="Conv2d_2b_3x3")
    x = layers.conv(layers.max(x, 3, 2, padding, "MaxPool_3a_3x3"), 80, 1, name="Conv2d_3b_1x1")
    return layers.max(layers.conv(x, 192, 3, 1, padding, "Conv2d_4a_3x3"), 3, 2, padding, "MaxPool_5a_3x3")


def forked(layers, features):
    """A 1x3 and a 3x1 convolution of the same map, side by side."""
    return lambda x: layers.mixed(x, [(features, (1, 3))], [(features, (3, 1))])


def residual(layers, x, *branches):
    """Add the branches, brought to x's features, at a tenth of their size."""
    return jax.nn.relu(x + 0.1 * layers.conv(layers.mixed(x, *branches), x.shape[-1], 1))
