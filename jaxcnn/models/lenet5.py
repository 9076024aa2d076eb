"""LeNet-5: the first convolutional network in daily use."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import Style, network

UNNORMALIZED = Style(norm="none")


def lenet5(
    *,
    num_classes: int,
    input_shape: Sequence[int],
    rngs: nnx.Rngs,
    style: Style = UNNORMALIZED,
    padding: int | None = None,
    head: str = "flatten",
    dropout: float = 0.0,
) -> nn.Sequential:
    """Build two 5x5 convolutions with pools, and three dense layers: 6, 16, 120, 84.

    61,706 parameters at 32x32x1 and 10 classes. The defaults are today's: activation tanh and pool avg give
    1998's (but for its trained pools, partial connections and Euclidean outputs).

    Args:
        num_classes: Outputs.
        input_shape: `(height, width, channels)` of an image, at least 12x12 without padding.
        rngs: Draws the kernels.
        padding: Of the first convolution; None means 2 for 28x28 images, as LeCun padded MNIST to 32x32, else 0.
        style: The choices that all convolutional models share.
        head: What the dense layers read: `flatten` (all of the last maps), or their global `avg` or `max`.
        dropout: Share of features dropped before the last dense layer in training.

    Returns:
        The network.

    Raises:
        ValueError: An unknown option, or an image that is too small.

    Example:
        >>> net = lenet5(num_classes=10, input_shape=(28, 28, 1), rngs=nnx.Rngs(0))
        >>> net.head.dense1.kernel.shape
        (400, 120)

    Reference:
        LeCun et al., "Gradient-based learning applied to document recognition", 1998.
    """
    if padding is None:
        padding = 2 if tuple(input_shape[:2]) == (28, 28) else 0
    trunk = {
        "conv1": style.conv(input_shape[-1], 6, 5, padding=padding, rngs=rngs),
        "norm1": style.normalize(6),
        "activation1": style.activate(),
        "pool1": style.reduce(2, 6, rngs=rngs),
        "conv2": style.conv(6, 16, 5, padding=0, rngs=rngs),
        "norm2": style.normalize(16),
        "activation2": style.activate(),
        "pool2": style.reduce(2, 16, rngs=rngs),
    }
    return network(
        trunk,
        input_shape,
        num_classes,
        head=head,
        hidden=(120, 84),
        style=style,
        dropout=dropout,
        rngs=rngs,
    )
