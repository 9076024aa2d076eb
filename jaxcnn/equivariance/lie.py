"""How fast every layer of a network leaves equivariance, as its input begins to move by less than a pixel."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn.analysis import AxisFacts, trace
from jaxcnn.equivariance.axes import places
from jaxcnn.equivariance.fourier import FourierShift, Rotate, delay
from jaxcnn.equivariance.program import program
from jaxcnn.equivariance.shifts import one_array

GENERATORS = ("translation", "rotation")


@dataclasses.dataclass(frozen=True)
class LayerDerivative:
    """The Lie derivative of one layer, as a function of the network's input.

    Attributes:
        name: Its name stack; `output` for the function's result.
        primitive: Of the jaxpr.
        shape: Of its result.
        jumps: Input positions between two of its own, an axis; None for an axis that it has not got, as after a global
            pool or a flatten: there the result should not change at all.
        error: `|L z| / |z|`, a share of z for each pixel, or radian, of motion; root sum of squares over directions.
        norm: `|z|`, the root sum of squares.

    Example:
        >>> layer = lie_derivative(lambda x: x[::2, ::2], jax.random.normal(jax.random.key(0), (8, 8, 1)))["output"]
        >>> layer.jumps, layer.error > 0.1
        ((2.0, 2.0), True)
    """

    name: str
    primitive: str
    shape: tuple[int, ...]
    jumps: tuple[float | None, ...]
    error: float
    norm: float


@dataclasses.dataclass(frozen=True)
class LieDerivative:
    """The Lie derivatives of all layers, in order.

    Attributes:
        generator: `translation` or `rotation`.
        layers: The last one is the function's result.

    Example:
        >>> x = jax.random.normal(jax.random.key(0), (8, 8, 1))
        >>> print(lie_derivative(lambda x: jax.nn.relu(x).mean((0, 1)), x))
        translation  error     shape        operation              layer
                     1.54      8x8x1        max
                     0.0274    1            reduce_sum
                     0.0274    1            div
                     0.0274    1            mul                    output
    """

    generator: str
    layers: tuple[LayerDerivative, ...]

    def __getitem__(self, name: str) -> LayerDerivative:
        """Return the last layer of a name."""
        return next(layer for layer in reversed(self.layers) if layer.name == name)

    @property
    def error(self) -> float:
        """That of the function's result."""
        return self.layers[-1].error

    def __str__(self) -> str:
        lines = [f"{self.generator:<12} {'error':<9} {'shape':<12} {'operation':<22} layer"]
        for layer in self.layers:
            shape = "x".join(map(str, layer.shape)) or "-"
            lines.append(f"{'':<12} {layer.error:<9.3g} {shape:<12} {layer.primitive:<22} {layer.name}".rstrip())
        return "\n".join(lines)


