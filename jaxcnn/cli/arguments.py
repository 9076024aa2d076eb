"""Dataclasses as arguments: tyro parses, and what it refuses becomes one line."""

import contextlib
import dataclasses
import difflib
import io
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar, cast, get_type_hints

import tyro

T = TypeVar("T")
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
_OPTIONAL = re.compile(r"Error parsing (\S+): no type matching \{None\}\|(\w+) could be instantiated from \[(.*?)\]\.")
"""What tyro says of a value that may be None and does not fit."""
_KINDS = {"INT": "a whole number", "FLOAT": "a number"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common:
    """What every command takes."""

    json: Flag = False
    """Print one JSON document, and nothing else."""
    debug: Flag = False
    """Show the traceback of an error, and the warnings of libraries."""


def parse(kind: type[T], argv: Sequence[str], *, verb: str, default: T | None = None) -> T:
    """Read the arguments of a command.

    Args:
        kind: The dataclass that they fill.
        argv: The arguments.
        verb: The command.
        default: Where the fields' defaults come from.

    Returns:
        An instance of `kind`.

    Raises:
        ValueError: An unknown flag, or a value that does not fit.
        SystemExit: After `--help`.
    """
    refused = io.StringIO()
    try:
        with contextlib.redirect_stderr(refused):
            arguments, left = tyro.cli(
                kind, args=list(argv), prog=f"jaxcnn {verb}", default=default, return_unknown_args=True
            )
    except SystemExit as end:
        if not end.code:
            raise
        raise ValueError(f"{_message(refused.getvalue())} (see jaxcnn {verb} --help)") from None
    if left:
        raise ValueError(_unknown(left[0], list(flags(kind)), verb))
    return cast(T, arguments)


def _unknown(argument: str, known: list[str], verb: str) -> str:
    if not argument.startswith("-"):
        return f"unexpected argument {argument!r} (see jaxcnn {verb} --help)"
    name = argument.split("=")[0]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}? (" if near else "("
    return f"unknown flag {name}: {hint}see jaxcnn {verb} --help)"


def flags(kind: Any, prefix: str = "--") -> Iterator[str]:
    """List the flags of a dataclass: a nested one's begin with its field's name, those of `config` with nothing."""
    for name, hint in get_type_hints(kind).items():
        flag = prefix + name.replace("_", "-")
        if dataclasses.is_dataclass(hint):
            yield from flags(hint, prefix if name == "config" else f"{flag}.")
        else:
            yield flag


def _message(box: str) -> str:
    """Return the first paragraph in tyro's box, whose lines are dashes where a terminal has no others."""
    lines = [line.strip("│ ").strip() for line in box.splitlines()]
    body = [line for line in lines if line]
    rules = [number for number, line in enumerate(body) if line[0] in "─╰╭" or not line.strip("-")]
    start = rules[0] + 1 if rules else 0
    told = " ".join(body[start : rules[1] if rules[1:] else None])
    if optional := _OPTIONAL.match(told):
        flag, kind, value = optional.groups()
        return f"{flag} takes {_KINDS.get(kind, kind)}, or None; got {value}"
    return told
