"""What shifts of the input do to a network: the audit's verdicts, and frames of maps that move with it or do not."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import analysis, explain
from jaxcnn.equivariance import Audit
from jaxcnn.equivariance.errors import difference, scale
from jaxcnn.report.page import Tab, Table, fragment
from jaxcnn.report.pictures import Picture, picture, sheet

FRAMES = 9
"""Shifts that are shown: 0 to 8 pixels."""
SHOWN = 4
"""Layers whose maps are shown."""
CHANNELS = 8


class Frame(NamedTuple):
    """The image and the maps, all of them shifted.

    Example:
        >>> Frame(0, Picture("data:,", "", 1, 1), []).shift
        0
    """

    shift: int
    image: Picture
    layers: list[tuple[str, Picture, str]]
    """Name, maps, and how far they are from the maps of the unshifted image, shifted."""


def audited(found: Audit, what: str) -> Tab:
    """Write what an audit found.

    Args:
        found: The audit.
        what: What its input was.

    Returns:
        The tab.

    Example:
        >>> audited(Audit((), "exact", "circular", (8, 8, 1), 15), "an image").title
        'Shift audit'
    """
    rows = [
        (
            layer.name, layer.op, "x".join(map(str, layer.shape)), layer.verdict, f"{layer.error:.3g}",
            "; ".join(map(str, layer.causes)),
        )
        for layer in found.layers
    ]  # fmt: skip
    table = Table("Layers", ("Layer", "Operation", "Output", "Verdict", "Error", "Why"), rows, numbers=False)
    first = found.first
    lost = None if first is None else (first.name, str(first.cause))
    content = fragment("audit.html", audit=found, lost=lost, table=table, what=what)
    return Tab("audit", "Shift audit", content)


def shifted(logits: Callable[[jax.Array], jax.Array], x: Any, image: Any) -> Tab:
    """Draw frames of an image that is shifted to the right, circularly, and of the maps of some layers.

    A layer's error is the largest difference between its maps of the shifted image and the shifted maps of the image,
    in parts of its largest magnitude, where the shift is a multiple of the layer's jump; so the audit measures it.

    Args:
        logits: The network, `(images, ...)` to `(images, classes)`.
        x: One prepared image, `(1, height, width, channels)`.
        image: The same from 0 to 1.

    Returns:
        The tab.

    Example:
        >>> x = jax.random.normal(jax.random.key(0), (1, 8, 8, 1))
        >>> tab = shifted(lambda x: jax.nn.relu(x).sum((1, 2)), x, np.asarray(x[0]))
        >>> "relu1" in tab.content, "error 0" in tab.content
        (True, True)
    """
    x = jnp.asarray(x)
    known = [name for name, shape in explain.layers(logits, x).items() if len(shape) == 4 and shape[1] * shape[2] > 1]
    picks = sorted({round(k) for k in np.linspace(0, len(known) - 1, min(SHOWN, len(known)))}) if known else []
    names = [known[k] for k in picks]
    count = min(FRAMES, x.shape[2])
    moved = jnp.concatenate([jnp.roll(x, s, 2) for s in range(count)])
    maps = {name: np.asarray(found) for name, found in explain.feature_maps(logits, moved, names).items()}
    jumps = _jumps(logits, x)
    frames = []
    for s in range(count):
        rows = []
        for name in names:
            found, jump = maps[name], jumps.get(name)
            channels = found[s, ..., :CHANNELS].transpose(2, 0, 1)
            if jump is None:
                told = "how it should move is not known"
            elif s % jump:
                told = f"between the positions of this layer, {jump} pixels apart"
            else:
                off = difference(jnp.asarray(found[s]), jnp.roll(found[0], s // jump, 1)).max() / scale(found[0])
                told = f"error {float(off):.2g}"
            rows.append((name, sheet(channels, f"{len(channels)} maps of {name}, shift {s}"), told))
        frames.append(Frame(s, picture(np.roll(image, s, 1), f"the image shifted by {s} pixels"), rows))
    return Tab("shifts", "Shifts", fragment("shifts.html", frames=frames))


def _jumps(logits: Callable[[jax.Array], jax.Array], x: jax.Array) -> dict[str, int]:
    """Return how many pixels lie between two positions of each layer, where that is a whole number."""
    layers = analysis.summarize(lambda _, x: logits(x), {}, x, spatial_axes=(1, 2)).layers
    jumps = {layer.name: layer.jump[1] if isinstance(layer.jump, tuple) else layer.jump for layer in layers}
    return {name: int(jump) for name, jump in jumps.items() if jump is not None and jump == int(jump) and jump >= 1}
