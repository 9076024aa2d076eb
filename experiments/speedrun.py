"""The CIFAR-10 speed record's recipe by jaxcnn, beside PyTorch: accuracy and seconds, seed by seed, in turns.

    python experiments/speedrun.py --data cifar10_jpeg:FILE.npz --torch DIR/bin/python     # about 65 minutes on 2 cores
    python experiments/speedrun.py                                                         # of what is recorded

Ours is the command `jaxcnn train airbench`; the peer is `speedrun/torch_side.py`, the recipe in PyTorch's own terms, in
an environment that has torch and NumPy. Both get the same arrays: images decoded by jaxcnn, of which the same 1,000 are
held out. Each run is a process of its own, alone on the machine; who begins changes from seed to seed. Every run is a
line of `speedrun/runs.jsonl` as it ends, so the script can be stopped and started again.

The seconds of ours hold compilation, the evaluation after each epoch, checkpoints and the test-time views; those of
the peer the network's construction, the steps and the views. The wall of the whole processes is recorded beside them.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib import pyplot as plt
from scipy import stats

from jaxcnn import data, presets

HERE = Path(__file__).parent / "speedrun"
RECORDS = HERE / "runs.jsonl"
SIDES = ("jaxcnn", "torch")
SAME_MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "2147483648",
    "MALLOC_TOP_PAD_": "67108864",
    "MALLOC_ARENA_MAX": "1",
}
"""What jaxcnn's lowering sets for its process, for the peer's."""


@dataclass(frozen=True)
class Arguments:
    """Train what is not recorded yet, and summarise all."""

    data: str | None = None
    """The data set; without it nothing is trained."""
    torch: str | None = None
    """A Python that has torch and NumPy; without it only ours is trained."""
    seeds: int = 5
    """Runs of each side."""


def train(data: str, seed: int, *flags: str) -> dict[str, Any]:
    """Train by the command, in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("jaxcnn")), "train", "airbench", "--data", data]
        command += ["--seed", str(seed), "--out", f"{folder}/run", "--json", *flags]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        result = json.loads(done.stdout)
        about = json.loads(Path(folder, "run", "environment.json").read_text())
        epochs = [json.loads(line) for line in Path(folder, "run", "metrics.jsonl").read_text().splitlines()]
    kept = {name: result[name] for name in ("seconds", "compile_s", "accuracy", "parameters")}
    known = {name: about[name] for name in ("commit", "python", "packages")}
    return kept | {"valid": epochs[-1]["validation"]["accuracy"]} | known


def peer(asked: Arguments, seed: int, images: Path) -> dict[str, Any]:
    """Train by PyTorch, in a new process with the same settings of malloc."""
    command = [str(asked.torch), str(HERE / "torch_side.py"), "--images", str(images), "--seed", str(seed)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **SAME_MALLOC})
    return json.loads(done.stdout.splitlines()[-1])


def save(asked: Arguments, file: Path) -> None:
    """Write the arrays that our side trains on, for the peer."""
    config = presets.airbench().data
    dataset = data.load(type(config)(str(asked.data), validation=config.validation))
    parts = zip(("train", "valid", "test"), dataset.splits.values(), strict=True)
    arrays = {f"{name}_{axis}": array for name, split in parts for axis, array in zip("xy", split, strict=True)}
    np.savez(file, **arrays)


def measure(asked: Arguments) -> None:
    """Train each seed that a side has not been recorded with, in turns."""
    recorded = {(record["side"], record["seed"]) for record in read()}
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "images.npz")
        save(asked, images)
        for seed in range(asked.seeds):
            for side in SIDES if seed % 2 == 0 else SIDES[::-1]:
                if (side, seed) in recorded or (side == "torch" and not asked.torch):
                    continue
                begun = time.perf_counter()
                found = train(str(asked.data), seed) if side == "jaxcnn" else peer(asked, seed, images)
                record = {"side": side, "seed": seed, "wall_s": time.perf_counter() - begun, **found}
                record |= {"cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d", time.gmtime())}
                with RECORDS.open("a") as file:
                    file.write(json.dumps(record) + "\n")
                print(f"{side:6} seed {seed}: {100 * found['accuracy']:.2f} %, {found['seconds']:.1f} s", flush=True)


def read() -> list[dict[str, Any]]:
    """Return the records of all runs."""
    return [json.loads(line) for line in RECORDS.read_text().splitlines()] if RECORDS.exists() else []


def interval(values: Any) -> dict[str, Any]:
    """Return the mean, half of Student's 95 % interval, and the number of values."""
    values = np.asarray(values, float)
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else None
    return {"mean": float(values.mean()), "half_95": half and float(half), "n": len(values)}


def summarise(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return both sides' means, the difference of accuracy by Welch, and the ratio of seconds seed by seed."""
    sides = {side: {r["seed"]: r for r in records if r["side"] == side} for side in SIDES}
    summary: dict[str, Any] = {
        side: {
            name: interval([run[name] for run in of.values()]) for name in ("accuracy", "seconds", "wall_s", "valid")
        }
        for side, of in sides.items()
        if of
    }
    both = sorted(sides["jaxcnn"].keys() & sides["torch"].keys())
    if len(both) > 1:
        left, right = ([sides[side][seed]["accuracy"] for seed in both] for side in SIDES)
        found = stats.ttest_ind(left, right, equal_var=False).confidence_interval()
        summary["accuracy_difference"] = {
            "mean": float(np.mean(left) - np.mean(right)),
            "interval_95": [float(found.low), float(found.high)],
        }
        for name in ("seconds", "wall_s"):
            logs = interval([np.log(sides["jaxcnn"][s][name] / sides["torch"][s][name]) for s in both])
            ends = [float(np.exp(logs["mean"] + sign * logs["half_95"])) for sign in (-1, 1)]
            summary[f"{name}_ratio"] = {
                "geometric_mean": float(np.exp(logs["mean"])),
                "interval_95": ends,
                "n": len(both),
            }
    return summary


def draw(records: list[dict[str, Any]], file: Path) -> None:
    """Draw accuracy over seconds, a point a run."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for side, label, marker in (("jaxcnn", "jaxcnn", "o"), ("torch", "PyTorch, bf16 autocast", "s")):
        chosen = [record for record in records if record["side"] == side]
        axes.plot([r["seconds"] for r in chosen], [100 * r["accuracy"] for r in chosen], marker, label=label)
    axes.set(
        xlabel="seconds of training and of test-time views, 2 cores",
        ylabel="test accuracy, %",
        title="The speed record's recipe, CIFAR-10 (JPEG, 5,000 test images)",
    )
    axes.set_xlim(0, 1.1 * max((record["seconds"] for record in records), default=1))
    axes.legend(loc="lower left")
    figure.savefig(file, dpi=120)


def main(asked: Arguments) -> None:
    """Measure, and write what was found."""
    if asked.data:
        measure(asked)
    records = read()
    summary = {"command": "python experiments/speedrun.py --data cifar10_jpeg:FILE.npz --torch DIR/bin/python"}
    summary |= summarise(records)
    (HERE / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    draw(records, HERE / "seconds.png")
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
