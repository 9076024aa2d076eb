"""Whether a trained ResNet-18 says the same of an image and of its shifts: plain, blurred and polyphase sampling.

    python experiments/shift_consistency.py --data FILE.npz    # trains what is not yet recorded, then table and figure

CIFAR-10 (JPEG), ResNet-18 with the CIFAR stem, each of the three ways to make maps smaller with zero and with circular
padding. Nothing is shifted or mirrored in training, so what a network keeps under shifts is its architecture's doing.
All circular shifts are tried, by the logits of one compiled program, which also show how far these move; then crops one
pixel away, and circular Fourier shifts by half a pixel. Beside each network stands itself before training, with the
statistics of the norms as they begin (an untrained control); polyphase sampling with circular padding is the control
that must keep everything. Every run appends one line to `shift_consistency/cifar10_jpeg.jsonl` as it ends, so the
script can be stopped and started again.
"""

import dataclasses
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array
from matplotlib import pyplot as plt
from scipy import stats

import jaxcnn
from jaxcnn import lowering, models
from jaxcnn.config import Config, DataConfig, ModelConfig, OptimConfig
from jaxcnn.data import Dataset
from jaxcnn.equivariance import Consistency, Roll, consistency, consistency_table, rounding

HERE = Path(__file__).parent
POOLS = {"plain": "max", "blur": "blur", "polyphase": "polyphase"}
"""By the name that we print: what `pool` is; "max" leaves the convolutions strided, as published."""
PADDINGS = ("zeros", "circular")
EXACT = "polyphase, circular"
MODES = ("circular", "crops", "half-pixel")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run depends on, beside its cell and its seed."""

    width: int = 8
    """Channels of the first stage."""
    epochs: int = 1
    """Passes over the training set."""
    images: int = 45000
    """Training images, of 45,000; the first ones, which are stratified."""
    batch: int = 64
    lr: float = 0.05
    """The highest of a one-cycle schedule, Nesterov's momentum; not tuned."""
    tested: int = 64
    """Test images whose circular shifts are all tried."""
    tested_near: int = 400
    """Test images for crops and half pixels."""
    untrained: int = 16
    """Test images for all circular shifts before training."""
    untrained_near: int = 64
    """Test images for crops and half pixels before training."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train, record, draw."""

    data: str
    """The .npz file with CIFAR-10's JPEG images."""
    settings: tyro.conf.OmitArgPrefixes[Settings] = Settings()
    seeds: int = 3
    """Repetitions with other parameters and orders."""
    draw_only: bool = False
    """Train nothing; write table and figure of the runs that are recorded."""
    out: Path = HERE / "shift_consistency"
    """Folder of .jsonl, .json and .png."""


def cells(seeds: int) -> Iterator[tuple[str, str, int]]:
    """List pools, paddings and seeds, seed by seed, so that a campaign cut short is balanced."""
    for seed, padding, pool in itertools.product(range(seeds), PADDINGS, POOLS):
        yield pool, padding, seed


def shifted_logits(network: Callable[[Array], Array], images: Array, shifts: np.ndarray) -> np.ndarray:
    """Return the logits of all images under all circular shifts, (images, shifts, classes)."""
    roll = jax.jit(lambda images, shift: Roll(shift, (-3, -2))(images))
    return np.stack([np.asarray(network(roll(images, shift))) for shift in shifts], 1)


def moved(logits: np.ndarray) -> dict:
    """Compare logits, (images, shifts, classes), with those of the first shift, which is none.

    A difference is relative to the largest logit of its image.
    """
    classes, scale = logits.argmax(-1), np.abs(logits[:, 0]).max(-1)
    apart = np.abs(logits - logits[:, :1]).max((1, 2)) / scale
    changed = classes != classes[:, :1]
    return {
        "largest_relative_difference": float(apart.max()),
        "changed_predictions": int(changed.sum()),
        "of_predictions": int(changed[:, 1:].size),
        "changed_images": int(changed.any(1).sum()),
        "of_images": len(changed),
    }


def measure(
    network: Callable[[Array], Array], images: Array, labels: np.ndarray, exhaustive: int, near: int
) -> dict[str, Any]:
    """Measure a network on all circular shifts of some images, and on near shifts of others."""
    shifts = np.array(list(itertools.product(*map(range, images.shape[1:3]))))
    logits = shifted_logits(jax.jit(network), images[:exhaustive], shifts)
    found = {"circular": Consistency("circular", shifts, logits.argmax(-1), labels[:exhaustive])}
    for mode in MODES[1:]:
        found[mode] = consistency(network, images[:near], mode=mode, labels=labels[:near], batch=50)
    rows = {mode: consistency_table({mode: one})[0] for mode, one in found.items()}
    one = jax.ShapeDtypeStruct((1, *images.shape[1:]), images.dtype)
    return rows | {"logits": moved(logits) | {"rounding": rounding(network, one)}}


