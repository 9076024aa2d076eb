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
    """How maps are made smaller: max or avg."""

    def __post_init__(self) -> None:
        for name, known in (("norm", NORMS), ("pool", POOLS)):
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

    def reduce(self, size: int, *, strides: int | None = None, padding: int = 0) -> nn.Module:
        """Return a `size` x `size` pool."""
        return POOLS[self.pool]((size, size), strides=strides, padding=padding, padding_mode=self.padding_mode)

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
