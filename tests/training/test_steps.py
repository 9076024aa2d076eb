import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references.tolerance import TOLERANCE

from jaxcnn import training
from jaxcnn.config import OptimConfig

N, BATCH, FEATURES, CLASSES = 40, 4, 6, 3
OPTIMIZER = optax.sgd(0.1, momentum=0.9)


def apply(params, statistics, x, *, training, key):
    """A dense layer with dropout, and a statistic that remembers the last mean."""
    if training:
        x = x * jax.random.bernoulli(key, 0.8, x.shape)
        statistics = {"mean": 0.5 * statistics["mean"] + 0.5 * x.mean()}
    return x @ params["kernel"].astype(x.dtype) + params["bias"].astype(x.dtype), statistics


def new_state(seed=0):
    kernel = jax.random.normal(jax.random.key(100), (FEATURES, CLASSES))
    params = {"kernel": kernel, "bias": jnp.zeros(CLASSES)}
    return training.create_state(params, {"mean": jnp.float32(0)}, OPTIMIZER, jax.random.key(seed))


def new_data():
    random = np.random.default_rng(0)
    inputs = random.normal(size=(N, FEATURES)).astype("float32")
    return jnp.asarray(inputs), jnp.asarray(random.integers(0, CLASSES, N), jnp.int32)


@functools.cache
def shared():
    return make()


def make(**options):
    options = {"metrics": {"accuracy": training.accuracy}, "batch": BATCH, **options}
    return training.make_train_steps(apply, OPTIMIZER, training.cross_entropy, **options)


def order_of(state, epoch=0):
    return training.epoch_order(state.key, N, BATCH, epoch=epoch)


def run(train_steps, state, chunks, epochs=1):
    measured = []
    for epoch in range(epochs):
        start = 0
        for count in chunks:
            state, metrics = train_steps(state, new_data(), order_of(state, epoch), start=start, count=count)
            measured.append(metrics)
            start += count
    return state, measured


def leaves(state):
    state = jax.tree.map(lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x, state)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def identical(one, other):
    return all(np.array_equal(a, b) for a, b in zip(leaves(one), leaves(other), strict=True))


def test_steps_are_gradient_descent_on_the_gathered_batches():
    """Against the steps written out, one by one and outside of any loop."""
    state, data = new_state(), new_data()
    order = order_of(state)
    params, opt_state, statistics = state.params, state.opt_state, state.statistics
    losses = []
    for step in range(3):
        index = order[step * BATCH : (step + 1) * BATCH]
        _, key = jax.random.split(jax.random.fold_in(state.key, step))

        def loss(params, statistics=statistics, index=index, key=key):
            outputs, statistics = apply(params, statistics, data[0][index], training=True, key=key)
            return training.cross_entropy(outputs, data[1][index]), statistics

        (value, statistics), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = OPTIMIZER.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        losses.append(float(value))
    after, metrics = shared()(new_state(), data, order, start=0, count=3)
    assert int(after.step) == 3
    expected, got = (params, statistics), (after.params, after.statistics)
    jax.tree.map(partial(np.testing.assert_allclose, **TOLERANCE["float32"]), got, expected)
    assert float(metrics["loss"]) == pytest.approx(np.mean(losses), rel=1e-5)
    assert 0 <= float(metrics["accuracy"]) <= 1
    assert int(metrics["first_bad_step"]) == -1


def test_one_compilation_serves_every_chunk_and_epoch(compilations):
    train_steps, state = make(), new_state()
    data, orders = new_data(), [order_of(state, epoch) for epoch in (0, 1)]
    compilations.reset()
    state, _ = train_steps(state, data, orders[0], start=0, count=4)
    assert len(compilations.names) == 1
    compilations.reset()
    for order, start, count in [
        (orders[0], np.int64(4), 4),
        (orders[0], 8, np.int32(2)),
        (orders[1], 0, 4),
        (orders[1], 4, 0),
    ]:
        state, metrics = train_steps(state, data, order, start=start, count=count)
        jax.device_get(metrics)
    assert compilations.names == []
    assert int(state.step) == 14


@pytest.mark.parametrize("chunks", [(1,) * 10, (3, 3, 3, 1), (0, 10)])
def test_chunks_are_bit_for_bit_the_whole(chunks):
    whole, [metrics] = run(shared(), new_state(), (10,))
    parts, measured = run(shared(), new_state(), chunks)
    assert identical(whole, parts)
    mean = sum(float(m["loss"]) * count for m, count in zip(measured, chunks, strict=True)) / 10
    assert float(metrics["loss"]) == pytest.approx(mean, rel=1e-5)


def test_the_seed_decides_everything():
    one, again, other = (run(shared(), new_state(seed), (10,), epochs=2)[0] for seed in (0, 0, 1))
    assert identical(one, again)
    assert not np.array_equal(one.params["kernel"], other.params["kernel"])


