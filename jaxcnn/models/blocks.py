"""What convolutional models are made of: their common options, residual blocks, heads."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxcnn import nn
from jaxcnn.config import unknown

NORMS = ("batch", "group", "layer", "none")
POOLS = {"max": nn.MaxPool, "avg": nn.AvgPool}
SAMPLERS = ("blur", "polyphase")
HEADS = ("flatten", "avg", "max")
SATURATING = ("tanh", "sigmoid")


@dataclasses.dataclass(frozen=True)
class Style:
    """The choices that all convolutional models leave to their user; it makes their layers.

    A convolution has a bias only where no norm follows, and its kernel is drawn for its activation: He normal, or
    LeCun normal before tanh and sigmoid.

    Example:
        >>> style = Style(padding_mode="circular", norm="batch", activation="relu", pool="max")
        >>> style.unit(3, 8, rngs=nnx.Rngs(0))(jnp.ones((32, 32, 3))).shape
        (32, 32, 8)
    """

    padding_mode: str
    """What lies beyond the border of a map."""
    norm: str
    """Normalisation after a convolution: batch, group, layer or none."""
    activation: str
    """Nonlinearity."""
    pool: str
    """How maps are made smaller: max or avg, strided; blur or polyphase, densely, and then sampled."""

    def __post_init__(self) -> None:
        for name, known in (("norm", NORMS), ("pool", (*POOLS, *SAMPLERS))):
            if getattr(self, name) not in known:
                raise ValueError(unknown(name, getattr(self, name), known))

    def conv(
        self, in_channels: int, out_channels: int, size: int, *, padding: int, strides: int = 1, rngs: nnx.Rngs
    ) -> nn.Conv:
        """Return a `size` x `size` convolution."""
        return nn.Conv(
            in_channels,
            out_channels,
            (size, size),
            strides=strides,
            padding=padding,
            padding_mode=self.padding_mode,
            use_bias=self.norm == "none",
            kernel_init=kernel_init(self.activation),
            rngs=rngs,
        )

    def normalize(self, channels: int) -> nn.Module:
        """Return a norm; a group has at least 4 channels, and there are at most 32 groups."""
        if self.norm == "none":
            return nn.Identity()
        if self.norm == "group":
            return nn.GroupNorm(channels, groups=1 if channels % 4 else math.gcd(32, channels // 4))
        return {"batch": nn.BatchNorm, "layer": nn.LayerNorm}[self.norm](channels)

    def activate(self) -> nn.Activation:
        """Return a nonlinearity."""
        return nn.Activation(self.activation)

    @property
    def samples(self) -> bool:
        """Whether strides are layers of their own, after a dense operation."""
        return self.pool in SAMPLERS

    def sample(self, strides: int) -> nn.Module:
        """Return a layer that keeps one position in `strides` x `strides`."""
        if self.pool == "polyphase":
            return nn.PolyphasePool(strides=strides)
        return nn.BlurPool(strides=strides, padding_mode=self.padding_mode)

    def reduce(self, size: int, *, strides: int | None = None, padding: int = 0) -> nn.Module:
        """Return a `size` x `size` pool; before a sampler, the maximum at every position."""
        if not self.samples:
            return POOLS[self.pool]((size, size), strides=strides, padding=padding, padding_mode=self.padding_mode)
        # A circle must stay whole, and so must sizes that the strides divide; else the output keeps the plain pool's.
        whole = self.padding_mode == "circular" or self.pool == "polyphase"
        dense = nn.MaxPool(
            (size, size), strides=1, padding="SAME" if whole else padding, padding_mode=self.padding_mode
        )
        return nn.Sequential(max=dense, sample=self.sample(strides or size))

    def unit(self, in_channels: int, out_channels: int, *, rngs: nnx.Rngs) -> nn.Sequential:
        """Return a 3x3 convolution that keeps the map's size, its norm and its activation."""
        return nn.Sequential(
            conv=self.conv(in_channels, out_channels, 3, padding=1, rngs=rngs),
            norm=self.normalize(out_channels),
            activation=self.activate(),
        )


def kernel_init(activation: str) -> nn.Initializer:
    """Return how kernels before an activation are drawn.

    Args:
        activation: Its name.

    Returns:
        LeCun normal for one that saturates, else He normal.

    Example:
        >>> kernel_init("relu").__name__, kernel_init("tanh").__name__
        ('he_normal', 'lecun_normal')
    """
    return nn.lecun_normal if activation in SATURATING else nn.he_normal


