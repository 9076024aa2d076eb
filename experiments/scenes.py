"""Detection and instance segmentation of digits and garments: trained on 64x64, run on 256x256, shifted.

    python experiments/scenes.py                # about 45 minutes on 2 cores
    python experiments/scenes.py --draw-only

Each run is the preset `detector` or `segmenter` on scenes of digits or of Fashion-MNIST. Its network is measured on the
1,000 test scenes of 64x64 and, unchanged, on 62 of 256x256, and a dozen shifts of one of these by whole cells are
asserted by `assert_equivariant`, inside the borders' reach. Every run is a line of `scenes/runs.jsonl` as it ends; the
script goes on where it was stopped.
"""

import dataclasses
import functools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from matplotlib import patches
from matplotlib import pyplot as plt
from speedrun import interval

from jaxcnn import api, data, lowering, training
from jaxcnn.config import DataConfig
from jaxcnn.equivariance import assert_equivariant
from jaxcnn.presets import PRESETS

HERE = Path(__file__).parent / "scenes"
RECORDS = HERE / "runs.jsonl"
PRESETS_AND_CELLS = {"segmenter": 4, "detector": 4}
"""And pixels that a shift is a multiple of: what the U-Net's two levels halve, and the detector's stride."""
THINGS = ("digits", "fashion_mnist")
MARGIN = {"detector": None, "segmenter": 24}
"""Pixels of the output that borders reach: the analysis knows the detector's; a U-Net of two levels sees 22."""
SHIFTS = 12


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train what is not recorded yet, and summarise all."""

    seeds: int = 3
    """Runs of each preset on each set."""
    draw_only: bool = False
    """Train nothing."""


def score(preset: str, fn: Any, split: data.Split, classes: int) -> dict[str, Any]:
    """Measure a network on scenes of any size, a few at a time."""
    most = training.most_things(split.targets, classes)
    dense = {"detector": training.detection_f1, "segmenter": training.panoptic_quality}[preset]
    metric = jax.jit(lambda x, t: dense(fn(x), t, classes=classes, most=most))
    size = max(1, 200 * 64**2 // split.targets[0].size)
    parts = [slice(i, i + size) for i in range(0, len(split.inputs), size)]
    values = [float(metric(split.inputs[part], split.targets[part])) for part in parts]
    weights = [len(split.inputs[part]) for part in parts]
    name = {"detector": "f1", "segmenter": "panoptic_quality"}[preset]
    found: dict[str, Any] = {name: float(np.average(values, weights=weights)), "scenes": len(split.inputs)}
    if preset == "detector":
        boxes = jax.jit(lambda x: training.detections(fn(x), stride=4, most=2 * most))
        said = [boxes(split.inputs[part]) for part in parts]
        joined = training.Detections(*(jnp.concatenate(column) for column in zip(*said, strict=True)))
        things = training.things_of(jnp.asarray(split.targets), classes=classes, most=most)
        found["mean_average_precision"] = float(np.nanmean(training.average_precision(joined, things, classes=classes)))
    return found


def shifted(preset: str, fn: Any, image: jax.Array) -> bool:
    """Assert that maps move with a large scene, by whole cells."""
    options: dict[str, Any] = {"mode": "interior", "margin": MARGIN[preset]}
    if preset == "detector":
        assert_equivariant(fn, image, strides=4, shifts=SHIFTS, **options)
    else:
        moves = np.random.default_rng(0).integers(-4, 5, (SHIFTS, 2)) * PRESETS_AND_CELLS[preset]
        assert_equivariant(fn, image, shifts=moves.tolist(), **options)
    return True


@functools.cache
def scenes(name: str) -> data.Dataset:
    """Return a set, made once."""
    return data.load(DataConfig(name))


def measure(preset: str, things: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train once, and measure at both sizes."""
    name = f"scenes:{things}"
    config = dataclasses.replace(PRESETS[preset], seed=seed)
    began = time.perf_counter()
    run = api.fit(config.model.name, DataConfig(name), config, out=folder)
    seconds = time.perf_counter() - began
    loaded = api.load(run)

    def fn(images: jax.Array) -> jax.Array:
        return loaded.fn(loaded.params, loaded.preprocessing(images))

    classes = len(loaded.classes)
    small, large = scenes(name).test, scenes(f"{name}:256").test
    record = {"preset": preset, "things": things, "seed": seed, "parameters": run.result["parameters"]}
    record |= {"seconds": seconds, "64": score(preset, fn, small, classes), "256": score(preset, fn, large, classes)}
    return record | {"shifts_asserted": SHIFTS * shifted(preset, fn, jnp.asarray(large.inputs[0], jnp.float32))}


def read() -> list[dict[str, Any]]:
    """Return the records of all runs."""
    return [json.loads(line) for line in RECORDS.read_text().splitlines()] if RECORDS.exists() else []


def draw(file: Path) -> None:
    """Train a detector of digits once more, and draw what it finds on a large scene."""
    with tempfile.TemporaryDirectory() as folder:
        config = PRESETS["detector"]
        loaded = api.load(api.fit(config.model.name, DataConfig("scenes:digits"), config, out=folder))
    split = scenes("scenes:digits:256").test
    image = split.inputs[0]
    outputs = loaded.fn(loaded.params, loaded.preprocessing(jnp.asarray(image)))
    found = training.detections(outputs, stride=4, most=200)
    figure, axes = plt.subplots(figsize=(8, 8), layout="constrained")
    axes.imshow(image[..., 0], cmap="gray_r", interpolation="nearest")
    for value, label, (top, left, bottom, right) in zip(*map(np.asarray, found), strict=True):
        if value > training.detection.LIKELY:
            corner, sides = (left - 0.5, top - 0.5), (right - left, bottom - top)
            axes.add_patch(patches.Rectangle(corner, *sides, fill=False, color="C1", linewidth=0.8))
            axes.text(left, top - 1, loaded.classes[label], color="C0", fontsize=7)
    axes.set(title="A detector of digits, trained on 64x64, on a scene of 256x256", xticks=[], yticks=[])
    figure.savefig(file, dpi=110)


def main(asked: Arguments) -> None:
    """Measure, and write what was found."""
    lowering.enable()
    HERE.mkdir(exist_ok=True)
    done = {(record["preset"], record["things"], record["seed"]) for record in read()}
    wanted = [(p, t, s) for s in range(asked.seeds) for p in PRESETS_AND_CELLS for t in THINGS]
    for preset, things, seed in wanted if not asked.draw_only else []:
        if (preset, things, seed) not in done:
            with tempfile.TemporaryDirectory() as folder:
                record = measure(preset, things, seed, Path(folder, "run"))
            with RECORDS.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(json.dumps(record), flush=True)
    summary: dict[str, Any] = {}
    for preset in PRESETS_AND_CELLS:
        for things in THINGS:
            of = [record for record in read() if (record["preset"], record["things"]) == (preset, things)]
            names = [name for name in of[0]["64"] if name != "scenes"] if of else []
            summary[f"{preset} {things}"] = {
                f"{name} {size}": interval([record[size][name] for record in of])
                for name in names
                for size in ("64", "256")
            }
    (HERE / "summary.json").write_text(
        json.dumps({"command": "python experiments/scenes.py", **summary}, indent=1) + "\n"
    )
    draw(HERE / "large.png")
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
