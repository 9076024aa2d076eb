"""A captioner: a convolutional encoder, and a recurrent decoder that reads its own words."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxcnn import nn
from jaxcnn.models.blocks import PLAIN, Style
from jaxcnn.nn.module import cast

LENGTH = 5
"""Words that are said where nothing else is told."""
FEATURES = 128
"""Of a position and of the state."""


class GRU(nn.Module):
    """One step of a gated recurrent unit.

    `r, z = sigmoid(W x + U h)`, `n = tanh(W x + r (U h))`, and the new state is `(1 - z) n + z h`.

    Args:
        in_features: Of the input.
        features: Of the state.
        rngs: Draws the kernels.

    Example:
        >>> GRU(3, 4, rngs=nnx.Rngs(0))(jnp.ones((2, 3)), jnp.zeros((2, 4))).shape
        (2, 4)

    Reference:
        Cho et al., Learning phrase representations using RNN encoder-decoder, 2014; U h within r as in cuDNN's.
    """

    def __init__(self, in_features: int, features: int, *, rngs: nnx.Rngs):
        self.inputs = nn.Dense(in_features, 3 * features, rngs=rngs)
        self.state = nn.Dense(features, 3 * features, rngs=rngs)

    def __call__(self, x: Array, h: Array, *, training: bool = False, key: Array | None = None) -> Array:
        (xr, xz, xn), (hr, hz, hn) = (jnp.split(part, 3, axis=-1) for part in (self.inputs(x), self.state(h)))
        r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
        return (1 - z) * jnp.tanh(xn + r * hn) + z * h


class Captioner(nn.Module):
    """Say words about an image, one after another, looking at one part of it at a time.

    The encoder's maps become features of positions. Each step weighs the positions by the softmax of the products of
    its query with them, and takes their mean and what it said before, as the mean embedding under its own
    probabilities. So training and use are the same, and a sentence depends on its image alone.

    Args:
        encoder: From an image to maps.
        shape: Of the maps, `(height, width, channels)`.
        words: In the vocabulary.
        features: Of a position, and of the state.
        length: Of a sentence.
        rngs: Draws the kernels.

    Example:
        >>> net = Captioner(nn.Identity(), (4, 4, 3), 24, features=8, length=5, rngs=nnx.Rngs(0))
        >>> net(jnp.ones((2, 4, 4, 3))).shape
        (2, 5, 24)

    Reference:
        Xu et al., Show, attend and tell, 2015 (soft attention; by products, as Luong et al., 2015).
    """

    def __init__(
        self, encoder: nn.Module, shape: Sequence[int], words: int, *, features: int, length: int, rngs: nnx.Rngs
    ):
        height, width, channels = shape
        self.encoder, self.length, self.features = encoder, length, features
        self.value = nn.Dense(channels, features, rngs=rngs)
        self.place = nnx.Param(nn.lecun_normal(rngs.params(), (height * width, features), jnp.float32))
        self.key, self.query = (nn.Dense(features, features, use_bias=False, rngs=rngs) for _ in range(2))
        self.embedding = nn.Dense(words, features, use_bias=False, rngs=rngs)
        self.gru = GRU(2 * features, features, rngs=rngs)
        self.head = nn.Dense(2 * features, words, rngs=rngs)

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        maps = self.encoder(x, training=training, key=key)
        seen = self.value(maps.reshape(*maps.shape[:-3], -1, maps.shape[-1]))
        placed = seen + cast(self.place, seen)
        keys, h = self.key(placed), seen.mean(-2)
        said, logits = jnp.zeros_like(h), []
        for _ in range(self.length):
            weights = jax.nn.softmax((keys @ self.query(h)[..., None])[..., 0] * self.features**-0.5)
            part = (placed * weights[..., None]).sum(-2)
            h = self.gru(jnp.concatenate([said, part], -1), h)
            logits.append(self.head(jnp.concatenate([h, part], -1)))
            said = self.embedding(jax.nn.softmax(logits[-1]))
        return jnp.stack(logits, axis=-2)


def captioner(
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = PLAIN,
    width: int = 24,
    dropout: float = 0.0,
    length: int = LENGTH,
) -> Captioner:
    """Build an encoder of three stages of 3x3 convolutions and a pool, and a GRU that attends to its maps.

    Args:
        num_classes: Words in the vocabulary.
        input_shape: `(height, width, channels)` of an image, at least 8x8.
        rngs: Draws the kernels.
        style: The choices that all convolutional models share.
        width: Channels of the first stage; they double from stage to stage.
        dropout: Share of the last maps' numbers dropped in training.
        length: Words of a sentence.

    Returns:
        The network: logits `(length, num_classes)` of an image.

    Raises:
        ValueError: An unknown option, a length below 1, or an image that is too small.

    Example:
        >>> net = captioner(num_classes=24, input_shape=(64, 64, 1), rngs=nnx.Rngs(0), width=4)
        >>> net(jnp.ones((2, 64, 64, 1))).shape
        (2, 5, 24)
    """
    if length < 1:
        raise ValueError(f"`length` (={length}) must be at least 1")
    layers: dict[str, nn.Module] = {}
    channels = input_shape[-1]
    for stage in range(1, 4):
        units = {"unit1": style.unit(channels, width, rngs=rngs)}
        if stage > 1:
            units["unit2"] = style.unit(width, width, rngs=rngs)
        layers[f"stage{stage}"] = nn.Sequential(**units, pool=style.reduce(2, width, rngs=rngs))
        channels, width = width, 2 * width
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    encoder = nn.Sequential(**layers)
    maps = jax.eval_shape(lambda x: encoder(x), jax.ShapeDtypeStruct(tuple(input_shape), jnp.float32)).shape
    return Captioner(encoder, maps, num_classes, features=FEATURES, length=length, rngs=rngs)
