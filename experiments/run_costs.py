"""What a run pays for surviving: checkpoints, chunks, and the time until a resumed run is under way.

    python experiments/run_costs.py --pairs 5

Two trainings alternate in one process; the first epoch of each, in which caches fill, is left out.
"""

import argparse
import dataclasses
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from jaxcnn import api, data, lowering, nn, training
from jaxcnn.config import Config, OptimConfig
from jaxcnn.models import create
from jaxcnn.runs import environment

RECORD = Path(__file__).parent / "run_costs.json"


def with_checkpoints(config: Config, model: str) -> list[float]:
    """Seconds of each epoch but the first: from one `Epoch` to the next, the saving of the one before included."""
    folder = tempfile.mkdtemp()
    events = api.fit_events(model, "synthetic", config, out=folder)
    try:
        return _seconds(events)
    finally:
        shutil.rmtree(folder)


def without_checkpoints(config: Config, model: str) -> list[float]:
    """The same training by the loop alone, of which nothing is written."""
    dataset = data.load("synthetic")
    steps = training.steps_per_epoch(len(dataset.train.inputs), config.batch)
    apply, params, statistics = nn.split(create(model, num_classes=10, input_shape=dataset.input_shape, rngs=0))
    optimizer = training.make_optimizer(config.optim, steps_per_epoch=steps, epochs=config.epochs)
    loss, metrics = training.cross_entropy, {"accuracy": training.accuracy}
    given = {"prepare": dataset.preprocessing, "dtype": config.dtype}
    train_steps = training.make_train_steps(apply, optimizer, loss, metrics=metrics, batch=config.batch, **given)
    evaluate = training.make_evaluate(apply, metrics={"loss": loss, **metrics}, batch=config.eval_batch, **given)
    state = training.create_state(params, statistics, optimizer, jax.random.key(0))
    events = training.epochs(
        state, train_steps, evaluate, dataset.train, dataset.validation,
        epochs=config.epochs, batch=config.batch, chunk=config.chunk,
    )  # fmt: skip
    return _seconds(events)


def _seconds(events: Any) -> list[float]:
    ends = [time.perf_counter() for event in events if isinstance(event, training.Epoch)]
    return [later - earlier for earlier, later in itertools.pairwise(ends)]


def compare(one: Callable[[], list[float]], other: Callable[[], list[float]], pairs: int) -> dict[str, Any]:
    """Alternate two measurements; the ratio of their medians, and that of each pair."""
    rows = [(statistics.median(one()), statistics.median(other())) for _ in range(pairs)]
    ratios = sorted(a / b for a, b in rows)
    return {
        "seconds": [statistics.median(column) for column in zip(*rows, strict=True)],
        "ratio": {"median": statistics.median(ratios), "least": ratios[0], "most": ratios[-1], "n": pairs},
    }


def resumed(repeats: int) -> dict[str, Any]:
    """Seconds from the start of a process that resumes a ResNet-18 to the end of its first step."""
    code = (
        "import sys, time; t = time.time(); from jaxcnn import api, lowering, training; from jaxcnn.runs import Run\n"
        "lowering.enable(); run = Run.open(sys.argv[1]); config = run.config\n"
        "for event in api.fit_events(config.model.name, config.data, config, out=sys.argv[1]):\n"
        "    if isinstance(event, training.Compiled): compiled = time.time() - t\n"
        "    if isinstance(event, training.Chunk): print(compiled, time.time() - t); break\n"
    )
    found = []
    with tempfile.TemporaryDirectory() as folder:
        config = Config(epochs=2, batch=128, chunk=1, optim=OptimConfig("momentum", lr=0.01))
        asked = iter([False, False, *[True] * 9])
        for event in api.fit_events(
            "resnet18", "synthetic", config, out=Path(folder) / "run", stop=lambda: next(asked)
        ):
            assert not isinstance(event, api.Finished)
        for number in range(repeats):
            copy = Path(folder) / f"copy{number}"
            shutil.copytree(Path(folder) / "run", copy)
            began = time.time()
            out = subprocess.run(
                [sys.executable, "-c", code, str(copy)], capture_output=True, text=True, check=True
            ).stdout
            found.append((*map(float, out.split()), time.time() - began))
    names = ("compiled_s", "first_step_s", "process_s")
    return {
        name: {"median": statistics.median(column), "least": min(column), "most": max(column), "n": repeats}
        for name, column in zip(names, zip(*found, strict=True), strict=True)
    }


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    pairs = parser.parse_args().pairs
    lowering.enable()
    config = Config(epochs=2, batch=128, chunk=50, optim=OptimConfig("momentum", lr=0.01))
    fine = dataclasses.replace(config, epochs=8, batch=32, chunk=8)
    coarse = dataclasses.replace(fine, chunk=10**6)
    found: dict[str, Any] = {}

    def note(name: str, values: dict[str, Any]) -> None:
        found[name] = values
        print(name, json.dumps(values), flush=True)
        RECORD.write_text(json.dumps({"environment": environment(), "found": found}, indent=1) + "\n")

    note("a resumed ResNet-18", resumed(pairs))
    note(
        "a checkpoint an epoch of 14 steps, ResNet-9, against none",
        compare(lambda: with_checkpoints(config, "resnet9"), lambda: without_checkpoints(config, "resnet9"), pairs),
    )
    note(
        "chunks of 8 steps of 32 images, small_cnn, against epochs of 56",
        compare(
            lambda: without_checkpoints(fine, "small_cnn"), lambda: without_checkpoints(coarse, "small_cnn"), pairs
        ),
    )


if __name__ == "__main__":
    main()
