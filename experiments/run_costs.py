"""What a run pays for surviving: checkpoints, chunks, and the time until a resumed run is under way.

    python experiments/run_costs.py --pairs 9

What is compared alternates in one process: epochs after a checkpoint with epochs after none, and chunks of one step
with whole epochs.
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
from scipy import stats

from jaxcnn import api, data, lowering, training
from jaxcnn.api.course import Course, lay_out
from jaxcnn.api.problem import Problem, pose
from jaxcnn.config import Config, DataConfig, ModelConfig, OptimConfig
from jaxcnn.presets import PRESETS
from jaxcnn.runs import Run, environment

RECORD = Path(__file__).parent / "run_costs.json"


def checkpoints(config: Config, pairs: int) -> dict[str, Any]:
    """Train epochs of which every other one is saved; what an epoch takes after a checkpoint, and after none.

    The saving goes on in the background during the epoch that follows, whose time has all that it costs. The first
    two epochs, in which caches fill, are left out.
    """
    config = dataclasses.replace(config, epochs=2 * pairs + 2)
    course, problem, dataset = lay(config)
    ends: list[float] = []
    blocked: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        run, saving = Run.create(Path(folder) / "run", config, data.describe(dataset)), None
        for event in course.events(course.begin(), training.Progress(), lambda: False):
            if isinstance(event, training.Epoch):
                ends.append(time.perf_counter())
                waited = time.perf_counter()
                if saving:
                    saving.result()
                    blocked[-1] += time.perf_counter() - waited
                saving = None
                if len(ends) % 2 == 0 and event.progress:
                    saving = run.save(event.state, event.progress)
                    blocked.append(time.perf_counter() - waited)
                print(f"epoch {len(ends)} of {config.epochs}", flush=True)
        if saving:
            saving.result()
        size = sum(file.stat().st_size for file in (run.path / "steps" / str(run.latest_step())).rglob("*"))
    seconds = [later - earlier for earlier, later in itertools.pairwise(ends)][1:]
    after, without = seconds[::2], seconds[1::2]
    added = [one - other for one, other in zip(after, without, strict=True)]
    return {
        "steps": course.steps,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(problem.params)),
        "bytes": size,
        "epoch_s": statistics.median(without),
        "blocked_s": interval(blocked[:-1]),
        "added_s": interval(added),
        "share": interval([one / other for one, other in zip(added, without, strict=True)]),
    }


def chunks(config: Config, pairs: int) -> dict[str, Any]:
    """Train by chunks of one step and by whole epochs, alternately: what a chunk costs beside its steps."""
    prices, steps_s = [], []
    for _ in range(pairs):
        single, whole = (
            statistics.median(epochs(dataclasses.replace(config, chunk=chunk))) for chunk in (1, config.chunk)
        )
        steps = lay(config)[0].steps
        prices.append((single - whole) / (steps - 1))
        steps_s.append(whole / steps)
    price, step = statistics.median(prices), statistics.median(steps_s)
    return {"step_s": step, "chunk_s": interval(prices), "share_of_50_steps": price / (50 * step)}


def epochs(config: Config) -> list[float]:
    """Seconds of each epoch but the first, of a training of which nothing is written."""
    course, _, _ = lay(config)
    events = course.events(course.begin(), training.Progress(), lambda: False)
    ends = [time.perf_counter() for event in events if isinstance(event, training.Epoch)]
    return [later - earlier for earlier, later in itertools.pairwise(ends)]


def lay(config: Config) -> tuple[Course, Problem, data.Dataset]:
    """Build what `fit` would train by."""
    dataset = data.load(config.data)
    problem = pose(config, dataset, config.model.name, None, None)
    return lay_out(config, dataset, problem, None), problem, dataset


def interval(values: list[float]) -> dict[str, Any]:
    """The median, and the interval that holds it with 95 % by the sign test's order statistics."""
    ordered = sorted(values)
    below = int(stats.binom.ppf(0.025, len(ordered), 0.5))
    return {
        "median": statistics.median(ordered),
        "interval": [ordered[max(below - 1, 0)], ordered[min(len(ordered) - below, len(ordered) - 1)]],
        "n": len(ordered),
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
                [sys.executable, "-P", "-c", code, str(copy)], capture_output=True, text=True, check=True
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
    parser.add_argument("what", nargs="*", help="which measurements, by a word of their names (default: all)")
    parser.add_argument("--pairs", type=int, default=9)
    arguments = parser.parse_args()
    pairs = arguments.pairs
    lowering.enable()
    resnet = Config(DataConfig("synthetic"), ModelConfig("resnet9"), optim=OptimConfig("momentum", lr=0.01))
    small = Config(DataConfig("synthetic"), ModelConfig("lenet5"), epochs=21, batch=32, chunk=10**6)
    measurements: dict[str, Callable[[], dict[str, Any]]] = {
        "chunks of one step, LeNet-5": lambda: chunks(small, pairs),
        "a checkpoint an epoch, ResNet-9 with momentum": lambda: checkpoints(resnet, pairs),
        "a checkpoint an epoch, the preset fashion_mnist": lambda: checkpoints(PRESETS["fashion_mnist"], pairs),
        "a resumed ResNet-18": lambda: resumed(5),
    }
    for name, measure in measurements.items():
        if not arguments.what or any(word in name for word in arguments.what):
            found = json.loads(RECORD.read_text())["found"] if RECORD.exists() else {}
            found[name] = measure()
            print(name, json.dumps(found[name]), flush=True)
            RECORD.write_text(json.dumps({"environment": environment(), "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
