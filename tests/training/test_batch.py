import dataclasses

import jax
import jax.numpy as jnp
import optax
import pytest

from jaxcnn import training
from jaxcnn.config import AugmentConfig

OPTIMIZER = optax.sgd(0.1)


def make(augment, steps_per_epoch, loss=training.mean_squared_error):
    def apply(params, statistics, x, *, training, key):
        return params * x, statistics

    return training.make_train_steps(apply, OPTIMIZER, loss, augment=augment, batch=2, steps_per_epoch=steps_per_epoch)


def new_state(step=0):
    return dataclasses.replace(
        training.create_state(jnp.float32(0), {}, OPTIMIZER, jax.random.key(0)), step=jnp.int32(step)
    )


@pytest.mark.parametrize("fed", ["resident", "numbered", "unnumbered"])
def test_the_augmentation_is_told_which_examples_in_which_epoch(fed):
    """Even by a run that is resumed in the middle of the second epoch of five steps."""
    seen = []

    def augment(key, batch):
        numbers = [] if batch.numbers is None else batch.numbers
        told = [*numbers, batch.epoch, *batch.targets]
        jax.debug.callback(lambda *values: seen.append([int(value) for value in values]), *told, ordered=True)
        return batch._replace(targets=jnp.zeros_like(batch.targets))

    def loss(outputs, targets):
        return jnp.mean(targets) + 0 * outputs.sum()

    data = jnp.zeros((10, 3)), jnp.arange(10) * 10
    order = jnp.array([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])
    batches = tuple(array[order].reshape(5, 2, *array.shape[1:]) for array in data)
    given = {"resident": data, "numbered": (*batches, order.reshape(5, 2)), "unnumbered": batches}[fed]
    train_steps = make(augment, 5, loss)
    state = new_state(step=8)
    state, metrics = train_steps(state, given, order if fed == "resident" else None, start=3, count=2)
    state, _ = train_steps(state, given, order if fed == "resident" else None, start=0, count=1)
    jax.effects_barrier()
    rows = [[2, 6, 1, 20, 60], [8, 7, 1, 80, 70], [3, 1, 2, 30, 10]]
    assert seen == [row[2:] if fed == "unnumbered" else row for row in rows]
    assert float(metrics["loss"]) == 0.0, "the loss sees the targets that the augmentation returned"


def test_without_steps_of_an_epoch_there_is_no_epoch():
    flip = training.make_augment(AugmentConfig(flip="alternating"))
    images = jnp.zeros((10, 4, 4, 1)), jnp.zeros(10, "int32")
    for steps, data, order in [(None, images, jnp.arange(10)), (5, tuple(x[None, :2] for x in images), None)]:
        train_steps = make(flip, steps)
        with pytest.raises(
            ValueError, match=r"`flip` \(='alternating'\) needs the numbers of the examples and the epo"
        ):
            train_steps(new_state(), data, order, start=0, count=1)
    with pytest.raises(ValueError, match=r"`steps_per_epoch` \(=0\) must be at least 1"):
        make(None, 0)
