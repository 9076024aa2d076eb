"""Runs that are killed, at once and wherever they are, and end as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp
from references import campaigns

from jaxcnn.runs import Run, tensorboard
from jaxcnn.runs.records import read_lines

CHILD = Path(__file__).parents[1] / "references" / "killed.py"
EPOCHS = 12
FLAGS = (
    "--data.name", "digits", "--model.name", "small_cnn", "--model.width", "4",
    "--augment.translate", "1", "--augment.flip", "alternating",
    "--optim.name", "adamw", "--batch", "64", "--chunk", "4", "--save-every", "7", "--epochs", str(EPOCHS),
    "--patience", "6", "--ema", "0.9", "--keep-last", "3", "--data.memory", "0.05",
)  # fmt: skip
"""All that a state can hold, streamed, with two checkpoints within an epoch and one at its end."""


def train(out: Path, place: str, count: int = 10**6, delay: float = 0.0) -> int:
    """Run until it ends or is killed; return the exit code."""
    argv = [sys.executable, str(CHILD), place, str(count), str(delay), "train", *FLAGS, "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(argv, capture_output=True, env=environment, check=False).returncode


def where(path: Path) -> str:
    """Tell what a killed run was doing, from what it left."""
    metrics = path / "metrics.jsonl"
    if metrics.exists() and not metrics.read_bytes().endswith(b"\n"):
        return "metrics"
    if (path / "steps").is_dir() and any(entry.name.endswith(".writing") for entry in (path / "steps").iterdir()):
        return "checkpoint"
    return "elsewhere"


def check_left(path: Path) -> None:
    """What a killed run left: epochs without a gap, and checkpoints that are whole."""
    run = Run.open(path)
    rows = [row["epoch"] for row in read_lines(path / "metrics.jsonl")]
    assert rows == list(range(1, len(rows) + 1))
    steps = run.steps()
    assert run.latest_step() == (steps[-1] if steps else None)


def stored(path: Path) -> Any:
    """Every array of a checkpoint, as Orbax reads it."""
    metadata = ocp.checkpointables_metadata(str(path.resolve())).metadata
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    target = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here),
        {name: dict(tree) for name, tree in metadata.items() if name in ("network", "training", "average")},
    )
    return ocp.load_checkpointables(str(path.resolve()), target)


def content(path: Path) -> dict[str, Any]:
    """All that must not depend on interruptions: every array's bits, the metrics and the events drawn from them."""
    run = Run.open(path)
    leaves = jax.tree.leaves_with_path(stored(path / "steps" / str(run.latest_step()) / "arrays"))
    result = {name: value for name, value in (run.result or {}).items() if name not in ("seconds", "compile_s")}
    return {
        "arrays": {jax.tree_util.keystr(name): np.asarray(leaf).tobytes() for name, leaf in leaves},
        "metrics": (path / "metrics.jsonl").read_bytes(),
        "events": tensorboard.read(path / tensorboard.FILE),
        "steps": run.steps(),
        "result": result,
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run that was never stopped."""
    path = tmp_path_factory.mktemp("whole") / "run"
    assert train(path, "checkpoint") == 0
    found = content(path)
    assert len(found["arrays"]) > 20
    assert found["metrics"].count(b"\n") == EPOCHS
    assert len(found["events"]) == 5 * EPOCHS
    return found


def test_a_run_that_is_killed_ends_as_one_that_was_not(whole: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "run"
    for place, count, delay in (("checkpoint", 5, 0.02), ("metrics", 3, 0.0)):
        assert train(path, place, count, delay) == -signal.SIGKILL
        check_left(path)
    assert where(path) == "metrics"
    assert train(path, "checkpoint") == 0
    assert content(path) == whole


@pytest.mark.campaign
def test_fifty_kills(whole: dict[str, Any], tmp_path: Path) -> None:
    """Several kills a run; each run is then let go to its end and compared."""
    generator, killed, runs, wrong = random.Random(0), Counter[str](), 0, list[str]()
    while sum(killed.values()) < 50 or killed["checkpoint"] < 15 or killed["metrics"] < 10:
        path = tmp_path / f"run{runs}"
        runs += 1
        for _ in range(5):
            place = generator.choice(["checkpoint", "checkpoint", "metrics", "anywhere"])
            count = generator.randint(1, 4)
            code = train(path, place, count, generator.uniform(0.0, 0.06))
            if code == 0:  # it ended before
                break
            assert code == -signal.SIGKILL
            if path.exists():
                killed[where(path)] += 1
                if (path / "config.json").exists():
                    check_left(path)
        assert train(path, "checkpoint") == 0
        if (found := content(path)) != whole:
            wrong.append(f"run {runs}: {[name for name in whole if found[name] != whole[name]]} differ")
    facts = {"kills": sum(killed.values()), "inside": dict(sorted(killed.items())), "runs": runs, "wrong": wrong}
    campaigns.record("kills", "pytest -m campaign -n0 tests/runs/test_kills.py", flags=" ".join(FLAGS), **facts)
    assert wrong == []
