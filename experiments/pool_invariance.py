"""How invariant pooling is: the part of a pool's outputs that a circular shift of the image leaves as they are.

    python experiments/pool_invariance.py       # writes pool_invariance.json and pool_invariance.png

A global maximum of a circular convolution keeps every bit under every shift; a global mean only up to rounding; a local
maximum keeps a part of its outputs, which falls with the length of the shift and grows with the window. The images are
test images, the convolutions random. Means over seeds, each with its own
images and kernels, with 95 % intervals of Student's t.
"""

import dataclasses
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array
from matplotlib import pyplot as plt
from scipy import stats

from jaxcnn import data
from jaxcnn import functional as F
from jaxcnn.equivariance import unchanged_fraction

HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure, record, draw."""

    seeds: int = 3
    """Repetitions with other images and kernels."""
    images: int = 16
    """Of each repetition."""
    data: str = "fashion_mnist"
    """Of which data set."""
    out: Path = HERE / "pool_invariance"
    """Where .json and .png are written."""


def local(window: int) -> Any:
    """A maximum over windows at every position of the circle."""

    def pool(x: Array) -> Array:
        return F.max_pool(x, (window, window), strides=1, padding=((0, window - 1),) * 2, padding_mode="circular")

    return pool


POOLS = {
    "local max 2x2": local(2),
    "local max 3x3": local(3),
    "local max 5x5": local(5),
    "global mean": F.global_avg_pool,
    "global max": F.global_max_pool,
}


def measured(images: np.ndarray, seed: int, pool: Any) -> dict[int, float]:
    """Return the mean fraction for each distance: the most pixels that a shift goes along an axis."""
    kernel = jax.random.normal(jax.random.key(seed), (3, 3, images.shape[-1], 8))

    @jax.jit
    def fn(x: Array) -> Array:
        return pool(F.conv(x, kernel, padding=1, padding_mode="circular"))

    shifts, fractions = unchanged_fraction(fn, jnp.asarray(images))
    far = np.abs(shifts).max(1)
    return {int(d): float(fractions[far == d].mean()) for d in np.unique(far) if d}


def interval(values: list[float]) -> dict[str, float]:
    """Return the mean and the half width of its 95 % interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "half_width": float(half), "n": len(values)}


def draw(results: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """Draw the fraction against the distance, one line a pool."""
    figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    for name, by_distance in results.items():
        distances = [int(d) for d in by_distance]
        means = np.array([value["mean"] for value in by_distance.values()])
        halves = np.array([value["half_width"] for value in by_distance.values()])
        (line,) = axes.plot(distances, means, marker="o", label=name)
        axes.fill_between(distances, means - halves, means + halves, color=line.get_color(), alpha=0.2)
    axes.set(xlabel="circular shift, pixels", ylabel="outputs that keep every bit", ylim=(-0.02, 1.05))
    figure.legend(loc="outside right upper")
    figure.savefig(path, dpi=150)


def main(arguments: Arguments) -> None:
    """Run all seeds and pools."""
    images = data.load(arguments.data).test.inputs
    results: dict[str, dict[str, dict[str, float]]] = {}
    for name, pool in POOLS.items():
        runs = []
        for seed in range(arguments.seeds):
            chosen = np.random.default_rng(seed).choice(len(images), arguments.images, replace=False)
            runs.append(measured(np.asarray(images[chosen], np.float32) / 255, seed, pool))
        results[name] = {str(d): interval([run[d] for run in runs]) for d in runs[0]}
        print(name, {d: round(value["mean"], 3) for d, value in results[name].items()})
    record = {
        "command": f"python experiments/pool_invariance.py --data {arguments.data} --seeds {arguments.seeds}"
        f" --images {arguments.images}",
        "device": str(jax.devices()[0]),
        "versions": {package: metadata.version(package) for package in ("jaxcnn", "jax", "jaxlib")},
        "unchanged_fraction": results,
    }
    arguments.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    draw(results, arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
