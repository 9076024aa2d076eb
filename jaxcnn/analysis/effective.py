"""The effective receptive field: how much each input position moves a unit, measured with one gradient."""

import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn.analysis.facts import AxisFacts, Facts
from jaxcnn.analysis.tracing import trace

MASS = 0.9545
"""What a Gaussian has within two standard deviations of its mean."""

Interval = tuple[int, int]
"""First and last position."""


@dataclasses.dataclass(frozen=True, eq=False)
class EffectiveField:
    """Where a unit looks, as a share for every input position, beside where it could look.

    Example:
        >>> field = EffectiveField(np.array([0, 0.25, 0.5, 0.25, 0]), unit=(2,), theoretical=((0, 4),))
        >>> field.extent, field.center, [round(width, 2) for width in field.width]
        (((1, 3),), (2.0,), [2.83])
    """

    map: np.ndarray
    """Share of each position, over the input's spatial axes in order of position; sums to 1."""
    unit: tuple[int | None, ...]
    """The unit's position, one entry for each spatial axis; None where the output has no axis for it."""
    theoretical: tuple[Interval | None, ...]
    """First and last position that the unit can see, one pair a spatial axis. They may lie outside the input; None
    where `analysis.trace` does not know them."""

    @property
    def center(self) -> tuple[float, ...]:
        """Mean position on each axis."""
        return tuple(float(np.arange(len(shares)) @ shares) for shares in self.marginals)

    @property
    def width(self) -> tuple[float, ...]:
        """Four standard deviations on each axis: a Gaussian has 95.45 % of its mass in them."""
        sides = zip(self.marginals, self.center, strict=True)
        return tuple(4 * math.sqrt((np.arange(len(shares)) - mean) ** 2 @ shares) for shares, mean in sides)

    @property
    def extent(self) -> tuple[Interval, ...]:
        """First and last position on each axis once 2.275 % of the mass, at most, is cut off at either end."""
        return tuple(_trimmed(shares) for shares in self.marginals)

    @property
    def marginals(self) -> tuple[np.ndarray, ...]:
        """Shares of the positions of each axis, summed over the other axes."""
        axes = range(self.map.ndim)
        return tuple(self.map.sum(axis=tuple(other for other in axes if other != axis)) for axis in axes)

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the map, with the theoretical field as a solid outline and the extent as a dashed one.

        Args:
            path: File to write; its ending (`.png`, `.svg`, `.pdf`) says the format.

        Raises:
            ImportError: matplotlib is missing.
            ValueError: A map of three spatial axes or more.

        Example:
            >>> import tempfile, pathlib
            >>> field = EffectiveField(np.full((3, 3), 1 / 9), unit=(1, 1), theoretical=((0, 2), (0, 2)))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     field.plot(file := pathlib.Path(folder, "field.png"))
            ...     file.stat().st_size > 1000
            True
        """
        if self.map.ndim > 2:
            raise ValueError(f"`map` must have 1 or 2 axes to be drawn, got {self.map.ndim}: sum over the others")
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("`plot` needs matplotlib: pip install 'jaxcnn[experiments]'") from error
        figure = Figure(layout="constrained")
        axes = figure.add_subplot(xlabel="input position")
        if self.map.ndim == 1:
            axes.bar(range(len(self.map)), self.map, color="tab:gray")
            axes.set(ylabel="share", xlim=(-0.5, len(self.map) - 0.5))
        else:
            image = axes.imshow(self.map)
            axes.set(ylabel="input position", autoscale_on=False)
            figure.colorbar(image, label="share")
        for name, style, intervals in (
            ("theoretical", "-", self.theoretical),
            ("95.45 % of the mass on each axis", "--", self.extent),
        ):
            edges = [
                _edges(interval, size) for interval, size in zip(intervals, self.map.shape, strict=True) if interval
            ]
            if len(edges) == 1 == self.map.ndim:
                axes.vlines(edges[0], 0, self.map.max(), color="tab:red", linestyle=style, label=name)
            elif len(edges) == 2:
                (low, high), (left, right) = edges
                corners = [left, right, right, left, left], [low, low, high, high, low]
                axes.plot(*corners, color="tab:red", linestyle=style, label=name)
        figure.legend(loc="outside upper center", ncols=2)
        figure.savefig(path)


def effective_receptive_field(
    fn: Callable[[Any, Array], Array],
    params: Any,
    x: Array,
    *,
    spatial_axes: Sequence[int] = (-3, -2),
    unit: Sequence[int] | None = None,
    output_axes: Sequence[int | None] | None = None,
    key: Array | None = None,
) -> EffectiveField:
    """Measure how much each position of the input moves one unit of the output, with one gradient.

    `map[p] = sum_c |d (sum_k g[k] y[unit, k]) / d x[p, c]|`, divided by its sum over p, where c runs over all other
    axes of x (inputs, channels), k over all other axes of y, and g is drawn from a standard normal: a plain sum over
    channels has no gradient at all where they add up to a constant, as after a softmax or a layer norm.

    Several inputs in x are several measurements, each of its own direction g; their gradients are added.

    Args:
        fn: `fn(params, x) -> y`, one floating-point array.
        params: What fn takes first, arrays.
        x: Inputs that the gradient is taken at; it depends on them where fn is not linear.
        spatial_axes: Positions of x's spatial axes.
        unit: Position of the unit, one entry for each spatial axis that y has an axis for; None: the centre, `n // 2`.
        output_axes: Positions in y of the axes that carry x's spatial axes, one each (None where y has none); None:
            those that `analysis.trace` finds.
        key: Draws g; None: `jax.random.key(0)`.

    Returns:
        The `EffectiveField`.

    Raises:
        TypeError: An x or an output that is not one floating-point array.
        ValueError: An x without numbers, a unit outside the output, output axes that neither the trace nor the caller
            knows, or a gradient that is zero everywhere or not finite.

    Example:
        Ten 3x3 box filters could see 21 positions an axis; 11 hold 95.45 % of what they see. The width is
        `4 sqrt(10 * 2 / 3)`: it grows as the root of the depth.

        >>> from jaxcnn import functional as F
        >>> def boxes(kernel, x):
        ...     for _ in range(10):
        ...         x = F.conv(x, kernel)
        ...     return x
        >>> field = effective_receptive_field(boxes, jnp.ones((3, 3, 1, 1)), jnp.zeros((1, 31, 31, 1)))
        >>> field.theoretical, field.extent, [round(width, 1) for width in field.width]
        (((5, 25), (5, 25)), ((10, 20), (10, 20)), [10.3, 10.3])

    Reference:
        Luo et al., "Understanding the effective receptive field in deep convolutional neural networks", 2016.
    """
    if not isinstance(x, Array | np.ndarray):
        raise ValueError(f"`x` must hold the numbers to measure at, got {x!r}: draw some with jax.random.normal")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"`x` must be floating point, got {x.dtype}: use x.astype(float)")
    traced = trace(fn, params, x, spatial_axes=spatial_axes)
    result = jax.eval_shape(fn, params, x)
    if not isinstance(result, jax.ShapeDtypeStruct) or not jnp.issubdtype(result.dtype, jnp.floating):
        kinds = jax.tree.map(lambda leaf: f"{leaf.dtype.name}{list(leaf.shape)}", result)
        raise TypeError(f"`fn` must return one array of floating point, got {kinds}: wrap it in a function that does")
    facts = traced.outputs[0]
    axes = _output_axes(output_axes, facts)
    where = _where(unit, axes, facts.shape)
    index: list[Any] = [slice(None)] * len(facts.shape)
    for axis, position in zip(axes, where, strict=True):
        if axis is not None:
            index[axis] = position
    noise = jax.random.key(0) if key is None else key

    def moved(x: Array) -> Array:
        seen = fn(params, x)[tuple(index)]
        return jnp.vdot(jax.random.normal(noise, seen.shape), seen)

    gradient = np.abs(np.asarray(jax.jit(jax.grad(moved))(x), np.float64))
    spatial = sorted(axis % x.ndim for axis in spatial_axes)
    shares = gradient.sum(axis=tuple(axis for axis in range(x.ndim) if axis not in spatial))
    total = shares.sum()
    if not math.isfinite(total):
        raise ValueError("the gradient at `x` has entries that are not finite: check `params` and `x`")
    if total == 0:
        raise ValueError(f"the gradient of unit {where} is 0 at all of `x`: take another `unit` or other inputs")
    return EffectiveField(shares / total, where, tuple(map(_theoretical, facts.axes, axes, where)))


def _output_axes(given: Sequence[int | None] | None, facts: Facts) -> tuple[int | None, ...]:
    """Tell which axis of the output carries each spatial axis of the input, in order of the latter."""
    found, rank = tuple(axis.axis for axis in facts.axes), len(facts.shape)
    if given is None:
        for axis in facts.axes:
            if axis.axis is None and (axis.receptive_field is None or (axis.receptive_field and axis.field is None)):
                raise ValueError(
                    "`output_axes` must say which axes of the output carry `spatial_axes`: the trace does not tell"
                )
        return found
    axes = [axis for axis in given if axis is not None]
    distinct = len({axis % rank for axis in axes}) == len(axes)
    if len(given) != len(found) or not distinct or any(not -rank <= axis < rank for axis in axes):
        raise ValueError(
            f"`output_axes` must be {len(found)} different axes of the output's {rank}, or None, got {tuple(given)}"
        )
    return tuple(None if axis is None else axis % rank for axis in given)


def _where(unit: Sequence[int] | None, axes: Sequence[int | None], shape: Sequence[int]) -> tuple[int | None, ...]:
    """Make a unit's position one entry a spatial axis, None where the output has no axis for it."""
    sizes = [shape[axis] for axis in axes if axis is not None]
    given = [size // 2 for size in sizes] if unit is None else list(unit)
    if len(given) != len(sizes) or not all(0 <= position < size for position, size in zip(given, sizes, strict=True)):
        raise ValueError(f"`unit` must be a position in an output of {tuple(sizes)} positions, got {tuple(given)}")
    positions = iter(given)
    return tuple(None if axis is None else next(positions) for axis in axes)


def _theoretical(facts: AxisFacts, axis: int | None, position: int | None) -> Interval | None:
    """Return the first and the last position that a unit can see, if the trace knows them."""
    if facts.axis != axis or facts.field is None or (position is not None and facts.jump is None):
        return None
    moved = 0 if position is None or facts.jump is None else position * facts.jump
    first, last = facts.field
    return math.ceil(first + moved), math.floor(last + moved)


def _trimmed(shares: np.ndarray) -> Interval:
    """Cut off at either end as many positions as have no more than half of what is not in `MASS` together."""
    low, high = ((np.cumsum(side) <= (1 - MASS) / 2).sum() for side in (shares, shares[::-1]))
    return int(low), len(shares) - 1 - int(high)


def _edges(interval: Interval, size: int) -> tuple[float, float]:
    """Return where to draw an interval's borders on a map of some size."""
    return max(interval[0], 0) - 0.5, min(interval[1], size - 1) + 0.5
