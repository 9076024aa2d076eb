"""Many devices: the mesh that they form, and what lies where on it.

Every device computes its share of the batch, whatever axis of the mesh it is on. The axis `model` divides what is
stored besides: each parameter, its moments and its average lie in parts on it, and are gathered for a step.
"""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXES = ("data", "model")
WHOLE = PartitionSpec()
"""The same on every device."""
DIVIDED = PartitionSpec(AXES)
"""The first axis, examples, divided among all devices."""
BATCHES = PartitionSpec(None, AXES)
"""`(steps, batch, ...)`: the examples of each step divided."""

Kind = Literal["state", "data", "chunk"]


def make_mesh(sizes: str | None = None) -> Mesh | None:
    """Arrange the devices as a config's `mesh` asks for.

    Args:
        sizes: Devices along `data` and along `model`, such as `data=4,model=2`; an axis that is left out is 1. One
            process may take some of its devices, several together take all. None is one device, or all as `data`
            where several processes run.

    Returns:
        A mesh with the axes `data` and `model`; None for one device, where nothing is divided.

    Raises:
        ValueError: Anything else than that, or more devices than there are.

    Example:
        >>> make_mesh("data=1") is None
        True
        >>> make_mesh("data=4,model=1000")
        Traceback (most recent call last):
        ValueError: `mesh` (='data=4,model=1000') is 4000 devices, and there ...
    """
    devices = jax.devices()
    if sizes is None:
        sizes = f"data={len(devices) if jax.process_count() > 1 else 1}"
    shape = _parse(sizes)
    wanted = math.prod(shape.values())
    if wanted > len(devices) or (jax.process_count() > 1 and wanted != len(devices)):
        count = f"there are {len(devices)}" if len(devices) > 1 else "there is 1"
        processes = f" in {jax.process_count()} processes: take all" if jax.process_count() > 1 else ""
        raise ValueError(f"`mesh` (={sizes!r}) is {wanted} devices, and {count}{processes}")
    if wanted == 1:
        return None
    return Mesh(np.array(devices[:wanted]).reshape([shape[axis] for axis in AXES]), AXES)


def _parse(sizes: str) -> dict[str, int]:
    shape: dict[str, int] = {}
    for part in sizes.split(","):
        axis, _, size = part.strip().partition("=")
        if axis not in AXES or axis in shape or not (size.isascii() and size.isdigit() and int(size)):
            raise ValueError(
                f"`mesh` (={sizes!r}) must be sizes of data and model, such as data=4,model=2"
                + (f"; got {part!r}" if part != sizes else "")
            )
        shape[axis] = int(size)
    return dict.fromkeys(AXES, 1) | shape


def check_batch(name: str, batch: int, mesh: Mesh | None) -> None:
    """Raise where a mesh cannot share a batch evenly.

    Args:
        name: Of the argument, for the message.
        batch: Examples.
        mesh: The devices.

    Raises:
        ValueError: A batch that is not positive, or no multiple of the number of devices.

    Example:
        >>> check_batch("batch", 0, None)
        Traceback (most recent call last):
        ValueError: `batch` (=0) must be positive
    """
    if batch < 1:
        raise ValueError(f"`{name}` (={batch}) must be positive")
    if mesh is not None and batch % mesh.size:
        least = batch // mesh.size * mesh.size
        near = f"{least} or {least + mesh.size}" if least else f"{mesh.size}"
        raise ValueError(f"`{name}` (={batch}) must be divisible by the {mesh.size} devices of the mesh: take {near}")


def rows(mesh: Mesh | None, batch: int) -> slice:
    """Return which examples of every batch this process holds: all, where it is the only one.

    Args:
        mesh: The devices of all processes.
        batch: Examples in a step.

    Returns:
        A slice of the batch, that `place(..., "chunk")` takes.

    Example:
        >>> rows(None, 32)
        slice(0, 32, None)
    """
    if mesh is None:
        return slice(0, batch)
    held = NamedSharding(mesh, DIVIDED).addressable_devices_indices_map((batch,)).values()
    bounds = [index[0].indices(batch) for index in held if index]
    return slice(min(bound[0] for bound in bounds), max(bound[1] for bound in bounds))


