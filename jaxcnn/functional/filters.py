"""The classic image kernels, and how they are applied to a picture."""

from collections.abc import Mapping
from types import MappingProxyType

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Num

from jaxcnn.config import unknown
from jaxcnn.functional import window as win
from jaxcnn.functional.conv import depthwise_conv

FILTERS: Mapping[str, np.ndarray] = MappingProxyType(
    {
        name: np.array(kernel, np.float32)
        for name, kernel in {
            "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
            "edge4": [[0, -1, 0], [-1, 4, -1], [0, -1, 0]],
            "edge8": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
            "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
            "box_blur": np.full((3, 3), 1 / 9),
            "gaussian3": np.outer([1, 2, 1], [1, 2, 1]) / 16,
            "gaussian5": np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256,
            "sobel_x": np.outer([1, 2, 1], [-1, 0, 1]),
            "sobel_y": np.outer([-1, 0, 1], [1, 2, 1]),
        }.items()
    }
)
"""The classic image kernels by name, each `(height, width)`, float32.

edge4 and edge8 are also called ridge; a blur sums to 1, an edge filter to 0. sobel_x grows with the brightness
from left to right, sobel_y from top to bottom.
"""


def apply_filter(
    x: Num[Array, "*batch_and_spatial channels"],
    kernel: str | Num[Array, "*window"] | Num[np.ndarray, "*window"],
    *,
    padding_mode: str = "replicate",
) -> Num[Array, "*batch_and_spatial channels"]:
    """Filter every channel of an image by the same kernel; the size stays.

    Args:
        x: Image, `(*batch, height, width, channels)`, or any rank that the kernel has.
        kernel: A name in `FILTERS`, or the kernel itself, one axis for each spatial axis.
        padding_mode: As in `conv`; `zeros` darkens the border of a blurred image.

    Returns:
        Image of x's shape and dtype. It may leave the image's range, as edges are signed: clip or scale to show it.

    Raises:
        ValueError: An unknown name, or a kernel that does not fit.
        TypeError: An image that is not floating point.

    Example:
        >>> step = jnp.array([0., 0., 1., 1.]) * jnp.ones((3, 4))
        >>> apply_filter(step[..., None], "sobel_x")[1, :, 0].tolist()
        [0.0, 4.0, 4.0, 0.0]
        >>> apply_filter(step[..., None], "sobel_y").any().item()
        False

    Reference:
        CS231n, "Convolutional networks"; the blurs are rows of Pascal's triangle.
    """
    (x,) = win.floating(x=x)
    if isinstance(kernel, str):
        if kernel not in FILTERS:
            raise ValueError(unknown("`kernel`", kernel, FILTERS))
        kernel = FILTERS[kernel]
    window, channels = kernel.shape, x.shape[-1]
    stacked = jnp.broadcast_to(jnp.asarray(kernel, x.dtype)[..., None, None], (*window, 1, channels))
    return depthwise_conv(x, stacked, padding_mode=padding_mode)
