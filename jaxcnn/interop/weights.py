"""Files of weights: arrays by the names of layers, and a few words on what they belong to."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.flax import load_file
from safetensors.numpy import save

FACTS = "jaxcnn"
"""Name of our own words in a file's header."""


class Weights(NamedTuple):
    """What a file of weights holds.

    Example:
        >>> Weights({"head/bias": np.zeros(3)}, {}).facts
        {}
    """

    arrays: dict[str, Any]
    """By path, such as `stage1/conv/kernel`."""
    facts: dict[str, Any]
    """What was written beside them; empty in a file of another library's."""


def write_weights(arrays: Mapping[str, Any], path: str | Path, facts: Mapping[str, Any] | None = None) -> None:
    """Write arrays by name as a .safetensors file.

    Args:
        arrays: By path.
        path: The file, which there must not be yet.
        facts: Beside them, as JSON.

    Raises:
        FileExistsError: There is such a file.

    Example:
        >>> import tempfile
        >>> file = f"{tempfile.mkdtemp()}/weights.safetensors"
        >>> write_weights({"head/bias": np.arange(3.0)}, file, {"model": "linear"})
        >>> found = read_weights(file)
        >>> found.arrays["head/bias"].tolist(), found.facts
        ([0.0, 1.0, 2.0], {'model': 'linear'})
    """
    header = {"format": "np", FACTS: json.dumps(dict(facts or {}))}  # the format: what other readers ask for
    content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, header)
    with Path(path).open("xb") as file:
        file.write(content)


def read_weights(path: str | Path) -> Weights:
    """Read a .safetensors file; dots in names become slashes.

    Args:
        path: The file.

    Returns:
        The arrays and the facts.

    Raises:
        ValueError: It is damaged, or is no such file.
        FileNotFoundError: There is no such file.

    Example:
        >>> read_weights("nothing.safetensors")
        Traceback (most recent call last):
        FileNotFoundError: nothing.safetensors: there is no such file
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        with safe_open(path, "np") as file:
            header = file.metadata() or {}
        arrays = {name.replace(".", "/"): array for name, array in load_file(path).items()}
        facts = json.loads(header.get(FACTS, "{}"))
        if not isinstance(facts, dict):
            raise ValueError("its facts are no object")
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged, or no .safetensors file ({error})") from error
    return Weights(arrays, facts)
