"""Every layer that we ship, with drawn options, and its domain as theory has it: what `analysis` says plays no part."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxcnn import functional as F
from jaxcnn import nn
from jaxcnn.functional import window as win
from references import domains
from references import window_cases as windows
from references.domains import Reading
from references.drawn_case import Case, Chooser, cast, spatial


def global_pool(choose: Chooser) -> Case:
    sizes, kind = choose.sizes(choose.rank()), choose.one_of("kind", ("avg", "max"))
    if kind == "avg" and choose.flip("order_independent"):
        axes = tuple(range(-1 - len(sizes), -1))
        fn, params = lambda _, x: F.global_avg_pool(x, spatial_axes=axes, order_independent=True), ()
        return _without_positions(choose.case(fn, params, sizes, 2, map(domains.whole, sizes), bits=True))
    fn, params = choose.module(lambda rngs: nn.GlobalPool(kind, spatial_axes=spatial(sizes)))
    return _without_positions(choose.case(fn, params, sizes, 2, map(domains.whole, sizes), bits=kind == "max"))


def ordered_sum(choose: Chooser) -> Case:
    sizes = choose.sizes(choose.rank())
    case = choose.case(
        lambda _, x: F.order_independent_sum(x, spatial(sizes)), (), sizes, 2, map(domains.whole, sizes), bits=True
    )
    return _without_positions(case)


def polyphase(choose: Chooser) -> Case:
    rank = choose.rank()
    strides = choose.per_axis("stride", rank, 1, 3)
    sizes = choose.sizes(rank, strides)
    options = {"strides": strides, "spatial_axes": spatial(sizes)}
    if choose.flip("index"):
        index = choose.number("phase", 0, math.prod(strides) - 1)
        fn, params = lambda _, x: F.polyphase_pool(x, index=jnp.asarray(index), **options), ()
        phases = [(index // math.prod(strides[axis + 1 :])) % s for axis, s in enumerate(strides)]
        found = [
            domains.window(
                n, window=1, stride=s, dilation=1, padding=(0, 0), mode="zeros", outputs=n // s, reading=_phase(k)
            )
            for n, s, k in zip(sizes, strides, phases, strict=True)
        ]
    else:
        fn, params = choose.module(lambda rngs: nn.PolyphasePool(**options))
        found = [domains.orbit(n, s) for n, s in zip(sizes, strides, strict=True)]
        if math.prod(strides) == 1:
            found = [domains.pointwise(n) for n in sizes]
    return choose.case(fn, params, sizes, 2, found)


def unpool(choose: Chooser) -> Case:
    rank = choose.rank()
    strides = choose.per_axis("stride", rank, 1, 3)
    sizes = choose.sizes(rank, strides)
    options: dict[str, Any] = {"strides": strides, "spatial_axes": spatial(sizes)}

    def fn(_: Any, x: Array) -> Array:
        return F.polyphase_unpool(*F.polyphase_pool(x, return_index=True, **options), **options)

    found = [domains.normalised(n) if math.prod(strides) > 1 else domains.pointwise(n) for n in sizes]
    return choose.case(fn, (), sizes, 2, found)


def pointwise(make: Callable[[Chooser], Callable[[nnx.Rngs], nn.Module]]) -> Callable[[Chooser], Case]:
    def case(choose: Chooser) -> Case:
        sizes = choose.sizes(choose.rank())
        return choose.case(*choose.module(make(choose)), sizes, 3, map(domains.pointwise, sizes))

    return case


def activation(choose: Chooser) -> Callable[[nnx.Rngs], nn.Module]:
    name = choose.one_of("function", nn.activation.ACTIVATIONS)
    return lambda rngs: nn.Activation(name)


def antialiased(choose: Chooser) -> Case:
    sizes, up = choose.sizes(choose.rank()), choose.number("up", 1, 3)
    name = choose.one_of("function", nn.activation.ACTIVATIONS)
    fn, params = choose.module(lambda rngs: nn.AntialiasedActivation(name, up=up, spatial_axes=spatial(sizes)))
    found = [domains.pointwise(n) if up == 1 and n % 2 else domains.normalised(n) for n in sizes]  # no wave is left out
    return choose.case(fn, params, sizes, 2, found)


def add_bias(choose: Chooser) -> Case:
    name = choose.one_of("activation", (None, "relu", "gelu", "relu_pool"))
    rank = 2 if name == "relu_pool" else choose.rank()
    sizes = choose.sizes(rank, (2,) * rank if choose.regular else None)
    place = win.geometry(sizes, (2,) * rank, strides=2)
    halves = windows.sliding(sizes, place, "zeros", domains.extreme)
    found = halves if name == "relu_pool" else map(domains.pointwise, sizes)

    def fn(bias: Any, x: Any) -> Any:
        return F.add_bias(x, *cast([bias], x), activation=name)

    return choose.case(fn, choose.array((16,)), sizes, 16, found)


def batch_norm(choose: Chooser) -> Case:
    sizes, training = choose.sizes(choose.rank()), choose.flip("training")
    activation = choose.one_of("activation", (None, "relu", "gelu"))
    plain, params = choose.module(lambda rngs: nn.BatchNorm(3), training=training)
    statistics = (choose.array((3,)), jnp.abs(choose.array((3,))) + 0.5) if activation else ()

    def activated(p: Any, x: Any) -> Any:
        return F.batch_norm(x, p["scale"], p["offset"], *statistics, training=training, activation=activation)[0]

    fn = activated if activation else plain
    return choose.case(fn, params, sizes, 3, map(domains.normalised if training else domains.pointwise, sizes))


def normalisation(layer: type[nn.Module]) -> Callable[[Chooser], Case]:
    def make(choose: Chooser) -> Case:
        sizes = choose.sizes(choose.rank())
        options: dict[str, Any] = {"spatial_axes": spatial(sizes)}
        if layer is nn.GroupNorm:
            options["groups"] = choose.one_of("groups", (1, 2, 4))
        fn, params = choose.module(lambda rngs: layer(4, **options))
        return choose.case(fn, params, sizes, 4, map(domains.normalised, sizes))

    return make


def dropout(choose: Chooser) -> Case:
    sizes, training = choose.sizes(choose.rank()), choose.flip("training")
    key = jax.random.key(choose.seed)
    fn, params = choose.module(lambda rngs: nn.Dropout(0.5), training=training, key=key)
    return choose.case(
        fn, params, sizes, 3, [domains.nothing(n, n) if training else domains.pointwise(n) for n in sizes]
    )


def flatten(choose: Chooser) -> Case:
    sizes = choose.sizes(choose.one_of("rank", [rank for rank in choose.ranks if rank < 3]))
    fn, params = choose.module(lambda rngs: nn.Flatten(spatial_axes=spatial(sizes)))
    return choose.case(fn, params, sizes, 2, domains.stretched(sizes, 2), outputs=(-1,) * len(sizes))


def group_pool(choose: Chooser) -> Case:
    sizes, order = choose.sizes(2), choose.one_of("elements", (4, 8))
    kind = choose.one_of("kind", ("max", "avg"))
    fn, params = choose.module(lambda rngs: nn.GroupPool(kind))
    found = map(domains.pointwise, sizes)
    return choose.case(fn, params, sizes, 2, found, shape=(*sizes, order, 2), axes=(-4, -3))


def _without_positions(case: Case) -> Case:
    return dataclasses.replace(case, outputs=(None,) * len(case.axes))


def _phase(k: int) -> Reading:
    """Reads k positions further on than its window, which is one position wide."""
    return lambda taps, zeros: domains.Unit({position + k: tap for position, tap in taps})


CASES: dict[str, tuple[Callable[[Chooser], Case], tuple[str, ...]]] = {
    "Activation": (pointwise(activation), ("gelu",)),
    "AdaptivePool": (windows.adaptive_pool, ("adaptive_avg_pool", "adaptive_max_pool")),
    "AntialiasedActivation": (antialiased, ("antialiased_activation",)),
    "AvgPool": (windows.pool(nn.AvgPool, domains.averaged), ("avg_pool",)),
    "BatchNorm": (batch_norm, ("batch_norm",)),
    "BlurPool": (windows.blur_pool, ("blur_pool",)),
    "CentredPool": (windows.centred_pool, ()),
    "Conv": (windows.conv, ()),
    "ConvTranspose": (windows.transpose, ("conv_transpose",)),
    "Dense": (pointwise(lambda choose: lambda rngs: nn.Dense(3, 4, rngs=rngs)), ("dense",)),
    "DepthwiseConv": (windows.depthwise, ("depthwise_conv",)),
    "Dropout": (dropout, ("dropout",)),
    "Flatten": (flatten, ("flatten",)),
    "GlobalPool": (global_pool, ("global_avg_pool", "global_max_pool")),
    "GroupConv": (windows.group_conv(nn.GroupConv), ("p4_conv", "p4m_conv")),
    "GroupLiftConv": (windows.group_conv(nn.GroupLiftConv), ("p4_lift_conv", "p4m_lift_conv")),
    "GroupNorm": (normalisation(nn.GroupNorm), ("group_norm",)),
    "GroupPool": (group_pool, ("group_pool",)),
    "Identity": (pointwise(lambda choose: lambda rngs: nn.Identity()), ()),
    "InstanceNorm": (normalisation(nn.InstanceNorm), ("instance_norm",)),
    "LayerNorm": (pointwise(lambda choose: lambda rngs: nn.LayerNorm(3)), ("layer_norm",)),
    "LpPool": (windows.pool(nn.LpPool, domains.summed), ("lp_pool",)),
    "MaxPool": (windows.pool(nn.MaxPool, domains.extreme), ("max_pool",)),
    "MinPool": (windows.pool(nn.MinPool, domains.extreme), ("min_pool",)),
    "PolyphasePool": (polyphase, ("polyphase_pool",)),
    "Scale": (pointwise(lambda choose: lambda rngs: nn.Scale(3)), ()),
    "add_bias": (add_bias, ("add_bias",)),
    "apply_filter": (windows.apply_filter, ("apply_filter",)),
    "conv": (windows.functional_conv, ("conv",)),
    "order_independent_sum": (ordered_sum, ("order_independent_sum",)),
    "polyphase_unpool": (unpool, ("polyphase_unpool",)),
}
"""How to draw a case of each layer, and the functions that it goes through."""
NO_LAYERS = {
    "DropPath": "leaves whole examples alone, or drops them, in training: tests/models/test_residual.py",
    "INITIALIZERS": "a table of functions that draw kernels",
    "Initializer": "a type: of functions that draw kernels",
    "Module": "what all layers are; computes nothing",
    "Sequential": "layers one after another: every model is one, see test_models.py",
    "functionalize": "turns a module into a function",
    "freeze": "names layers that training leaves as they are",
    "he_normal": "draws kernels",
    "lecun_normal": "draws kernels",
    "scaled": "draws kernels",
    "orthogonal": "draws kernels",
    "dirac": "makes kernels",
    "partial_dirac": "makes kernels",
    "drop_path": "draws in training alone: tests/models/test_residual.py",
    "path_of": "a parameter's name",
    "select": "names parameters",
    "split": "turns a module into a function",
    "FILTERS": "a table of kernels",
    "conv_matrix": "from a kernel to a matrix, not of a map",
    "dense_to_conv": "from a kernel to a kernel, not of a map",
    "group_action": "turns and mirrors maps: tests/functional/test_group.py holds it against its definition",
}
"""Public names that are no row of the table, and why."""
