import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn import training
from jaxcnn.training import Chunk, Compiled, Epoch, NonFiniteLossError, Progress, Stopped

N, BATCH = 22, 4
OPTIMIZER = optax.sgd(0.1, momentum=0.9)


def apply(params, statistics, x, *, training, key):
    return x @ params, statistics


def new_state():
    return training.create_state(jnp.zeros((6, 3)), {}, OPTIMIZER, jax.random.key(0))


def new_data():
    random = np.random.default_rng(0)
    inputs = random.normal(size=(N, 6)).astype("float32")
    return inputs, random.integers(0, 3, N).astype("int32")


@functools.cache
def shared_steps():
    return new_steps()


@functools.cache
def shared_evaluate():
    return new_evaluate()


def new_steps():
    return training.make_train_steps(
        apply, OPTIMIZER, training.cross_entropy, metrics={"accuracy": training.accuracy}, batch=BATCH
    )


def new_evaluate():
    metrics = {"accuracy": training.accuracy, "loss": training.cross_entropy}
    return training.make_evaluate(apply, metrics=metrics, batch=5)


def scripted(values, loss=None):
    """An evaluation that returns a value for each epoch, told by the number of steps in the parameters."""

    def train_steps(state, data, order, *, start, count):
        state = dataclasses.replace(state, params=state.params + count, step=state.step + count)
        return state, {"loss": jnp.float32(0), "first_bad_step": jnp.int32(-1)}

    table, losses = jnp.asarray([0.0, *values]), jnp.asarray([0.0, *(loss or values)])
    evaluate = jax.jit(lambda params, statistics, data: {"accuracy": table[params // 5], "loss": losses[params // 5]})
    state = training.create_state(jnp.int32(0), {}, optax.identity(), jax.random.key(0))
    return state, train_steps, evaluate, new_data(), new_data()


def run(state=None, data=None, train_steps=None, evaluate=None, **options):
    options = {"epochs": 2, "batch": BATCH, "chunk": 2, **options}
    data = data or new_data()
    programs = train_steps or shared_steps(), evaluate or shared_evaluate()
    return training.epochs(state or new_state(), *programs, data, new_data(), **options)


def epochs_of(events):
    return [event for event in events if isinstance(event, Epoch)]


def test_events_come_in_order():
    events = list(run())
    kinds = [type(event) for event in events]
    assert kinds == [Compiled, *([Chunk] * 3 + [Epoch]) * 2]
    chunks = [(event.epoch, event.step, event.steps) for event in events if isinstance(event, Chunk)]
    assert chunks == [(epoch, step, 5) for epoch in (1, 2) for step in (2, 4, 5)]
    assert all(event.images_per_s > 0 for event in events if isinstance(event, Chunk))
    first, second = epochs_of(events)
    assert (first.epoch, first.best, first.stop) == (1, True, False)
    accuracy = first.validation["accuracy"]
    assert first.progress == Progress(epoch=1, best_value=accuracy, best_epoch=1, value=accuracy)
    assert second.progress.epoch == 2
    assert set(second.validation) == {"accuracy", "loss"}
    of_first = events[1:4]
    mean = sum(chunk.loss * count for chunk, count in zip(of_first, (2, 2, 1), strict=True)) / 5
    assert first.train["loss"] == pytest.approx(mean)
    assert first.train["accuracy"] == pytest.approx(
        sum(chunk.accuracy * count for chunk, count in zip(of_first, (2, 2, 1), strict=True)) / 5
    )


def test_nothing_compiles_after_the_first_event(compilations):
    events = run(train_steps=new_steps(), evaluate=new_evaluate(), epochs=3)
    assert isinstance(next(events), Compiled)
    compilations.reset()
    assert len(epochs_of(events)) == 3
    assert compilations.names == []


def test_a_chunk_is_reported_while_the_next_one_runs():
    launched = []
    steps = shared_steps()

    def train_steps(state, data, order, *, start, count):
        launched.append(start)
        return steps(state, data, order, start=start, count=count)

    events = run(train_steps=train_steps, epochs=1)
    next(events)
    launched.clear()
    seen = [(event.step, list(launched)) for event in events if isinstance(event, Chunk)]
    assert seen == [(2, [0, 2]), (4, [0, 2, 4]), (5, [0, 2, 4])]


def test_each_epoch_has_its_own_order():
    orders = {}

    def train_steps(state, data, order, *, start, count):
        orders.setdefault(int(state.step) // 5, order.tolist())
        return shared_steps()(state, data, order, start=start, count=count)

    list(run(train_steps=train_steps, epochs=3))
    key = new_state().key
    expected = [training.epoch_order(key, N, BATCH, epoch=epoch).tolist() for epoch in range(3)]
    assert list(orders.values()) == expected


def test_the_state_of_an_epoch_is_usable_until_the_next_event():
    events = run(epochs=2, chunk=50)
    first = next(event for event in events if isinstance(event, Epoch))
    kept = np.array(first.state.params)
    assert int(first.state.step) == 5
    next(events)
    assert first.state.params.is_deleted()
    assert np.isfinite(kept).all()


@pytest.mark.parametrize(("chunk", "save_every"), [(2, 3), (1, 2), (50, 1)])
def test_a_run_resumed_within_an_epoch_is_bit_for_bit_the_uninterrupted_one(chunk: int, save_every: int) -> None:
    options = {"epochs": 2, "chunk": chunk, "save_every": save_every}
    whole = [event for event in run(**options) if isinstance(event, Chunk | Epoch)]
    assert [event.step for event in whole if isinstance(event, Chunk) and event.state is not None] == 2 * [
        step for step in range(1, 5) if step % save_every == 0
    ]
    for number, event in enumerate(whole):
        if not isinstance(event, Chunk) or event.progress is None:
            continue
        for again in run(**options):
            if isinstance(again, Chunk) and (again.epoch, again.step) == (event.epoch, event.step):
                break
        assert again.progress.step == event.step
        rest = [e for e in run(state=again.state, progress=again.progress, **options) if isinstance(e, Chunk | Epoch)]
        assert [(e.epoch, getattr(e, "step", 0)) for e in rest] == [
            (e.epoch, getattr(e, "step", 0)) for e in whole[number + 1 :]
        ]
        assert np.array_equal(epochs_of(rest)[-1].state.params, epochs_of(whole)[-1].state.params)
        assert [e.train for e in epochs_of(rest)] == [e.train for e in epochs_of(whole)][-len(epochs_of(rest)) :]
        assert epochs_of(rest)[-1].progress == epochs_of(whole)[-1].progress


@pytest.mark.parametrize("asked", range(7))
def test_a_run_that_is_asked_to_stop_hands_out_its_state_and_ends(asked: int) -> None:
    """It is asked for the first time after so many questions; every chunk asks once, and every epoch before it."""
    whole = epochs_of(run(epochs=2))[-1]
    questions = iter([False] * asked + [True] * 9)
    events = list(run(epochs=2, stop=lambda: next(questions)))
    assert isinstance(events[-1], Stopped)
    kept = [event for event in events if isinstance(event, Chunk | Epoch) and event.progress is not None]
    reached = [0, 2, 4, 5, 5, 7, 9][asked]
    assert events[-1].progress == (kept[-1].progress if kept else Progress())
    state = kept[-1].state if kept else new_state()
    assert int(state.step) == reached
    rest = run(state=state, epochs=2, progress=events[-1].progress)
    assert np.array_equal(epochs_of(rest)[-1].state.params, whole.state.params)


def test_parameters_that_are_not_finite_are_not_handed_out() -> None:
    """A loss tells of the parameters before its step: those after it must be looked at."""

    def train_steps(state, data, order, *, start, count):
        params = state.params + jnp.where(start + count >= 2, jnp.inf, 0)
        state = dataclasses.replace(state, params=params, step=state.step + count)
        return state, {"loss": jnp.float32(0), "first_bad_step": jnp.int32(-1)}

    with pytest.raises(NonFiniteLossError, match="step 3 of epoch 1"):
        list(run(train_steps=train_steps, chunk=1, save_every=2))


@pytest.mark.parametrize("chunk", [1, 3, 50])
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(chunk):
    whole = epochs_of(run(epochs=4))[-1]
    events = run(epochs=4, chunk=chunk)
    half = next(event for event in events if isinstance(event, Epoch) and event.epoch == 2)
    resumed = epochs_of(run(state=half.state, epochs=4, chunk=chunk, progress=half.progress))
    assert [event.epoch for event in resumed] == [3, 4]
    assert np.array_equal(resumed[-1].state.params, whole.state.params)
    assert resumed[-1].progress == whole.progress
    assert epochs_of(run(state=whole.state, epochs=4, progress=whole.progress)) == []


@pytest.mark.parametrize(
    ("values", "options", "best", "stopped"),
    [
        ([0.5, 0.7, 0.7, 0.6, 0.9], {"patience": 2}, [1, 2], 4),
        ([0.5, 0.7, 0.7, 0.6, 0.9], {"patience": 3}, [1, 2, 5], None),
        ([0.5, 0.7, 0.7, 0.6, 0.9], {}, [1, 2, 5], None),
        ([0.5, 0.7, 0.4, 0.4, 0.3], {"monitor": "loss"}, [1, 3, 5], None),
        ([0.5, 0.7, 0.4, 0.4, 0.3], {"mode": "min", "patience": 1}, [1], 2),
        ([float("nan"), 0.2, 0.3, float("nan"), 0.1], {}, [1, 2, 3], None),
    ],
)
def test_the_validation_metric_decides(values, options, best, stopped):
    loss = None if "monitor" in options else [0.0] * 5
    found = epochs_of(training.epochs(*scripted(values, loss), epochs=5, batch=BATCH, **options))
    assert [event.epoch for event in found if event.best] == best
    assert [event.epoch for event in found if event.stop] == ([stopped] if stopped else [])
    assert len(found) == (stopped or 5)
    assert found[-1].progress.best_epoch == best[-1]


def test_a_run_that_stopped_early_stays_stopped():
    state, *rest = scripted([0.5, 0.4, 0.9])
    last = epochs_of(training.epochs(state, *rest, epochs=3, batch=BATCH, patience=1))[-1]
    again = training.epochs(last.state, *rest, epochs=3, batch=BATCH, patience=1, progress=last.progress)
    assert [type(event) for event in again] == [Compiled]


def test_a_non_finite_loss_stops_the_run_and_says_where():
    inputs, targets = new_data()
    inputs = np.where(np.arange(N)[:, None] == 7, np.nan, inputs)
    order = training.epoch_order(new_state().key, N, BATCH, epoch=0).tolist()
    step = order.index(7) // BATCH + 1
    with pytest.raises(training.NonFiniteLossError, match=rf"not finite at step {step} of epoch 1: lower `lr`"):
        list(run(data=(inputs, targets)))


def test_a_non_finite_validation_loss_stops_the_run():
    values = [0.5, float("inf"), 0.3]
    with pytest.raises(training.NonFiniteLossError, match="the validation loss is not finite after epoch 2"):
        epochs_of(training.epochs(*scripted(values), epochs=3, batch=BATCH))


def test_the_step_of_a_non_finite_loss_counts_within_its_epoch():
    steps = shared_steps()

    def train_steps(state, data, order, *, start, count):
        state, metrics = steps(state, data, order, start=start, count=count)
        bad = jnp.where(state.step == 9, 8, metrics["first_bad_step"])
        return state, {**metrics, "first_bad_step": bad}

    with pytest.raises(training.NonFiniteLossError) as caught:
        list(run(train_steps=train_steps))
    assert (caught.value.epoch, caught.value.step) == (2, 4)


def test_labels_out_of_range_stop_the_run():
    inputs, targets = new_data()
    with pytest.raises(training.NonFiniteLossError, match="labels outside the classes"):
        list(run(data=(inputs, targets + 1)))


def test_out_of_memory_suggests_half_the_batch():
    def train_steps(state, data, order, *, start, count):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    with pytest.raises(training.OutOfMemoryError, match=r"`batch` \(=4\): try `batch` 2"):
        list(run(train_steps=train_steps))
    with pytest.raises(training.OutOfMemoryError, match="this `eval_batch`: try half"):
        raise training.OutOfMemoryError("eval_batch")
    with pytest.raises(training.OutOfMemoryError, match="smaller model"):
        raise training.OutOfMemoryError("batch", 1)


def test_other_runtime_errors_pass():
    with (
        pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"),
        training.explain_out_of_memory("batch", 4),
    ):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"monitor": "acuracy"}, "unknown validation metric 'acuracy': did you mean 'accuracy'"),
        ({"progress": Progress(1, 0.5, 1)}, "1 epochs of 5 steps and 0 steps, `state` 0 steps"),
        ({"save_every": 0}, r"`save_every` \(=0\)"),
        ({"batch": 100}, "larger than the 22 training examples"),
        ({"epochs": 0}, r"`epochs` \(=0\)"),
        ({"chunk": 0}, r"`chunk` \(=0\)"),
        ({"patience": 0}, r"`patience` \(=0\)"),
        ({"data": (new_data()[0], new_data()[1][:-1])}, "`data` must have a target for each of its 22 inputs"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        list(run(**options))
