"""A network in one line as a function: its parameters, and what each layer computes."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxcnn.analysis.one_line import MODES, Word, parse
from jaxcnn.functional import window as win

Params = dict[str, jax.ShapeDtypeStruct]
Layer = Callable[[dict[str, Any], Array], Array]
"""From the layer's own parameters and a map `(*batch, *spatial, channels)`, or features, to what it gives."""

ELEMENTWISE: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softmax": jax.nn.softmax,
}
POOLS: dict[str, tuple[Any, float]] = {
    "pool": (lax.max, -np.inf),
    "maxpool": (lax.max, -np.inf),
    "minpool": (lax.min, np.inf),
    "avgpool": (lax.add, 0.0),
}
SAME = ("same", "same_lower", "valid")


def network(line: str, input_shape: tuple[int, ...]) -> tuple[Callable[[Any, Array], Array], dict[str, Params]]:
    """Make a network of one line.

    Args:
        line: Layers with `>` between them: `conv5x5(10) p2 > relu > pool2 > dense10`. `one_line.GRAMMAR` has them all.
        input_shape: `(*spatial, channels)`, with 1 to 3 spatial sizes.

    Returns:
        `fn(params, x)`, for `x` of that shape with any batch axes before it; and `params`, of
        `jax.ShapeDtypeStruct`, nested by layer: `conv1`, `relu1`, ... A batch norm has its first statistics, 0 and 1;
        a dropout does nothing, as in evaluation.

    Raises:
        ValueError: A line that cannot be read or does not fit the input; the message points at the place.

    Example:
        >>> fn, params = network("conv5x5(10) p2 > relu > pool2 > dense10", (32, 32, 3))
        >>> params["conv1"]["kernel"].shape, params["dense1"]["kernel"].shape
        ((5, 5, 3, 10), (2560, 10))
        >>> jax.eval_shape(fn, params, jax.ShapeDtypeStruct((7, 32, 32, 3), "float32")).shape
        (7, 10)
    """
    if not 2 <= len(input_shape) <= 4 or min(input_shape) < 1:
        raise ValueError(f"`input_shape` (={tuple(input_shape)}) must be 1 to 3 spatial sizes and the channels")
    shape, counts = tuple(input_shape), dict[str, int]()
    layers: list[tuple[str, Layer]] = []
    params: dict[str, Params] = {}

    def place(kind: str, made: tuple[Params, Layer]) -> None:
        nonlocal shape
        kind = "pool" if kind in ("maxpool", "minpool", "avgpool") else kind
        counts[kind] = counts.get(kind, 0) + 1
        name = f"{kind}{counts[kind]}"
        own, layer = made
        shape = jax.eval_shape(layer, own, jax.ShapeDtypeStruct(shape, "float32")).shape
        layers.append((name, layer))
        if own:
            params[name] = own

    for word in parse(line):
        try:
            if word.kind == "dense" and len(shape) > 1:
                place("flatten", ({}, _flatten(len(shape))))
            place(word.kind, _layer(word, shape))
        except ValueError as error:
            raise word.wrong(line, f"{word.text}: {error}") from None

    def fn(params: Any, x: Array) -> Array:
        for name, layer in layers:
            with jax.named_scope(name):
                x = layer(params.get(name, {}), x)
        return x

    return fn, params


def _layer(word: Word, shape: tuple[int, ...]) -> tuple[Params, Layer]:
    """Return a layer's parameters and function, for maps or features of a shape."""
    kind, rank = word.kind, len(shape) - 1
    if kind in ELEMENTWISE:
        return {}, lambda params, x: ELEMENTWISE[kind](x)
    if kind == "dropout":
        return {}, lambda params, x: _dropout(x)
    if kind == "bn":
        one = jax.ShapeDtypeStruct((shape[-1],), "float32")
        return {"scale": one, "offset": one}, _batch_norm
    if kind == "dense":
        return _weights((shape[-1], word.sizes[0]), word), lambda params, x: _bias(params, x @ params["kernel"])
    if rank == 0:
        raise ValueError(f"it takes a map, but {shape[0]} features come in; put it before what makes them")
    if kind == "flatten":
        return {}, _flatten(len(shape))
    if kind == "globalavg":
        return {}, lambda params, x: x.mean(range(-1 - rank, -1))
    if kind == "globalmax":
        return {}, lambda params, x: x.max(range(-1 - rank, -1))
    return _windowed(word, shape)


