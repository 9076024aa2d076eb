"""Several devices, several threads: what a program divides, and what runs at once."""

import json
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax
from references.arrays import normal
from references.campaigns import record

from jaxcnn import lowering
from jaxcnn.functional.primitive import side_by_side

EIGHT = textwrap.dedent(
    """
    import functools, json, jax, jax.numpy as jnp, numpy as np
    from jax import lax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
    from jaxcnn import lowering

    jax.config.update("jax_num_cpu_devices", 8)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((16, 8, 8, 4)), "float32")
    kernel = jnp.asarray(np.random.default_rng(1).standard_normal((3, 3, 4, 4)), "float32")

    def energy(kernel, x):
        y = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jnp.tanh(y).sum()

    expected = jax.jit(jax.grad(energy))(kernel, x)
    lowering.enable()
    mesh = Mesh(jax.devices(), ("data",))
    split, whole = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
    arrays = jax.device_put(kernel, whole), jax.device_put(x, split)

    def each(kernel, x):
        return lax.psum(jax.grad(energy)(kernel, x), "data")

    programs = {
        "jit": jax.jit(jax.grad(energy), out_shardings=whole),
        "shard_map": jax.jit(jax.shard_map(each, mesh=mesh, in_specs=(P(), P("data")), out_specs=P(), check_vma=False)),
    }
    facts = {"tier": lowering.status().tier}
    for name, program in programs.items():
        compiled = program.lower(*arrays).compile()
        facts[name] = {
            "error": float(abs(compiled(*arrays) - expected).max() / abs(expected).max()),
            "calls": compiled.as_text().count('custom_call_target="jaxcnn_convolution"'),
            "gathers": compiled.as_text().count("all-gather"),
            "reduces": compiled.as_text().count("all-reduce("),
        }
    print(json.dumps(facts))
    """
)


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    yield
    lowering.disable()


@pytest.fixture(scope="module")
def eight_devices() -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", EIGHT], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("program", ["jit", "shard_map"])
def test_eight_devices_share_the_batch(program: str, eight_devices: dict[str, Any]) -> None:
    facts = eight_devices[program]
    assert facts["error"] < 1e-5
    assert facts["gathers"] == 0, "every device computes the whole batch"
    assert facts["reduces"] >= 1
    # XLA divides its own convolution, but not a call of ours; inside shard_map there is nothing left to divide.
    assert facts["calls"] == (2 if program == "shard_map" and eight_devices["tier"] == "onednn" else 0)


def chains(x: Array, kernels: Array) -> Array:
    """Eight convolutions that do not wait for each other, each followed by another of its own."""

    def convolve(y: Array, kernel: Array) -> Array:
        return lax.conv_general_dilated(y, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    return jnp.stack(
        [convolve(jnp.sin(convolve(x, kernel)), kernel.swapaxes(-1, -2)).sum((1, 2)) for kernel in kernels]
    )


def hammer(threads: int, *, seconds: float = 0, rounds: int = 3, alone: bool = False) -> int:
    """Run programs of concurrent convolutions from several threads, so long and so often; return how many runs."""
    cases = [(normal(i, (4 + i, 12, 12, 4 + i)), normal(9 + i, (8, 3, 3, 4 + i, 8))) for i in range(3)]
    cases.append((normal(3, (4, 12, 12, 64)), normal(12, (8, 3, 3, 64, 64))))  # which AMX computes, where there is one
    run = jax.jit(chains)
    lowering.disable()
    expected = [np.asarray(run(*case)) for case in cases]
    lowering.enable()
    end, right, wrong = time.monotonic() + seconds, [0] * threads, []

    def work(thread: int) -> None:
        while (time.monotonic() < end or right[thread] < rounds) and not wrong:
            which = (thread + right[thread]) % len(cases)
            with side_by_side(alone):
                found = np.asarray(run(*cases[which]))
            error = np.abs(found - expected[which]).max() / np.abs(expected[which]).max()
            if not error < 1e-5:
                wrong.append(f"thread {thread}: error {error}")
            right[thread] += 1

    workers = [threading.Thread(target=work, args=(thread,), daemon=True) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(seconds + 60)
        assert not worker.is_alive(), "a thread hangs"
    assert not wrong, wrong
    return sum(right)


def test_threads_and_concurrent_operations() -> None:
    assert hammer(4) >= 12


def test_convolutions_of_programs_side_by_side_take_a_thread_each() -> None:
    assert hammer(4, rounds=4, alone=True) >= 16
    x, kernels = normal(0, (4, 12, 12, 64)), normal(1, (8, 3, 3, 64, 64))

    def described() -> list[tuple[str, str]]:
        text = jax.jit(chains).lower(x, kernels).as_text()
        return re.findall(r"description = dense<\[\d+, \d+, \d+, \d+, (\d+), (\d+),", text)

    lowering.enable()
    ordinary = described()
    with side_by_side(True):
        alone = described()
    assert set(ordinary) == {("0", "0")}
    assert set(alone) == {("0", "1")}
    assert len(alone) == len(ordinary) >= 1
    np.testing.assert_array_equal(described(), ordinary)


@pytest.mark.campaign
def test_threads_and_concurrent_operations_for_minutes() -> None:
    seconds, threads = 300, 6
    runs = hammer(threads, seconds=seconds)
    assert runs >= 18
    command = "pytest -m campaign -n0 tests/lowering/test_devices.py"
    facts = {"tier": lowering.status().tier, "seconds": seconds, "threads": threads, "wrong": 0}
    record("lowering_threads", command, **facts, programs=runs, convolutions=16 * runs)
