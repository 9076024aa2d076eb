"""How much of an output stays as it is when the input is rolled: all of a global maximum, a part of a local one."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn.equivariance.actions import Roll
from jaxcnn.equivariance.axes import places
from jaxcnn.equivariance.shifts import Shifts, at_once, chosen, circular, one_array, sweep


def unchanged_fraction(
    fn: Callable[[Array], Array], x: Array, *, shifts: Shifts = "all", spatial_axes: Sequence[int] = (-3, -2)
) -> tuple[np.ndarray, np.ndarray]:
    """Count the outputs that a circular shift of the input leaves exactly as they are.

    `mean over i of [fn(roll(x, k))[i] == fn(x)[i]]`, for every k: 1 for a function that is invariant, such as a global
    maximum. A local maximum over a window of F positions, at stride 1 on a row of independent values, keeps its value
    under a shift by k < F with probability (F - k) / (F + k): both windows hold the same maximum.

    Args:
        fn: A JAX function of one array that returns one array.
        x: Its argument.
        shifts: `"all"`; how many of them, drawn always the same; or the shifts themselves, each an amount for all axes
            or one an axis.
        spatial_axes: The axes of x that are shifted.

    Returns:
        The shifts, `(shifts, axes)`, the smallest first, and the fraction for each.

    Raises:
        TypeError: An fn that does not return one array.
        ValueError: Axes that x has not got, or no shifts.

    Example:
        >>> x = jnp.array([[1.0], [5.0], [2.0], [0.0]])
        >>> def pool(x):
        ...     return jnp.maximum(x, jnp.roll(x, -1, 0))
        >>> shifts, fractions = unchanged_fraction(pool, x, spatial_axes=(0,))
        >>> shifts[:, 0].tolist(), fractions.tolist()
        ([0, -1, 1, 2], [1.0, 0.25, 0.25, 0.0])
    """
    x = jnp.asarray(x)
    axes = places(spatial_axes, x.shape, "`x`")
    one_array(fn, x)
    wanted = chosen(shifts, circular([x.shape[axis] for axis in axes]))
    size = min(at_once(fn, x), len(wanted))
    with jax.default_matmul_precision("highest"):

        def run(shift: Array) -> Array:
            return fn(Roll(shift, axes)(x))

        still = np.zeros((size, len(axes)), wanted.dtype)
        reference = next(sweep(run, [still], size=size))[1][0]
        parts = [
            np.asarray((results == reference).reshape(len(rows), -1)).mean(1)
            for rows, results in sweep(run, [wanted], size=size)
        ]
    return wanted, np.concatenate(parts)
