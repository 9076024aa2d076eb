"""Several processes on one machine, over loopback: one training, and what happens when one of them is killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from references.campaigns import record
from references.many_devices import by_name, distance, named, set_up, take

from jaxcnn.runs import checkpoint
from jaxcnn.training import distributed

TESTS = Path(__file__).parents[1]
BOUND = 60
"""Seconds within which the others end."""

SLURM = {"SLURM_STEP_NODELIST": "node[1-4]", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}
KUBERNETES = {"JOB_COMPLETION_INDEX": "3"}


def launch(count: int, folder: Path, mode: str) -> list[subprocess.Popen[str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    # One device each: virtual ones, if this process has them, are no concern of theirs.
    environment = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "PYTHONPATH")}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    return [
        subprocess.Popen(
            [sys.executable, "-m", "references.one_of_many", address, str(count), str(index), str(folder), mode],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]


def facts_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for what a process says when it has trained."""
    assert process.stdout is not None
    line = next((line for line in process.stdout if line.startswith("{")), None)
    assert line is not None, process.communicate()[1]
    return json.loads(line)


def kill_one(processes: list[subprocess.Popen[str]], victim: int) -> tuple[float, list[str], list[int]]:
    """Kill a process; return how long the last of the others goes on, what they say, and how they end."""
    processes[victim].send_signal(signal.SIGKILL)
    began = time.monotonic()
    others = [process for process in processes if process is not processes[victim]]
    said = [process.communicate(timeout=BOUND)[1] for process in others]
    return time.monotonic() - began, said, [process.returncode for process in others]


def alone(folder: Path, count: int) -> float:
    """Restore what the processes saved together on the one device here, and return how far it is from its own run."""
    programs = set_up(None, "float64")
    state, _ = take(programs, None, steps=3)
    expected = by_name(named(state))
    restored = checkpoint.restore(folder / "3", {"state": set_up(None, "float64").state})["state"]
    saved = by_name(named(restored))
    written = dict(np.load(folder / f"model={count}.npz"))
    assert distance(written, expected) < 1e-9
    return distance(saved, expected)


@pytest.fixture
def float64() -> Iterator[None]:
    """Turn it on for all threads: Orbax reads in its own, which see nothing of `jax.enable_x64`."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def end(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.usefixtures("float64")
def test_two_processes_train_as_one_until_one_is_killed(tmp_path: Path) -> None:
    processes = launch(2, tmp_path, "quick")
    try:
        assert [facts_of(process) for process in processes] == [{"devices": 2, "local": 1}] * 2
        _, [said], [code] = kill_one(processes, 1)
        assert code == 1
        assert "another process of this run is gone" in said.splitlines()[-1]
    finally:
        end(processes)
    assert alone(tmp_path, 2) < 1e-9


@pytest.mark.campaign
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("count", [2, 4])
def test_processes_train_as_one_and_end_together(count: int, tmp_path: Path) -> None:
    seconds, messages = [], 0
    for victim in range(count):
        folder = tmp_path / str(victim)
        folder.mkdir()
        processes = launch(count, folder, "all")
        try:
            assert [facts_of(process) for process in processes] == [{"devices": count, "local": 1}] * count
            took, said, codes = kill_one(processes, victim)
            # Where the first process is killed JAX may end the others before they can say it in our words.
            assert all(code in (1, -signal.SIGABRT) for code in codes)
            assert all("process of this run is gone" in text or "another task died" in text for text in said)
            seconds.append(round(took, 1))
            messages += sum("another process of this run is gone" in text for text in said)
        finally:
            end(processes)
        error = alone(folder, count)
        assert error < 1e-9
    processes = launch(count, tmp_path, "end")
    assert [process.wait(timeout=600) for process in processes] == [0] * count
    end(processes)
    command = "pytest -m campaign -n0 tests/training/test_processes.py"
    facts = {"processes": count, "error_float64": error, "killed": count, "seconds_until_all_ended": seconds}
    record(f"processes_{count}", command, **facts, ended=count * (count - 1), ended_in_one_line=messages)


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        ((None, None, None), {}, None),
        ((None, 1, None), {}, None),
        (("node1:1234", 2, 1), {}, ("node1:1234", 2, 1)),
        ((None, None, None), SLURM, (None, 4, 2)),
        ((None, None, None), SLURM | {"SLURM_STEP_NUM_TASKS": "1"}, None),
        ((None, None, None), {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, None),
        ((None, None, None), OPEN_MPI, (None, 2, 1)),
        (("[::1]:99", None, None), OPEN_MPI, ("[::1]:99", 2, 1)),
        ((None, None, None), KUBERNETES, None),
        (("pod-0.jobs:1234", 4, None), KUBERNETES, ("pod-0.jobs:1234", 4, 3)),
    ],
)
def test_launchers_and_arguments_tell_which_process_this_is(
    given: tuple[Any, ...], environment: dict[str, str], expected: tuple[Any, ...] | None
) -> None:
    found = distributed.find(*given, environment=environment)
    assert (found and found[:3]) == expected


@pytest.mark.parametrize(
    ("given", "environment", "message"),
    [
        (("node1:1234", None, None), {}, "missing: `processes`, `process`"),
        ((None, 2, 0), {}, r"`coordinator` \(HOST:PORT of the first\).*missing: `coordinator`"),
        (("node1:1234", 2, 2), {}, r"`process` \(=2\) must be from 0 to below `processes` \(=2\)"),
        (("node1", 2, 0), {}, r"`coordinator` \(='node1'\) must be HOST:PORT"),
        (("node1:99999", 2, 0), {}, "must be HOST:PORT"),
        (("node1:1", 2, None), KUBERNETES, r"`process` \(=3\)"),
        ((None, None, None), SLURM | {"SLURM_PROCID": "x"}, "SLURM_PROCID must be a number, got 'x'"),
    ],
)
def test_what_does_not_fit_is_named(given: tuple[Any, ...], environment: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        distributed.find(*given, environment=environment)


def test_alone_errors_pass_and_the_exit_is_an_ordinary_one() -> None:
    with pytest.raises(jax.errors.JaxRuntimeError, match="Gloo"), distributed.together():
        raise jax.errors.JaxRuntimeError("Gloo all-reduce failed")
    with pytest.raises(SystemExit) as left:
        distributed.leave(3)
    assert left.value.code == 3