def test_the_state_is_donated_and_the_callers_arrays_are_not():
    params, key = {"kernel": jnp.ones((FEATURES, CLASSES)), "bias": jnp.zeros(CLASSES)}, jax.random.key(0)
    state = training.create_state(params, {"mean": jnp.float32(0)}, OPTIMIZER, key)
    after, _ = shared()(state, new_data(), order_of(state), start=0, count=2)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((params, key, after)))
    assert jnp.array_equal(jax.random.key_data(after.key), jax.random.key_data(key))


def test_a_new_state_has_no_weak_types():
    state = training.create_state({"w": jnp.asarray(1.0)}, {"s": 2.0}, OPTIMIZER, jax.random.key(0))
    assert not any(leaf.weak_type for leaf in jax.tree.leaves((state.params, state.statistics)))


def test_the_data_are_arguments_of_the_program():
    state, data = new_state(), new_data()
    program = jax.make_jaxpr(partial(shared(), start=0, count=1))(state, data, order_of(state))
    assert max((np.size(const) for const in program.consts), default=0) <= 1


def test_inputs_are_augmented_raw_then_prepared_then_cast():
    seen = {}

    def augment(key, images):
        seen["augment"] = images.dtype
        return images + jnp.uint8(1)

    def prepare(images):
        seen["prepare"] = images.dtype
        return images.astype(jnp.float32) / 2

    def network(params, statistics, x, *, training, key):
        seen["network"] = x.dtype
        return x * params.astype(x.dtype), x.mean()

    def loss(outputs, targets):
        seen["loss"] = outputs.dtype
        return outputs.mean()

    train_steps = training.make_train_steps(
        network, OPTIMIZER, loss, augment=training.on_inputs(augment), prepare=prepare, batch=2, dtype="bfloat16"
    )
    state = training.create_state(jnp.float32(1), jnp.float32(0), OPTIMIZER, jax.random.key(0))
    data = jnp.full((2, 1), 3, jnp.uint8), jnp.zeros(2)
    state, metrics = train_steps(state, data, jnp.arange(2), start=0, count=1)
    assert float(metrics["loss"]) == 2.0
    assert (float(state.statistics), state.statistics.dtype) == (2.0, "float32")
    assert {name: dtype.name for name, dtype in seen.items()} == {
        "augment": "uint8",
        "prepare": "uint8",
        "network": "bfloat16",
        "loss": "float32",
    }


def test_bfloat16_keeps_parameters_statistics_and_loss_in_float32():
    state, [metrics] = run(make(dtype="bfloat16"), new_state(), (10,))
    exact, [expected] = run(shared(), new_state(), (10,))
    for leaf in jax.tree.leaves((state.params, state.statistics, state.opt_state, metrics["loss"])):
        assert leaf.dtype == jnp.float32
    assert float(metrics["loss"]) == pytest.approx(float(expected["loss"]), rel=0.05)
    assert not identical(state, exact)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_first_bad_step_is_named(bad):
    inputs, targets = new_data()
    order = jnp.arange(N, dtype=jnp.int32)
    data = inputs.at[6 * BATCH + 1].set(bad), targets
    train_steps, state = shared(), new_state()
    state, good = train_steps(state, data, order, start=0, count=6)
    state, metrics = train_steps(state, data, order, start=6, count=4)
    assert (int(good["first_bad_step"]), int(metrics["first_bad_step"])) == (-1, 6)


@pytest.mark.parametrize("name", ["momentum", "adagrad", "adamw"])
def test_float32_stays_float32_under_x64(name):
    with jax.enable_x64(True):
        optimizer = training.make_optimizer(OptimConfig(name, warmup=1, clip=1.0), steps_per_epoch=10, epochs=3)
        train_steps = training.make_train_steps(apply, optimizer, training.cross_entropy, batch=BATCH)
        params = jax.tree.map(lambda x: x.astype("float32"), new_state().params)
        state = training.create_state(params, {"mean": jnp.float32(0)}, optimizer, jax.random.key(0))
        state, metrics = train_steps(state, new_data(), order_of(state), start=0, count=3)
    assert {leaf.dtype.name for leaf in jax.tree.leaves((state.params, metrics["loss"]))} == {"float32"}


