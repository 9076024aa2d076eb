"""A function whose layers can be read, and computed from."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn.config import unknown
from jaxcnn.equivariance.program import Program, program
from jaxcnn.equivariance.rows import rows_of


@dataclass(frozen=True)
class Opened:
    """A function of images, `(images, *spatial, channels)`, as its program and the places of its layers' outputs.

    Example:
        >>> opened = open_layers(lambda x: jax.nn.relu(2 * x).mean((1, 2)), jnp.ones((1, 4, 4, 3)))
        >>> list(opened.places), opened.last_map()
        (['mul1', 'relu1', 'global_avg_pool1'], 'relu1')
    """

    program: Program
    places: Mapping[str, int]
    """Number of each layer's output, by the layer's name, in order."""
    arrays: Mapping[int, Any]
    """What the program brings with it, parameters above all: arguments of what is compiled, not part of it."""

    def place(self, layer: str | None) -> int:
        """Return the number of a layer's output; of the function's result for None."""
        if layer is None:
            return self.program.outputs[0]
        if layer not in self.places:
            raise ValueError(unknown("layer", layer, self.places))
        return self.places[layer]

    def shape(self, number: int) -> tuple[int, ...]:
        """Return the shape of a value."""
        return tuple(np.shape(self.program.avals[number]))

    def last_map(self) -> str:
        """Return the last layer whose output has positions, as the input has."""
        given = self.shape(self.program.input)
        for name, number in reversed(list(self.places.items())):
            shape = self.shape(number)
            if len(shape) == len(given) and shape[0] == given[0] and math.prod(shape[1:-1]) > 1:
                return name
        raise ValueError("no layer of the function gives maps: `layer` must have positions to show")

    def values(self, given: Mapping[int, Any], arrays: Mapping[int, Any], wanted: Sequence[int]) -> list[Any]:
        """Compute values from others: a JAX function of `given` and `arrays`."""
        return self.program.replay({**self.program.constants, **arrays, **given}, wanted)


def open_layers(fn: Callable[[Array], Any], x: Any, *, spatial_axes: Sequence[int] | None = None) -> Opened:
    """Trace a function, and find its layers as `analysis.summarize` and `equivariance.audit` name them.

    Args:
        fn: A function of images that returns one array, an entry for every image.
        x: Images, `(images, *spatial, channels)`, or their `jax.ShapeDtypeStruct`.
        spatial_axes: Axes of positions; None for all but the first and the last.

    Returns:
        The opened function.

    Raises:
        TypeError: Images that are no floating-point array, or a result that is not one array.
        ValueError: Images without positions, or a result that has another number of them.

    Example:
        >>> open_layers(jnp.sum, jnp.ones((1, 4, 4, 3)))
        Traceback (most recent call last):
        ValueError: `fn` must return an entry for each of the 1 images; got an array of shape ()
    """
    if not hasattr(x, "dtype") or not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"`x` must be an array of floating point, got {getattr(x, 'dtype', type(x).__name__)}")
    if len(x.shape) < 3:
        raise ValueError(f"`x` must be (images, *spatial, channels), got the shape {tuple(x.shape)}")
    result = jax.eval_shape(fn, x)
    if not isinstance(result, jax.ShapeDtypeStruct):
        raise TypeError(f"`fn` must return one array, got {type(result).__name__}: wrap it in a function that does")
    if result.shape[:1] != tuple(x.shape[:1]):
        raise ValueError(
            f"`fn` must return an entry for each of the {x.shape[0]} images; got an array of shape {result.shape}"
        )
    opened = program(fn, x)
    rank = len(x.shape) - 2 if spatial_axes is None else len(spatial_axes)
    places = {row.name: row.output for row in rows_of(opened, rank)}
    arrays = {number: value for number, value in opened.constants.items() if np.ndim(value)}
    return Opened(opened, places, arrays)
