"""What the canonical lowering is worth: a training step inside a compiled loop and outside, by XLA's rule and by ours.

    python experiments/conv_in_loop.py

The network is that of the preset `fashion_mnist`, batch 128. Times are medians over rounds; in a round every case runs
once, so that a slow minute of the machine falls on all of them. Compilation is kept apart.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array

import jaxcnn
from jaxcnn import lowering, models, nn, training
from jaxcnn.presets import PRESETS

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Arguments:
    """Measure and record."""

    rounds: int = 7
    """Alternating rounds."""
    steps: int = 4
    """Steps in a loop."""


def compiled(tier: str, where: str, steps: int):
    """Return a compiled program of gradient steps, `program(params, statistics) -> params, statistics`."""
    lowering.enable(tier)
    preset = PRESETS["fashion_mnist"]
    model = models.create(preset.model.name, input_shape=(28, 28, 1), **preset.model.options())
    apply, params, statistics = nn.split(model)
    images = jax.random.normal(jax.random.key(0), (preset.batch, 28, 28, 1))
    labels = jnp.arange(preset.batch) % 10

    def loss(params, statistics) -> tuple[Array, dict]:
        outputs, statistics = apply(params, statistics, images, training=True)
        return training.cross_entropy(outputs, labels), statistics

    def step(params, statistics):
        gradient, statistics = jax.grad(loss, has_aux=True)(params, statistics)
        return jax.tree.map(lambda p, g: p - 1e-3 * g, params, gradient), statistics

    def loop(params, statistics):
        return jax.lax.fori_loop(0, steps, lambda _, carry: step(*carry), (params, statistics))

    program = jax.jit(loop if where == "inside" else step)
    return program.lower(params, statistics).compile(), params, statistics


def main(arguments: Arguments) -> None:
    """Measure the four cases in alternation."""
    cases = {
        (tier, where): compiled(tier, where, arguments.steps)
        for tier in ("xla", "canonical")
        for where in ("outside", "inside")
    }
    times: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    for round_ in range(arguments.rounds + 1):
        for case, (program, params, statistics) in cases.items():
            repeats = 1 if case[1] == "inside" else arguments.steps
            start = time.perf_counter()
            for _ in range(repeats):
                jax.block_until_ready(program(params, statistics))
            if round_:  # the first one warms up
                times[case].append((time.perf_counter() - start) / arguments.steps * 1e3)
    quartiles = {
        " ".join(case): dict(zip(("q1", "median", "q3"), np.percentile(t, (25, 50, 75)).round(1).tolist(), strict=True))
        | {"n": len(t)}
        for case, t in times.items()
    }
    record = {
        "command": "python experiments/conv_in_loop.py",
        "network": "preset fashion_mnist, batch 128, float32, forward and backward",
        "device": f"{jax.devices()[0].device_kind}, {jax.device_count()} device",
        "versions": {"jaxcnn": jaxcnn.__version__, "jax": jax.__version__},
        "step_ms": quartiles,
    }
    (HERE / "conv_in_loop.json").write_text(json.dumps(record, indent=1) + "\n")
    for case, values in quartiles.items():
        print(f"{case:<20}{values['median']:8.1f} ms a step ({values['q1']} to {values['q3']})")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
