"""What convolutional models are made of: their common options and heads."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from jaxcnn import nn
from jaxcnn.config import unknown
from jaxcnn.functional import window as win

NORMS = ("batch", "group", "layer", "none")
POOLS = {"max": nn.MaxPool, "avg": nn.AvgPool}
SAMPLERS = ("blur", "polyphase")
HEADS = ("flatten", "avg", "max")
SATURATING = ("tanh", "sigmoid")
STEMS = ("imagenet", "cifar")


def one_of(name: str, value: str, known: Iterable[str]) -> None:
    """Refuse an option's value that is not one of those known."""
    if value not in (known := tuple(known)):
        raise ValueError(unknown(name, value, known))


@dataclasses.dataclass(frozen=True)
class Style:
    """The choices that all convolutional models leave to their user; it makes their layers.

    A convolution has a bias only where no norm follows.

    Example:
        >>> style = Style(padding_mode="circular")
        >>> style.unit(3, 8, rngs=nnx.Rngs(0))(jnp.ones((32, 32, 3))).shape
        (32, 32, 8)
    """

    padding_mode: str = "zeros"
    """What lies beyond the border of a map."""
    norm: str = "batch"
    """Normalisation after a convolution: batch, group, layer or none."""
    activation: str = "relu"
    """Nonlinearity."""
    pool: str = "max"
    """How maps are made smaller: max or avg, strided; stride, by a convolution in a pool's place; blur or polyphase,
    densely, and then sampled, strided convolutions too. With `polyphase`, `padding_mode` circular, a global head and
    sizes that all strides divide, logits are invariant to every circular shift."""
    init: str | None = None
    """How the kernels of convolutions and hidden dense layers are drawn; None is He normal, or LeCun normal before tanh
    and sigmoid. The last dense layer's is LeCun normal."""
    rank: int = 2
    """Spatial axes of a map."""

    def __post_init__(self) -> None:
        known = (("norm", NORMS), ("pool", (*POOLS, "stride", *SAMPLERS)), ("init", nn.INITIALIZERS))
        for name, values in known:
            if getattr(self, name) is not None:
                one_of(name, getattr(self, name), values)

    def without_pools(self) -> None:
        """Refuse what a model cannot use that has strided convolutions and no pools."""
        one_of("pool", self.pool, ("stride", *SAMPLERS))

    @property
    def axes(self) -> tuple[int, ...]:
        """Spatial axes of a map."""
        return tuple(range(-1 - self.rank, -1))

    @property
    def kernel_init(self) -> nn.Initializer:
        """How kernels are drawn."""
        if self.init is not None:
            return nn.INITIALIZERS[self.init]
        return nn.lecun_normal if self.activation in SATURATING else nn.he_normal

    def conv(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        *,
        padding: win.Padding,
        strides: int = 1,
        groups: int = 1,
        use_bias: bool | None = None,
        rngs: nnx.Rngs,
    ) -> nn.Conv:
        """Return a convolution of windows of `size` along each axis."""
        return nn.Conv(
            in_channels,
            out_channels,
            (size,) * self.rank,
            strides=strides,
            padding=padding,
            padding_mode=self.padding_mode,
            groups=groups,
            use_bias=self.norm == "none" if use_bias is None else use_bias,
            kernel_init=self.kernel_init,
            rngs=rngs,
        )

    def normalize(self, channels: int, *, epsilon: float = 1e-5, momentum: float = 0.9) -> nn.Module:
        """Return a norm; a group has at least 4 channels, at most 32 groups; batch norms have the momentum."""
        if self.norm == "none":
            return nn.Identity()
        if self.norm == "group":
            groups = 1 if channels % 4 else math.gcd(32, channels // 4)
            return nn.GroupNorm(channels, groups=groups, epsilon=epsilon, spatial_axes=self.axes)
        if self.norm == "layer":
            return nn.LayerNorm(channels, epsilon=epsilon)
        return nn.BatchNorm(channels, epsilon=epsilon, momentum=momentum)

    def activate(self) -> nn.Activation:
        """Return a nonlinearity."""
        return nn.Activation(self.activation)

    @property
    def samples(self) -> bool:
        """Whether strides are layers of their own, after a dense operation."""
        return self.pool in SAMPLERS

    def sample(self, strides: int) -> nn.Module:
        """Return a layer that keeps one position in `strides` along each axis."""
        if self.pool == "polyphase":
            return nn.PolyphasePool(strides=strides, spatial_axes=self.axes)
        return nn.BlurPool(strides=strides, padding_mode=self.padding_mode, spatial_axes=self.axes)

    def reduce(
        self, size: int, channels: int, *, strides: int | None = None, padding: int = 0, rngs: nnx.Rngs
    ) -> nn.Module:
        """Return a pool of windows of `size`, or its convolution; before a sampler, the maximum at every position."""
        if self.pool == "stride":
            return self.unit(channels, channels, size, strides=strides or size, padding=padding, rngs=rngs)
        window = (size,) * self.rank
        if not self.samples:
            return POOLS[self.pool](window, strides=strides, padding=padding, padding_mode=self.padding_mode)
        # A circle must stay whole, and so must sizes that the strides divide; else the output keeps the plain pool's.
        whole = self.padding_mode == "circular" or self.pool == "polyphase"
        dense = nn.MaxPool(window, strides=1, padding="SAME" if whole else padding, padding_mode=self.padding_mode)
        return nn.Sequential(max=dense, sample=self.sample(strides or size))

    def unit(
        self,
        in_channels: int,
        out_channels: int,
        size: int = 3,
        *,
        strides: int = 1,
        padding: int | None = None,
        groups: int = 1,
        activated: bool = True,
        rngs: nnx.Rngs,
    ) -> nn.Sequential:
        """Return a convolution, its norm and its activation; a sampler, which has the strides. None keeps sizes."""
        sampled = self.samples and strides > 1
        layers: dict[str, nn.Module] = {
            "conv": self.conv(
                in_channels,
                out_channels,
                size,
                strides=1 if sampled else strides,
                padding="SAME" if sampled else size // 2 if padding is None else padding,
                groups=groups,
                rngs=rngs,
            ),
            "norm": self.normalize(out_channels),
        }
        if activated:
            layers["activation"] = self.activate()
        if sampled:
            layers["sample"] = self.sample(strides)
        return nn.Sequential(**layers)


PLAIN = Style()
"""Every choice at its default."""


def network(
    trunk: Mapping[str, nn.Module],
    input_shape: Sequence[int],
    num_classes: int | None,
    *,
    head: str,
    style: Style = PLAIN,
    dropout: float = 0.0,
    hidden: Sequence[int] = (),
    every: bool = False,
    normalize: Callable[[int], nn.Module] | None = None,
    rngs: nnx.Rngs,
) -> nn.Sequential:
    """Put a classifier on a trunk of layers that gives maps.

    Args:
        trunk: Layers by name, first to last.
        input_shape: `(*spatial, channels)` of an image: what `head` "flatten" fits the dense layers to.
        num_classes: Outputs; None where the trunk's last channels are the classes, and `head` a global pool.
        head: How the last maps become a vector: `flatten` (all of them), or global `avg` or `max`.
        style: Its `activation` follows hidden layers, which it draws.
        dropout: Share of features dropped before the last dense layer in training.
        hidden: Units of the dense layers before the last.
        every: Drop after every hidden layer, not the last alone.
        normalize: Makes a norm of so many features, before the dense layers.
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
    one_of("head", head, HEADS if num_classes else HEADS[1:])
    axes = tuple(range(-len(input_shape), -1))
    body = nn.Sequential(**trunk)
    maps = jax.eval_shape(lambda x: body(x), jax.ShapeDtypeStruct(tuple(input_shape), jnp.float32)).shape
    layers: dict[str, nn.Module] = {}
    if head == "flatten":
        layers["flatten"], features = nn.Flatten(spatial_axes=axes), math.prod(maps)
    else:
        layers["pool"], features = nn.GlobalPool(head, spatial_axes=axes), maps[-1]
    if normalize:
        layers["norm"] = normalize(features)
    for i, units in enumerate(hidden, 1):
        layers[f"dense{i}"] = nn.Dense(features, units, kernel_init=style.kernel_init, rngs=rngs)
        layers[f"activation{i}"] = style.activate()
        if dropout and every and i < len(hidden):
            layers[f"dropout{i}"] = nn.Dropout(dropout)
        features = units
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    if num_classes:
        layers["dense"] = nn.Dense(features, num_classes, rngs=rngs)
    return nn.Sequential(**trunk, head=nn.Sequential(**layers))
