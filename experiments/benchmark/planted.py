"""A slowdown planted in a real program: is 10 % found, and is nothing found where nothing was planted?

    python experiments/benchmark/planted.py             # 40 processes, about 10 minutes on 2 cores

Each process trains LeNet-5 by three programs, in turns, as `jaxcnn bench` measures: 20 steps; 22 steps, so exactly 10 %
more work; and 20 steps again, compiled anew with memory of its own. The verdict of each process alone (its turns,
bootstrap) and that of every four (over starts, as `--starts 4` gives it) are counted, for both.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

HERE = Path(__file__).parent
STEPS, MORE = 20, 22


@dataclass(frozen=True)
class Arguments:
    """Measure, and write planted.json."""

    processes: int = 40
    """How many."""
    starts: int = 4
    """Processes whose ratios are taken together."""
    seconds: float = 1.0
    """For each program, about."""
    out: Path = HERE / "planted.json"
    """Where to."""
    one: bool = False
    """Measure in this process, and print."""


def main(arguments: Arguments) -> None:
    """Start the processes one after another, and count verdicts."""
    from jaxcnn import benchmark

    if arguments.one:
        print(json.dumps(measured(arguments.seconds)))
        return
    found: list[dict[str, Any]] = []
    for number in range(arguments.processes):
        argv = [sys.executable, "-P", __file__, "--one", "--seconds", str(arguments.seconds)]
        done = subprocess.run(argv, check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        told = ", ".join(f"{name} {value['median']:.3f} {value['verdict']}" for name, value in found[-1].items())
        print(f"{number + 1}/{arguments.processes}  {told}", flush=True)
    summary = {}
    for name in found[0]:
        medians = [row[name]["median"] for row in found]
        groups = [medians[i : i + arguments.starts] for i in range(0, len(medians), arguments.starts)]
        over = [benchmark.ratio_over_starts(group) for group in groups if len(group) == arguments.starts]
        summary[name] = {
            "planted": {"planted 10 %": MORE / STEPS, "planted 0 %": 1.0}[name],
            "processes": {v: sum(row[name]["verdict"] == v for row in found) for v in VERDICTS},
            f"{arguments.starts} starts": {v: sum(ratio.verdict == v for ratio in over) for v in VERDICTS},
            "ratio": benchmark.quantity(medians),
        }
        print(name, json.dumps(summary[name]))
    record = {"command": " ".join(sys.argv), "environment": benchmark.environment(), "summary": summary, "rows": found}
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")


VERDICTS = ("slower", "no difference shown", "faster")


def measured(seconds: float) -> dict[str, Any]:
    """Measure the three programs in turns; return the ratios of the second and the third to the first."""
    from jaxcnn import benchmark, lowering, models

    lowering.enable()
    module = models.create("lenet5", num_classes=10, input_shape=(28, 28, 1), rngs=0)

    def work(steps: int) -> Any:
        facts = {"model": "lenet5"}
        setting = benchmark.Training(module, facts, (28, 28, 1), classes=10, batch=32, dtype="float32", steps=steps)
        return setting.scan()

    works = {"first": work(STEPS), "planted 10 %": work(MORE), "planted 0 %": work(STEPS)}
    first, *_ = benchmark.run(works, seconds=seconds)
    ratios = {name: benchmark.Ratio(**value) for name, value in first["ratios"].items()}
    assert np.isfinite([ratio.median for ratio in ratios.values()]).all()
    return {
        name: {"median": r.median, "low": r.low, "high": r.high, "verdict": r.verdict} for name, r in ratios.items()
    }


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
