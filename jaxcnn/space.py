"""What a sweep tries: values of a config's fields, as a grid or drawn at random.

This module imports no JAX, so that `jaxcnn sweep --help` is instant.
"""

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

POINTS = 5
"""Of a range in a grid, where it does not tell."""
_WHOLE = re.compile(r"(\d+):(\d+)")
_RANGE = re.compile(r"(log|lin):([^:]+):([^:]+)(?::(\d+))?")


@dataclass(frozen=True)
class Choice:
    """Values one by one, as they were written.

    Example:
        >>> Choice(("relu", "gelu")).grid()
        ['relu', 'gelu']
    """

    values: tuple[str, ...]
    """In order."""

    def grid(self) -> list[Any]:
        """Return all of them."""
        return list(self.values)

    def draw(self, generator: np.random.Generator) -> Any:
        """Draw one, each as likely."""
        return self.values[int(generator.integers(len(self.values)))]


@dataclass(frozen=True)
class Range:
    """All numbers between two.

    Example:
        >>> [round(x, 3) for x in Range(0.001, 1.0, log=True, points=4).grid()]
        [0.001, 0.01, 0.1, 1.0]
    """

    low: float
    """The least."""
    high: float
    """The largest."""
    log: bool
    """Whether their logarithms are even, or they themselves."""
    points: int = POINTS
    """Of a grid."""

    def grid(self) -> list[Any]:
        """Return evenly spaced numbers, both ends among them."""
        spaced = np.geomspace if self.log else np.linspace
        return [float(f"{x:.6g}") for x in spaced(self.low, self.high, self.points)]

    def draw(self, generator: np.random.Generator) -> Any:
        """Draw a number, to six digits."""
        if self.log:
            return float(f"{math.exp(generator.uniform(math.log(self.low), math.log(self.high))):.6g}")
        return float(f"{generator.uniform(self.low, self.high):.6g}")


def parse_space(text: str) -> Choice | Range | None:
    """Read what a flag of a sweep is given.

    Args:
        text: `0:8` (0 to 7), `a,b,c`, `log:LOW:HIGH` or `lin:LOW:HIGH`, each of these with `:POINTS` or not.

    Returns:
        What it means; None where it is one value.

    Raises:
        ValueError: It begins as one of these and does not go on so.

    Example:
        >>> parse_space("0:3"), parse_space("relu,gelu"), parse_space("0.1")
        (Choice(values=('0', '1', '2')), Choice(values=('relu', 'gelu')), None)
    """
    if whole := _WHOLE.fullmatch(text):
        first, end = map(int, whole.groups())
        if end <= first:
            raise ValueError(f"{text} holds no number: FIRST:END goes from FIRST to END - 1")
        return Choice(tuple(map(str, range(first, end))))
    if text.startswith(("log:", "lin:")):
        return _range(text)
    if "," in text:
        values = tuple(part.strip() for part in text.split(","))
        if not all(values) or len(set(values)) < len(values):
            raise ValueError(f"{text} must be different values with commas between them")
        return Choice(values)
    return None


def _range(text: str) -> Range:
    told = f"{text} must be log:LOW:HIGH or lin:LOW:HIGH, with :POINTS or not, such as log:0.001:1:4"
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(told)
    scale, *ends, points = match.groups()
    try:
        low, high = map(float, ends)
    except ValueError:
        raise ValueError(told) from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high) or (scale == "log" and low <= 0):
        least = "above 0" if scale == "log" else "finite"
        raise ValueError(f"{text}: LOW must be {least}, and HIGH larger and finite")
    if points is not None and int(points) < 2:
        raise ValueError(f"{text}: POINTS must be at least 2")
    return Range(low, high, scale == "log", POINTS if points is None else int(points))


def grid(spaces: Mapping[str, Choice | Range]) -> list[dict[str, Any]]:
    """Combine every value of every field.

    Args:
        spaces: By the field's dotted name.

    Returns:
        Values by name, one dict a trial; the last field changes first.

    Example:
        >>> grid({"a": Choice(("x", "y")), "b": Choice(("1", "2"))})[1]
        {'a': 'x', 'b': '2'}
    """
    return [
        dict(zip(spaces, values, strict=True)) for values in itertools.product(*(s.grid() for s in spaces.values()))
    ]


def drawn(spaces: Mapping[str, Choice | Range], trials: int, *, seed: int) -> list[dict[str, Any]]:
    """Draw trials, each field by itself.

    Args:
        spaces: By the field's dotted name.
        trials: How many.
        seed: Of the draws: more trials begin with the same ones.

    Returns:
        Values by name, one dict a trial.

    Example:
        >>> found = drawn({"lr": Range(0.01, 1.0, log=True)}, 3, seed=0)
        >>> found == drawn({"lr": Range(0.01, 1.0, log=True)}, 5, seed=0)[:3]
        True
    """
    generator = np.random.default_rng(seed)
    return [{name: space.draw(generator) for name, space in spaces.items()} for _ in range(trials)]
