"""The base of every layer and model: names its children, and runs each under the name it has."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, overload

import jax
from flax import nnx
from jax import Array

_NOTE = "in layer "


class Module(nnx.Module):
    """A Flax NNX module that knows its name, and whose operations carry its path.

    A module that becomes an attribute of another takes the attribute's name as its `scope`, and its `__call__` runs
    under `jax.named_scope(scope)`: the operations of `model.stage2.block0.conv1` carry the name stack
    `stage2/block0/conv1` in a jaxpr, an HLO dump and a profile. Modules in a list, a tuple, a dict or another Flax
    module are named by their place, `layers/0`. A module under two names has the later one. An error that leaves a
    layer carries a note of its path.

    Every `__call__` takes `(x, *, training=False, key=None)`: `training` switches batch statistics and dropout,
    `key` draws the dropout. Parameters are float32, and are cast to `x.dtype` where they meet `x`.

    Example:
        >>> import jax.numpy as jnp
        >>> class Twice(Module):
        ...     def __call__(self, x, *, training=False, key=None):
        ...         return 2 * x
        >>> class Net(Module):
        ...     def __init__(self):
        ...         self.double = Twice()
        ...     def __call__(self, x, *, training=False, key=None):
        ...         return self.double(x)
        >>> [str(e.source_info.name_stack) for e in jax.make_jaxpr(Net())(jnp.ones(3)).eqns]
        ['double']
    """

    scope: str | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__call__" in cls.__dict__:
            cls.__call__ = _scoped(cls.__dict__["__call__"])

    def __setattr__(self, name: str, value: Any) -> None:
        for path, child in _modules(value, name):
            child.scope = path
        super().__setattr__(name, value)


@overload
def cast(param: nnx.Variable, x: Array) -> Array: ...
@overload
def cast(param: None, x: Array) -> None: ...
def cast(param: nnx.Variable | None, x: Array) -> Array | None:
    """Return a parameter's array in x's dtype; None stays None."""
    return None if param is None else param[...].astype(x.dtype)


def layer_of(error: Exception) -> str | None:
    """Return the path of the layer that an error left, where its notes tell one."""
    paths = [note.removeprefix(_NOTE) for note in getattr(error, "__notes__", ()) if note.startswith(_NOTE)]
    return paths[-1] if paths else None


def _modules(value: Any, path: str) -> Iterator[tuple[str, Module]]:
    """Find the modules nearest to the top of an attribute's value, and their paths."""
    if isinstance(value, Module):
        yield path, value
        return
    if isinstance(value, nnx.List | list | tuple):
        parts = enumerate(value)
    elif isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, nnx.Module):
        parts = ((name, part) for name, part in vars(value).items() if not name.startswith("_"))
    else:
        return
    for name, part in parts:
        yield from _modules(part, f"{path}/{name}")


def _scoped(call: Callable[..., Array]) -> Callable[..., Array]:
    """Run a class's `__call__` under its instance's name, once even where a subclass calls it through `super()`."""

    @functools.wraps(call)
    def scoped(self: Module, *args: Any, **options: Any) -> Array:
        if self.scope is None or type(self).__call__ is not scoped:
            return call(self, *args, **options)
        with jax.named_scope(self.scope):
            try:
                return call(self, *args, **options)
            except (TypeError, ValueError) as error:
                _note_layer(error, self.scope)
                raise

    return scoped


def _note_layer(error: Exception, scope: str) -> None:
    """Put a scope before the path that an error's last note tells, or begin such a note."""
    notes = getattr(error, "__notes__", [])
    if notes and notes[-1].startswith(_NOTE):
        notes[-1] = f"{_NOTE}{scope}/{notes[-1].removeprefix(_NOTE)}"
    else:
        error.add_note(_NOTE + scope)
