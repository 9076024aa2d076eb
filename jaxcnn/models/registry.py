"""The models, by name."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from flax import nnx

from jaxcnn import nn
from jaxcnn.config import unknown
from jaxcnn.functional import window as win
from jaxcnn.models.group_cnn import group_cnn
from jaxcnn.models.lenet5 import lenet5
from jaxcnn.models.linear import linear
from jaxcnn.models.mlp import mlp
from jaxcnn.models.resnet import resnet
from jaxcnn.models.resnet9 import resnet9
from jaxcnn.models.small_cnn import small_cnn
from jaxcnn.nn.module import layer_of


class Entry(NamedTuple):
    """A registered model: `build(*, num_classes, input_shape, rngs, **options)`, and one line about it."""

    build: Callable[..., nn.Module]
    description: str


MODELS: dict[str, Entry] = {
    "linear": Entry(linear, "one dense layer: the linear classifier"),
    "mlp": Entry(mlp, "hidden dense layers: width, depth"),
    "lenet5": Entry(lenet5, "LeNet-5 (1998): two 5x5 convolutions, three dense layers, 61,706 parameters"),
    "small_cnn": Entry(small_cnn, "the presets' CNN: up to three stages of 3x3 convolutions and a pool"),
    "group_cnn": Entry(group_cnn, "small_cnn over a group, p4 or p4m: logits do not change when images are turned"),
    "resnet9": Entry(resnet9, "ResNet-9 for 32x32 images: 6.6 million parameters"),
    "resnet18": Entry(partial(resnet, 18), "ResNet-18: 11.7 million parameters; stem imagenet or cifar"),
    "resnet34": Entry(partial(resnet, 34), "ResNet-34: 21.8 million parameters; stem imagenet or cifar"),
    "resnet50": Entry(partial(resnet, 50), "ResNet-50 (v1.5): 25.6 million parameters; stem imagenet or cifar"),
}
COMMON = ("num_classes", "input_shape", "rngs")


def available() -> dict[str, str]:
    """List the registered models.

    Returns:
        One line about each, by name.

    Example:
        >>> available()["linear"]
        'one dense layer: the linear classifier'
    """
    return {name: entry.description for name, entry in MODELS.items()}


def create(
    name: str,
    *,
    num_classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
    rngs: nnx.Rngs | int = 0,
    **options: Any,
) -> nn.Module:
    """Create a registered model.

    Under `nnx.eval_shape` the model is abstract: it can be traced and counted, and allocates nothing.

    Args:
        name: One of `available()`.
        num_classes: Outputs, the logits.
        input_shape: `(height, width, channels)` of an image.
        rngs: Draws the parameters: an `nnx.Rngs`, or a seed.
        **options: The model's own, such as `width=`, `norm=` or `padding_mode=`.

    Returns:
        A module: `model(images) -> logits`, images `(*batch, height, width, channels)`.

    Raises:
        ValueError: An unknown name or option, or an image that the model does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> model = create("small_cnn", input_shape=(8, 8, 1), width=8, padding_mode="circular")
        >>> model(jnp.ones((2, 8, 8, 1))).shape
        (2, 10)
    """
    if name not in MODELS:
        raise ValueError(unknown("model", name, MODELS))
    build = MODELS[name].build
    known = [option for option in inspect.signature(build).parameters if option not in COMMON]
    for option in options:
        if option not in known:
            raise ValueError(unknown(f"option of {name}", option, known or ["(none)"]))
    win.per_axis("num_classes", num_classes, 1)
    if len(input_shape) != 3:
        raise ValueError(f"`input_shape` (={tuple(input_shape)}) must be (height, width, channels)")
    input_shape = win.per_axis("input_shape", tuple(input_shape), 3)
    rngs = rngs if isinstance(rngs, nnx.Rngs) else nnx.Rngs(rngs)
    try:
        return build(num_classes=num_classes, input_shape=input_shape, rngs=rngs, **options)
    except ValueError as error:
        layer = layer_of(error)
        where = f" in layer {layer}" if layer else ""
        raise ValueError(f"{name} with `input_shape` (={input_shape}){where}: {error}") from error
