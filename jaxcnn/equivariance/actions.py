"""Actions on images that add no rounding: each is a pure function of an array, with the amount as its field."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import Tracer

from jaxcnn.equivariance.axes import per_axis, places, whole

Amount = Any  # an int, an array, or a sequence of them, one an axis; perhaps traced

SPATIAL = (-3, -2)
"""Rows and columns of an image with channels last."""


def static(default: Any = dataclasses.MISSING) -> Any:
    """Declare a field that is known when a program is compiled.

    Args:
        default: Its value.

    Returns:
        The field.

    Example:
        >>> static((-2,)).metadata["static"]
        True
    """
    return dataclasses.field(default=default, metadata={"static": True})


@dataclasses.dataclass(frozen=True)
class Action(abc.ABC):
    """What can be done to an array, and composed: `(a @ b)(x) == a(b(x))`.

    Actions are pytrees whose leaves are their amounts: jit them, vmap over them, differentiate by them.

    Example:
        >>> steps = Roll(jnp.arange(3), spatial_axes=(0,))
        >>> jax.vmap(lambda action: action(jnp.arange(3)))(steps).tolist()
        [[0, 1, 2], [2, 0, 1], [1, 2, 0]]
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.metadata.get("static") and isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))  # compiled programs are found by it: hashable

    @abc.abstractmethod
    def __call__(self, x: Array) -> Array:
        """Return the array that the action makes of x."""

    @abc.abstractmethod
    def inverse(self) -> "Action":
        """Return the action that undoes this one."""

    def __matmul__(self, other: "Action") -> "Compose":
        """Return this action after another."""
        mine = self.actions if isinstance(self, Compose) else (self,)
        theirs = other.actions if isinstance(other, Compose) else (other,)
        return Compose((*mine, *theirs))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Compose(Action):
    """Actions one after the other, the last one first; none is the identity.

    `x -> a(b(c(x)))` for `(a, b, c)`.

    Attributes:
        actions: The actions, the one that is applied last in front.

    Example:
        >>> turned = Roll((1, 0), spatial_axes=(0, 1)) @ Flip((0,))
        >>> turned(jnp.array([[1], [2], [3]])).tolist()
        [[1], [3], [2]]
        >>> turned.inverse()(turned(jnp.array([[1], [2], [3]]))).tolist()
        [[1], [2], [3]]
    """

    actions: Sequence[Action] = ()

    def __call__(self, x: Array) -> Array:
        for action in reversed(self.actions):
            x = action(x)
        return x

    def inverse(self) -> "Compose":
        return Compose(tuple(action.inverse() for action in reversed(self.actions)))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Roll(Action):
    """A circular shift: `y[i] = x[(i - shift) mod n]`. Any dtype; `Roll(a) @ Roll(b)` is `Roll(a + b)`.

    Attributes:
        shift: Positions, one number for all axes or one an axis.
        spatial_axes: The axes that are shifted.

    Example:
        >>> Roll((0, 1), spatial_axes=(0, 1))(jnp.array([[1, 2, 3]])).tolist()
        [[3, 1, 2]]
    """

    shift: Amount
    spatial_axes: Sequence[int] = static(SPATIAL)

    def __call__(self, x: Array) -> Array:
        x = jnp.asarray(x)
        axes = places(self.spatial_axes, x.shape, "`x`")
        for axis, shift in zip(axes, per_axis("shift", self.shift, len(axes)), strict=True):
            rows = jnp.arange(x.shape[axis]) - whole("shift", shift, "; for fractions take FourierShift")
            x = jnp.take(x, jnp.mod(rows, x.shape[axis]), axis, mode="clip")
        return x

    def inverse(self) -> "Roll":
        return dataclasses.replace(self, shift=jax.tree.map(lambda shift: -shift, self.shift))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Shift(Action):
    """A shift that fills what it uncovers: `y[i] = x[i - shift]`, or `fill` where there is no such x.

    It has no inverse. `Shift(a) @ Shift(b)` is `Shift(a + b)` where a and b have the same sign.

    Attributes:
        shift: Positions, one number for all axes or one an axis.
        fill: The new content, one number.
        spatial_axes: The axes that are shifted.

    Example:
        >>> Shift(-1, fill=9, spatial_axes=(0,))(jnp.array([1, 2, 3])).tolist()
        [2, 3, 9]
    """

    shift: Amount
    fill: Any = 0
    spatial_axes: Sequence[int] = static(SPATIAL)

    def __call__(self, x: Array) -> Array:
        x = jnp.asarray(x)
        axes = places(self.spatial_axes, x.shape, "`x`")
        fill = _of_dtype("fill", self.fill, x.dtype)
        for axis, shift in zip(axes, per_axis("shift", self.shift, len(axes)), strict=True):
            rows = jnp.arange(x.shape[axis]) - whole("shift", shift, "; for fractions take FourierShift")
            inside = (rows >= 0) & (rows < x.shape[axis])
            moved = jnp.take(x, rows, axis, mode="clip")
            x = jnp.where(inside.reshape(-1, *(1,) * (x.ndim - 1 - axis)), moved, fill)
        return x

    def inverse(self) -> "Action":
        raise ValueError("`Shift` has no inverse: what it moves over the border is lost; take `Roll`, which keeps it")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Crop(Action):
    """A window cut out of a larger canvas: `y[i] = x[start + i]`. Moving it by -s shifts the content by s.

    It has no inverse. `Crop(a, n) @ Crop(b, m)` is `Crop(a + b, n)`.

    Attributes:
        start: First row and column, one number for all axes or one an axis. Under a trace it cannot be checked, and is
            clamped so that the window stays on the canvas.
        size: Of the window, an int for all axes or one an axis.
        spatial_axes: The axes that are cut.

    Example:
        >>> Crop(1, 2, spatial_axes=(0,))(jnp.arange(5)).tolist()
        [1, 2]
    """

    start: Amount
    size: int | Sequence[int] = static()
    spatial_axes: Sequence[int] = static(SPATIAL)

    def __call__(self, x: Array) -> Array:
        x = jnp.asarray(x)
        axes = places(self.spatial_axes, x.shape, "`x`")
        starts, sizes = per_axis("start", self.start, len(axes)), per_axis("size", self.size, len(axes))
        for axis, start, size in zip(axes, starts, sizes, strict=True):
            last = x.shape[axis] - whole("size", size)
            if size < 1 or last < 0:
                raise ValueError(f"`size` (={size}) must be 1 to {x.shape[axis]}, the size of axis {axis} of `x`")
            if not isinstance(whole("start", start), Tracer) and not 0 <= int(start) <= last:
                raise ValueError(f"`start` (={start}) must be 0 to {last}: {size} of {x.shape[axis]} positions are cut")
            x = lax.dynamic_slice_in_dim(x, jnp.clip(start, 0, last), size, axis)
        return x

    def inverse(self) -> "Action":
        raise ValueError("`Crop` has no inverse: what it cuts off is lost; crop the canvas elsewhere instead")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rot90(Action):
    """A turn by quarters, from the first axis towards the second, as `numpy.rot90` turns. Any dtype.

    Attributes:
        times: How many quarters. A traced number needs a square image.
        spatial_axes: The two axes of the plane.

    Example:
        >>> Rot90(1, spatial_axes=(0, 1))(jnp.array([[1, 2], [3, 4]])).tolist()
        [[2, 4], [1, 3]]
    """

    times: Amount = 1
    spatial_axes: Sequence[int] = static(SPATIAL)

    def __call__(self, x: Array) -> Array:
        x = jnp.asarray(x)
        axes = places(self.spatial_axes, x.shape, "`x`")
        if len(axes) != 2:
            raise ValueError(f"`spatial_axes` (={tuple(self.spatial_axes)}) must be two axes, that of a plane")
        if np.ndim(whole("times", self.times)):
            raise ValueError(f"`times` (={self.times}) must be one number")
        if not isinstance(self.times, Tracer):
            return jnp.rot90(x, int(self.times), (axes[0], axes[1]))
        if x.shape[axes[0]] != x.shape[axes[1]]:
            raise ValueError(
                f"`times` is traced, and `x` of shape {x.shape} is no square: its shape depends on `times`; give an int"
            )
        turns = [lambda x, k=k: jnp.rot90(x, k, (axes[0], axes[1])) for k in range(4)]
        return lax.switch(jnp.mod(self.times, 4), turns, x)

    def inverse(self) -> "Rot90":
        return dataclasses.replace(self, times=-self.times)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Flip(Action):
    """A mirror image: `y[i] = x[n - 1 - i]` along each axis named. It is its own inverse. Any dtype.

    Attributes:
        spatial_axes: The axes that are mirrored; the default turns columns round, left to right.

    Example:
        >>> Flip()(jnp.arange(3).reshape(1, 3, 1))[0, :, 0].tolist()
        [2, 1, 0]
    """

    spatial_axes: Sequence[int] = static((-2,))

    def __call__(self, x: Array) -> Array:
        x = jnp.asarray(x)
        return jnp.flip(x, places(self.spatial_axes, x.shape, "`x`"))

    def inverse(self) -> "Flip":
        return self


def _of_dtype(name: str, value: Any, dtype: Any) -> Array:
    """Return a number as an array of a dtype that can hold it."""
    if np.ndim(value):
        raise ValueError(f"`{name}` must be one number, got an array of shape {np.shape(value)}")
    integers = not jnp.issubdtype(dtype, jnp.inexact)
    if integers and not isinstance(value, Tracer):
        held = np.asarray(value).astype(dtype)
        if held != value:
            raise ValueError(f"`{name}` (={value}) must be a value of x's dtype, {jnp.dtype(dtype).name}")
    return jnp.asarray(value).astype(dtype)
