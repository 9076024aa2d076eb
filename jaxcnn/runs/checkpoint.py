"""Checkpoints: pytrees as named arrays, written and read by Orbax, under a manifest of what every byte is.

Every leaf is stored under its path, such as `params/conv0/kernel`, so that what is read is matched by name, shape
and dtype, whatever classes the tree is built of. Nothing that is read is ever run.
"""

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from jaxcnn.runs import manifest
from jaxcnn.runs.disk import RunWriteError, remove, sync_folder, write_bytes, writing
from jaxcnn.runs.processes import agree, first, is_first
from jaxcnn.runs.records import json_bytes, read_object

_ARRAYS, _FACTS = "arrays", "progress.json"

_DAMAGED = (AttributeError, FileNotFoundError, LookupError, TypeError, ValueError)
"""What Orbax raises where files do not hold what it wrote: it has no error of its own for that."""


class Saving(Protocol):
    """A checkpoint that is being written in the background.

    Example:
        >>> def finish(saving: Saving) -> None:
        ...     saving.result()
    """

    def result(self, timeout: float | None = None) -> Any:
        """Wait until it is on disk, and raise what went wrong."""
        ...


class _Saving:
    """One that all processes wait for together, so that none goes on where another one failed."""

    def __init__(self, work: Future[None]) -> None:
        self.work = work

    def result(self, timeout: float | None = None) -> None:
        agree(self.work.exception(timeout))


def save(
    path: Path,
    trees: Mapping[str, Any],
    facts: Mapping[str, Any],
    *,
    files: Mapping[str, bytes] | None = None,
    after: Callable[[], None] | None = None,
) -> Saving:
    """Begin to write pytrees of arrays; when this returns, their memory may be used for something else.

    All is written into a hidden folder beside `path`, which gets its name when its manifest is on disk. What stood at
    `path` gives way: a whole checkpoint is replaced, anything else is renamed, and kept.

    Args:
        path: The folder to make.
        trees: Pytrees by name, each in a folder of its own, so that one can be read without the others.
        facts: What JSON can hold, to be read by `read_facts`.
        files: Other files to write beside the arrays.
        after: What to do in the background once it is on disk.

    Returns:
        Its `result()` waits for the end. On several processes each has to call both.

    Raises:
        RunWriteError: It cannot be begun.
    """
    named = jax.tree.map(_copied, {name: _by_path(tree) for name, tree in trees.items()})
    part = hidden(path, "writing")
    with _written(path, part):
        first(lambda: _make(part))
        arrays = ocp.save_checkpointables_async(str((part / _ARRAYS).resolve()), named)
    texts = {_FACTS: json_bytes(dict(facts)), **(files or {})}
    return _Saving(_in_background(lambda: _finish(path, part, arrays, texts, after)))


def exists(path: Path) -> bool:
    """Tell whether a checkpoint was written here to its end; `damage` tells whether it is still whole."""
    return manifest.exists(path)


def damage(path: Path, *, strangers: bool = False) -> str | None:
    """Read every byte of a checkpoint.

    Args:
        path: The checkpoint's folder.
        strangers: Whether any file that was not written with it is damage too.

    Returns:
        What is wrong with it; None where it is whole.
    """
    return manifest.damage(path, strangers=strangers)


def hidden(path: Path, what: str) -> Path:
    """Return the name that a checkpoint's folder has while something is done to it: .40.writing, beside 40."""
    return path.with_name(f".{path.name}.{what}")


def set_aside(path: Path) -> Path:
    """Rename what is no checkpoint, and stands where one belongs: 40 becomes 40.damaged.

    Args:
        path: The folder, or file.

    Returns:
        Its new name, numbered where that is taken.
    """
    number = 1
    while os.path.lexists(other := path.with_name(f"{path.name}.damaged{f'-{number}' * (number > 1)}")):
        number += 1
    return path.rename(other)


def read_facts(path: Path) -> dict[str, Any]:
    """Return the facts that were saved with a checkpoint."""
    try:
        return read_object(path / _FACTS)
    except ValueError as error:
        raise ValueError(f"checkpoint {path} is damaged: its {_FACTS} cannot be read") from error


