"""A network as plain data, from which other libraries build the same one: its layers in order, and their parameters."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxcnn import nn
from jaxcnn.functional import window as win

Layer = dict[str, Any]
ACTIVATIONS = {jax.nn.relu: "relu", jax.numpy.tanh: "tanh", jax.nn.tanh: "tanh", jax.nn.sigmoid: "sigmoid"}


def describe(module: nn.Module) -> list[Layer]:
    """Write down the layers of a network of images.

    Args:
        module: Made of convolutions, batch norms, ReLU, tanh or sigmoid, max and average pools, dense layers, and
            sequences and residuals of these.

    Returns:
        An object for each layer, in order: its `kind`, its `name` (the path of its parameters) and its sizes. A
        `residual` holds the lists `body`, `shortcut` and `then`.

    Raises:
        ValueError: A layer that the peers do not build, or padding that differs between two sides.

    Example:
        >>> from flax import nnx
        >>> net = nn.Sequential(conv=nn.Conv(1, 4, (3, 3), rngs=nnx.Rngs(0)), pool=nn.MaxPool((2, 2)))
        >>> [layer["kind"] for layer in describe(net)], describe(net)[0]["padding"]
        (['conv', 'pool'], [1, 1])
    """
    return _layers(module, "")


def parameters(module: nn.Module) -> dict[str, np.ndarray]:
    """Return a network's parameters by name: that of their layer in `describe`, a dot, and what they are.

    Args:
        module: The network.

    Returns:
        Arrays, as they lie in the module: kernels of convolutions as (height, width, in, out).

    Example:
        >>> from flax import nnx
        >>> {name: array.shape for name, array in parameters(nn.Dense(2, 3, rngs=nnx.Rngs(0))).items()}
        {'.bias': (3,), '.kernel': (2, 3)}
    """
    found = jax.tree.leaves_with_path(nn.split(module)[1])
    named = {nn.path_of(path).replace("/", "."): np.asarray(leaf) for path, leaf in found}
    return {name if "." in name else f".{name}": array for name, array in named.items()}


def _layers(module: nn.Module, name: str) -> list[Layer]:
    kind = type(module).__name__
    if kind in _RANDOM:
        raise ValueError(f"peers cannot build `{name}`, which drops at random: give --model.{_RANDOM[kind]} 0")
    if kind not in _DESCRIBED:
        raise ValueError(
            f"peers cannot build `{name or 'the model'}`, of kind {kind}: they know {', '.join(sorted(_DESCRIBED))}"
        )
    return _DESCRIBED[kind](module, name)


def _one(kind: str, **facts: Any) -> list[Layer]:
    return [{"kind": kind, **facts}]


def _sequence(module: Any, name: str) -> list[Layer]:
    return [layer for part in module.names for layer in _layers(getattr(module, part), _joined(name, part))]


def _residual(module: Any, name: str) -> list[Layer]:
    parts = {part: _layers(getattr(module, part), _joined(name, part)) for part in ("shortcut", "activation")}
    return _one(
        "residual", name=name, body=_sequence(module, name), shortcut=parts["shortcut"], then=parts["activation"]
    )


def _conv(module: Any, name: str) -> list[Layer]:
    window, groups = module.kernel.shape[:-2], module.groups
    return _one(
        "conv",
        name=name,
        channels=[module.kernel.shape[-2] * groups, module.kernel.shape[-1]],
        window=list(window),
        strides=list(win.per_axis("strides", module.strides, len(window))),
        padding=_padding(module, window, name),
        dilation=list(win.per_axis("dilation", module.dilation, len(window))),
        groups=groups,
        bias=module.bias is not None,
    )


def _pool(module: Any, name: str) -> list[Layer]:
    window, strides = module.window, module.window if module.strides is None else module.strides
    amounts = _padding(module, window, name)
    how = "max" if isinstance(module, nn.MaxPool) else "avg"
    dilated = any(d > 1 for d in win.per_axis("dilation", module.dilation, len(window)))
    if dilated or module.ceil_mode or (how == "avg" and any(amounts)):
        raise ValueError(f"peers cannot build `{name}`: a pool with dilation, ceil_mode, or averages of padded maps")
    strides = list(win.per_axis("strides", strides, len(window)))
    return _one("pool", name=name, how=how, window=list(window), strides=strides, padding=amounts)


def _padding(module: Any, window: Sequence[int], name: str) -> list[int]:
    """Return the amount on each side of an axis: where an axis has as much on either, and zeros."""
    if module.padding_mode != "zeros":
        raise ValueError(f"peers cannot build `{name}`: padding_mode {module.padding_mode!r}")
    padding, rank = module.padding, len(window)
    if padding == "VALID":
        return [0] * rank
    if isinstance(padding, str):
        strides = win.per_axis("strides", module.strides or window, rank)
        dilation = win.per_axis("dilation", module.dilation, rank)
        if all(stride == 1 and size % 2 for stride, size in zip(strides, window, strict=True)):
            return [d * (size - 1) // 2 for d, size in zip(dilation, window, strict=True)]
        raise ValueError(f"peers cannot build `{name}`: `SAME` pads its two sides differently")
    pairs = [(amount, amount) if isinstance(amount, int) else amount for amount in _per_axis(padding, rank)]
    if any(low != high or low < 0 for low, high in pairs):
        raise ValueError(f"peers cannot build `{name}`: padding {padding} differs between two sides")
    return [low for low, _ in pairs]


def _per_axis(padding: Any, rank: int) -> list[Any]:
    return [padding] * rank if isinstance(padding, int) else list(padding)


def _joined(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part


def _activation(module: Any, name: str) -> list[Layer]:
    if module.function not in ACTIVATIONS:
        raise ValueError(f"peers cannot build `{name}`: they know {', '.join(sorted(set(ACTIVATIONS.values())))}")
    return _one("activation", name=name, function=ACTIVATIONS[module.function])


def _batch_norm(module: Any, name: str) -> list[Layer]:
    (channels,) = module.scale.shape
    return _one("batch_norm", name=name, channels=channels, momentum=module.momentum, epsilon=module.epsilon)


def _dense(module: Any, name: str) -> list[Layer]:
    return _one("dense", name=name, channels=list(module.kernel.shape), bias=module.bias is not None)


_RANDOM = {"Dropout": "dropout", "DropPath": "drop-path"}
_DESCRIBED: Mapping[str, Callable[[Any, str], list[Layer]]] = {
    "Activation": _activation,
    "AvgPool": _pool,
    "BatchNorm": _batch_norm,
    "Conv": _conv,
    "Dense": _dense,
    "Flatten": lambda module, name: _one("flatten", name=name),
    "GlobalPool": lambda module, name: _one("global_pool", name=name, how=module.kind),
    "Identity": lambda module, name: [],
    "MaxPool": _pool,
    "PadChannels": lambda module, name: _one("pad_channels", name=name, channels=module.channels),
    "Residual": _residual,
    "Sequential": _sequence,
    "Subsample": lambda module, name: _one("subsample", name=name, strides=module.strides),
}
