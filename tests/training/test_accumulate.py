import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn import models, nn, training

BATCH, CLASSES = 12, 3


def trained(parts, norm, loss=training.cross_entropy, steps=4):
    """A small CNN after some steps in float64, and the means of what was measured."""
    with jax.enable_x64(True):
        module = models.create("small_cnn", num_classes=CLASSES, input_shape=(8, 8, 2), width=4, norm=norm)
        apply, params, statistics = nn.split(module)
        params, statistics = jax.tree.map(lambda x: x.astype("float64"), (params, statistics))
        random = np.random.default_rng(0)
        data = random.normal(size=(3 * BATCH, 8, 8, 2)), random.integers(0, CLASSES, 3 * BATCH)
        optimizer = optax.sgd(0.1, momentum=0.9, nesterov=True)
        state = training.create_state(params, statistics, optimizer, jax.random.key(0))
        train_steps = training.make_train_steps(
            apply,
            optimizer,
            loss,
            metrics={"accuracy": training.accuracy},
            batch=BATCH,
            accumulate=parts,
            dtype="float64",
        )
        order = jnp.concatenate([training.epoch_order(state.key, 3 * BATCH, BATCH, epoch=epoch) for epoch in range(2)])
        state, measured = train_steps(state, data, order, start=0, count=steps)
        return jax.device_get((state.params, state.statistics, measured))


@pytest.mark.parametrize("norm", ["none", "group"])
@pytest.mark.parametrize("parts", [2, 12])
def test_a_batch_in_parts_is_the_batch(parts, norm):
    whole, _, measured = trained(1, norm)
    params, _, in_parts = trained(parts, norm)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(params), strict=True):
        assert other.dtype == np.float64
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-12 * np.abs(one).max())
    np.testing.assert_allclose(in_parts["loss"], measured["loss"], rtol=1e-6)
    np.testing.assert_allclose(in_parts["accuracy"], measured["accuracy"], rtol=1e-6)


def test_batch_statistics_are_of_each_part():
    whole, statistics, _ = trained(1, "batch", steps=1)
    params, moved, _ = trained(2, "batch", steps=1)
    differ = [np.abs(a - b).max() for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(params), strict=True)]
    assert max(differ) > 1e-6
    for once, twice in zip(jax.tree.leaves(statistics), jax.tree.leaves(moved), strict=True):
        assert (once != twice).any()


@pytest.mark.parametrize("parts", [0, 5, 24])
def test_parts_must_divide_the_batch(parts):
    with pytest.raises(ValueError, match=rf"`accumulate` \(={parts}\) .* divides the batch of 12"):
        trained(parts, "none")
