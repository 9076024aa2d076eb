"""What Python calls an argument, spelled as the flag of a command."""

import re

from jaxcnn.cli.arguments import flags
from jaxcnn.config import Config

_NAMED = re.compile(r"`([\w.]+)`(?= \(=| was )|`([\w.]+)='([\w.-]+)'`")
_SHAPE = re.compile(r"`input_shape` \(=\(([\d, ]*)\)\)")
_FROM_DATA = ("train", "sweep", "evaluate")
"""Commands whose images are the data's: no flag gives their shape."""


def in_flags(text: str, verb: str) -> str:
    """Return the message of an error that the library raised, with a command's flags in place of Python's names.

    Names that a flag spells alike (`epochs`, --epochs) stay as they are, as do those of no flag.

    Args:
        text: The message.
        verb: The command.

    Returns:
        The message.

    Example:
        >>> in_flags("`last_batch` (='drop') drops them all: `last_batch='wrap'`", "train")
        "`--last-batch` (='drop') drops them all: `--last-batch wrap`"
        >>> in_flags("lenet5 with `input_shape` (=(4, 4, 1)): too small", "summary")
        'lenet5 with `--input` (=4x4x1): too small'
    """
    known = _known()

    def spelled(match: re.Match[str]) -> str:
        name, given, value = match.groups()
        if (flag := known.get(name or given)) is None:
            return match[0]
        return f"`{flag}`" if name else f"`{flag} {value}`"

    def shaped(match: re.Match[str]) -> str:
        sizes = "x".join(re.findall(r"\d+", match[1]))
        return f"images of {sizes}" if verb in _FROM_DATA else f"`--input` (={sizes})"

    return _SHAPE.sub(shaped, _NAMED.sub(spelled, text))


def _known() -> dict[str, str]:
    """Return the flags of a config that Python spells otherwise, by the field's name, alone and with its group's."""
    found = {"num_classes": "--classes"}
    for flag in flags(Config):
        path = flag.removeprefix("--").replace("-", "_")
        if "_" in path:
            found |= {path: flag, path.rpartition(".")[2]: flag}
    return found
