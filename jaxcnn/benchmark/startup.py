"""How long it takes until something happens: imports, help, the first step, with and without a compilation cache."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxcnn.benchmark.record import make_record
from jaxcnn.benchmark.timing import Samples

FIRST_STEP = (
    "import jax\n"
    "from jaxcnn import api, lowering, training\n"
    "from jaxcnn.config import Config\n"
    "lowering.enable()\n"
    "events = api.fit_events('small_cnn', 'synthetic', Config(epochs=1, chunk=1), out={out!r})\n"
    "next(event for event in events if isinstance(event, training.Chunk))\n"
    "import os; os._exit(0)\n"  # what is left is saving and leaving, which nobody waits for here
)
HELP = "from jaxcnn.cli import main; raise SystemExit(main(['--help']))"
CASES = ("python", "import", "help", "first step", "first step, cached")


def measure_startup(
    cases: Sequence[str] = CASES, *, repeats: int = 7, told: Callable[[int, int], Any] | None = None
) -> list[dict[str, Any]]:
    """Start processes, and record how long each takes from its start to its end.

    `python` starts the interpreter alone; `import` imports jaxcnn; `help` is `jaxcnn --help`; `first step` trains a
    small CNN until its first step is done; `cached` does so where JAX's compilation cache holds its programs.

    Args:
        cases: Which of these.
        repeats: Processes of each kind, in turns; one before them is not counted.
        told: Called before each turn with its number, from 1, and the number of all.

    Returns:
        A record each.

    Raises:
        RuntimeError: A process failed.

    Example:
        >>> [record["work"]["case"] for record in measure_startup(["python"], repeats=1)]
        ['python']
    """
    with tempfile.TemporaryDirectory() as folder:
        taken: dict[str, list[float]] = {case: [] for case in cases}
        for turn in range(repeats + 1):
            if told is not None:
                told(turn + 1, repeats + 1)
            for case in cases:
                seconds = _process(case, Path(folder), turn)
                if turn:
                    taken[case].append(seconds)
    return [
        make_record({"name": "startup", "case": case}, Samples(tuple(times), 1, 1, True))
        for case, times in taken.items()
    ]


def _process(case: str, folder: Path, turn: int) -> float:
    """Run one to its end; return its seconds."""
    environment: Mapping[str, str] = os.environ
    if case == "first step, cached":
        environment = {
            **os.environ,
            "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
        }
    first_step = FIRST_STEP.format(out=str(folder / f"{case} {turn}"))
    programs = {"python": "pass", "import": "import jaxcnn", "help": HELP}
    argv = [sys.executable, "-P", "-c", programs.get(case, first_step)]
    began = time.perf_counter()
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"the process of {case!r} ended with {done.returncode}: {last[0]}")
    return seconds