def lie_derivative(
    fn: Callable[[Array], Array],
    x: Array,
    *,
    generator: str = "translation",
    spatial_axes: Sequence[int] = (-3, -2),
) -> LieDerivative:
    """Measure how fast each layer leaves equivariance as the input begins to move.

    `L z = d/dt T_{-t/s} z(T_t x)` at t = 0, for every array z that fn computes from x, by one forward-mode derivative
    of all of them; its size is `|L z| / |z|`. T_t shifts circularly by t pixels by Fourier's way (see `FourierShift`):
    no interpolation blurs, and no border is cut. s is z's jump, which the analysis of fn tells; for an array without
    spatial axes the second shift is none, and L tells how fast it changes. A linear circular convolution has 0, up to
    rounding; what folds frequencies, as a stride does, or makes new ones that the grid does not hold, as a ReLU does,
    has not. Derivatives are those of everything up to the layer, from the input.

    For a rotation T_t is `Rotate` about the input's centre, of which z's positions are those of its receptive fields'
    centres: content should vanish outside of the circle that fits in the image.

    An untrained network, and one that says the same of everything, may have a small derivative: read it beside the
    accuracy, and beside that of an untrained and of a known-equivariant network.

    Args:
        fn: A JAX function of one array that returns one array.
        x: Its argument, floating point.
        generator: `translation`, along all spatial axes, or `rotation`, in the plane of two.
        spatial_axes: The axes of x.

    Returns:
        The `LieDerivative`: a row for every operation that depends on x and gives floating-point numbers (loops of up
        to 64 turns are unrolled; others, and branches, are one operation each), and one for the result.

    Raises:
        TypeError: Arguments that are not floating point, or an fn that does not return one array.
        ValueError: Another generator, or axes that do not fit.

    Example:
        >>> from jaxcnn import functional as F
        >>> x, kernel = jax.random.normal(jax.random.key(0), (8, 8, 1)), jnp.ones((3, 3, 1, 2))
        >>> def circular(x):
        ...     return F.conv(x, kernel, padding_mode="circular")
        >>> lie_derivative(circular, x).error < 1e-5, lie_derivative(lambda x: F.conv(x, kernel), x).error > 0.1
        (True, True)

    Reference:
        Gruver, Finzi, Goldblum and Wilson, "The Lie derivative for measuring learned equivariance", 2022. There the
        squared norm is divided by the number of entries; here by the squared norm of z, which forgets its units.
    """
    x = jnp.asarray(x)
    axes = tuple(sorted(places(spatial_axes, x.shape, "`x`")))
    if generator not in GENERATORS:
        raise ValueError(f"`generator` (={generator!r}) must be one of {GENERATORS}")
    if generator == "rotation" and len(axes) != 2:
        raise ValueError(f"`spatial_axes` (={tuple(spatial_axes)}) must be two axes for a rotation, that of a plane")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"`x` of dtype {x.dtype} cannot move by fractions of a pixel: give floating point")
    one_array(fn, x)

    def ended(x: Array) -> Array:
        return fn(x) * 1  # an operation of its own, for the result that none may have made last

    with jax.default_matmul_precision("highest"):
        listed = program(ended, x)
        found = [
            (operation, n)
            for operation in listed.operations
            for n in operation.outputs
            if n in listed.depends and jnp.issubdtype(listed.avals[n].dtype, jnp.floating)
        ]
        chosen = [n for _, n in found]
        told = trace(lambda x: listed.run(x, chosen), x, spatial_axes=axes).outputs
        facts = [fact.axes for fact in told]
        sizes = [x.shape[axis] for axis in axes]

        alike: dict[Any, list[int]] = {}  # arrays that move alike are moved at once: far fewer programs to compile
        for n, about in enumerate(facts):
            one = listed.avals[chosen[n]]
            key = (one.shape, str(one.dtype), tuple((f.axis, f.jump, f.center) for f in about))
            alike.setdefault(key, []).append(n)

        @jax.jit
        def norms(x: Array) -> tuple[list[Array], list[Array]]:
            squares: list[Array] = [jnp.zeros(())] * len(chosen)
            arrays: list[Array] = []
            for direction in range(len(axes)) if generator == "translation" else (None,):
                moving = _derivative(lambda t, d=direction: _move(x, t, axes, d))
                arrays, slopes = jax.jvp(lambda x: listed.run(x, chosen), (x,), (moving,))
                for group in alike.values():

                    def left(z: Array, slope: Array, d: Any = direction, about: Any = facts[group[0]]) -> Array:
                        return _square(slope - _answer(z, about, d, sizes))

                    stacks = [jnp.stack([of[n] for n in group]) for of in (arrays, slopes)]
                    for n, square in zip(group, jax.vmap(left)(*stacks), strict=True):
                        squares[n] = squares[n] + square
            return squares, [_square(z) for z in arrays]

        squares, totals = norms(x)
    layers = []
    for (operation, n), about, square, total in zip(found, facts, squares, totals, strict=True):
        name = "output" if n == listed.outputs[0] else operation.scope
        norm = float(total) ** 0.5
        error = float(square) ** 0.5 / norm if norm else float(square) ** 0.5
        jumps = tuple(None if place is None else place.jump for place in map(_place, about))
        layers.append(LayerDerivative(name, operation.name, tuple(listed.avals[n].shape), jumps, error, norm))
    return LieDerivative(generator, tuple(layers))


def _move(x: Array, amount: Any, axes: tuple[int, ...], direction: int | None) -> Array:
    """Shift along one axis, or turn in the plane of two."""
    if direction is None:
        return Rotate(amount, axes)(x)
    return FourierShift(amount, (axes[direction],))(x)


def _derivative(fn: Callable[[Array], Array]) -> Array:
    """Return the derivative of a function of one number at 0."""
    return jax.jvp(fn, (0.0,), (1.0,))[1]


class _Place(NamedTuple):
    """Where a map's units stand along an axis of the input."""

    axis: int
    jump: float
    center: float


def _place(facts: AxisFacts) -> _Place | None:
    """Return where a map stands; None for what is no map."""
    if facts.axis is None or not facts.jump or facts.center is None:
        return None
    return _Place(facts.axis, float(facts.jump), float(facts.center))


def _answer(z: Array, facts: Sequence[AxisFacts], direction: int | None, sizes: Sequence[int]) -> Array | float:
    """Return how fast an array should move as the input does."""
    if direction is not None:
        place = _place(facts[direction])
        return 0.0 if place is None else _derivative(lambda t: delay(z, t / place.jump, place.axis))
    first, second = map(_place, facts)
    if first is None or second is None or first.axis == second.axis:
        return 0.0
    rows, columns = (_positions(z, place, size) for place, size in zip((first, second), sizes, strict=True))
    along = _derivative(lambda t: delay(z, t * rows / second.jump, second.axis))
    across = _derivative(lambda t: delay(z, -t * columns / first.jump, first.axis))
    return along + across


def _positions(z: Array, place: _Place, size: int) -> np.ndarray:
    """Return where an array's units stand along an axis of the input, from its middle."""
    shape = [1] * z.ndim
    shape[place.axis] = -1
    where = place.center + place.jump * np.arange(z.shape[place.axis]) - (size - 1) / 2
    return where.reshape(shape)


def _square(z: Array) -> Array:
    return (z.astype(jnp.promote_types(z.dtype, jnp.float32)) ** 2).sum()
