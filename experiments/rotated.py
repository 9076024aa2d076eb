"""What equivariance under quarter turns buys: a p4 CNN against plain ones of equal parameter count, on rotated images.

    python experiments/rotated.py digits             # trains what is not yet recorded, then writes table and figure
    python experiments/rotated.py fashion_mnist

Every image of the training, validation and test set is turned once, by an angle drawn uniformly from the whole circle
(bilinear interpolation about the centre, zeros outside, rounded to whole grey values), as in rotated MNIST; nothing is
changed during training. The plain CNN is the same stack of stages, with the same global average pool before the dense
layer; a second one has the dense layer read all of the last maps. The learning rate of each network is the best on the
validation set, from the same grid and with the same number of trials, with a seed that is not used again. Every run
appends one line to `rotated/DATA.jsonl` as it ends, so the script can be stopped and started again.
"""

import dataclasses
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from matplotlib import pyplot as plt
from scipy import ndimage, stats

import jaxcnn
from jaxcnn import lowering
from jaxcnn.config import Config, DataConfig, ModelConfig, OptimConfig
from jaxcnn.data import Dataset, Split

HERE = Path(__file__).parent
TUNING_SEED = 100


@dataclasses.dataclass(frozen=True)
class Problem:
    """A data set, how much of it is used, and networks of one size: all within 2 % of the first's parameters."""

    images: tuple[int, int, int]
    """Training, validation and test images at most."""
    angles: int
    """Angles at which each test image is seen."""
    epochs: int
    rates: tuple[float, ...]
    networks: dict[str, ModelConfig]
    """The first is what the others are compared with."""


PROBLEMS = {
    "digits": Problem(
        images=(1300, 200, 360),  # all there are
        angles=10,
        epochs=40,
        rates=(1e-3, 3e-3, 1e-2, 3e-2),
        networks={
            "p4": ModelConfig("group_cnn", width=16, group="p4"),
            "plain": ModelConfig("small_cnn", width=32, head="avg"),
            "plain, flattened": ModelConfig("small_cnn", width=31, head="flatten"),
        },
    ),
    "fashion_mnist": Problem(
        images=(10000, 2000, 10000),
        angles=1,
        epochs=8,
        rates=(3e-3, 1e-2),
        networks={
            "p4": ModelConfig("group_cnn", width=5, group="p4"),
            "plain": ModelConfig("small_cnn", width=10, head="avg"),
        },
    ),
}


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train, record, draw."""

    data: Annotated[Literal["digits", "fashion_mnist"], tyro.conf.Positional]
    """What is turned."""
    seeds: int = 3
    """Repetitions with other parameters and orders."""
    epochs: int | None = None
    """Passes over the training set (None: as recorded)."""
    out: Path = HERE / "rotated"
    """Folder of .jsonl, .json and .png."""


def rotated(images: np.ndarray, seed: int, times: int = 1) -> np.ndarray:
    """Turn each image by angles of its own: (times * n, height, width, 1) bytes, first all images at one angle."""
    angles = np.random.default_rng(seed).uniform(0, 360, times * len(images))
    turned = [
        ndimage.rotate(image[..., 0].astype(np.float32), angle, reshape=False, order=1)
        for image, angle in zip(np.concatenate([images] * times), angles, strict=True)
    ]
    return np.round(np.stack(turned)).astype(np.uint8)[..., None]


def rotated_set(name: str) -> Dataset:
    """Turn the images of a named data set, and fit its preprocessing to them."""
    problem, original = PROBLEMS[name], jaxcnn.data.load(name)
    splits = {}
    for seed, (kind, most) in enumerate(zip(("train", "validation", "test"), problem.images, strict=True)):
        times = problem.angles if kind == "test" else 1
        split: Split = original.splits[kind]
        splits[kind] = (rotated(split.inputs[:most], seed, times), np.tile(split.targets[:most], times))
    return jaxcnn.data.from_arrays(
        splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        classes=original.classes,
        scale=original.preprocessing.scale,
        name=f"rotated_{name}",
    )


def fit(model: ModelConfig, data: Dataset, *, epochs: int, rate: float, seed: int) -> dict:
    """Train once; return accuracies, the share of test images whose class a quarter turn keeps, and the time."""
    config = Config(
        data=DataConfig(data.name),
        model=model,
        optim=OptimConfig("adamw", lr=rate, weight_decay=1e-2, warmup=1),
        epochs=epochs,
        batch=64,
        select="last",
        seed=seed,
    )
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = jaxcnn.fit(model.name, data, config, out=f"{folder}/run")
        fn, params, preprocessing, _ = jaxcnn.load(run)
        predict = jax.jit(lambda images: fn(params, preprocessing(images)).argmax(-1))
        kept = [
            predict(part) == predict(jnp.rot90(part, axes=(1, 2)))
            for part in np.array_split(data.test.inputs, -(-len(data.test.inputs) // 1000))
        ]
        return {
            "validation": run.metrics()[-1]["validation"]["accuracy"],
            "test": run.result["accuracy"],
            "kept_by_a_quarter_turn": float(np.concatenate(kept).mean()),
            "parameters": run.result["parameters"],
            "seconds": round(time.perf_counter() - start, 1),
        }


def main(arguments: Arguments) -> None:
    """Tune, train what is not recorded, and write the table and the figure."""
    lowering.enable()
    arguments.out.mkdir(parents=True, exist_ok=True)
    problem, data = PROBLEMS[arguments.data], rotated_set(arguments.data)
    epochs = arguments.epochs or problem.epochs
    record, done = arguments.out / f"{arguments.data}.jsonl", {}
    if record.exists():
        for line in record.read_text().splitlines():
            row = json.loads(line)
            done[row["network"], row["rate"], row["seed"], row["epochs"]] = row

    def run(network: str, rate: float, seed: int) -> dict:
        key = (network, rate, seed, epochs)
        if key not in done:
            settings = {"network": network, "rate": rate, "seed": seed, "epochs": epochs}
            done[key] = settings | fit(problem.networks[network], data, epochs=epochs, rate=rate, seed=seed)
            with record.open("a") as file:
                file.write(json.dumps(done[key]) + "\n")
            found = {name: done[key][name] for name in ("validation", "test", "seconds")}
            print(f"{network}, lr {rate}, seed {seed}: {found}", flush=True)
        return done[key]

    rows, rates = {}, {}
    for network in problem.networks:
        trials = {rate: run(network, rate, TUNING_SEED)["validation"] for rate in problem.rates}
        rates[network] = max(trials, key=trials.__getitem__)
        rows[network] = [run(network, rates[network], seed) for seed in range(arguments.seeds)]
    summary = summarize(rows, rates, data, epochs, arguments)
    path = arguments.out / f"{arguments.data}.json"
    path.write_text(json.dumps(summary, indent=1) + "\n")
    draw(summary, path.with_suffix(".png"))
    print(table(summary))


def interval(values: list[float]) -> dict:
    """Return the mean, and half the width of its 95 % interval (Student's t over seeds)."""
    array = np.array(values)
    half = stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)) if len(array) > 1 else np.nan
    return {"mean": round(float(array.mean()), 5), "interval_95": round(float(half), 5), "values": values}


