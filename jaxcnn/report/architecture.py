"""A network's layers as a table, each with where its middle unit could look, and where it does."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcnn.analysis import Summary, effective_receptive_field
from jaxcnn.analysis.table import count, size
from jaxcnn.explain.opened import open_layers
from jaxcnn.report.page import Tab, fragment
from jaxcnn.report.pictures import Picture, heat, picture

MOST = 32
"""Layers whose effective field is measured; of more, as many, evenly chosen."""


class Field(NamedTuple):
    """Where the middle unit of a layer looks.

    Example:
        >>> Field((0, 0, 4, 4), None, "conv1 could see 4x4").box
        (0, 0, 4, 4)
    """

    box: tuple[int, int, int, int] | None
    """Top, left, height and width of what it could see, inside the image; None where that is unknown."""
    effective: Picture | None
    """The image, redder where a position moves the unit more."""
    told: str


def architecture(fn: Callable[[Any, jax.Array], Any], params: Any, summary: Summary, x: Any, image: Any) -> Tab:
    """Write the table of a summary; of each layer, draw the receptive fields on an image.

    Args:
        fn: The network, `fn(params, x)`.
        params: Its parameters.
        summary: Of the same.
        x: Prepared images, `(images, height, width, channels)`, at which the effective field is measured.
        image: The first of them from 0 to 1.

    Returns:
        The tab.

    Example:
        >>> from jaxcnn import analysis, functional as F
        >>> kernel, x = jax.numpy.ones((3, 3, 1, 2)), jax.numpy.ones((1, 8, 8, 1))
        >>> def fn(kernel, x):
        ...     return F.conv(x, kernel)
        >>> tab = architecture(fn, kernel, analysis.summarize(fn, kernel, x), x, np.ones((8, 8, 1)))
        >>> "conv1: the middle unit could see 3x3 positions" in tab.content
        True
    """
    rows = [
        (
            layer.name,
            layer.op,
            layer.worked,
            size(layer.shape),
            f"{layer.parameters:,}",
            count(layer.macs) if layer.macs else "",
            layer.contract if isinstance(layer.contract, str) else "; ".join(layer.contract),
        )
        for layer in summary.layers
    ]
    found = fields(fn, params, [layer.name for layer in summary.layers], x, image)
    totals = f"{summary.totals['parameters']:,} parameters, {count(summary.totals.get('macs', 0))} multiply-adds (MACs)"
    content = fragment(
        "architecture.html", rows=rows, fields=found, totals=totals, image=picture(image, "an image"),
        input=size(summary.input), data=[None if field is None else _data(field) for field in found],
    )  # fmt: skip
    return Tab("architecture", "Architecture", content)


def fields(
    fn: Callable[[Any, jax.Array], Any], params: Any, names: Sequence[str], x: Any, image: Any
) -> list[Field | None]:
    """Measure the receptive fields of layers.

    Args:
        fn: The network.
        params: Its parameters.
        names: Of layers, as a summary has them.
        x: Prepared images.
        image: The first of them from 0 to 1.

    Returns:
        One each; None for those that were left out, or have none.

    Example:
        >>> fields(lambda p, x: 2 * x, None, ["mul1"], jax.numpy.ones((1, 4, 4, 1)), np.ones((4, 4, 1)))[0].box
        (2, 2, 1, 1)
    """
    x = jax.numpy.asarray(x)
    opened = open_layers(lambda x: fn(params, x), x)
    known = [name for name in names if name in opened.places]
    chosen = {known[round(k)] for k in np.linspace(0, len(known) - 1, min(MOST, len(known)))} if known else set()

    def measured(name: str) -> Field | None:
        if name not in chosen:
            return None
        place = opened.place(name)
        try:
            found = effective_receptive_field(
                lambda arrays, x: opened.values({opened.program.input: x}, arrays, [place])[0], opened.arrays, x
            )
        except (TypeError, ValueError):  # its gradient is 0, or nothing tells where its positions lie
            return None
        box, seen = None, "an unknown part of the image"
        if all(interval is not None for interval in found.theoretical):
            sides = [side for side in found.theoretical if side is not None]
            seen = f"{'x'.join(str(last - first + 1) for first, last in sides)} positions"
            inside = [(max(a, 0), min(b, n - 1)) for (a, b), n in zip(sides, x.shape[1:-1], strict=True)]
            (top, bottom), (left, right) = inside
            box = (top, left, bottom - top + 1, right - left + 1)
        wide = "x".join(f"{width:.1f}" for width in found.width)
        told = f"{name}: the middle unit could see {seen}; it looks at {wide}, four standard deviations"
        return Field(box, heat(image, np.sqrt(found.map / found.map.max()), told), told)

    return [measured(name) for name in names]


def _data(field: Field) -> dict[str, Any]:
    source = None if field.effective is None else field.effective.source
    return {"box": field.box, "effective": source, "told": field.told}
