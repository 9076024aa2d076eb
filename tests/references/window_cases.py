"""Layers with a window, drawn: convolutions, pools, blurs, filters, over groups too; and their domains."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from jaxcnn import functional as F
from jaxcnn import nn
from jaxcnn.functional import window as win
from references import domains
from references.domains import Domain, Reading
from references.drawn_case import Case, Chooser, cast, spatial

MODES = ("zeros", "circular", "reflect", "replicate")


def windows(choose: Chooser, rank: int, *, most: int = 4, ceil: bool = False, square: bool = False) -> Any:
    """Draw a window and how it slides: sizes, its size, the options of `conv` and of pools, and where it stands."""
    one = (lambda name, least, most: (choose.number(name, least, most),) * rank) if square else None
    draw = one or (lambda name, least, most: choose.per_axis(name, rank, least, most))
    window, strides, dilation = draw("window", 1, most), draw("stride", 1, 3), draw("dilation", 1, 2)
    sizes = choose.sizes(rank, strides if choose.regular else None)
    spans = [d * (w - 1) + 1 for d, w in zip(dilation, window, strict=True)]
    dilation = tuple(1 if span > n else d for d, span, n in zip(dilation, spans, sizes, strict=True))
    options: dict[str, Any] = {"strides": strides, "dilation": dilation}
    if choose.regular:
        options |= {"padding": choose.one_of("padding", ("SAME", "SAME_LOWER")), "padding_mode": "circular"}
    else:
        pairs = st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * rank)
        kinds = st.one_of(st.sampled_from(["VALID", "SAME", "SAME_LOWER"]), st.integers(0, 3), pairs)
        options |= {"padding": choose.draw(kinds), "padding_mode": choose.one_of("mode", MODES)}
        choose.words.append(f"padding={options['padding']}")
        if ceil:
            options["ceil_mode"] = choose.flip("ceil_mode")
    slides = {"strides": strides, "dilation": dilation, "ceil_mode": options.get("ceil_mode", False)}
    place = win.geometry(sizes, window, **slides, padding=options["padding"])
    if options["padding_mode"] != "zeros":  # a last window may also begin in padding that holds values of the map
        grown = [n + low + high for n, (low, high) in zip(sizes, place.padding, strict=True)]
        place = dataclasses.replace(win.geometry(grown, window, **slides), padding=place.padding)
    return sizes, window, options, place


def sliding(sizes: Sequence[int], place: win.Geometry, mode: str, reading: Reading) -> list[Domain]:
    """Return the domains of a window along its axes."""
    return [
        domains.window(
            n,
            window=place.window[axis],
            stride=place.strides[axis],
            dilation=place.dilation[axis],
            padding=place.padding[axis],
            mode=mode,
            outputs=place.output[axis],
            reading=reading,
        )
        for axis, n in enumerate(sizes)
    ]


def conv(choose: Chooser) -> Case:
    sizes, window, options, place = windows(choose, choose.rank())
    groups = choose.one_of("groups", (1, 2))
    fn, params = choose.module(lambda rngs: nn.Conv(2, 4, window, groups=groups, rngs=rngs, **options))
    return choose.case(fn, params, sizes, 2, sliding(sizes, place, options["padding_mode"], domains.weighted))


def functional_conv(choose: Chooser) -> Case:
    sizes, window, options, place = windows(choose, choose.rank())
    options |= {"flip_kernel": choose.flip("flip_kernel"), "activation": choose.one_of("activation", (None, "relu"))}
    params = choose.array((*window, 2, 8)), choose.array((8,))
    found = sliding(sizes, place, options["padding_mode"], domains.weighted)
    return choose.case(lambda p, x: F.conv(x, *cast(p, x), **options), params, sizes, 2, found)


def depthwise(choose: Chooser) -> Case:
    sizes, window, options, place = windows(choose, choose.rank())
    multiplier = choose.number("multiplier", 1, 2)
    fn, params = choose.module(lambda rngs: nn.DepthwiseConv(3, window, multiplier=multiplier, rngs=rngs, **options))
    return choose.case(fn, params, sizes, 3, sliding(sizes, place, options["padding_mode"], domains.weighted))


def transpose(choose: Chooser) -> Case:
    rank = choose.rank()
    window, strides = choose.per_axis("window", rank, 1, 4), choose.per_axis("stride", rank, 1, 3)
    dilation, sizes = choose.per_axis("dilation", rank, 1, 2), choose.sizes(rank)
    if choose.regular:  # windows side by side: nothing goes over a border
        window, dilation = tuple(min(pair) for pair in zip(window, strides, strict=True)), (1,) * rank
    padding = "SAME" if choose.regular else choose.one_of("padding", ("SAME", "SAME_LOWER", "VALID", 0, 1))
    spans = [d * (w - 1) + 1 for d, w in zip(dilation, window, strict=True)]
    crops = win.padding_amounts(padding, [s * n for s, n in zip(strides, sizes, strict=True)], spans, strides)
    same = str(padding).startswith("SAME")
    extra = tuple(
        0 if same else choose.number("extra", 0, max(s, d) - 1) for s, d in zip(strides, dilation, strict=True)
    )
    found = []
    for n, f, s, d, span, (low, high), more in zip(sizes, window, strides, dilation, spans, crops, extra, strict=True):
        outputs = s * n if same else s * (n - 1) + span - low - high + more
        found.append(domains.scatter(n, window=f, stride=s, dilation=d, low=low, outputs=outputs))
    options = {"strides": strides, "padding": padding, "dilation": dilation, "output_padding": extra}
    fn, params = choose.module(lambda rngs: nn.ConvTranspose(2, 3, window, rngs=rngs, **options))
    return choose.case(fn, params, sizes, 2, found)


def pool(layer: type[nn.Module], reading: Reading) -> Callable[[Chooser], Case]:
    def make(choose: Chooser) -> Case:
        sizes, window, options, place = windows(choose, choose.rank(), ceil=True)
        read = reading
        if layer is nn.AvgPool and choose.flip("count_include_pad"):
            options, read = options | {"count_include_pad": True}, domains.averaged_with_zeros
        if layer is nn.LpPool:
            options |= {"p": choose.one_of("p", (1, 2, 3))}
        fn, params = choose.module(lambda rngs: layer(window, **options))
        channels = 16  # a shift that changes the map must change a maximum of it
        return choose.case(fn, params, sizes, channels, sliding(sizes, place, options["padding_mode"], read))

    return make


def adaptive_pool(choose: Chooser) -> Case:
    sizes, kind = choose.sizes(choose.rank()), choose.one_of("kind", ("avg", "max"))
    outputs = tuple(
        choose.one_of("outputs", [d for d in range(1, n + 1) if n % d == 0])
        if choose.regular
        else choose.number("outputs", 1, n + 2)
        for n in sizes
    )
    reading = domains.extreme if kind == "max" else domains.averaged
    fn, params = choose.module(lambda rngs: nn.AdaptivePool(kind, outputs, spatial_axes=spatial(sizes)))
    found = [domains.bins(n, m, reading) for n, m in zip(sizes, outputs, strict=True)]
    return choose.case(fn, params, sizes, 16, found)


def blur_pool(choose: Chooser) -> Case:
    rank = choose.rank()
    strides, taps = choose.per_axis("stride", rank, 1, 3), choose.number("taps", 1, 7)
    sizes = choose.sizes(rank, strides if choose.regular else None)
    mode = "circular" if choose.regular else choose.one_of("mode", MODES)
    low = (taps - 1) // 2
    reading = domains.binomial([math.comb(taps - 1, k) for k in range(taps)])
    found = [
        domains.window(
            n,
            window=taps,
            stride=s,
            dilation=1,
            padding=(low, taps - 1 - low),
            mode=mode,
            outputs=-(-n // s),
            reading=reading,
        )
        for n, s in zip(sizes, strides, strict=True)
    ]
    fn, params = choose.module(
        lambda rngs: nn.BlurPool(strides=strides, taps=taps, padding_mode=mode, spatial_axes=spatial(sizes))
    )
    return choose.case(fn, params, sizes, 2, found)


def apply_filter(choose: Chooser) -> Case:
    names = [name for name in F.FILTERS if name != "identity"]  # whose border taps are 0: it keeps every promise
    kernel, mode = choose.one_of("kernel", ("random", *names)), choose.one_of("mode", MODES)
    drawn = choose.array((choose.number("window", 1, 4), choose.number("window", 1, 4)))
    sizes = choose.sizes(2)
    place = win.geometry(sizes, drawn.shape if kernel == "random" else F.FILTERS[kernel].shape, padding="SAME")
    found = sliding(sizes, place, mode, domains.weighted)

    def fn(p: Any, x: Any) -> Any:
        return F.apply_filter(x, p if kernel == "random" else kernel, padding_mode=mode)

    return choose.case(fn, drawn, sizes, 2, found)


def group_conv(layer: type[nn.GroupLiftConv]) -> Callable[[Chooser], Case]:
    def make(choose: Chooser) -> Case:
        group = choose.one_of("group", ("p4", "p4m"))
        sizes, window, options, place = windows(choose, 2, most=3, square=True)
        fn, params = choose.module(lambda rngs: layer(2, 2, window, group=group, rngs=rngs, **options))
        lifts = layer is nn.GroupLiftConv
        shape = (*sizes, 2) if lifts else (*sizes, 4 if group == "p4" else 8, 2)
        found = sliding(sizes, place, options["padding_mode"], domains.weighted)
        axes = (-3, -2) if lifts else (-4, -3)
        return choose.case(fn, params, sizes, 2, found, shape=shape, axes=axes, outputs=(-4, -3))

    return make


def centred_pool(choose: Chooser) -> Case:
    sizes, kind = choose.sizes(2, (2, 2) if choose.regular else None), choose.one_of("kind", ("max", "avg"))
    reading = domains.extreme if kind == "max" else domains.averaged
    odd = [n % 2 for n in sizes]
    place = win.geometry(sizes, [2 + o for o in odd], strides=2, padding=odd)
    fn, params = choose.module(lambda rngs: nn.CentredPool(kind))
    found = sliding(sizes, place, "zeros", reading)
    return choose.case(fn, params, sizes, 8, found, shape=(*sizes, 4, 8), axes=(-4, -3), outputs=(-4, -3))
