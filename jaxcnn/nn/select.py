"""Layers by name: which parameters a pattern means, and layers that training leaves as they are."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

import jax
from flax import nnx

from jaxcnn.nn.module import Module
from jaxcnn.nn.norm import BatchNorm


def select(tree: Any, patterns: Sequence[str]) -> Any:
    """Tell which leaves of a tree of parameters lie in the layers that patterns name.

    A pattern is the path of a layer or of a parameter, such as `stage1`, `stage1/*/conv` or `*/bias`, with `*` for any
    characters, `?` for one and `[12]` for one of these. All that lies in a layer goes with it.

    Args:
        tree: Nested dicts of arrays, as `split` and `functionalize` give them.
        patterns: Any number of them.

    Returns:
        A tree of booleans of the same structure.

    Raises:
        ValueError: A pattern that names nothing.

    Example:
        >>> params = {"stage1": {"conv": {"kernel": 1.0, "bias": 0.0}}, "head": {"kernel": 1.0}}
        >>> select(params, ["stage1/*/bias", "head"])
        {'head': {'kernel': True}, 'stage1': {'conv': {'bias': True, 'kernel': False}}}
    """
    leaves = [path_of(path) for path, _ in jax.tree.leaves_with_path(tree)]
    for pattern in patterns:
        if not any(_matches(leaf, pattern) for leaf in leaves):
            layers = ", ".join(dict.fromkeys(leaf.partition("/")[0] for leaf in leaves))
            raise ValueError(f"{pattern!r} names no layer and no parameter: they begin with {layers}")
    return jax.tree.map_with_path(lambda path, _: any(_matches(path_of(path), pattern) for pattern in patterns), tree)


def freeze(module: Module, patterns: Sequence[str]) -> None:
    """Let the batch norms in the layers that patterns name normalise by their own statistics in training too.

    Their statistics stay as they are. That the parameters of these layers do is up to the optimizer, which `select`
    tells what to leave.

    Args:
        module: The network; its batch norms are changed.
        patterns: See `select`.

    Example:
        >>> from jaxcnn import nn
        >>> net = nn.Sequential(norm1=nn.BatchNorm(2), norm2=nn.BatchNorm(2))
        >>> freeze(net, ["norm1"])
        >>> net.norm1.frozen, net.norm2.frozen
        (True, False)
    """
    for path, part in nnx.iter_modules(module):
        if isinstance(part, BatchNorm) and any(_matches("/".join(map(str, path)), pattern) for pattern in patterns):
            part.frozen = True


def path_of(keys: Sequence[Any]) -> str:
    """Return a leaf's path in a tree of nested dicts as text, such as `stage1/conv/kernel`.

    Args:
        keys: What `jax.tree.leaves_with_path` gives.

    Returns:
        The names with slashes between them.

    Example:
        >>> [path_of(keys) for keys, _ in jax.tree.leaves_with_path({"conv": {"kernel": 1.0}})]
        ['conv/kernel']
    """
    return "/".join(str(key.key) for key in keys)


def _matches(path: str, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern.rstrip("/")) for name in _itself_and_layers(path))


def _itself_and_layers(path: str) -> Iterator[str]:
    """Yield a path and those of the layers that it lies in."""
    while path:
        yield path
        path = path.rpartition("/")[0]
