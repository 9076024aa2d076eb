"""A network's first convolution, to be stepped through: patch times kernel, position by position."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax

from jaxcnn.explain.opened import open_layers
from jaxcnn.report.page import Tab, fragment

FILTERS = 16
"""Filters that can be chosen, at most."""
NUMBERS = 20_000
"""Numbers of the input that a page holds, at most; of a larger one, it has the middle."""


class Convolution(NamedTuple):
    """A convolution of two spatial axes, and what goes into it.

    Example:
        >>> one = ((1, 1), (1, 1))
        >>> Convolution("conv1", np.ones((4, 4, 1)), np.ones((3, 3, 1, 2)), (1, 1), one, (1, 1)).kernel.shape
        (3, 3, 1, 2)
    """

    name: str
    """Of its layer."""
    x: np.ndarray
    """`(height, width, channels)`."""
    kernel: np.ndarray
    """`(height, width, channels, filters)`."""
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    """Before and after, along each axis."""
    dilation: tuple[int, ...]


def first_convolution(fn: Callable[[jax.Array], Any], x: Any) -> Convolution | None:
    """Find the first convolution of a function, whatever is done to the input before it.

    Args:
        fn: A function of images.
        x: One image, `(1, height, width, channels)`.

    Returns:
        The convolution, with the kernel and the input that it really gets; None where there is none over two axes and
        all channels.

    Example:
        >>> from jaxcnn import functional as F
        >>> x, kernel = jax.numpy.ones((1, 8, 8, 1)), jax.numpy.ones((3, 3, 1, 2))
        >>> found = first_convolution(lambda x: F.conv(2 * x, kernel), x)
        >>> found.name, found.padding, float(found.x.max())
        ('conv1', ((1, 1), (1, 1)), 2.0)
        >>> first_convolution(lambda x: 2 * x, x)
    """
    x = jax.numpy.asarray(x)
    opened = open_layers(fn, x)
    for operation in opened.program.operations:
        if operation.name != "conv_general_dilated" or operation.inputs[0] not in opened.program.depends:
            continue
        told = operation.params
        if len(told["window_strides"]) != 2 or told["feature_group_count"] != 1 or set(told["lhs_dilation"]) != {1}:
            return None
        form: lax.ConvDimensionNumbers = told["dimension_numbers"]
        given, kernel = opened.values({opened.program.input: x}, opened.arrays, list(operation.inputs[:2]))
        batch, channels, *places = form.lhs_spec
        out, into, *window = form.rhs_spec
        taken = np.asarray(given, np.float32).transpose(batch, *places, channels)
        after = [name for name, number in opened.places.items() if number >= operation.outputs[0]]
        return Convolution(
            after[0] if after else "convolution",
            taken[0],
            np.asarray(kernel, np.float32).transpose(*window, into, out),
            tuple(told["window_strides"]),
            tuple((int(low), int(high)) for low, high in told["padding"]),
            tuple(told["rhs_dilation"]),
        )
    return None


def stepper(found: Convolution | None) -> Tab:
    """Write a page's part on which a convolution is done by hand, with other strides, padding and dilation too.

    Args:
        found: The convolution.

    Returns:
        The tab.

    Example:
        >>> one = ((1, 1), (1, 1))
        >>> conv = Convolution("conv1", np.ones((4, 4, 1)), np.ones((3, 3, 1, 2)), (1, 1), one, (1, 1))
        >>> "data-stepper" in stepper(conv).content, "data-stepper" in stepper(None).content
        (True, False)
    """
    if found is None:
        return Tab("stepper", "Convolution", fragment("stepper.html", data=None, found=None, part=None))
    x = _middle(found.x)
    part = None if x.shape == found.x.shape else f"the middle {x.shape[0]}x{x.shape[1]} of the input"
    data = {
        "x": _numbers(x),
        "kernel": _numbers(found.kernel[..., :FILTERS]),
        "strides": found.strides,
        "padding": found.padding,
        "dilation": found.dilation,
    }
    return Tab("stepper", "Convolution", fragment("stepper.html", data=data, found=found, part=part))


def _middle(x: np.ndarray) -> np.ndarray:
    height, width, channels = x.shape
    side = max(int((NUMBERS / channels) ** 0.5), 1)
    top, left = max(height - side, 0) // 2, max(width - side, 0) // 2
    return x[top : top + side, left : left + side]


def _numbers(array: np.ndarray) -> list[Any]:
    """Round to six digits, which is about what float32 holds."""
    flat = [float(f"{value:.6g}") for value in np.nan_to_num(np.asarray(array, np.float64)).ravel()]
    return np.array(flat).reshape(array.shape).tolist()
