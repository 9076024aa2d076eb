"""What each ingredient of the CIFAR-10 speed record's recipe buys: the preset `airbench` without it, seed by seed.

    python experiments/ablation.py --data cifar10_jpeg:FILE.npz         # 5 minutes a run, alone on 2 cores
    python experiments/ablation.py                                      # of what is recorded

Every run is the command `jaxcnn train airbench` with a few other flags, in a process of its own, and a line of
`ablation/runs.jsonl` as it ends, so the script can be stopped and started again. Seeds go round: each cell has one
before any has two. A difference to the whole recipe is named only where its interval, Welch's with Bonferroni's
correction for all cells, leaves out 0. Nothing is tuned for a cell: a rate that suits it better may exist.
"""

import json
import os
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from matplotlib import pyplot as plt
from scipy import stats
from speedrun import interval, train

HERE = Path(__file__).parent / "ablation"
RECORDS = HERE / "runs.jsonl"
WHOLE = "the whole recipe"
CELLS = {
    WHOLE: "",
    "views: the image alone": "--views one",
    "flips at random, not alternating": "--augment.flip random",
    "no crops": "--augment.crop 0",
    "no label smoothing": "--loss.label-smoothing 0",
    "first layer drawn and trained, not whitening": "--whiten None --freeze */scale",
    "kernels drawn (LeCun), none passes its input on": "--model.init lecun_uniform",
    "Nesterov for kernels, rate 1.5, not Muon": "--optim.name nesterov --optim.momentum 0.85 --optim.lr 1.5",
    "Nesterov for kernels, rate 3, not Muon": "--optim.name nesterov --optim.momentum 0.85 --optim.lr 3",
    "one rate for all layers": "--optim.groups",
    "lookahead besides, half way every 5 steps": "--optim.lookahead 5",
}
"""Flags by cell. 1.5 is the rate of the record's variant without Muon, for a mean over the batch."""


@dataclass(frozen=True)
class Arguments:
    """Train what is not recorded yet, and summarise all."""

    data: str | None = None
    """The data set; without it nothing is trained."""
    seeds: int = 3
    """Runs of each cell."""
    epochs: int = 8
    """Of each run."""


def read() -> list[dict[str, Any]]:
    """Return the records of all runs."""
    return [json.loads(line) for line in RECORDS.read_text().splitlines()] if RECORDS.exists() else []


def measure(asked: Arguments) -> None:
    """Train each seed of each cell that is not recorded."""
    done = {(record["cell"], record["seed"], record["epochs"]) for record in read()}
    for seed in range(asked.seeds):
        for cell, flags in CELLS.items():
            if (cell, seed, asked.epochs) in done:
                continue
            found = train(str(asked.data), seed, *shlex.split(flags), "--epochs", str(asked.epochs))
            record = {"cell": cell, "flags": flags, "seed": seed, "epochs": asked.epochs, **found}
            record |= {"cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d", time.gmtime())}
            HERE.mkdir(exist_ok=True)
            with RECORDS.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(f"{cell}, seed {seed}: {100 * found['accuracy']:.2f} %, {found['seconds']:.1f} s", flush=True)


def summarise(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return each cell's accuracy and seconds, and what it has less or more than the whole recipe."""
    by_cell = {cell: [r for r in records if r["cell"] == cell] for cell in CELLS}
    whole = [record["accuracy"] for record in by_cell[WHOLE]]
    confidence = 1 - 0.05 / (len(CELLS) - 1)
    summary: dict[str, Any] = {}
    for cell, of in by_cell.items():
        if not of:
            continue
        accuracy = [record["accuracy"] for record in of]
        summary[cell] = {"accuracy": interval(accuracy), "seconds": interval([record["seconds"] for record in of])}
        if cell != WHOLE and min(len(accuracy), len(whole)) > 1:
            test = stats.ttest_ind(accuracy, whole, equal_var=False).confidence_interval(confidence)
            difference = sum(accuracy) / len(accuracy) - sum(whole) / len(whole)
            named = not test.low <= 0 <= test.high
            summary[cell]["difference"] = {"mean": difference, "interval": [test.low, test.high], "named": named}
    return {"confidence": confidence, "cells": summary}


def draw(summary: dict[str, Any], file: Path) -> None:
    """Draw each cell's difference to the whole recipe."""
    cells = {cell: one["difference"] for cell, one in summary["cells"].items() if "difference" in one}
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(cells) + 1.2), layout="constrained")
    for place, one in enumerate(cells.values()):
        low, high = (100 * end for end in one["interval"])
        axes.plot([low, high], [place, place], color="C0" if one["named"] else "0.6")
        axes.plot(100 * one["mean"], place, "o", color="C0" if one["named"] else "0.6")
    axes.axvline(0, color="0.3", linewidth=0.8)
    axes.set_yticks(range(len(cells)), list(cells))
    axes.invert_yaxis()
    axes.set(xlabel="points of test accuracy beside the whole recipe", title="CIFAR-10 (JPEG, 5,000 test images)")
    figure.savefig(file, dpi=120)


def main(asked: Arguments) -> None:
    """Measure, and write what was found."""
    if asked.data:
        measure(asked)
    summary = {"command": "python experiments/ablation.py --data cifar10_jpeg:FILE.npz", **summarise(read())}
    HERE.mkdir(exist_ok=True)
    (HERE / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    if any("difference" in one for one in summary["cells"].values()):
        draw(summary, HERE / "differences.png")
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
