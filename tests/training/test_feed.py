import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn import training
from jaxcnn.training import Epoch

N, BATCH = 22, 4


@pytest.fixture
def stored(tmp_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Memory-mapped images and labels."""
    random = np.random.default_rng(0)
    arrays = random.integers(0, 255, (N, 3, 3, 1)).astype("uint8"), random.integers(0, 3, N).astype("int32")
    for number, array in enumerate(arrays):
        np.save(tmp_path / f"{number}.npy", array)
    return tuple(np.load(tmp_path / f"{number}.npy", mmap_mode="r") for number in range(2))


def trained(data, feed, **options):
    def apply(params, statistics, x, *, training, key):
        x = x.reshape(len(x), -1) + 0.1 * jax.random.normal(key, (len(x), 9)) if training else x.reshape(len(x), -1)
        return x @ params, statistics

    optimizer = optax.adam(0.1)
    state = training.create_state(jnp.zeros((9, 3)), {}, optimizer, jax.random.key(0))
    steps = training.make_train_steps(
        apply, optimizer, training.cross_entropy, prepare=lambda x: x / 255.0, augment=training.random_flip, batch=BATCH
    )
    evaluate = training.make_evaluate(
        apply, metrics={"loss": training.cross_entropy}, prepare=lambda x: x / 255.0, batch=5
    )
    events = training.epochs(
        state, steps, evaluate, data, data, epochs=3, batch=BATCH, monitor="loss", feed=feed, **options
    )
    return [event for event in events if isinstance(event, Epoch)][-1]


@pytest.mark.parametrize(("steps", "save_every"), [(2, None), (3, 2)])
@pytest.mark.parametrize("last_batch", ["drop", "wrap"])
def test_streamed_steps_are_bit_for_bit_the_resident_ones(stored, steps: int, save_every: int | None, last_batch: str):
    options = {"chunk": steps, "save_every": save_every, "last_batch": last_batch}
    held = trained(stored, training.resident(stored), **options)
    read = trained(stored, training.streamed(stored, batch=BATCH, steps=steps), **options)
    assert held.state.params.tobytes() == read.state.params.tobytes()
    assert (held.train, held.validation, held.progress) == (read.train, read.validation, read.progress)


def test_what_is_read_next_is_read_while_steps_run(stored):
    """And no thread is left, whether the steps are all asked for or not."""
    reads = []

    class Watched(np.ndarray):
        def __getitem__(self, index):
            reads.append(index)
            return np.asarray(super().__getitem__(index))

    watched = tuple(np.asarray(array).view(Watched) for array in stored)
    threads = threading.active_count()
    feed = training.streamed(watched, batch=BATCH, steps=1)
    order = jnp.arange(20)
    fed = feed(order, [(0, 1), (1, 2), (2, 3)])
    data, drawn, start = next(fed)
    assert (data[0].shape, drawn, start) == ((1, BATCH, 3, 3, 1), None, 0)
    fed.close()
    assert [index.tolist() for index in reads[::2]] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert threading.active_count() == threads
    assert len(list(feed(order, [(0, 1), (1, 2), (2, 3)]))) == 3
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    ("megabytes", "expected"),
    [(22 * 13 / 1e6, None), (21 * 13 / 1e6, 2), (2 * 2 * 4 * 13 / 1e6, 2), (1e-9, 1)],
)
def test_as_many_steps_are_held_as_fit_twice(stored, megabytes: float, expected: int | None):
    assert training.steps_that_fit(stored, batch=BATCH, megabytes=megabytes) == expected
