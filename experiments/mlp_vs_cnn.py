"""What weight sharing and pooling buy: an MLP and a CNN of equal parameter count on moved and noisy clothes.

    python experiments/mlp_vs_cnn.py            # trains what is not yet recorded, then writes table and figure

Both networks train on Fashion-MNIST, as it is and with one kind of random change (shift, rotation, scale, noise); each
is then tested under every kind at rising strength. The learning rate of each network is chosen on the validation set
from the same grid, with the same number of trials. Every run appends one line to `mlp_vs_cnn.jsonl` as it ends, so the
script can be stopped and started again.
"""

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array
from matplotlib import pyplot as plt
from scipy import stats

import jaxcnn
from jaxcnn import lowering, training
from jaxcnn.config import Config, DataConfig, ModelConfig, OptimConfig

HERE = Path(__file__).parent
STRENGTHS = {
    "shift": (0, 1, 2, 3, 4, 6, 8),
    "rotation": (0, 5, 10, 15, 20, 30, 45),
    "scale": (0, 5, 10, 15, 20, 30, 40),
    "noise": (0, 5, 10, 15, 20, 30, 40),
}
UNITS = {"shift": "pixels", "rotation": "degrees", "scale": "% larger or smaller", "noise": "% of full range"}
TRAINED_TO = {"shift": 4, "rotation": 20, "scale": 20, "noise": 20}  # the strongest change drawn in training
NETWORKS = {
    "MLP": ModelConfig("mlp", width=78, depth=1),  # 62,020 parameters
    "CNN": ModelConfig("lenet5"),  # 61,706
}
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
TUNING_SEED = 100


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train, record, draw."""

    epochs: int = 10
    """Passes over the training set, in tuning and after."""
    seeds: int = 3
    """Repetitions with other parameters, orders and changes."""
    out: Path = HERE / "mlp_vs_cnn"
    """Where .jsonl, .json and .png are written."""


def moved(images: Array, *, dy: Array, dx: Array, degrees: Array, zoom: Array) -> Array:
    """Shift, rotate and scale each image about its centre; bilinear, zeros outside. All parameters are (n,)."""
    n, height, width, _ = images.shape
    y, x = jnp.meshgrid(jnp.arange(height) - (height - 1) / 2, jnp.arange(width) - (width - 1) / 2, indexing="ij")

    def one(image: Array, dy: Array, dx: Array, degrees: Array, zoom: Array) -> Array:
        cos, sin = jnp.cos(jnp.deg2rad(degrees)) / zoom, jnp.sin(jnp.deg2rad(degrees)) / zoom
        rows = cos * (y - dy) + sin * (x - dx) + (height - 1) / 2
        columns = cos * (x - dx) - sin * (y - dy) + (width - 1) / 2
        return jax.scipy.ndimage.map_coordinates(image[..., 0], [rows, columns], order=1)[..., None]

    return jax.vmap(one)(images, *(jnp.broadcast_to(v, n) for v in (dy, dx, degrees, zoom)))


def change(key: Array, images: Array, kind: str, strength: Array) -> Array:
    """Change uint8 images by up to `strength`, which is (n,): its sign or direction is drawn."""
    n = len(images)
    sign = jax.random.rademacher(key, (n,), jnp.float32)
    pixels = images.astype(jnp.float32)
    still = {"dy": jnp.zeros(n), "dx": jnp.zeros(n), "degrees": jnp.zeros(n), "zoom": jnp.ones(n)}
    if kind == "noise":
        noise = jax.random.normal(key, images.shape) * (2.55 * strength)[:, None, None, None]
        pixels = pixels + noise
    elif kind == "shift":  # whole pixels along one axis, or both
        other = jax.random.randint(jax.random.fold_in(key, 1), (n,), -1, 2)
        sideways = jax.random.bernoulli(jax.random.fold_in(key, 2), shape=(n,))
        far, near = sign * jnp.round(strength), other * jnp.round(strength)
        pixels = moved(pixels, **still | {"dy": jnp.where(sideways, near, far), "dx": jnp.where(sideways, far, near)})
    elif kind == "rotation":
        pixels = moved(pixels, **still | {"degrees": sign * strength})
    else:
        pixels = moved(pixels, **still | {"zoom": 1 + sign * strength / 100})
    return jnp.clip(jnp.round(pixels), 0, 255).astype(jnp.uint8)


def augmentation(kind: str) -> Callable[[Array, Array], Array] | None:
    """Return the random change that training draws: a strength uniform up to `TRAINED_TO`, image by image."""
    if kind == "none":
        return None

    def augment(key: Array, images: Array) -> Array:
        strength = jax.random.uniform(jax.random.fold_in(key, 3), (len(images),), maxval=TRAINED_TO[kind])
        return change(key, images, kind, strength)

    return augment


def fit(network: str, data: jaxcnn.data.Dataset, arguments: Arguments, *, rate: float, kind: str, seed: int) -> dict:
    """Train once; return the validation accuracy, the test accuracies by kind and strength, and the time."""
    config = Config(
        data=DataConfig("fashion_mnist"),
        model=NETWORKS[network],
        optim=OptimConfig("adamw", lr=rate, weight_decay=1e-2, warmup=1),
        epochs=arguments.epochs,
        select="last",
        seed=seed,
    )
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = jaxcnn.fit(NETWORKS[network].name, data, config, out=f"{folder}/run", augment=augmentation(kind))
        fn, params, preprocessing, _ = jaxcnn.load(run)
        accuracy = jax.jit(lambda images, targets: training.accuracy(fn(params, preprocessing(images)), targets))
        test = data.test

        def under(kind: str, strength: float) -> float:
            parts = []
            for first in range(0, len(test.targets), 1000):
                images, targets = test.inputs[first : first + 1000], test.targets[first : first + 1000]
                key = jax.random.key(first)  # the same changes for every network
                parts.append(accuracy(changed(key, images, kind, jnp.full(len(images), float(strength))), targets))
            return float(np.mean(parts))

        return {
            "validation": run.metrics()[-1]["validation"]["accuracy"],
            "parameters": run.result["parameters"],
            "test": {kind: [under(kind, s) for s in strengths] for kind, strengths in STRENGTHS.items()},
            "seconds": round(time.perf_counter() - start, 1),
        }


changed = jax.jit(change, static_argnums=2)


def main(arguments: Arguments) -> None:
    """Tune, train what is not recorded, and write the table and the figure."""
    lowering.enable()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    record = arguments.out.with_suffix(".jsonl")
    data = jaxcnn.data.load("fashion_mnist")
    done = {}
    if record.exists():
        for line in record.read_text().splitlines():
            row = json.loads(line)
            done[row["network"], row["kind"], row["rate"], row["seed"]] = row

    def run(network: str, kind: str, rate: float, seed: int) -> dict:
        key = (network, kind, rate, seed)
        if key not in done:
            settings = {"network": network, "kind": kind, "rate": rate, "seed": seed, "epochs": arguments.epochs}
            done[key] = settings | fit(network, data, arguments, rate=rate, kind=kind, seed=seed)
            with record.open("a") as file:
                file.write(json.dumps(done[key]) + "\n")
            print(network, kind, f"lr {rate} seed {seed}: validation {done[key]['validation']:.4f}", flush=True)
        return done[key]

    best = {}
    for network in NETWORKS:
        trials = {rate: run(network, "none", rate, TUNING_SEED)["validation"] for rate in RATES}
        best[network] = max(trials, key=trials.__getitem__)
        print(f"{network}: lr {best[network]} of {trials}")
    rows = {
        f"{network}, {kind}": [run(network, kind, best[network], seed) for seed in range(arguments.seeds)]
        for kind in ("none", *STRENGTHS)
        for network in NETWORKS
    }
    summary = summarize(rows, best, arguments)
    arguments.out.with_suffix(".json").write_text(json.dumps(summary, indent=1) + "\n")
    draw(summary, arguments.out.with_suffix(".png"))
    print(table(summary))


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the mean, and half the width of its 95 % interval (Student's t over seeds)."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return round(float(values.mean()), 4), round(float(half), 4)


def summarize(rows: dict[str, list[dict]], best: dict[str, float], arguments: Arguments) -> dict:
    """Gather the runs of one network and training into means and intervals."""
    test = {
        name: {
            kind: [interval(np.array([run["test"][kind][i] for run in runs])) for i in range(len(strengths))]
            for kind, strengths in STRENGTHS.items()
        }
        for name, runs in rows.items()
    }
    return {
        "command": "python experiments/mlp_vs_cnn.py",
        "data": "Fashion-MNIST, 10,000 test images",
        "versions": {"jaxcnn": jaxcnn.__version__, "jax": jax.__version__},
        "device": jax.devices()[0].platform,
        "seeds": list(range(arguments.seeds)),
        "epochs": arguments.epochs,
        "learning_rate": best,
        "parameters": {name: runs[0]["parameters"] for name, runs in rows.items() if name.endswith(", none")},
        "seconds": {name: [run["seconds"] for run in runs] for name, runs in rows.items()},
        "strengths": STRENGTHS,
        "trained_to": TRAINED_TO,
        "accuracy": test,
    }


def table(summary: dict) -> str:
    """Return a Markdown table: accuracy without change, and at the strength that training went up to."""
    lines = ["| network | trained with | clean | " + " | ".join(f"{k} {v}" for k, v in TRAINED_TO.items()) + " |"]
    lines.append("|---|---|---|" + "---|" * len(TRAINED_TO))
    for name, test in summary["accuracy"].items():
        cells = [test["shift"][0]] + [test[kind][STRENGTHS[kind].index(at)] for kind, at in TRAINED_TO.items()]
        values = " | ".join(f"{100 * mean:.1f} ± {100 * half:.1f}" for mean, half in cells)
        lines.append("| " + " | ".join(name.split(", ")) + f" | {values} |")
    return "\n".join(lines)


def draw(summary: dict, path: Path) -> None:
    """Draw accuracy against strength, a panel a kind, with and without that kind in training."""
    figure, panels = plt.subplots(1, 4, figsize=(14, 3.6), sharey=True, constrained_layout=True)
    for panel, (kind, strengths) in zip(panels, STRENGTHS.items(), strict=True):
        for network, colour in (("MLP", "tab:orange"), ("CNN", "tab:blue")):
            for trained, line in (("none", "--"), (kind, "-")):
                mean, half = 100 * np.array(summary["accuracy"][f"{network}, {trained}"][kind]).T
                label = f"{network}, trained {'as it is' if trained == 'none' else 'with it'}"
                panel.plot(strengths, mean, line, color=colour, marker="o", markersize=3, label=label)
                panel.fill_between(strengths, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
        panel.axvline(TRAINED_TO[kind], color="0.7", linewidth=0.8, zorder=0)
        panel.set(title=kind, xlabel=UNITS[kind])
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("test accuracy, %")
    panels[0].legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
