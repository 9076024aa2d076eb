"""The parameters that a run starts from, where they are not drawn: those of another run, or of a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcnn import nn, training
from jaxcnn.api.problem import make_module
from jaxcnn.interop import read_weights
from jaxcnn.runs import Run, is_run

_MORE = 3  # names that a message tells, of many


def load_initial(
    source: str | Path, params: Any, statistics: Any, *, fresh: Sequence[str] = (), frozen: Any = ()
) -> tuple[Any, Any]:
    """Put the arrays of a run or a file in the place of a network's own, by their names.

    What the source has and the network has not is left aside. Where class names or numbers differ nothing is guessed: a
    layer of another shape, such as the head of a classifier for other classes, has to be named in `fresh`.

    Args:
        source: A run's folder, for the parameters that it chose, or a .safetensors file whose arrays are named like
            `stage1/conv/kernel` (or with dots).
        params: The network's parameters, see `nn.split`.
        statistics: Its statistics.
        fresh: Layers that keep what was drawn, see `nn.select`.
        frozen: Booleans in the structure of the parameters: which of them training leaves as they are.

    Returns:
        Parameters and statistics of the same structure, shapes and types.

    Raises:
        ValueError: The source is neither, is damaged, or lacks what the network needs, in its shape, as
            finite floats; nothing of it would be taken; or what is drawn anew would never be trained.

    Example:
        >>> import tempfile
        >>> from jaxcnn.api import fit
        >>> from jaxcnn.config import Config
        >>> run = fit("linear", "synthetic", Config(epochs=1), out=tempfile.mkdtemp())
        >>> _, params, statistics = nn.split(make_module(run.config, None, (32, 32, 3), 10))
        >>> loaded, _ = load_initial(run.path, params, statistics)
        >>> bool((loaded["head"]["dense"]["kernel"] == params["head"]["dense"]["kernel"]).all())
        False
    """
    stored = _stored(Path(source))
    whole = {"params": params, "statistics": statistics}
    anew = nn.select(_merged(params, statistics), fresh)
    lacking: list[str] = []
    unlike: list[str] = []
    keep, own = _chosen(anew), [nn.path_of(keys) for keys, _ in jax.tree.leaves_with_path(anew)]
    if both := sorted(keep & _chosen(frozen)):
        raise ValueError(f"`freeze` and `fresh` both name {_listed(both)}: it would stay as it is drawn, untrained")
    shared = [name for name in own if name in stored]
    if not shared:
        raise ValueError(
            f"`init` (={source}) holds no array of this network: it has {_listed(sorted(stored)) or 'none'}; the "
            f"network, {_listed(own)}"
        )
    if keep.issuperset(shared):
        raise ValueError(
            f"`init` (={source}) gives this network nothing: `fresh` (={' '.join(fresh)}) draws anew all that both "
            f"have, {_listed(shared)}: name fewer layers there, or leave `init` out"
        )

    def place(keys: Sequence[Any], drawn: Any) -> Any:
        name = nn.path_of(keys[1:])
        if name in keep:
            return drawn
        if name not in stored:
            lacking.append(name)
        elif np.shape(stored[name]) != drawn.shape:
            unlike.append(f"{name} is {np.shape(stored[name])} there, {drawn.shape} here")
        else:
            _check_numbers(source, name, stored[name])
            return jax.numpy.asarray(stored[name], drawn.dtype)
        return drawn

    placed = jax.tree.map_with_path(place, whole)
    if lacking or unlike:
        told = [f"it has no {_listed(lacking)}"] if lacking else []
        told += [_listed(unlike)] if unlike else []
        layers = [name.partition(" ")[0].rpartition("/")[0] or name for name in lacking + unlike]
        if 2 * len(lacking + unlike) > len(own):
            what = "It seems another network's: give the model and the options that it has"
        else:
            what = f"To draw them anew: --fresh {' '.join(dict.fromkeys((*fresh, *layers)))}"
        raise ValueError(f"`init` (={source}) does not fit this network: {'; '.join(told)}. {what}")
    return placed["params"], placed["statistics"]


def arrays_of(run: Run) -> dict[str, Any]:
    """Return the arrays of the network that a run chose, by their paths.

    Args:
        run: The run, of a registered model.

    Returns:
        Parameters, then statistics, by paths such as `stage1/conv/kernel`.

    Raises:
        ValueError: It has no checkpoint, or its model is not ours.

    Example:
        >>> import tempfile
        >>> from jaxcnn.api import fit
        >>> from jaxcnn.config import Config
        >>> list(arrays_of(fit("linear", "synthetic", Config(epochs=1), out=tempfile.mkdtemp())))
        ['head/dense/bias', 'head/dense/kernel']
    """
    facts = run.facts
    outputs = training.output_channels(run.config.loss, len(facts["classes"]))
    _, params, statistics = nn.split(make_module(run.config, None, facts["input_shape"], outputs))
    params, statistics = run.restore_network(run.chosen_step(), params, statistics)
    both = jax.tree.leaves_with_path(params) + jax.tree.leaves_with_path(statistics)
    return {nn.path_of(keys): leaf for keys, leaf in both}


def _stored(source: Path) -> Mapping[str, Any]:
    """Return the arrays of a run or a file by name."""
    if source.is_file() and source.suffix == ".safetensors":
        try:
            return read_weights(source).arrays
        except ValueError as error:
            raise ValueError(f"`init` (={source}): {error}") from error
    if not is_run(source):
        raise ValueError(f"`init` (={source}) must be the folder of a run, or a .safetensors file")
    return arrays_of(Run.open(source))


def _chosen(tree: Any) -> set[str]:
    return {nn.path_of(keys) for keys, chosen in jax.tree.leaves_with_path(tree) if chosen}


def _check_numbers(source: str | Path, name: str, array: Any) -> None:
    """Raise where an array cannot be a parameter: quantised weights, or those of a run that diverged."""
    if not jax.numpy.issubdtype(array.dtype, jax.numpy.floating):
        raise ValueError(f"`init` (={source}): {name} is {array.dtype}; expected floats")
    if not jax.numpy.isfinite(array).all():
        raise ValueError(f"`init` (={source}): {name} holds NaN or infinity")


def _merged(one: Any, other: Any) -> Any:
    """Return two trees of nested dicts as one."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one
    shared = {name: _merged(one[name], other[name]) for name in one.keys() & other.keys()}
    return {**one, **other, **shared}


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MORE
    return ", ".join(names[:_MORE]) + (f" and {more} more" if more > 0 else "")
