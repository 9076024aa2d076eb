"""What the presets reach: test accuracy and wall time of `jaxcnn train PRESET`, over seeds.

    python experiments/presets.py digits --seeds 5
    python experiments/presets.py fashion_mnist --seeds 3
    python experiments/presets.py resnet20 --data cifar10_jpeg:FILE.npz --seeds 1

Each run is the whole command in a process of its own, timed from its start to its exit: imports, compilation, training,
checkpoints and evaluation. Runs go into `presets_PRESET.json` one by one: the script can be stopped and started again.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from scipy import stats

import jaxcnn

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Arguments:
    """Train a preset with several seeds and record what comes out."""

    preset: Annotated[str, tyro.conf.Positional]
    """A preset of `jaxcnn train`."""
    seeds: int = 3
    """Runs."""
    data: str | None = None
    """Another data set than the preset's."""


def run(preset: str, seed: int, data: str | None) -> dict:
    """Train once in a new process; return the result and the wall time of the whole process."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["jaxcnn", "train", preset, "--seed", str(seed), "--out", f"{folder}/run", "--json"]
        command += ["--data", data] if data else []
        start = time.perf_counter()
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        wall = time.perf_counter() - start
        environment = json.loads(Path(folder, "run", "environment.json").read_text())
    result = json.loads(printed)
    kept = {name: result[name] for name in ("accuracy", "loss", "epoch", "parameters", "compile_s")}
    return {
        "seed": seed,
        "wall_s": round(wall, 1),
        **kept,
        "python": environment["python"],
        "packages": environment["packages"],
    }


def processor() -> str:
    """Return the processor's name and the number of cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def main(arguments: Arguments) -> None:
    """Run the seeds that are not recorded, and summarise all."""
    path = HERE / f"presets_{arguments.preset}.json"
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    for seed in range(arguments.seeds):
        if seed in [done["seed"] for done in runs]:
            continue
        runs.append(run(arguments.preset, seed, arguments.data))
        accuracy = np.array([done["accuracy"] for done in runs])
        wall = np.array([done["wall_s"] for done in runs])
        half = (
            float(stats.t.ppf(0.975, len(runs) - 1) * accuracy.std(ddof=1) / len(runs) ** 0.5)
            if len(runs) > 1
            else None
        )
        record = {
            "command": " ".join(["python", "experiments/presets.py", *sys.argv[1:]]),
            "jaxcnn": jaxcnn.__version__,
            "machine": processor(),
            "accuracy": {"mean": float(accuracy.mean()), "interval_95": half and float(half), "n": len(runs)},
            "wall_s": {"median": float(np.median(wall)), "least": float(wall.min()), "most": float(wall.max())},
            "runs": runs,
        }
        path.write_text(json.dumps(record, indent=1) + "\n")
        print(f"seed {seed}: accuracy {runs[-1]['accuracy']:.4f}, {runs[-1]['wall_s']} s", flush=True)
    record = json.loads(path.read_text())
    print(f"{arguments.preset}: {record['accuracy']}, wall {record['wall_s']}")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
