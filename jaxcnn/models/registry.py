"""The models, by name."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from flax import nnx

from jaxcnn import nn
from jaxcnn.config import unknown
from jaxcnn.functional import window as win
from jaxcnn.models.airbench import airbench, airbench96
from jaxcnn.models.alexnet import alexnet
from jaxcnn.models.all_cnn import all_cnn
from jaxcnn.models.blocks import Style
from jaxcnn.models.captioner import captioner
from jaxcnn.models.convnext import convnext
from jaxcnn.models.densenet import densenet
from jaxcnn.models.detector import detector
from jaxcnn.models.group_cnn import group_cnn
from jaxcnn.models.lenet5 import lenet5
from jaxcnn.models.linear import linear
from jaxcnn.models.mlp import mlp
from jaxcnn.models.mobilenet_v2 import mobilenet_v2
from jaxcnn.models.nin import nin
from jaxcnn.models.preact_resnet import preact_resnet
from jaxcnn.models.resnet import resnet
from jaxcnn.models.resnet9 import resnet9
from jaxcnn.models.resnet_cifar import resnet_cifar
from jaxcnn.models.small_cnn import small_cnn
from jaxcnn.models.unet import unet
from jaxcnn.models.vgg import vgg
from jaxcnn.nn.module import layer_of


class Entry(NamedTuple):
    """A registered model: `build(*, num_classes, input_shape, rngs, **options)`, and one line about it."""

    build: Callable[..., nn.Module]
    description: str
    ranks: tuple[int, ...] = (2,)
    """How many spatial axes its images may have."""


ANY = (1, 2, 3)
MODELS: dict[str, Entry] = {
    "linear": Entry(linear, "one dense layer: the linear classifier", ANY),
    "mlp": Entry(mlp, "hidden dense layers: width, depth", ANY),
    "small_cnn": Entry(small_cnn, "the presets' CNN: up to three stages of 3x3 convolutions and a pool"),
    "group_cnn": Entry(group_cnn, "small_cnn over a group, p4 or p4m: logits do not change when images are turned"),
    "lenet5": Entry(lenet5, "LeNet-5 (1998): two 5x5 convolutions, three dense layers, 61,706 parameters"),
    "alexnet": Entry(alexnet, "AlexNet (2012): 61.1 million parameters; stem imagenet or cifar"),
    "nin": Entry(nin, "Network in Network (2014), for 32x32 images: 0.97 million parameters"),
    "all_cnn": Entry(all_cnn, "All-CNN-C (2015), for 32x32 images: 1.37 million parameters"),
    "vgg11": Entry(partial(vgg, 11), "VGG-11 (2015): 132.9 million parameters; head avg leaves 9.2 for 32x32 images"),
    "vgg16": Entry(partial(vgg, 16), "VGG-16: 138.4 million parameters; head avg leaves 14.7"),
    "vgg19": Entry(partial(vgg, 19), "VGG-19: 143.7 million parameters; head avg leaves 20.0"),
    "small_resnet": Entry(partial(resnet_cifar, 1), "ResNet of 8 layers, for signals, images and volumes", ANY),
    "resnet9": Entry(resnet9, "ResNet-9 (2018), for 32x32 images: 6.6 million parameters"),
    "airbench": Entry(airbench, "the CIFAR-10 speed record's network (2024), for 32x32 images: 2.0 million parameters"),
    "airbench96": Entry(airbench96, "its wider, deeper relative for 96 %, residual: 9.9 million parameters"),
    "resnet20": Entry(partial(resnet_cifar, 3), "ResNet-20 (2016), for 32x32 images: 0.27 million parameters", ANY),
    "resnet32": Entry(partial(resnet_cifar, 5), "ResNet-32: 0.46 million parameters", ANY),
    "resnet56": Entry(partial(resnet_cifar, 9), "ResNet-56: 0.85 million parameters", ANY),
    "resnet110": Entry(partial(resnet_cifar, 18), "ResNet-110: 1.73 million parameters", ANY),
    "resnet18": Entry(partial(resnet, 18), "ResNet-18 (2016): 11.7 million parameters; stem imagenet or cifar"),
    "resnet34": Entry(partial(resnet, 34), "ResNet-34: 21.8 million parameters; stem imagenet or cifar"),
    "resnet50": Entry(partial(resnet, 50), "ResNet-50 (v1.5): 25.6 million parameters; stem imagenet or cifar"),
    "resnet101": Entry(partial(resnet, 101), "ResNet-101: 44.5 million parameters; stem imagenet or cifar"),
    "resnet152": Entry(partial(resnet, 152), "ResNet-152: 60.2 million parameters; stem imagenet or cifar"),
    "preact_resnet20": Entry(
        partial(preact_resnet, 3), "pre-activation ResNet-20 (2016): 0.27 million parameters", ANY
    ),
    "preact_resnet110": Entry(partial(preact_resnet, 18), "pre-activation ResNet-110: 1.73 million parameters", ANY),
    "wrn16_4": Entry(partial(preact_resnet, 2, 4), "WideResNet-16-4 (2016): 2.75 million parameters", ANY),
    "wrn28_10": Entry(partial(preact_resnet, 4, 10), "WideResNet-28-10: 36.5 million parameters", ANY),
    "densenet100": Entry(partial(densenet, 16), "DenseNet-BC-100 (2017): 0.77 million parameters"),
    "mobilenet_v2": Entry(mobilenet_v2, "MobileNetV2 (2018): 3.5 million parameters; stem imagenet or cifar"),
    "convnext_tiny": Entry(
        partial(convnext, "tiny"), "ConvNeXt-T (2022): 28.6 million parameters; stem imagenet or cifar"
    ),
    "detector": Entry(detector, "fully convolutional: a class and a box for each 4x4 pixels of an image of any size"),
    "captioner": Entry(captioner, "a convolutional encoder and a GRU that says five words about an image"),
    "unet": Entry(unet, "U-Net (2015): a class for every pixel; depth levels", ANY),
}
COMMON = ("num_classes", "input_shape", "rngs")
STYLE = tuple(field.name for field in dataclasses.fields(Style) if field.name != "rank")


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
        input_shape: `(height, width, channels)` of an image; some models take `(length, channels)` and volumes too.
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
    build, _, ranks = MODELS[name]
    parameters = inspect.signature(build).parameters
    styled = STYLE if "style" in parameters else ()
    known = [option for option in parameters if option not in (*COMMON, "style")]
    for option in options:
        if option not in (*known, *styled):
            raise ValueError(unknown(f"option of {name}", option, [*known, *styled] or ["(none)"]))
    _check_options(name, options)
    win.per_axis("num_classes", num_classes, 1)
    rank = len(input_shape) - 1
    if rank not in ranks:
        expected = "(height, width, channels)" if ranks == (2,) else "one to three sizes, and channels"
        raise ValueError(f"`input_shape` (={tuple(input_shape)}) must be {expected}")
    input_shape = win.per_axis("input_shape", tuple(input_shape), rank + 1)
    rngs = rngs if isinstance(rngs, nnx.Rngs) else nnx.Rngs(rngs)
    try:
        if styled:
            choices = {option: options.pop(option) for option in styled if option in options}
            options["style"] = dataclasses.replace(parameters["style"].default, rank=rank, **choices)
        return build(num_classes=num_classes, input_shape=input_shape, rngs=rngs, **options)
    except ValueError as error:
        layer = layer_of(error)
        where = f" in layer {layer}" if layer else ""
        raise ValueError(f"{name} with `input_shape` (={input_shape}){where}: {error}") from error


def _check_options(name: str, options: dict[str, Any]) -> None:
    """Raise where a layer would, in the option's own name."""
    width, dropout = options.get("width", 1), options.get("dropout", 0.0)
    if type(width) is not int or width < 1:
        raise ValueError(f"`width` (={width}) of {name} must be at least 1, and whole")
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` (={dropout}) of {name} must be at least 0 and less than 1")
