"""The audit of a network: what each layer promises under shifts, whether it keeps it, and why it promises no more."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from jaxcnn import analysis
from jaxcnn.config import unknown
from jaxcnn.equivariance.axes import places
from jaxcnn.equivariance.findings import Audit
from jaxcnn.equivariance.fractional import half_pixel_audit
from jaxcnn.equivariance.judged import Judged, causes_of, layer_of, verdict_of
from jaxcnn.equivariance.measure import shifts_of
from jaxcnn.equivariance.program import program
from jaxcnn.equivariance.relations import VERDICTS, relations
from jaxcnn.equivariance.rows import rows_of

MODES = ("circular", "interior", "fractional")


def audit(
    fn: Callable[[Array], Any],
    x: Array,
    *,
    mode: str = "circular",
    spatial_axes: Sequence[int] = (-3, -2),
    tolerance: float | None = None,
) -> Audit:
    """Prove or refute, layer by layer, that a network answers shifts of its input.

    What every operation promises is read off the jaxpr (`analysis.trace`). Then the network runs on the input and on
    its shifts (all of them along each axis, up to 64 of a longer one, and some along both), and each layer's output is
    compared with what it promised. Where a layer promises less than what it takes in, the cause is looked for by
    substitution: its operands are rolled exactly, in float64, and one thing after the other is changed (padding to
    circular, stride to dense, a constant to its mean ...) until the operation moves with them.

    Where a layer's rules promise nothing, and no change says why, it is looked at: how it and what follows move, under
    all shifts, on a few inputs, in float64. What was seen to move so counts as a promise to the layers behind, so that
    their causes are found, and for its own verdict, which is then not `proven`; `unknown` remains what has no rule.
    Under `mode="interior"`, layers behind those that leave nothing of the interior are judged as if the maps that they
    take in were whole.

    `mode="fractional"` moves by half a pixel, of which no contract speaks: what is exact, approximate and broken is
    measured, in float64, on the input without its highest wave, and a layer that moves less well than what it takes in
    gets its cause as well: `aliasing nonlinearity` where a finer grid helps, or a linear operation in its place.

    A layer's verdict is one of

    - `exact`: every shift of the input shifts it by (shift / jump), or leaves it as it is;
    - `orbit`: every shift shifts it by an amount that the data choose (adaptive polyphase sampling);
    - `exact-lattice`: so do the multiples of the jump or of a stride, given as `lattice`;
    - `exact-interior`: so it is away from the borders: `margin` says how far in;
    - `approximate`: it promises nothing, and is off by at most 5 % of its largest magnitude;
    - `broken`: it promises nothing, and is further off, given as `error`;
    - `unknown`: an operation without a rule is on the way.

    Causes: `zero padding`, `mirrored padding`, `incomplete padding`, `no padding`, `stride`, `remainder` (positions
    that a stride drops), `crop`, `flatten`, `fixed position`, `position-dependent constant`, `cumulative operation`,
    `sort`, `transposed axes`, `mirrored axis`, `operands move apart`, `border` (the borders of a padded map are taken
    in), `batch statistics`, `global reduction`, `ties`, `floating point`, `aliasing nonlinearity`, `not finite`,
    `no rule`, and `operation` where nothing that was tried brings it back.

    Args:
        fn: Any JAX function of one array; calls are seen through, loops of up to 64 turns unrolled.
        x: The input on which it is tried, `(*batch, *spatial, channels)` or as `spatial_axes` says. Shifts must change
            it.
        mode: `circular`; `interior`, where content that was never seen comes in at the borders; or `fractional`.
        spatial_axes: Positions of x's spatial axes.
        tolerance: Largest error, relative to a layer's largest magnitude, of what it keeps exactly; None forgives
            rounding: what float64 does away with. 0 asks for bit equality.

    Returns:
        The `Audit`: `.layers`, each with `.name`, `.verdict`, `.cause`, `.error`, `.contract`; `.verdict` of the
        result. Its `str()` is a table.

    Raises:
        ValueError: An unknown mode, axes that x has not got, an input that no shift changes or that is not finite, or
            a function that does not depend on it.
        TypeError: Axes that are no sequence of ints.

    Example:
        >>> import jax
        >>> from jaxcnn import functional as F
        >>> kernel = jax.random.normal(jax.random.key(0), (3, 3, 1, 1))
        >>> x = jax.random.normal(jax.random.key(1), (8, 8, 1))
        >>> found = audit(lambda x: F.conv(jax.nn.relu(F.conv(x, kernel, padding_mode="circular")), kernel), x)
        >>> [(layer.name, layer.verdict) for layer in found.layers]
        [('conv1', 'exact'), ('relu1', 'exact'), ('conv2', 'exact-interior')]
        >>> str(found.layers[2].cause)
        'zero padding 1 and 1 before a window of 3'
    """
    if mode not in MODES:
        raise ValueError(unknown("mode", mode, MODES))
    x = jnp.asarray(x)
    axes = _places(x, spatial_axes)
    sizes = tuple(x.shape[axis] for axis in axes)
    listed = program(fn, x)
    values = [n for operation in listed.operations for n in operation.outputs if n in listed.depends]
    if not values:
        raise ValueError("`fn` does not depend on `x`: it returns the same whatever comes in, or x itself")
    facts = analysis.trace(lambda x: listed.run(x, values), x, spatial_axes=axes).outputs
    contracts = dict(zip(values, facts, strict=True))
    rows = rows_of(listed, len(axes))
    if mode == "fractional":
        return half_pixel_audit(listed, x, contracts, rows, axes)
    known = {n: relations(fact, mode, sizes) for n, fact in contracts.items()}
    start = analysis.trace(lambda x: x, x, spatial_axes=axes).outputs[0]
    known[listed.input] = relations(start, mode, sizes)
    shifts = shifts_of(sizes)
    judged = Judged(listed, x, known, axes, mode, shifts, tolerance)
    ends = [n for n in listed.outputs if n in listed.depends]
    columns = {n: column for column, n in enumerate(dict.fromkeys([*(row.output for row in rows), *ends]))}
    measured = judged.measured(list(columns))
    causes = causes_of(judged, rows)
    layers = tuple(
        layer_of(judged, row, contracts[row.output], measured, columns[row.output], told)
        for row, told in zip(rows, causes, strict=True)
    )
    worst = max((verdict_of(judged, n, measured, columns[n])[0] for n in ends), key=VERDICTS.index)
    return Audit(layers, worst, mode, tuple(x.shape), len(shifts))


def _places(x: Array, spatial_axes: Sequence[int]) -> tuple[int, ...]:
    """Return the spatial axes from the front, and refuse an input on which nothing could be seen."""
    found = tuple(sorted(places(spatial_axes, x.shape, "`x`")))
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"`x` must hold floating-point numbers, got {x.dtype}")
    if not bool(jnp.isfinite(x).all()):
        raise ValueError("`x` must be finite, got NaN or infinity")
    if all(x.shape[place] == 1 for place in found):
        raise ValueError(f"`x` (shape {x.shape}) has one position along its spatial axes: there is nothing to shift")
    for place in found:
        if x.shape[place] > 1 and bool((x == jnp.roll(x, 1, place)).all()):
            raise ValueError(f"`x` is the same all along axis {place}: no shift changes it, so nothing could be seen")
    return found