def restore(path: Path, targets: Mapping[str, Any], *, whole: bool = False) -> dict[str, Any]:
    """Read pytrees of arrays, after every byte was held against the manifest.

    Args:
        path: The checkpoint's folder.
        targets: Pytrees of arrays by name: their structure, shapes, dtypes, and the devices to put them on, which need
            not be those that they were saved from.
        whole: Whether these have to be all that there are in the checkpoint.

    Returns:
        The same pytrees, with the values that were saved.

    Raises:
        ValueError: An array is missing, is one too many, or differs in shape or dtype; or the checkpoint is damaged.
    """
    if problem := damage(path):
        raise ValueError(f"checkpoint {path} is damaged: {problem}")
    arrays = str((path / _ARRAYS).resolve())
    wanted = {name: _by_path(tree) for name, tree in targets.items()}
    with _reading(path):
        stored = dict(ocp.checkpointables_metadata(arrays).metadata)
        names = wanted.keys() | stored.keys() if whole else wanted
        shapes = {name: dict(stored[name]) if name in stored else {} for name in names}
    for name in sorted(names):
        _check(path, wanted.get(name, {}), shapes[name])
    abstract = jax.tree.map(_abstract, {name: leaves for name, leaves in wanted.items() if leaves})
    with _reading(path):
        values = ocp.load_checkpointables(arrays, abstract) if abstract else {}
    return {name: _from_path(values.get(name, {}), tree) for name, tree in targets.items()}


def _make(part: Path) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)
    remove(part)
    part.mkdir()


def _finish(path: Path, part: Path, arrays: Saving, texts: Mapping[str, bytes], after: Any) -> None:
    """Wait for Orbax, write what stands beside the arrays, the manifest last, and give the folder its name."""
    with _written(path, part):
        arrays.result()  # in no process before it is over in all
        if not is_first():
            return
        for name, text in texts.items():
            write_bytes(part / name, text)
        manifest.write(part, path.name)
        if os.path.lexists(path) and damage(path) is None:
            before = hidden(path, "before")
            path.rename(before)
            try:
                part.rename(path)
            except OSError:
                before.rename(path)
                raise
            remove(before)
        else:
            if os.path.lexists(path):
                set_aside(path)
            part.rename(path)
        sync_folder(path.parent)
    if after is not None:
        after()


@contextmanager
def _written(path: Path, part: Path) -> Iterator[None]:
    """Leave nothing behind of what could not be written, and tell why: Orbax has errors of many kinds for that."""
    try:
        with writing(path):
            yield
    except Exception as error:
        if is_first():
            remove(part)
        if isinstance(error, RunWriteError):
            raise
        raise RunWriteError(f"cannot write {path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the system's words for what Orbax met, its own where it met something else."""
    told = " ".join(str(error).split())
    code = re.search(r"os_error_code='(\d+)'", told)
    return os.strerror(int(code[1])) if code else f"{type(error).__name__}: {told[:300]}"


def _in_background(work: Callable[[], None]) -> Future[None]:
    future: Future[None] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="jaxcnn-checkpoint").start()
    return future


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Tell in one line that the bytes are those that were written, and that Orbax cannot read them."""
    try:
        yield
    except _DAMAGED as error:
        told = " ".join(str(error).split())
        raise ValueError(f"checkpoint {path} cannot be read by this version of Orbax: {told[:200]}") from error


def _by_path(tree: Any) -> dict[str, jax.Array]:
    leaves = jax.tree.leaves_with_path(tree)
    return {_name(path): jax.random.key_data(leaf) if _is_key(leaf) else leaf for path, leaf in leaves}


def _from_path(values: Mapping[str, jax.Array], target: Any) -> Any:
    def leaf(path: Any, old: jax.Array) -> jax.Array:
        value = values[_name(path)]
        return jax.random.wrap_key_data(value, impl=jax.random.key_impl(old)) if _is_key(old) else value

    return jax.tree.map_with_path(leaf, target)


def _copied(leaf: jax.Array) -> jax.Array | np.ndarray:
    """Return what Orbax writes: of an array on one device a copy of NumPy's, which takes it half the time."""
    return np.array(leaf) if len(leaf.sharding.device_set) == 1 and leaf.is_fully_addressable else leaf


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
