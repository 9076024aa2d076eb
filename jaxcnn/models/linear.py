"""The linear classifier: what every network is compared with."""

from collections.abc import Sequence

from flax import nnx

from jaxcnn import nn
from jaxcnn.models.blocks import network


def linear(*, num_classes: int, input_shape: Sequence[int], rngs: nnx.Rngs) -> nn.Sequential:
    """Build one dense layer from the pixels to the classes.

    Args:
        num_classes: Outputs.
        input_shape: `(*spatial, channels)` of an image.
        rngs: Draws the kernel.

    Returns:
        The network.

    Example:
        The lecture's CIFAR-10 classifier: 3,072 pixels and a bias for each of 10 classes, 30,730 parameters.

        >>> linear(num_classes=10, input_shape=(32, 32, 3), rngs=nnx.Rngs(0)).head.dense.kernel.shape
        (3072, 10)
    """
    return network({}, input_shape, num_classes, head="flatten", rngs=rngs)
