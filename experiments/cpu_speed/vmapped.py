"""Eight LeNets at once: one training step of all by `vmap`, by `lax.map`, and one network after another.

    python experiments/cpu_speed/vmapped.py --out vmapped.json

Each network has its own parameters and its own batch. One after another is one compiled program of a step, called for
each network. The three take turns in one process, so that a slow minute falls on all; a round's ratio is the time one
after another over the other's (above 1: vmap is faster). Afterwards all three must have reached the same losses.
"""

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import ours
import records
import tyro
import worker
from problems import make_batches

from jaxcnn import lowering, nn, runs, training


@dataclass(frozen=True)
class Arguments:
    """Time a training step of several networks, three ways."""

    out: Path
    """JSON file of the record."""
    network: str = "lenet5"
    """lenet5, three_layer or resnet9."""
    members: int = 8
    """Networks."""
    batch: int = 128
    """Images in a step of one network."""
    dtype: str = "float32"
    """What activations are computed in."""
    rounds: int = 9
    """Turns of each way."""
    steps: int = 10
    """Steps of all networks in a turn."""
    seed: int = 0
    """Draws images, labels and parameters."""


def ways(arguments: Arguments):
    """Return, by name, functions that take one step of all networks: `states -> states, losses`."""
    apply = nn.split(ours.network(arguments.network))[0]
    step = ours.make_step(apply, ours.optimizer(), arguments.dtype)
    drawn = [make_batches(arguments.network, arguments.batch, arguments.seed + i) for i in range(arguments.members)]
    batches = [jax.device_put((images[0], labels[0])) for images, labels in drawn]
    stacked = tuple(jnp.stack(arrays) for arrays in zip(*batches, strict=True))
    one = jax.jit(step, donate_argnums=0)
    at_once = jax.jit(jax.vmap(step), donate_argnums=0)
    mapped = jax.jit(lambda states, *data: jax.lax.map(lambda each: step(*each), (states, *data)), donate_argnums=0)

    def in_sequence(states):
        taken = [one(state, *data) for state, data in zip(states, batches, strict=True)]
        return [state for state, _ in taken], jnp.stack([loss for _, loss in taken])

    return {
        "one after another": in_sequence,
        "vmap": lambda states: at_once(states, *stacked),
        "lax.map": lambda states: mapped(states, *stacked),
    }


def first_states(arguments: Arguments) -> list[training.TrainState]:
    """Return one state a network, their parameters a little apart."""
    _, params, statistics = nn.split(ours.network(arguments.network))
    return [
        training.create_state(
            jax.tree.map(lambda p, i=i: p * (1 + 0.01 * i), params), statistics, ours.optimizer(), jax.random.key(i)
        )
        for i in range(arguments.members)
    ]


def main(arguments: Arguments) -> None:
    """Measure the three ways in turns."""
    lowering.enable()
    steppers, losses = ways(arguments), {}
    samples: dict[str, list[float]] = {name: [] for name in steppers}
    separate = first_states(arguments)
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *separate)
    states = {
        "one after another": separate,
        "vmap": together,
        "lax.map": jax.tree.map(jnp.copy, together),
    }
    for number in range(arguments.rounds + 1):
        names = list(steppers)
        for name in names[number % 3 :] + names[: number % 3]:
            start = time.perf_counter()
            for _ in range(arguments.steps):
                states[name], losses[name] = steppers[name](states[name])
            jax.block_until_ready(states[name])
            if number:  # the first one compiles
                taken = (time.perf_counter() - start) / arguments.steps * 1e3
                samples[name].append(taken)
    for name in ("vmap", "lax.map"):
        np.testing.assert_allclose(losses[name], losses["one after another"], rtol=1e-2, err_msg=name)
    sequence = samples["one after another"]
    ratios = {
        name: records.spread(a / b for a, b in zip(sequence, taken, strict=True))
        for name, taken in samples.items()
        if taken is not sequence
    }
    record = {
        **records.stamp(),
        "packages": runs.environment()["packages"],
        "lowering": dataclasses.asdict(lowering.status()),
        **{name: getattr(arguments, name) for name in ("network", "members", "batch", "dtype", "steps", "seed")},
        **worker.process_facts(),
        "step_of_all_ms": {name: records.spread(values) for name, values in samples.items()},
        "one_after_another_over": ratios,
    }
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")
    for name, row in record["step_of_all_ms"].items():
        said = f": {ratios[name]['median']:.2f}" if name in ratios else ""
        print(f"{name:<20}{row['median']:8.1f} ms ({row['least']:.1f} to {row['most']:.1f}){said}")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