def summarize(
    rows: dict[str, list[dict]], rates: dict[str, float], data: Dataset, epochs: int, arguments: Arguments
) -> dict:
    """Gather the runs of each network; a difference is of runs with the same seed."""
    first, *others = rows
    counts = {name: runs[0]["parameters"] for name, runs in rows.items()}
    assert all(abs(count / counts[first] - 1) <= 0.02 for count in counts.values()), counts
    errors = {name: [1 - run["test"] for run in runs] for name, runs in rows.items()}
    return {
        "command": f"python experiments/rotated.py {arguments.data}",
        "data": {"name": data.name, "images": {name: len(split.inputs) for name, split in data.splits.items()}},
        "versions": {"jaxcnn": jaxcnn.__version__, "jax": jax.__version__},
        "device": f"{jax.devices()[0].platform}, {os.cpu_count()} cores",
        "seeds": list(range(arguments.seeds)),
        "epochs": epochs,
        "learning_rate": rates,
        "parameters": counts,
        "error": {name: interval(values) for name, values in errors.items()},
        "error_above_" + first: {
            name: interval([theirs - ours for theirs, ours in zip(errors[name], errors[first], strict=True)])
            for name in others
        },
        "kept_by_a_quarter_turn": {
            name: interval([run["kept_by_a_quarter_turn"] for run in runs]) for name, runs in rows.items()
        },
        "seconds": {name: [run["seconds"] for run in runs] for name, runs in rows.items()},
    }


def table(summary: dict) -> str:
    """Return a Markdown table."""
    lines = [
        "| network | parameters | learning rate | test error, % | kept by a quarter turn, % |",
        "|---|---|---|---|---|",
    ]
    for name, error in summary["error"].items():
        kept = summary["kept_by_a_quarter_turn"][name]
        cells = [f"{100 * v['mean']:.2f} ± {100 * v['interval_95']:.2f}" for v in (error, kept)]
        lines.append(
            f"| {name} | {summary['parameters'][name]:,} | {summary['learning_rate'][name]} | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(lines)


def draw(summary: dict, path: Path) -> None:
    """Draw the test error of every seed, its mean and its interval, a row a network."""
    figure, panel = plt.subplots(figsize=(6, 0.8 + 0.5 * len(summary["error"])), constrained_layout=True)
    for row, error in enumerate(summary["error"].values()):
        panel.errorbar(100 * error["mean"], row, xerr=100 * error["interval_95"], fmt="o", capsize=4, color="tab:blue")
        panel.plot(100 * np.array(error["values"]), [row + 0.2] * len(error["values"]), "k.", markersize=4)
    panel.set_yticks(range(len(summary["error"])), list(summary["error"]))
    panel.set(xlabel=f"test error, % ({summary['data']['name']})", ylim=(len(summary["error"]) - 0.5, -0.5))
    panel.set_xlim(left=0)
    panel.grid(alpha=0.3, axis="x")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