def shardings(mesh: Mesh, tree: Any) -> Any:
    """Return where the leaves of a state lie: in parts along `model`, cut along the longest axis that divides evenly.

    Vectors and scalars, and arrays without such an axis, lie whole on every device: to gather them costs more than
    they weigh.

    Args:
        mesh: The devices.
        tree: Arrays, or their shapes and dtypes.

    Returns:
        A pytree of `NamedSharding`.
    """
    return jax.tree.map(lambda leaf: NamedSharding(mesh, _spec(leaf.shape, mesh.shape["model"])), tree)


def _spec(shape: tuple[int, ...], parts: int) -> PartitionSpec:
    even = [axis for axis, size in enumerate(shape) if size and size % parts == 0]
    if parts == 1 or len(shape) < 2 or not even:
        return WHOLE
    longest = max(even, key=lambda axis: (shape[axis], axis))
    return PartitionSpec(*[None] * longest, "model")


def place(mesh: Mesh | None, tree: Any, kind: Kind, *, batch: int | None = None) -> Any:
    """Put arrays on the devices, each part where steps want it.

    In several processes every one of them calls it, for `state` and `data` with the same values.

    Args:
        mesh: The devices; None is JAX's default one.
        tree: Arrays.
        kind: `state` lies as `shardings` says; `data` lies whole on every device, for steps to gather examples from.
            `chunk` is the examples of some whole steps in their order, of each batch the `rows` of this process; it
            becomes `(steps, batch, ...)`, each batch divided among the devices, for steps without an `order`.
        batch: Examples in a step, of all processes, for a `chunk`.

    Returns:
        The arrays, placed.

    Raises:
        ValueError: A chunk whose size is not that of whole steps.

    Example:
        >>> place(None, np.arange(6), "chunk", batch=3).tolist()
        [[0, 1, 2], [3, 4, 5]]
    """
    if kind == "chunk":
        if batch is None:
            raise ValueError("`batch` must be given for a chunk: the examples in a step")
        mine = rows(mesh, batch)
        tree = jax.tree.map(lambda leaf: _batches(np.asarray(leaf), mine.stop - mine.start), tree)
        if mesh is None:
            return jax.device_put(tree)
        where = NamedSharding(mesh, BATCHES)
        return jax.tree.map(
            lambda leaf: jax.make_array_from_process_local_data(where, leaf, (len(leaf), batch, *leaf.shape[2:])), tree
        )
    if mesh is None:
        return jax.device_put(tree)
    where = shardings(mesh, tree) if kind == "state" else jax.tree.map(lambda _: NamedSharding(mesh, WHOLE), tree)
    return jax.tree.map(_put, tree, where)


def _batches(array: np.ndarray, each: int) -> np.ndarray:
    if len(array) % each:
        raise ValueError(f"a chunk must hold whole steps: {len(array)} examples are no multiple of {each}")
    return array.reshape(-1, each, *array.shape[1:])


def _put(leaf: Any, where: NamedSharding) -> jax.Array:
    """Put an array on devices, some of which may be other processes': each puts its own parts."""
    if where.is_fully_addressable or (isinstance(leaf, jax.Array) and not leaf.is_fully_addressable):
        return jax.device_put(leaf, where)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_put(jax.random.key_data(leaf), where), impl=jax.random.key_impl(leaf))
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, where, lambda index: host[index])


def constrain(mesh: Mesh | None, tree: Any, kind: Literal["state", "batch", "data"]) -> Any:
    """Tell the compiler where the arrays of a running program lie; without a mesh, nothing.

    Args:
        mesh: The devices.
        tree: Arrays that are being traced.
        kind: `state` and `data` as in `place`; `batch` is divided along its first axis.

    Returns:
        The same values.

    Example:
        >>> constrain(None, 1.0, "batch")
        1.0
    """
    if mesh is None:
        return tree
    if kind == "state":
        return jax.lax.with_sharding_constraint(tree, shardings(mesh, tree))
    return jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, DIVIDED if kind == "batch" else WHOLE))
