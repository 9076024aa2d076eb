"""What 64 small networks take as one program, and as one command after another.

    python experiments/many_networks.py --rounds 3        # 10 minutes

A round is five times `jaxcnn train digits`, of seeds of its own, and one `jaxcnn sweep digits` of 64 seeds: as many
epochs of as many images each, and as many runs on disk. Each command's whole time counts, with its start and its
compilation. The first sweep chooses its plan too; later ones remember it.
"""

import json
import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from jaxcnn.runs import environment

RECORD = Path(__file__).parent / "many_networks.json"
ALONE = 5


@dataclass(frozen=True)
class Arguments:
    """Time both ways in turns."""

    rounds: int = 3
    """Of five networks alone and all of them together."""
    members: int = 64
    """Networks together."""


def seconds(cache: str, *command: str) -> tuple[float, Any]:
    """Run a command of jaxcnn to its end, and return its wall time and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(
        ["jaxcnn", *command, "--json"], env={**os.environ, "JAXCNN_CACHE": cache}, capture_output=True, text=True
    )
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return took, json.loads(done.stdout)


def main(asked: Arguments) -> None:
    """Measure, and write what was found."""
    rounds = []
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryDirectory() as folder:
        seconds(cache, "train", "digits", "--epochs", "1", "--out", f"{folder}/warm")
        for number in range(asked.rounds):
            alone = []
            for seed in range(ALONE * number, ALONE * (number + 1)):
                took, found = seconds(cache, "train", "digits", "--seed", str(seed), "--out", f"{folder}/{seed}")
                alone.append({"seconds": took, "accuracy": found["accuracy"]})
            together, _ = seconds(
                cache, "sweep", "digits", "--seed", f"0:{asked.members}", "--out", f"{folder}/sweep{number}"
            )
            results = [json.loads(path.read_text()) for path in Path(folder, f"sweep{number}").glob("*/result.json")]
            one = statistics.median(run["seconds"] for run in alone)
            rounds.append({
                "alone": alone,
                "together": together,
                "members": len(results),
                "mean_accuracy": statistics.mean(result["accuracy"] for result in results),
                "ratio": asked.members * one / together,
            })  # fmt: skip
            print(
                f"alone {one:.1f} s each, {len(results)} together {together:.1f} s: {rounds[-1]['ratio']:.2f}",
                flush=True,
            )
    record = {
        "command": f"python experiments/many_networks.py --rounds {asked.rounds} --members {asked.members}",
        "ratio": statistics.median(found["ratio"] for found in rounds),
        "rounds": rounds,
        "environment": environment(),
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
