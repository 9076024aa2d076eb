"""The comparisons that lectures on convolutional networks draw, measured: one study for each.

    python experiments/lectures.py optimizers          # or regularisers, pooling, depth, kernels
    python experiments/lectures.py depth --data cifar10_jpeg:FILE.npz   # see `jaxcnn data list`

Every arm of a study gets the same number of learning rates, a factor of about three apart around the rate that is usual
for it; the best on the validation set, with a seed of its own, is then trained with three other seeds and measured on
the test set. Every run appends one line to `lectures/STUDY.jsonl` as it ends: the script can be stopped and started
again. Table and figure are drawn from these lines.
"""

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import jax
import numpy as np
import tyro
from flax import nnx
from matplotlib import pyplot as plt
from scipy import stats

import jaxcnn
from jaxcnn import lowering, nn
from jaxcnn.config import Config, DataConfig, ModelConfig, OptimConfig

HERE = Path(__file__).parent / "lectures"
FACTORS = (0.1, 0.3, 1.0, 3.0)
TUNING_SEED = 100
SEEDS = (0, 1, 2)
DEPTHS = (20, 56)

Build = Callable[[int], nn.Module]
"""A network of the study's own, drawn from a seed."""


@dataclass(frozen=True)
class Arm:
    """One of the things compared."""

    config: Config
    """Its `optim.lr` is the middle of the rates that are tried."""
    build: Build | None = None


@dataclass(frozen=True)
class Study:
    """What is compared with what."""

    question: str
    arms: dict[str, Arm]
    images: int | None = None
    """Training images that are used, if not all."""
    factors: tuple[float, ...] = FACTORS
    """What the middle rate is multiplied by."""


@dataclass(frozen=True)
class Arguments:
    """Tune, train what is not recorded, and draw."""

    study: Annotated[Literal["optimizers", "regularisers", "pooling", "depth", "kernels"], tyro.conf.Positional] = (
        "optimizers"
    )
    """What is compared."""
    data: str | None = None
    """The data set, where it is not Fashion-MNIST (depth: cifar10_jpeg:FILE.npz)."""


def small(epochs: int = 3, **model: object) -> Config:
    """Return the common ground: stages of 3x3 convolutions, without norms, trained by Nesterov's momentum."""
    options = {"width": 8, "norm": "none", **model}
    return Config(
        model=ModelConfig("small_cnn", **options),
        optim=OptimConfig("nesterov", lr=0.03, warmup=0.3),
        epochs=epochs,
        select="last",
    )


def optimizers() -> Study:
    """Ten optimizers on one network."""
    usual = {
        "sgd": 0.3, "momentum": 0.03, "nesterov": 0.03, "adagrad": 0.01, "rmsprop": 1e-3, "adam": 3e-3, "adamw": 3e-3,
        "lion": 3e-4, "lamb": 1e-2, "muon": 3e-3,
    }  # fmt: skip
    base = small()
    arms = {name: Arm(replace(base, optim=replace(base.optim, name=name, lr=lr))) for name, lr in usual.items()}
    return Study("Which optimizer is furthest after three epochs?", arms)


def regularisers() -> Study:
    """Norms, dropout, weight decay, initialisation and the activation, one changed at a time."""
    base = small()
    return Study(
        "What does each ingredient add to a plain network?",
        {
            "plain: ReLU, He": Arm(base),
            "batch norm": Arm(small(norm="batch")),
            "dropout 0.5": Arm(small(dropout=0.5)),
            "weight decay 1e-3": Arm(replace(base, optim=replace(base.optim, weight_decay=1e-3))),
            "Glorot": Arm(small(init="glorot_uniform")),
            "orthogonal": Arm(small(init="orthogonal")),
            "sigmoid": Arm(small(activation="sigmoid")),
            "sigmoid, batch norm": Arm(small(activation="sigmoid", norm="batch")),
            "tanh": Arm(small(activation="tanh")),
        },
    )


def pooling() -> Study:
    """How maps are made smaller."""
    kinds = ("max", "avg", "stride", "blur")
    return Study("Pool, or stride?", {kind: Arm(small(pool=kind, norm="batch")) for kind in kinds})


def depth() -> Study:
    """Residual networks of two depths, with and without their sums."""
    base = Config(optim=OptimConfig("nesterov", lr=0.1, weight_decay=1e-4, warmup=1), epochs=6, select="last")
    arms = {
        f"{layers} layers, {'residual' if residual else 'plain'}": Arm(
            replace(base, model=ModelConfig(f"resnet{layers}", width=8, residual=residual))
        )
        for layers in DEPTHS
        for residual in (True, False)
    }
    return Study(
        "Do deeper networks train, with and without residual sums?", arms, images=10_000, factors=(0.3, 1.0, 3.0)
    )


def kernels() -> Study:
    """Stacks of 3x3 convolutions against one large kernel of the same receptive field."""

    def stack(size: int, count: int, channels: int = 16) -> Build:
        def build(seed: int) -> nn.Module:
            rngs, layers, before = nnx.Rngs(seed), [], 1
            for _ in range(2):  # two groups, each with a receptive field of count (size - 1) + 1, and a pool
                for _ in range(count):
                    pad = size // 2
                    layers += [nn.Conv(before, channels, (size, size), padding=pad, rngs=rngs), nn.BatchNorm(channels)]
                    layers += [nn.Activation("relu")]
                    before = channels
                layers.append(nn.MaxPool((2, 2)))
            return nn.Sequential(*layers, nn.Flatten(), nn.Dense(7 * 7 * channels, 10, rngs=rngs))

        return build

    base = Config(optim=OptimConfig("nesterov", lr=0.03, warmup=0.3), epochs=3, select="last")
    shapes = {"one 5x5": (5, 1), "two 3x3": (3, 2), "one 7x7": (7, 1), "three 3x3": (3, 3)}
    return Study(
        "One large kernel, or a stack of small ones with the same receptive field?",
        {name: Arm(base, stack(*shape)) for name, shape in shapes.items()},
    )