def train(data: Dataset, pool: str, padding: str, seed: int, settings: Settings) -> dict[str, Any]:
    """Train one network; measure it, and what it was before."""
    config = Config(
        data=DataConfig(data.name),
        model=ModelConfig("resnet18", stem="cifar", width=settings.width, pool=POOLS[pool], padding_mode=padding),
        optim=OptimConfig("nesterov", lr=settings.lr, weight_decay=5e-4, schedule="one-cycle"),
        epochs=settings.epochs,
        batch=settings.batch,
        select="last",
        seed=seed,
    )
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = jaxcnn.fit("resnet18", data, config, out=f"{folder}/run")
        fn, params, preprocessing, classes = jaxcnn.load(run)
        accuracy, parameters, training_s = (run.result[name] for name in ("accuracy", "parameters", "seconds"))
    # what `fit` began with: the same seed draws the same parameters
    untrained = models.create("resnet18", num_classes=len(classes), rngs=seed, **config.model.options())
    most = max(settings.tested, settings.tested_near, settings.untrained, settings.untrained_near)
    images, labels = preprocessing(jnp.asarray(data.test.inputs[:most])), np.asarray(data.test.targets[:most])
    before, after = (settings.untrained, settings.untrained_near), (settings.tested, settings.tested_near)
    return {
        "accuracy": accuracy,
        "parameters": parameters,
        "untrained": measure(untrained, images, labels, *before),
        "trained": measure(lambda x: fn(params, x), images, labels, *after),
        "training_seconds": round(training_s, 1),
        "seconds": round(time.perf_counter() - start, 1),
    }


def load_data(file: str, images: int) -> Dataset:
    """Load CIFAR-10 (JPEG), and keep the first training images."""
    data = jaxcnn.data.load(f"cifar10_jpeg:{file}")
    return jaxcnn.data.from_arrays(
        (data.train.inputs[:images], data.train.targets[:images]),
        validation=(data.validation.inputs[:1000], data.validation.targets[:1000]),  # nothing is chosen by it
        test=(data.test.inputs, data.test.targets),
        classes=data.classes,
        scale=data.preprocessing.scale,
        name="cifar10_jpeg",
    )


def recorded(record: Path, settings: Settings) -> dict[tuple[str, str, int], dict]:
    """Read the runs of these settings."""
    lines = record.read_text().splitlines() if record.exists() else []
    rows = [row for row in map(json.loads, lines) if row["settings"] == dataclasses.asdict(settings)]
    return {(row["pool"], row["padding"], row["seed"]): row for row in rows}


def main(arguments: Arguments) -> None:
    """Train what is not recorded, and write the table and the figure."""
    lowering.enable()
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings, record = arguments.settings, arguments.out / "cifar10_jpeg.jsonl"
    done = recorded(record, settings)
    missing = [cell for cell in cells(arguments.seeds) if cell not in done]
    data = load_data(arguments.data, settings.images) if missing and not arguments.draw_only else None
    for pool, padding, seed in missing if data else []:
        row = {"pool": pool, "padding": padding, "seed": seed, "settings": dataclasses.asdict(settings)}
        row |= train(data, pool, padding, seed, settings)
        done[pool, padding, seed] = row
        with record.open("a") as file:
            file.write(json.dumps(row) + "\n")
        kept = {mode: round(row["trained"][mode]["agreement"], 4) for mode in MODES}
        print(f"{pool}, {padding}, seed {seed}: {row['accuracy']:.4f}, {kept}, {row['seconds']} s", flush=True)
        jax.clear_caches()
    summary = summarize(list(done.values()), settings)
    path = arguments.out / "cifar10_jpeg.json"
    path.write_text(json.dumps(summary, indent=1) + "\n")
    draw(summary, path.with_suffix(".png"))
    print(table(summary))


def interval(values: list[float]) -> dict:
    """Return the mean, and half the width of its 95 % interval (Student's t over seeds; None for one seed)."""
    array = np.array(values)
    half = None
    if len(array) > 1:
        half = round(float(stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array))), 5)
    return {"mean": round(float(array.mean()), 5), "interval_95": half, "values": values}


