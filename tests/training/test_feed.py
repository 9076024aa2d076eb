import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn import training
from jaxcnn.config import AugmentConfig
from jaxcnn.training import Epoch

N, BATCH = 22, 4
AUGMENT = training.make_augment(AugmentConfig(crop=1, flip="alternating"))  # of the key, and of the example and epoch


@pytest.fixture
def stored(tmp_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Memory-mapped images and labels."""
    random = np.random.default_rng(0)
    arrays = random.integers(0, 255, (N, 3, 3, 1)).astype("uint8"), random.integers(0, 3, N).astype("int32")
    for number, array in enumerate(arrays):
        np.save(tmp_path / f"{number}.npy", array)
    return tuple(np.load(tmp_path / f"{number}.npy", mmap_mode="r") for number in range(2))


def trained(data, feed, *, batch=BATCH, epochs=3, **options):
    features = data[0][0].size

    def apply(params, statistics, x, *, training, key):
        x = x.reshape(len(x), -1)
        return (x + 0.1 * jax.random.normal(key, x.shape) if training else x) @ params, statistics

    optimizer = optax.adam(0.1)
    state = training.create_state(jnp.zeros((features, 3)), {}, optimizer, jax.random.key(0))
    per_epoch = training.steps_per_epoch(len(data[0]), batch, options.get("last_batch", "drop"))
    steps = training.make_train_steps(
        apply, optimizer, training.cross_entropy, prepare=lambda x: x / 255.0, augment=AUGMENT, batch=batch,
        steps_per_epoch=per_epoch,
    )  # fmt: skip
    evaluate = training.make_evaluate(
        apply, metrics={"loss": training.cross_entropy}, prepare=lambda x: x / 255.0, batch=5
    )
    validation = tuple(array[:N] for array in data)
    events = training.epochs(
        state, steps, evaluate, data, validation, epochs=epochs, batch=batch, monitor="loss", feed=feed, **options
    )
    return [event for event in events if isinstance(event, Epoch)][-1]


def assert_same(one, other):
    assert one.state.params.tobytes() == other.state.params.tobytes()
    assert (one.train, one.validation, one.progress) == (other.train, other.validation, other.progress)


@pytest.mark.parametrize(("steps", "save_every"), [(2, None), (3, 2)])
@pytest.mark.parametrize("last_batch", ["drop", "wrap"])
def test_streamed_steps_are_bit_for_bit_the_resident_ones(stored, steps: int, save_every: int | None, last_batch: str):
    options = {"chunk": steps, "save_every": save_every, "last_batch": last_batch}
    held = trained(stored, training.resident(stored), **options)
    read = trained(stored, training.streamed(stored, batch=BATCH, steps=steps), **options)
    assert_same(held, read)


@pytest.mark.campaign
def test_a_set_larger_than_its_cap_trains_to_the_bits_of_the_same_set_in_memory(tmp_path: Path):
    """307 MB, of which 200 may be held."""
    images = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", "uint8", (100_000, 32, 32, 3))
    for start in range(0, 100_000, 10_000):
        images[start : start + 10_000] = np.random.default_rng(start).integers(0, 256, (10_000, 32, 32, 3))
    images.flush()
    data = np.load(tmp_path / "images.npy", mmap_mode="r"), np.random.default_rng(0).integers(0, 3, 100_000)
    steps = training.steps_that_fit(data, batch=500, megabytes=200)
    assert steps is not None
    assert 24 < steps < 28
    held, read = (
        trained(data, feed, batch=500, epochs=2, chunk=steps)
        for feed in (training.resident(data), training.streamed(data, batch=500, steps=steps))
    )
    assert_same(held, read)


def test_what_is_read_next_is_read_while_steps_run(stored):
    """And no thread is left, whether the steps are all asked for or not."""
    reads, two = [], threading.Event()

    class Watched(np.ndarray):
        def __getitem__(self, index):
            reads.append(index)
            if len(reads) == 4:
                two.set()
            return np.asarray(super().__getitem__(index))

    watched = tuple(np.asarray(array).view(Watched) for array in stored)
    others = set(threading.enumerate())
    feed = training.streamed(watched, batch=BATCH, steps=1)
    order = jnp.arange(20)
    fed = feed(order, [(0, 1), (1, 2), (2, 3)])
    data, drawn, start = next(fed)
    assert (data[0].shape, drawn, start) == ((1, BATCH, 3, 3, 1), None, 0)
    assert two.wait(60), "the second span is read though nobody has asked for it"
    fed.close()
    assert [index.tolist() for index in reads[::2]] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(list(feed(order, [(0, 1), (1, 2), (2, 3)]))) == 3
    for thread in set(threading.enumerate()) - others:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize("workers", [1, 3])
def test_a_chunk_tells_which_examples_it_holds(stored, workers: int):
    order = np.random.default_rng(1).permutation(20).astype("int32")
    spans = [(0, 1), (1, 3), (3, 5)]
    feed = training.streamed(stored, batch=BATCH, steps=2, workers=workers)
    for (start, end), (data, drawn, first) in zip(spans, feed(jnp.asarray(order), spans), strict=True):
        index = np.asarray(data[2])
        assert (index.shape, drawn, first) == ((2, BATCH), None, 0)
        np.testing.assert_array_equal(index[: end - start].ravel(), order[start * BATCH : end * BATCH])
        for array, held in zip(stored, data, strict=False):
            np.testing.assert_array_equal(held, array[index])


def test_a_read_that_fails_is_an_error_of_the_loop(stored):
    feed = training.streamed(stored, batch=BATCH, steps=1)
    with pytest.raises(IndexError, match="index 99 is out of bounds"):
        list(feed(jnp.array([0, 1, 2, 3, 99, 5, 6, 7]), [(0, 1), (1, 2)]))


@pytest.mark.parametrize(
    ("megabytes", "expected"),
    [(22 * 13 / 1e6, None), (21 * 13 / 1e6, 4), (5 * 3 * 13 / 1e6, 3), (1e-9, 1)],
)
def test_as_many_steps_make_a_chunk_as_fit_five_times(stored, megabytes: float, expected: int | None):
    """One has run, one runs, one waits, and one is read, which lies on the host and on the device."""
    assert training.steps_that_fit(stored, batch=1, megabytes=megabytes) == expected


def test_more_workers_hold_more_chunks(stored):
    fit = [training.steps_that_fit(stored, batch=1, megabytes=15 * 13 / 1e6, workers=n) for n in (1, 2, 6)]
    assert fit == [3, 2, 1]
