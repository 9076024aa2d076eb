"""The multilayer perceptron: the same layers without weight sharing."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import Style, network


def mlp(
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    width: int = 128,
    depth: int = 2,
    activation: str = "relu",
    init: str | None = None,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Build hidden dense layers between the pixels and the classes.

    Args:
        num_classes: Outputs.
        input_shape: `(*spatial, channels)` of an image.
        rngs: Draws the kernels.
        width: Units of a hidden layer.
        depth: Hidden layers.
        activation: Nonlinearity.
        init: How the kernels of hidden layers are drawn (None: He normal, or LeCun normal before tanh and sigmoid).
        dropout: Share of features dropped before the last dense layer in training.

    Returns:
        The network.

    Raises:
        ValueError: A negative `depth`.

    Example:
        >>> net = mlp(num_classes=10, input_shape=(28, 28, 1), rngs=nnx.Rngs(0), width=64)
        >>> net.head.dense1.kernel.shape, net.head.dense2.kernel.shape, net.head.dense.kernel.shape
        ((784, 64), (64, 64), (64, 10))
    """
    if depth < 0:
        raise ValueError(f"`depth` (={depth}) must be at least 0")
    return network(
        {},
        input_shape,
        num_classes,
        head="flatten",
        hidden=(width,) * depth,
        style=Style(activation=activation, init=init),
        dropout=dropout,
        rngs=rngs,
    )
