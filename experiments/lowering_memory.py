"""What memory the lowering holds on to: a long training run, and a thousand convolutions of different shapes.

    python experiments/lowering_memory.py

Every case runs in a process of its own, by XLA's rule and by oneDNN's, the latter with the malloc settings of
`enable()` and with the C library's own (`JAXCNN_MALLOC=default`). Resident memory is read at equal intervals, in MB.
JAX keeps every program that it has compiled, so in the case `shapes` its caches are cleared every hundred shapes; what
XLA's own rule holds afterwards is JAX's and XLA's, and what the others hold beyond it is the lowering's.

The lowering keeps 512 plans. On a processor with AMX, oneDNN 3.2 itself never frees the kernels of its `brgemm`
convolutions (`brgemm_kernel_container_t::set_` grows by one for each distinct kernel): about 10 KB a convolution's
shape. With `ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16` that stops growing after the first thousand.
"""

import gc
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import tyro
from jax import Array, lax

import jaxcnn
from jaxcnn import lowering

HERE = Path(__file__).parent
LAYOUT = ("NHWC", "HWIO", "NHWC")


@dataclass(frozen=True)
class Arguments:
    """Measure and record."""

    case: Literal["all", "steps", "shapes"] = "all"
    """One case prints its readings; all of them are recorded."""
    tier: str = "onednn"
    """Of one case."""
    steps: int = 10_000
    """Training steps."""
    shapes: int = 1_000
    """Distinct convolutions, each with both its gradients."""


def resident() -> float:
    """Return the resident memory of this process, in MB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def convolve(x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT)


def train(steps: int) -> list[float]:
    """Train two convolutions; return the memory at the first step and after every tenth of the rest."""
    x = jax.random.normal(jax.random.key(0), (8, 12, 12, 16))

    def loss(kernels: list[Array]) -> Array:
        y = jax.nn.relu(convolve(x, kernels[0]))
        return (convolve(y, kernels[1]).mean((1, 2)) ** 2).mean()

    step = jax.jit(lambda kernels: jax.tree.map(lambda k, g: k - 1e-2 * g, kernels, jax.grad(loss)(kernels)))
    kernels = [jax.random.normal(jax.random.key(1), (3, 3, 16, channels)) for channels in (16, 32)]
    kernels = step([kernels[0], kernels[1]])
    readings = []
    for index in range(steps):
        if index % (steps // 10) == 0:
            readings.append(resident())
        kernels = jax.block_until_ready(step(kernels))
    return [*readings, resident()]


def vary(shapes: int) -> list[float]:
    """Run distinct convolutions; return the memory after every hundred of them, JAX's caches cleared."""
    sizes = product(range(4, 14), range(4, 14), (1, 2, 3, 4, 8), (4, 16))
    readings = [resident()]
    for index, (rows, columns, inputs, outputs) in enumerate(islice(sizes, shapes), 1):
        x, kernel = jnp.ones((2, rows, columns, inputs)), jnp.ones((3, 3, inputs, outputs))
        jax.block_until_ready(jax.jit(jax.grad(lambda x, k: (convolve(x, k) ** 2).sum(), (0, 1)))(x, kernel))
        if index % 100 == 0:
            jax.clear_caches()
            readings.append(resident())
    return readings


def main(arguments: Arguments) -> None:
    """Run one case, or all and record them."""
    if arguments.case != "all":
        assert lowering.enable(arguments.tier).tier == arguments.tier, lowering.status().reason
        readings = train(arguments.steps) if arguments.case == "steps" else vary(arguments.shapes)
        print(json.dumps(readings))
        return
    record = {
        "command": "python experiments/lowering_memory.py",
        "device": f"{jax.devices()[0].device_kind}, {jax.device_count()} device",
        "versions": {"jaxcnn": jaxcnn.__version__, "jax": jax.__version__},
        "steps": arguments.steps,
        "shapes": arguments.shapes,
        "resident_mb": {},
    }
    for case, (tier, malloc) in product(
        ("steps", "shapes"), (("xla", "kept"), ("onednn", "default"), ("onednn", "kept"))
    ):
        environment = os.environ | ({"JAXCNN_MALLOC": "default"} if malloc == "default" else {})
        name = f"{case} {tier}" + (f" malloc {malloc}" if tier == "onednn" else "")
        options = ["--case", case, "--tier", tier, "--steps", str(arguments.steps), "--shapes", str(arguments.shapes)]
        done = subprocess.run(
            [sys.executable, __file__, *options], env=environment, check=True, capture_output=True, text=True
        )
        record["resident_mb"][name] = json.loads(done.stdout)
        print(f"{name:<28}", *record["resident_mb"][name])
    (HERE / "lowering_memory.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
