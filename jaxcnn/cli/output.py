"""What the commands print: tables, one JSON document, and none of the libraries' noise."""

import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


def quiet(*, debug: bool = False) -> None:
    """Silence what libraries log and warn of, not what they raise; call it before they are imported."""
    if debug:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for name in ("absl", "asyncio", "orbax", "tensorflow_datasets"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    warnings.filterwarnings("default", module="jaxcnn")
    warnings.showwarning = _show_warning


def _show_warning(message: Warning | str, *_: Any) -> None:
    print(f"jaxcnn: note: {message}", file=sys.stderr)


def console(*, stderr: bool = False) -> Console:
    """Return where to print: as wide as the terminal, or without a limit where there is none."""
    made = Console(stderr=stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=10_000, no_color=True)


def reserve_stdout() -> None:
    """Keep standard output for the JSON document: what libraries print goes to standard error.

    Some print from compiled code (Gloo tells of its connections), which Python cannot redirect.
    """
    if sys.stdout is not sys.__stdout__ or sys.stdout.fileno() != 1:
        return  # a test's, or a notebook's
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(kept, "w")


def emit_json(value: Any) -> None:
    """Print one JSON document; NaN and infinity, which JSON lacks, become null."""
    print(json.dumps(_strict(value), indent=2))


def show_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    footer: Sequence[Any] | None = None,
    right: Sequence[int] = (),
) -> None:
    """Print a table.

    Args:
        columns: Their titles.
        rows: Cells; numbers get thousands separators.
        footer: A last row, below a line.
        right: Which columns are set to the right.
    """
    table = Table(box=box.SIMPLE_HEAD, show_footer=footer is not None, pad_edge=False, header_style="bold")
    for number, title in enumerate(columns):
        last = _cell(footer[number]) if footer else Text("")
        table.add_column(
            title, last, justify="right" if number in right else "left", no_wrap=number in right, footer_style="bold"
        )
    for row in rows:
        table.add_row(*map(_cell, row))
    console().print(table)


def show_facts(facts: dict[str, Any]) -> None:
    """Print names and what they are, a line each."""
    out, width = console(), max(map(len, facts))
    for name, value in facts.items():
        out.print(Text(f"{name:<{width}}  ", style="bold").append(_cell(value)))


def _cell(value: Any) -> Text:
    return Text(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _strict(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
