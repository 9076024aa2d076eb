"""What a run's JSON files hold, held against the types that they must have: anybody may have written them."""

import dataclasses
import math
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from jaxcnn.config import Config, config_from_dict
from jaxcnn.data import Preprocessing
from jaxcnn.runs.records import LARGE, read_object

_LONGEST = 4096
"""Characters of a text."""
_LARGEST = 2**63
"""Whole numbers are smaller."""

_FACTS: dict[str, Any] = {
    "input_shape": list[int],
    "classes": list[str],
    "counts": dict[str, int],
    "preprocessing": Preprocessing,
}
"""What data.json must hold."""


def read_config(path: Path) -> Config:
    """Read a run's config.

    Args:
        path: Its config.json.

    Returns:
        The config.

    Raises:
        ValueError: It is missing, is not JSON, is too large, or holds an unknown field or a value of another type.
    """
    values = read_object(path)
    try:
        if problem := mismatch(values, Config):
            raise ValueError(problem)
        return config_from_dict(values)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def read_data_facts(path: Path) -> dict[str, Any]:
    """Read what the data of a run are.

    Args:
        path: Its data.json.

    Returns:
        What `jaxcnn.data.describe` returned.

    Raises:
        ValueError: It is missing, is not JSON, is too large, or lacks a field or holds one of another type.
    """
    facts = read_object(path, _FACTS, largest=LARGE)
    for name, hint in _FACTS.items():
        if problem := mismatch(facts[name], hint, name):
            raise ValueError(f"{path} is damaged: {problem}")
    try:
        Preprocessing(**facts["preprocessing"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return facts


def mismatch(value: Any, hint: Any, name: str = "") -> str | None:
    """Hold what JSON gave against a type.

    Args:
        value: The value.
        hint: A type: a dataclass or a NamedTuple is a dict of its fields, a tuple a list. Fields that are left out or
            are not known are not looked at.
        name: What to call it.

    Returns:
        What was expected and what came; None where it fits.

    Example:
        >>> mismatch({"epochs": "three"}, Config)
        "`epochs` must be a whole number, got 'three'"
        >>> mismatch({"optim": {"lr": 1}}, Config)
    """
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return None
    if origin in (Union, UnionType):
        problems = [mismatch(value, part, name) for part in parts if part is not type(None)]
        return None if (value is None and type(None) in parts) or None in problems else problems[0]
    if origin is Literal:
        fits, expected = isinstance(value, str) and value in parts, f"one of {', '.join(map(str, parts))}"
    elif origin in (list, tuple):
        fits, expected = isinstance(value, list), "a list"
    elif origin is dict or hint is dict or _fields(hint) is not None:
        fits, expected = isinstance(value, dict), "an object"
    else:
        fits, expected = _fits(value, hint)
    if not fits:
        return f"`{name}` must be {expected}, got {_short(value)}"
    for inner, part, kind in _inside(value, hint):
        if problem := mismatch(part, kind, f"{name}.{inner}" if name else inner):
            return problem
    return None


def _fits(value: Any, hint: Any) -> tuple[bool, str]:
    """Hold a value against a plain type."""
    number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST
    if hint is int:
        return number, "a whole number"
    if hint is float:
        return number or (isinstance(value, float) and math.isfinite(value)), "a number"
    if hint is str:
        return isinstance(value, str) and len(value) <= _LONGEST, f"a text of at most {_LONGEST} characters"
    return isinstance(value, hint), f"a {hint.__name__}"


def _inside(value: Any, hint: Any) -> list[tuple[str, Any, Any]]:
    """Return the parts of a value: their names, themselves, and their types."""
    if (fields := _fields(hint)) is not None:
        return [(name, part, fields[name]) for name, part in value.items() if name in fields]
    if isinstance(value, dict) and get_args(hint):
        return [(name, part, get_args(hint)[1]) for name, part in value.items()]
    if isinstance(value, list) and get_args(hint):
        return [(str(number), part, get_args(hint)[0]) for number, part in enumerate(value)]
    return []


def _fields(hint: Any) -> dict[str, Any] | None:
    is_record = dataclasses.is_dataclass(hint) or (isinstance(hint, type) and hasattr(hint, "_fields"))
    return get_type_hints(hint) if is_record else None


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"a JSON {type(value).__name__}"
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