def summarize(rows: list[dict], settings: Settings) -> dict:
    """Gather the runs of each cell."""
    found = {}
    for padding, pool in itertools.product(PADDINGS, POOLS):
        runs = [row for row in rows if (row["pool"], row["padding"]) == (pool, padding)]
        if not runs:
            continue
        cell: dict[str, Any] = {
            "seeds": [run["seed"] for run in runs],
            "parameters": runs[0]["parameters"],
            "accuracy": interval([run["accuracy"] for run in runs]),
            "seconds": [run["seconds"] for run in runs],
        }
        for state in ("trained", "untrained"):
            logits = [run[state]["logits"] for run in runs]
            cell[state] = {
                mode: {
                    name: interval([run[state][mode][name] for run in runs])
                    for name in ("agreement", "stable", "accuracy", "shifted_accuracy", "worst_accuracy")
                }
                for mode in MODES
            }
            total = {
                name: sum(one[name] for one in logits) for name in logits[0] if not isinstance(logits[0][name], float)
            }
            largest = max(one["largest_relative_difference"] for one in logits)
            cell[state]["logits"] = {"largest_relative_difference": largest, "rounding": logits[0]["rounding"], **total}
        found[f"{pool}, {padding}"] = cell
    states = [found[EXACT][state] for state in ("trained", "untrained")] if EXACT in found else []
    kept = [share == 1 for state in states for share in state["circular"]["agreement"]["values"]]
    return {
        "command": "python experiments/shift_consistency.py --data FILE.npz",
        "data": "CIFAR-10 (JPEG, 5,000 test images)",
        "settings": dataclasses.asdict(settings),
        "versions": {"jaxcnn": jaxcnn.__version__, "jax": jax.__version__},
        "device": f"{jax.devices()[0].platform}, {os.cpu_count()} cores",
        "equivariant_control_keeps_all": all(kept) if kept else None,
        "cells": found,
    }


def table(summary: dict) -> str:
    """Return a Markdown table: accuracy and agreement in per cent, and how far circular shifts move the logits."""
    lines = [
        "| sampling, padding | test accuracy | same prediction: all circular shifts | crops | half a pixel "
        "| logits move by | untrained: accuracy | all circular shifts | logits move by |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, cell in summary["cells"].items():
        trained, untrained = cell["trained"], cell["untrained"]
        texts = [name, *map(percent, [cell["accuracy"], *(trained[mode]["agreement"] for mode in MODES)])]
        texts.append(f"{trained['logits']['largest_relative_difference']:.1e}")
        texts += map(percent, [untrained["crops"]["accuracy"], untrained["circular"]["agreement"]])
        texts.append(f"{untrained['logits']['largest_relative_difference']:.1e}")
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join(lines)


def percent(value: dict) -> str:
    """Write a share as per cent."""
    half = value["interval_95"]
    return f"{100 * value['mean']:.2f}" + ("" if half is None else f" ± {100 * half:.2f}")


def draw(summary: dict, path: Path) -> None:
    """Draw accuracy and the agreement under each kind of shift, a row a cell; every seed, mean and interval."""
    names = list(summary["cells"])
    figure, panels = plt.subplots(1, 4, figsize=(12, 0.9 + 0.45 * len(names)), sharey=True, constrained_layout=True)
    titles = {"circular": "all circular shifts", "crops": "crops 1 pixel away", "half-pixel": "half-pixel shifts"}
    for panel, mode in zip(panels, (None, *MODES), strict=True):
        for row, cell in enumerate(summary["cells"].values()):
            states = {
                state: cell[state]["crops"]["accuracy"] if mode is None else cell[state][mode]["agreement"]
                for state in ("untrained", "trained")
            }
            if mode is None:
                states["trained"] = cell["accuracy"]
            for state, value in states.items():
                filled = state == "trained"
                color, place = ("tab:blue", row) if filled else ("0.6", row + 0.25)
                panel.errorbar(
                    100 * value["mean"], place, xerr=100 * (value["interval_95"] or 0), capsize=3, color=color,
                    fmt="o" if filled else "s", markersize=6 if filled else 4,
                    label=f"{state}, mean and 95 % interval" if row == 0 else None,
                )  # fmt: skip
                if filled:
                    panel.plot(
                        100 * np.array(value["values"]),
                        [row - 0.22] * len(value["values"]),
                        "k.",
                        markersize=4,
                        label="each seed" if row == 0 else None,
                    )
        panel.set(title="accuracy" if mode is None else titles[mode], ylim=(len(names) - 0.5, -0.5))
        panel.set_xlabel("test accuracy, %" if mode is None else "same prediction, %")
        panel.grid(alpha=0.3, axis="x")
        low, high = panel.get_xlim()
        panel.set_xlim(max(0, low), min(102, high))  # a t-interval may leave what is possible
    panels[0].set_yticks(range(len(names)), names)
    figure.legend(*panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