STUDIES = {study.__name__: study for study in (optimizers, regularisers, pooling, depth, kernels)}


def fit(arm: Arm, data: jaxcnn.data.Dataset, rate: float, seed: int) -> dict:
    """Train once; return what was measured."""
    config = replace(arm.config, optim=replace(arm.config.optim, lr=rate), seed=seed)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = jaxcnn.fit(arm.build(seed) if arm.build else config.model.name, data, config, out=f"{folder}/run")
        except jaxcnn.training.NonFiniteLossError:  # a rate that is too high is a result
            return {"validation": 0.0, "test": 0.0, "train_loss": None, "seconds": time.perf_counter() - start}
        last, result = run.metrics()[-1], run.result
        return {
            "validation": last["validation"]["accuracy"],
            "test": result["accuracy"],
            "train_loss": last["train"]["loss"],
            "parameters": result["parameters"],
            "seconds": round(time.perf_counter() - start, 1),
        }


def subset(data: jaxcnn.data.Dataset, images: int | None) -> jaxcnn.data.Dataset:
    """Keep the first training images, which are in stratified order."""
    return data if images is None else replace(data, train=type(data.train)(*(a[:images] for a in data.train)))


def main(arguments: Arguments) -> None:
    """Run a study, and write its table and its figure."""
    lowering.enable()
    study = STUDIES[arguments.study]()
    name = arguments.data or "fashion_mnist"
    data = subset(jaxcnn.data.load(DataConfig(name)), study.images)
    HERE.mkdir(exist_ok=True)
    record = HERE / f"{arguments.study}.jsonl"
    rows = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    done = {(row["arm"], row["rate"], row["seed"]): row for row in rows}

    def run(name: str, rate: float, seed: int) -> dict:
        rate = float(f"{rate:.2g}")
        if (name, rate, seed) not in done:
            row = {"arm": name, "rate": rate, "seed": seed, **fit(study.arms[name], data, rate, seed)}
            with record.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(
                f"{name}, lr {rate}, seed {seed}: validation {row['validation']:.4f}, {row['seconds']:.0f} s",
                flush=True,
            )
            done[name, rate, seed] = row
        return done[name, rate, seed]

    summary = {}
    for name, arm in study.arms.items():
        trials = {}
        for factor in study.factors:
            rate = float(f"{factor * arm.config.optim.lr:.2g}")
            trials[rate] = run(name, rate, TUNING_SEED)["validation"]
        best = max(trials, key=trials.__getitem__)
        runs = [run(name, best, seed) for seed in SEEDS]
        summary[name] = {
            "rate": best,
            "tried": trials,
            "at_the_edge": best in (min(trials), max(trials)),
            "test": interval([row["test"] for row in runs]),
            "train_loss": [row["train_loss"] for row in runs],
            "parameters": runs[0].get("parameters"),
            "seconds": [row["seconds"] for row in runs],
        }
    facts = {
        "command": f"python experiments/lectures.py {arguments.study}"
        + (f" --data {name.partition(':')[0]}:FILE" if arguments.data else ""),
        "question": study.question,
        "data": data.name.partition(":")[0],
        "training_images": len(data.train.targets),
        "test_images": len(data.test.targets),
        "config": {name: dataclasses.asdict(arm.config) for name, arm in study.arms.items()},
        "versions": {"jaxcnn": jaxcnn.__version__, "jax": jax.__version__},
        "device": jax.devices()[0].platform,
        "seeds": SEEDS,
        "arms": summary,
    }
    record.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
    draw(study, summary, record.with_suffix(".png"))
    print(table(summary))


def interval(values: list[float]) -> tuple[float, float]:
    """Return the mean, and half the width of its 95 % interval (Student's t over seeds)."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return round(float(np.mean(values)), 4), round(float(half), 4)


def table(summary: dict) -> str:
    """Return a Markdown table."""
    lines = ["| arm | test accuracy | training loss | learning rate | parameters |", "|---|---|---|---|---|"]
    for name, arm in summary.items():
        mean, half = arm["test"]
        losses = [loss for loss in arm["train_loss"] if loss is not None]
        loss = f"{np.mean(losses):.3f}" if losses else "diverged"
        edge = " (edge of the grid)" if arm["at_the_edge"] else ""
        lines.append(
            f"| {name} | {100 * mean:.1f} ± {100 * half:.1f} | {loss} | {arm['rate']:g}{edge} | {arm['parameters']:,} |"
        )
    return "\n".join(lines)


def draw(study: Study, summary: dict, path: Path) -> None:
    """Draw the test accuracy of every arm with its interval."""
    names = list(summary)[::-1]
    figure, axes = plt.subplots(figsize=(7, 0.8 + 0.36 * len(names)), constrained_layout=True)
    means, halves = np.array([summary[name]["test"] for name in names]).T * 100
    axes.errorbar(means, range(len(names)), xerr=halves, fmt="o", color="tab:blue", capsize=3)
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel="test accuracy, %, mean of 3 seeds and 95 % interval")
    axes.set_title(study.question, fontsize=10)
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
