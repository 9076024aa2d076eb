"""Checkpoints: pytrees as named arrays, written and read by Orbax, with a few facts beside them.

Every leaf is stored under its path, such as `params/conv0/kernel`, so that what is read is matched by name, shape
and dtype, whatever classes the tree is built of.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from orbax.checkpoint import v1 as ocp

_COMPLETE = "_CHECKPOINT_METADATA"
"""Orbax writes a checkpoint under another name and renames it; an empty folder of that name is none."""

_DAMAGED = (AttributeError, FileNotFoundError, LookupError, TypeError, ValueError)
"""What Orbax raises where files are missing, cut off or overwritten: it has no error of its own for that."""


class Saving(Protocol):
    """A checkpoint that is being written in the background.

    Example:
        >>> def finish(saving: Saving) -> None:
        ...     saving.result()
    """

    def result(self, timeout: float | None = None) -> Any:
        """Wait until it is on disk, and raise what went wrong."""
        ...


def save(path: Path, trees: Mapping[str, Any], facts: Mapping[str, Any]) -> Saving:
    """Begin to write pytrees of arrays; when this returns, their memory may be used for something else.

    Args:
        path: The folder to make.
        trees: Pytrees by name, each in a folder of its own, so that one can be read without the others.
        facts: What JSON can hold, to be read by `read_facts`.

    Returns:
        Its `result()` waits for the end.
    """
    named = {name: _by_path(tree) for name, tree in trees.items()}
    return ocp.save_checkpointables_async(str(path.resolve()), named, custom_metadata=dict(facts))


def exists(path: Path) -> bool:
    """Tell whether a whole checkpoint is here."""
    return (path / _COMPLETE).is_file()


def read_facts(path: Path) -> dict[str, Any]:
    """Return the facts that were saved with a checkpoint; there is at least one."""
    with _reading(path, "its progress"):
        facts = ocp.checkpointables_metadata(str(path.resolve())).custom_metadata
        if not (isinstance(facts, dict) and facts):  # Orbax returns none from a damaged file
            raise ValueError("no facts")
        return facts


def restore(path: Path, targets: Mapping[str, Any]) -> dict[str, Any]:
    """Read pytrees of arrays.

    Args:
        path: The checkpoint's folder.
        targets: Pytrees of arrays by name: their structure, shapes, dtypes and devices.

    Returns:
        The same pytrees, with the values that were saved.

    Raises:
        ValueError: An array is missing, is one too many, or differs in shape or dtype; or the checkpoint is damaged.
    """
    wanted = {name: _by_path(tree) for name, tree in targets.items()}
    for name, arrays in wanted.items():
        with _reading(path, f"its {name}"):
            stored = dict(ocp.checkpointables_metadata(str(path.resolve())).metadata[name])
        _check(path, arrays, stored)
    abstract = jax.tree.map(_abstract, wanted)
    with _reading(path, "its arrays"):
        values = ocp.load_checkpointables(str(path.resolve()), abstract)
    return {name: _from_path(values[name], tree) for name, tree in targets.items()}


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    """Tell of damage in one line."""
    try:
        yield
    except _DAMAGED as error:
        raise ValueError(
            f"checkpoint {path} is damaged ({what} cannot be read): delete that folder, and those of larger numbers "
            "beside it, to go on from an earlier one or from the beginning"
        ) from error


def _by_path(tree: Any) -> dict[str, jax.Array]:
    leaves = jax.tree.leaves_with_path(tree)
    return {_name(path): jax.random.key_data(leaf) if _is_key(leaf) else leaf for path, leaf in leaves}


def _from_path(values: Mapping[str, jax.Array], target: Any) -> Any:
    def leaf(path: Any, old: jax.Array) -> jax.Array:
        value = values[_name(path)]
        return jax.random.wrap_key_data(value, impl=jax.random.key_impl(old)) if _is_key(old) else value

    return jax.tree.map_with_path(leaf, target)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _is_key(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _abstract(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _check(path: Path, wanted: Mapping[str, jax.Array], stored: Mapping[str, Any]) -> None:
    """Compare before reading: Orbax casts another dtype silently, and blames its handlers for another shape."""

    def described(leaf: Any) -> str:
        return f"{leaf.dtype}{list(leaf.shape)}"

    for name in sorted(wanted.keys() | stored.keys()):
        expected = described(wanted[name]) if name in wanted else "nothing"
        got = described(stored[name]) if name in stored else "nothing"
        if expected != got:
            raise ValueError(
                f"checkpoint {path} does not fit the model or the optimizer: `{name}` is {got} there, "
                f"{expected} is expected"
            )