class Residual(nn.Sequential):
    """Add a shortcut to a body of layers: `activation(body(x) + shortcut(x))`.

    Args:
        shortcut: Brings the input to the body's output shape.
        activation: Follows the sum.
        **body: Layers by name.

    Example:
        >>> Residual(shortcut=nn.Identity(), activation=nn.Activation("relu"), double=nn.Activation(lambda x: 2 * x))(
        ...     jnp.array([-1.0, 1.0])
        ... ).tolist()
        [0.0, 3.0]

    Reference:
        He et al., "Deep residual learning for image recognition", 2016.
    """

    def __init__(self, *, shortcut: nn.Module, activation: nn.Module, **body: nn.Module):
        super().__init__(**body)
        self.shortcut = shortcut
        self.activation = activation

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        y = super().__call__(x, training=training, key=key)
        return self.activation(y + self.shortcut(x, training=training))


class PolyphaseResidual(Residual):
    """A residual whose body and shortcut are sampled at the same phase, which the block's input chooses.

    So their sum is equivariant, up to a roll, as each of them is: what is computed of the input looks the same from two
    positions wherever the input does, so that even where two phases tie, either gives the same sum but for a roll.

    Args:
        shortcut: Brings the sampled input to the body's output shape.
        activation: Follows the sum.
        **body: Layers by name, one of them `sample`.

    Example:
        >>> block = PolyphaseResidual(
        ...     shortcut=nn.Identity(), activation=nn.Identity(),
        ...     double=nn.Activation(lambda x: 2 * x), sample=nn.PolyphasePool(),
        ... )
        >>> block(jnp.ones((4, 4, 1))).ravel().tolist()
        [3.0, 3.0, 3.0, 3.0]
    """

    sample: nn.PolyphasePool

    def __call__(self, x: Array, *, training: bool = False, key: Array | None = None) -> Array:
        shortcut, index = self.sample.choose(x)
        keys = [None] * len(self.names) if key is None else jax.random.split(key, len(self.names))
        for name, key in zip(self.names, keys, strict=True):
            layer = getattr(self, name)
            options = {"index": index} if layer is self.sample else {}
            x = layer(x, training=training, key=key, **options)
        return self.activation(x + self.shortcut(shortcut, training=training))


def network(
    trunk: Mapping[str, nn.Module],
    input_shape: Sequence[int],
    num_classes: int,
    *,
    head: str,
    dropout: float = 0.0,
    hidden: Sequence[int] = (),
    activation: str = "relu",
    rngs: nnx.Rngs,
) -> nn.Sequential:
    """Put a classifier on a trunk of layers that gives maps.

    Args:
        trunk: Layers by name, first to last.
        input_shape: `(height, width, channels)` of an image: what `head` "flatten" fits the dense layers to.
        num_classes: Outputs.
        head: How the last maps become a vector: `flatten` (all of them), or global `avg` or `max`.
        dropout: Share of features dropped before the last dense layer in training.
        hidden: Units of the dense layers before the last.
        activation: Follows those.
        rngs: Draws the kernels.

    Returns:
        The trunk's layers and `head` in one `nn.Sequential`.

    Raises:
        ValueError: An unknown head, or an image that the trunk's windows do not fit.

    Example:
        >>> net = network({"pool": nn.MaxPool((4, 4))}, (8, 8, 3), 10, head="flatten", rngs=nnx.Rngs(0))
        >>> net.head.dense.kernel.shape
        (12, 10)
    """
    if head not in HEADS:
        raise ValueError(unknown("head", head, HEADS))
    body = nn.Sequential(**trunk)
    maps = jax.eval_shape(lambda x: body(x), jax.ShapeDtypeStruct(tuple(input_shape), jnp.float32)).shape
    layers: dict[str, nn.Module] = {}
    if head == "flatten":
        layers["flatten"], features = nn.Flatten(), math.prod(maps)
    else:
        layers["pool"], features = nn.GlobalPool(head), maps[-1]
    for i, units in enumerate(hidden, 1):
        layers[f"dense{i}"] = nn.Dense(features, units, kernel_init=kernel_init(activation), rngs=rngs)
        layers[f"activation{i}"] = nn.Activation(activation)
        features = units
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    layers["dense"] = nn.Dense(features, num_classes, rngs=rngs)
    return nn.Sequential(**trunk, head=nn.Sequential(**layers))
