"""`module:function`: a network of the user's own, imported from the working directory."""

import functools
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from jaxcnn.config import unknown

EVALUATION = {
    **dict.fromkeys(("train", "training", "is_training"), False),
    **dict.fromkeys(("deterministic", "inference"), True),
}
"""What a network is told by arguments of these names: that it is evaluated."""


def is_path(target: str) -> bool:
    """Tell whether a target is written as module:function."""
    return re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", target) is not None


def load(target: str) -> Any:
    """Import what `module:function` names.

    Args:
        target: Such as `nets:Net` or `package.nets:model`.

    Returns:
        What stands there.

    Raises:
        ValueError: A module that is missing or fails to import, or has no such name, or one that is not callable.
    """
    path, _, name = target.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()
    try:
        found = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and (path == error.name or path.startswith(f"{error.name}.")):
            raise ValueError(
                f"no module {error.name!r} in the working directory or among the installed ones: `{target}` must be "
                "module:function, without .py"
            ) from error
        raise ValueError(f"module {path!r} fails to import: {told(error)}") from error
    except Exception as error:
        raise ValueError(f"module {path!r} fails to import: {told(error)}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            names = [known for known in vars(found) if not known.startswith("_")] if hasattr(found, "__dict__") else []
            raise ValueError(unknown(f"name in module {path!r}", part, names))
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(f"`{target}` must be callable: a function of the input, or a network; got {_kind(found)}")
    return found


def made(target: str, found: Any, *, seed: int | None = None) -> Any:
    """Call what is a class, or a function without arguments, for the network that it makes.

    Args:
        target: Its name.
        found: Of `load`.
        seed: Draws the parameters of an NNX module that is a class.

    Returns:
        The network; without a seed abstract where that works, so that large ones take no memory.

    Raises:
        ValueError: A class that needs arguments, or a call that fails or returns nothing callable.
    """
    if not inspect.isclass(found) and (not _is_function(found) or _required(found)):
        return found
    make: Callable[[], Any] = found
    if inspect.isclass(found) and _required(found):
        nnx, names = sys.modules.get("flax.nnx"), _required(found)
        if nnx is None or names != ["rngs"]:
            needed = f"`{target}` is a class that needs {', '.join(names)}"
            raise ValueError(f"{needed}: write a function without arguments that makes one")
        make = functools.partial(found, rngs=nnx.Rngs(seed or 0))
    network = _abstract(make) if seed is None else None
    if network is None:
        try:
            network = make()
        except Exception as error:
            raise ValueError(
                f"`{target}` takes no input, so it must make a network, but fails: {told(error)}"
            ) from error
    if not callable(network):
        raise ValueError(f"`{target}` takes no input, so it must make a network, but it returns {_kind(network)}")
    return network


def _abstract(make: Callable[[], Any]) -> Any:
    """Make a network without its arrays; None where that does not work."""
    import jax

    try:
        network = jax.eval_shape(make)
        if _framework(network) != "flax.nnx" or not callable(network) or _options(network):
            return None
        functions(network, None)
    except Exception:  # what it returns is no tree of arrays, or cannot be made without them
        return None
    return network


def functions(network: Any, x: Any, *, seed: int | None = None) -> tuple[Callable[[Any, Any], Any], Any]:
    """Turn a network into a function of its parameters and an input, in evaluation mode.

    Args:
        network: A Flax NNX or Linen module, any other callable tree of arrays (Equinox), or a function of the input.
        x: Abstract input, which a Linen module is initialised for.
        seed: Draws the parameters of a Linen module.

    Returns:
        `fn(params, x)`, and `params`; without a seed those of a Linen module are abstract.
    """
    import jax

    options = _options(network)
    framework = _framework(network)
    if framework == "flax.nnx":
        from jaxcnn import nn

        network.eval()
        return _nnx(network, options) if options else nn.functionalize(network)
    if framework == "flax.linen":
        return _linen(network, x, options, seed)
    leaves = [] if _is_function(network) else jax.tree.leaves(network)
    if leaves and leaves[0] is not network:
        return _tree(network, options)
    return lambda params, x: network(x, **options), {}


def _nnx(network: Any, options: dict[str, bool]) -> tuple[Callable[[Any, Any], Any], Any]:
    """What `nn.functionalize` gives, of a module that must be told that it is evaluated."""
    nnx = sys.modules["flax.nnx"]
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    return lambda params, x: nnx.merge(graph, params, rest)(x, **options), params


def _linen(network: Any, x: Any, options: dict[str, bool], seed: int | None) -> tuple[Callable[[Any, Any], Any], Any]:
    """Parameters and whatever else it has, running statistics: real ones, or abstract ones and zeros."""
    import jax
    import jax.numpy as jnp

    def init(x: Any) -> Any:
        return network.init(jax.random.key(seed or 0), x, **options)

    variables = jax.eval_shape(init, x) if seed is None else jax.jit(init)(jnp.zeros(x.shape, x.dtype))
    others = {name: tree for name, tree in variables.items() if name != "params"}

    def fn(params: Any, x: Any) -> Any:
        rest = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), others) if seed is None else others
        return network.apply({"params": params, **rest}, x, **options)

    return fn, variables.get("params", {})


def _tree(network: Any, options: dict[str, bool]) -> tuple[Callable[[Any, Any], Any], Any]:
    """A callable tree: its arrays of numbers are the parameters."""
    import jax
    import jax.numpy as jnp

    equinox = sys.modules.get("equinox")
    leaves, tree = jax.tree.flatten(network if equinox is None else equinox.nn.inference_mode(network))
    learned = [hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in leaves]
    params = jax.tree.unflatten(tree, [leaf if p else None for leaf, p in zip(leaves, learned, strict=True)])

    def fn(params: Any, x: Any) -> Any:
        given = iter(jax.tree.leaves(params))
        return jax.tree.unflatten(tree, [next(given) if p else leaf for leaf, p in zip(leaves, learned, strict=True)])(
            x, **options
        )

    return fn, params


def _options(network: Any) -> dict[str, bool]:
    """Say that a network is evaluated, by the arguments that it has for that, unless it is by default."""
    call = network if _is_function(network) else type(network).__call__
    try:
        taken = inspect.signature(call).parameters
    except (TypeError, ValueError):
        return {}
    first = list(taken)[: 1 if _is_function(network) else 2]
    told = {name: value for name, value in EVALUATION.items() if name in taken and name not in first}
    return {name: value for name, value in told.items() if taken[name].default is not value}


def _required(found: Any) -> list[str]:
    """Names of the arguments that a call needs."""
    try:
        taken = list(inspect.signature(found.__init__ if inspect.isclass(found) else found).parameters.values())
        taken = taken[1:] if inspect.isclass(found) else taken
    except (TypeError, ValueError):
        return ["arguments"]
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in taken if p.default is p.empty and p.kind not in several]
    takes_any = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in taken)
    return needed or (["arguments"] if takes_any and not inspect.isclass(found) else [])


def _is_function(found: Any) -> bool:
    return inspect.isroutine(found) or inspect.isclass(found) or hasattr(found, "__wrapped__")


def _framework(network: Any) -> str:
    """Return where a class comes from, without importing it."""
    homes = {cls.__module__ for cls in type(network).__mro__}
    for name in ("flax.nnx", "flax.linen"):
        if any(home == name or home.startswith(f"{name}.") for home in homes):
            return name
    return ""


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def told(error: BaseException) -> str:
    """Return an error's type and the first line of what it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
    return text if len(text) <= 300 else f"{text[:299]}…"
