"""Sentences about canvases whose pair of things was never seen together: digits and garments.

    python experiments/captions.py              # about 35 minutes on 2 cores
    python experiments/captions.py --draw-only

Each run is the preset `captioner` on captions of digits or of Fashion-MNIST. It is measured on 1,000 canvases of pairs
that training had, and on the 2,000 test canvases, whose pairs it had in no sentence. Every run is a line of
`captions/runs.jsonl` as it ends; the script goes on where it was stopped.
"""

import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import tyro
from matplotlib import pyplot as plt
from speedrun import interval

from jaxcnn import api, data, lowering
from jaxcnn.config import DataConfig
from jaxcnn.data import captions
from jaxcnn.presets import PRESETS

HERE = Path(__file__).parent / "captions"
RECORDS = HERE / "runs.jsonl"
THINGS = ("digits", "fashion_mnist")
DRAWN = 12


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train what is not recorded yet, and summarise all."""

    seeds: int = 3
    """Runs on each set."""
    draw_only: bool = False
    """Train nothing but for the figure."""


def answers(loaded: Any, split: data.Split) -> np.ndarray:
    """Return the words that a network says of each canvas, by their numbers."""
    parts = [split.inputs[start : start + 250] for start in range(0, len(split.inputs), 250)]
    said = [loaded.fn(loaded.params, loaded.preprocessing(jnp.asarray(part))).argmax(-1) for part in parts]
    return np.concatenate([np.asarray(part) for part in said])


def score(said: np.ndarray, split: data.Split) -> dict[str, float]:
    """Return the shares of words, of sentences, and of words by their place that are right."""
    right = said == split.targets
    return {"words": right.mean(), "sentences": right.all(1).mean(), "by_place": right.mean(0).tolist()}


def train(things: str, seed: int, folder: Path) -> Any:
    """Train once; return the loaded network."""
    config = dataclasses.replace(PRESETS["captioner"], seed=seed)
    return api.load(api.fit(config.model.name, DataConfig(f"captions:{things}"), config, out=folder))


def read() -> list[dict[str, Any]]:
    """Return the records of all runs."""
    return [json.loads(line) for line in RECORDS.read_text().splitlines()] if RECORDS.exists() else []


def draw(file: Path) -> None:
    """Train on garments once more, and draw test canvases over what is said of them, half of them wrong ones."""
    with tempfile.TemporaryDirectory() as folder:
        loaded = train("fashion_mnist", 0, Path(folder, "run"))
    split, words = data.load(DataConfig("captions:fashion_mnist")).test, captions.vocabulary("fashion_mnist")
    said = answers(loaded, split)
    right = (said == split.targets).all(1)
    chosen = [*np.flatnonzero(right)[: DRAWN // 2], *np.flatnonzero(~right)[: DRAWN // 2]]
    figure, axes = plt.subplots(3, DRAWN // 3, figsize=(12, 9), layout="constrained")
    for panel, at in zip(axes.flat, chosen, strict=False):
        panel.imshow(split.inputs[at, ..., 0], cmap="gray_r")
        told = captions.sentence(words, said[at])
        told += "" if right[at] else f"\n(is: {captions.sentence(words, split.targets[at])})"
        panel.set_title(told, fontsize=7.5, color="C0" if right[at] else "C3")
    for panel in axes.flat:
        panel.axis("off")
    figure.savefig(file, dpi=110)


def main(asked: Arguments) -> None:
    """Measure, and write what was found."""
    lowering.enable()
    HERE.mkdir(exist_ok=True)
    done = {(record["things"], record["seed"]) for record in read()}
    for seed in range(asked.seeds if not asked.draw_only else 0):
        for things in THINGS:
            if (things, seed) in done:
                continue
            dataset, began = data.load(DataConfig(f"captions:{things}")), time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                loaded = train(things, seed, Path(folder, "run"))
            record: dict[str, Any] = {"things": things, "seed": seed, "seconds": time.perf_counter() - began}
            record |= {
                name: score(answers(loaded, split), split)
                for name, split in (("seen_pairs", dataset.validation), ("held_out_pairs", dataset.test))
            }
            with RECORDS.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(json.dumps(record), flush=True)
    summary: dict[str, Any] = {}
    for things in THINGS:
        of = [record for record in read() if record["things"] == things]
        for pairs in ("seen_pairs", "held_out_pairs"):
            summary[f"{things}, {pairs}"] = {
                name: interval([record[pairs][name] for record in of]) for name in ("words", "sentences") if of
            }
    told = {"command": "python experiments/captions.py", **summary}
    (HERE / "summary.json").write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))
    draw(HERE / "garments.png")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