def test_steps_map_over_an_ensemble():
    states = [new_state(seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *xs: jnp.stack(xs), *states)
    data, order = new_data(), jnp.arange(N, dtype=jnp.int32)
    train_steps = shared()
    together, _ = jax.vmap(partial(train_steps, start=0, count=5), in_axes=(0, None, None))(stacked, data, order)
    for i, state in enumerate(states):
        alone, _ = train_steps(state, data, order, start=0, count=5)
        np.testing.assert_allclose(together.params["kernel"][i], alone.params["kernel"], rtol=1e-5)


def test_batches_are_taken_as_they_come_without_an_order():
    state, data = new_state(), new_data()
    order = order_of(state)
    batches = tuple(array[order].reshape(-1, BATCH, *array.shape[1:]) for array in data)
    gathered, _ = shared()(state, data, order, start=2, count=3)
    fed, _ = shared()(new_state(), batches, None, start=2, count=3)
    assert identical(gathered, fed)
    with pytest.raises(ValueError, match=r"must lie within the 10 batches of `data`"):
        shared()(new_state(), batches, None, start=9, count=2)
    with pytest.raises(ValueError, match=r"`data` \(shape \(40, 6\)\) must be batches of 4 where `order` is None"):
        shared()(new_state(), data, None, start=0, count=1)


def with_average():
    state = new_state()
    return training.create_state(state.params, state.statistics, OPTIMIZER, state.key, ema=True)


def test_the_average_follows_the_parameters():
    train_steps, plain, data, decay = make(ema=0.75), new_state(), new_data(), 0.75
    averaged, order = with_average(), order_of(plain)
    expected = jax.tree.map(lambda p: np.asarray(p, np.float64), plain.params)
    for step in range(5):
        plain, _ = shared()(plain, data, order, start=step, count=1)
        expected = jax.tree.map(
            lambda e, p: decay * e + (1 - decay) * np.asarray(p, np.float64), expected, plain.params
        )
    averaged, _ = train_steps(averaged, data, order, start=0, count=5)
    jax.tree.map(partial(np.testing.assert_allclose, **TOLERANCE["float32"]), averaged.ema, expected)
    jax.tree.map(partial(np.testing.assert_allclose, **TOLERANCE["float32"]), averaged.params, plain.params)
    assert averaged.evaluated is averaged.ema
    assert plain.evaluated is plain.params


def test_an_average_that_the_state_and_the_steps_do_not_share_is_an_error():
    with pytest.raises(ValueError, match=r"`ema` \(=0.5\) must be kept by the state"):
        make(ema=0.5)(new_state(), new_data(), order_of(new_state()), start=0, count=1)
    with pytest.raises(ValueError, match=r"`ema` \(=None\)"):
        shared()(with_average(), new_data(), order_of(new_state()), start=0, count=1)
    for decay in (-0.1, 1.0):
        with pytest.raises(ValueError, match=rf"`ema` \(={decay}\) must be from 0 to below 1"):
            make(ema=decay)


@pytest.mark.parametrize(("start", "count"), [(-1, 2), (0, 11), (9, 2), (0, -1)])
def test_steps_outside_the_order_are_an_error(start, count):
    state = new_state()
    with pytest.raises(ValueError, match=rf"`start` \(={start}\).* the 10 batches of `order`"):
        shared()(state, new_data(), order_of(state), start=start, count=count)


def test_bad_options_are_named():
    with pytest.raises(ValueError, match=r"`batch` \(=0\) must be positive"):
        make(batch=0)
    with pytest.raises(ValueError, match=r"`metrics` names \['loss'\]"):
        make(metrics={"loss": training.accuracy})


@settings(deadline=None, max_examples=20)
@given(
    n=st.sampled_from([1, 7, 12]), batch=st.sampled_from([1, 5, 20]), seed=st.integers(0, 99), epoch=st.integers(0, 5)
)
def test_an_order_is_a_permutation_dropped_or_wrapped(n, batch, seed, epoch):
    key = jax.random.key(seed)
    wrapped = training.epoch_order(key, n, batch, epoch=epoch, last_batch="wrap")
    assert wrapped.dtype == jnp.int32
    assert wrapped.size == training.steps_per_epoch(n, batch, "wrap") * batch
    assert sorted(wrapped[:n].tolist()) == list(range(n))
    assert wrapped[n:].tolist() == wrapped[: wrapped.size - n].tolist()
    if batch <= n:
        dropped = training.epoch_order(key, n, batch, epoch=epoch)
        assert dropped.size == training.steps_per_epoch(n, batch) * batch
        assert dropped.tolist() == wrapped[: dropped.size].tolist()


def test_each_epoch_and_each_key_has_its_order():
    orders = [
        tuple(training.epoch_order(jax.random.key(seed), 30, 5, epoch=epoch).tolist())
        for seed in (0, 1)
        for epoch in (0, 1, 2)
    ]
    assert len(set(orders)) == len(orders)


def test_the_order_and_the_steps_draw_from_different_keys():
    key = jax.random.key(0)
    order = training.epoch_order(key, 30, 5, epoch=3)
    for step in range(50):
        assert order.tolist() != jax.random.permutation(jax.random.fold_in(key, step), 30).tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((100, 128), r"`batch` \(=128\) is larger than the 100 training examples.*`last_batch='wrap'`"),
        ((0, 8), r"`n` \(=0\) and `batch` \(=8\) must be positive"),
        ((8, 0), r"`batch` \(=0\) must be positive"),
        ((8, 2, "keep"), r"`last_batch` \(='keep'\)"),
    ],
)
def test_sizes_that_make_no_step_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        training.steps_per_epoch(*arguments)