def _windowed(word: Word, shape: tuple[int, ...]) -> tuple[Params, Layer]:
    """Return a convolution or a pool."""
    rank, channels, options = len(shape) - 1, shape[-1], word.options
    window = _sizes("window", word.sizes, rank)
    default = window if word.kind in POOLS else (1,) * rank
    strides = _sizes("s", options["s"], rank) if "s" in options else default
    dilation = _sizes("d", options.get("d", (1,)), rank)
    named = next((name.upper() for name in SAME if name in options), None)
    padding: Any = named or _sizes("p", options.get("p", (0,)), rank)
    mode = next((name for name in MODES if name in options), "zeros")
    groups = channels if word.kind == "depthwise" else options.get("g", (1,))[0]
    outputs = channels * (word.count or 1) if word.kind == "depthwise" else word.count or channels
    for name, value in (("channels", channels), ("filters", outputs)):
        if value % groups:
            raise ValueError(f"g{groups} must divide its {value} {name}")
    weights = _weights((*window, channels // groups, outputs), word)
    if word.kind == "transposed":
        borders = _cropped(shape[:-1], window, strides, padding, dilation)

        def scatter(params: Any, x: Array) -> Array:  # unflipped, as functional.conv_transpose and PyTorch do
            turned = {**params, "kernel": lax.rev(params["kernel"], range(rank))}
            return _conv(turned, x, (1,) * rank, borders, strides, dilation, groups)

        return weights, scatter
    place = win.geometry(
        shape[:-1], window, strides=strides, padding=padding, dilation=dilation, ceil_mode="ceil" in options
    )
    if word.kind in POOLS:
        return {}, lambda params, x: _pool(x, place, mode, *POOLS[word.kind])
    return weights, lambda params, x: _conv(params, x, strides, place.padding, (1,) * rank, dilation, groups, mode)


def _sizes(name: str, sizes: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Return one size an axis."""
    if len(sizes) not in (1, rank):
        axes = f"{rank} spatial ax{'i' if rank == 1 else 'e'}s"
        raise ValueError(f"{name} {'x'.join(map(str, sizes))} has {len(sizes)} sizes, but its input has {axes}")
    return sizes * rank if len(sizes) == 1 else sizes


def _cropped(sizes: Any, window: Any, strides: Any, padding: Any, dilation: Any) -> tuple[tuple[int, int], ...]:
    """Return the padding, of the spread input, that makes a convolution the adjoint of one."""
    spans = [d * (w - 1) + 1 for w, d in zip(window, dilation, strict=True)]
    wide = [s * n for s, n in zip(strides, sizes, strict=True)]
    crops = win.padding_amounts(padding, wide, spans, strides)
    borders = []
    for n, s, span, (low, high) in zip(sizes, strides, spans, crops, strict=True):
        scattered = s * (n - 1) + span
        size = s * n if str(padding).startswith("SAME") else scattered - low - high
        if size < 1:
            raise ValueError(f"p{low} crops the whole output: {scattered} - {low} - {high}")
        borders.append((span - 1 - low, size - scattered + low + span - 1))
    return tuple(borders)


def _weights(kernel: tuple[int, ...], word: Word) -> Params:
    params = {"kernel": jax.ShapeDtypeStruct(kernel, "float32")}
    return params if "nobias" in word.options else {"bias": jax.ShapeDtypeStruct(kernel[-1:], "float32"), **params}


def _conv(
    params: Any, x: Array, strides: Any, padding: Any, spread: Any, dilation: Any, groups: int, mode: str = "zeros"
) -> Array:
    rank = params["kernel"].ndim - 2
    x, batch = win.merge_batch(x, rank)
    if mode != "zeros":
        x, padding = win.pad(x, padding, mode), ((0, 0),) * rank
    maps = (0, rank + 1, *range(1, rank + 1))
    y = lax.conv_general_dilated(
        x,
        params["kernel"],
        strides,
        padding,
        lhs_dilation=spread,
        rhs_dilation=dilation,
        dimension_numbers=lax.ConvDimensionNumbers(maps, (rank + 1, rank, *range(rank)), maps),
        feature_group_count=groups,
    )
    return _bias(params, y.reshape(*batch, *y.shape[1:]))


def _bias(params: Any, y: Array) -> Array:
    return y + params["bias"] if "bias" in params else y


def _pool(x: Array, place: win.Geometry, mode: str, reducer: Any, neutral: float) -> Array:
    """Reduce windows; an average counts the positions of the map alone."""
    x, batch = win.merge_batch(x, len(place.window))
    ends = [(low, high + more) for (low, high), more in zip(place.padding, place.overhang, strict=True)]
    if mode != "zeros":
        x = win.pad(x, place.padding, mode)
        ends = [(0, more) for more in place.overhang]
    window, strides, dilation = ((1, *sizes, 1) for sizes in (place.window, place.strides, place.dilation))
    padding = [(0, 0), *ends, (0, 0)]

    def reduce(values: Any) -> Any:
        taken = lax.reduce_window(
            values, np.array(neutral, np.float32), reducer, window, strides, padding, window_dilation=dilation
        )
        return taken[(slice(None), *map(slice, place.output))] if taken.shape[1:-1] != place.output else taken

    y = reduce(x)
    if reducer is lax.add:
        y /= math.prod(place.window) if not np.any(padding) else reduce(jnp.ones((1, *x.shape[1:-1], 1)))
    return y.reshape(*batch, *y.shape[1:])


def _batch_norm(params: Any, x: Array) -> Array:
    mean, variance = jnp.zeros(x.shape[-1]), jnp.ones(x.shape[-1])
    return (x - mean) * (lax.rsqrt(variance + 1e-5) * params["scale"]) + params["offset"]


@jax.jit
def dropout(x: Array) -> Array:
    """Pass a map on."""
    return lax.stop_gradient(x)


def _dropout(x: Array) -> Array:
    return dropout(x)


def _flatten(axes: int) -> Layer:
    return lambda params, x: x.reshape(*x.shape[: x.ndim - axes], math.prod(x.shape[x.ndim - axes :]))
