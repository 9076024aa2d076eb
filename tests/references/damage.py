"""Ways in which a file is damaged, and a run to damage: small, but with all that a state can hold."""

import contextlib
import dataclasses
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcnn import training
from jaxcnn.config import Config
from jaxcnn.runs import Run
from jaxcnn.training import Progress

CONFIG = Config(epochs=5, seed=3)
FACTS = {"name": "mine", "input_shape": (2, 2, 1), "classes": ["a", "b"], "counts": {"train": 8}}
FACTS |= {"preprocessing": {"scale": 1.0, "mean": [0.0], "std": [1.0]}}


class Damage(NamedTuple):
    """What is done to one file."""

    kind: str
    path: str
    change: Callable[[bytes], bytes | None]
    """From what was in it to what is; None removes it."""


def make_state(step: int, size: int = 8) -> training.TrainState:
    """Parameters and statistics, an optimizer's moments, a key; all drawn from the step."""
    generator = np.random.default_rng(step)
    kernel = jnp.asarray(generator.normal(size=(3, 3, 4, size)), jnp.float32)
    params = {"conv": {"kernel": kernel, "bias": jnp.asarray(generator.normal(size=size), jnp.float32)}}
    made = training.create_state(params, {"mean": kernel[0, 0, 0]}, optax.adam(0.1), jax.random.key(step))
    return dataclasses.replace(made, step=jnp.int32(step))


def bits(state: training.TrainState) -> list[bytes]:
    """All that a state holds, for comparison."""
    plain = dataclasses.replace(state, key=jax.random.key_data(state.key))
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(plain)]


def make_run(path: Path, epochs: int = 2) -> Run:
    """A run with a checkpoint at the end of each epoch, of two steps."""
    run = Run.create(path, CONFIG, FACTS)
    for epoch in range(1, epochs + 1):
        run.record({"epoch": epoch, "step": 2 * epoch, "validation": {"accuracy": epoch / 10}}, {"seconds": 1.0})
        run.save(make_state(2 * epoch), Progress(epoch, epoch / 10, epoch, epoch / 10)).result()
    return run


def files(folder: Path) -> list[str]:
    """All files of a folder, relative to it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def flips(folder: Path, each: int, seed: int) -> Iterator[Damage]:
    """Single flipped bytes: in every file as many, and in every file its first and its last byte."""
    draw = random.Random(seed)
    for path in files(folder):
        size = (folder / path).stat().st_size
        places = [0, size - 1, *(draw.randrange(size) for _ in range(each - 2))] if size else []
        for place in places:
            mask = draw.randrange(1, 256)
            yield Damage("flipped", path, lambda old, at=place, mask=mask: _flip(old, at, mask))


def losses(folder: Path) -> Iterator[Damage]:
    """Each file removed, emptied, cut off, and with a byte too many."""
    for path in files(folder):
        yield Damage("removed", path, lambda _: None)
        yield Damage("grown", path, lambda old: old + b"\n")
        if (folder / path).stat().st_size:
            yield Damage("emptied", path, lambda _: b"")
            yield Damage("cut in half", path, lambda old: old[: len(old) // 2])
            yield Damage("cut by a byte", path, lambda old: old[:-1])


@contextlib.contextmanager
def done(folder: Path, damage: Damage) -> Iterator[None]:
    """Damage a file, and make it whole again."""
    path = folder / damage.path
    before = path.read_bytes()
    after = damage.change(before)
    path.unlink() if after is None else path.write_bytes(after)
    try:
        yield
    finally:
        path.write_bytes(before)


def _flip(old: bytes, at: int, mask: int) -> bytes:
    return old[:at] + bytes([old[at] ^ mask]) + old[at + 1 :]
