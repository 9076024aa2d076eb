"""Where numbers stop being finite, planted and found."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxcnn import api, nn, training
from jaxcnn.config import Config, OptimConfig
from jaxcnn.runs import Run


class Poisoned(nn.Module):
    """Divides by zero where an input's mean is above a threshold, in training, evaluation or both."""

    def __init__(self, threshold: float, *, when: tuple[bool, ...] = (False, True)):
        self.threshold, self.when = threshold, when

    def __call__(self, x: Any, *, training: bool = False, key: Any = None) -> Any:
        if training not in self.when:
            return x
        bad = x.mean(tuple(range(1, x.ndim)), keepdims=True) > self.threshold
        return x / jnp.where(bad, 0.0, 1.0)


def network(poison: nn.Module, *, norm: bool = False) -> nn.Module:
    rngs = nnx.Rngs(0)
    layers: dict[str, nn.Module] = {"conv": nn.Conv(1, 4, (3, 3), rngs=rngs)}
    if norm:
        layers["norm"] = nn.BatchNorm(4)
    layers |= {"relu": nn.Activation(jax.nn.relu), "poison": poison}
    return nn.Sequential(**layers, pool=nn.GlobalPool("avg"), head=nn.Dense(4, 3, rngs=rngs))


def failure(model: nn.Module | str, dataset: Any, config: Config, out: Path, **options: Any) -> str:
    with pytest.raises(training.NonFiniteLossError) as caught:
        api.fit(model, dataset, config, out=out, **options)
    return str(caught.value)


def test_the_layer_of_the_network_is_named(dataset, config, tmp_path: Path) -> None:
    told = failure(network(Poisoned(-9.0)), dataset, config, tmp_path)
    assert "at step 1 of epoch 1 (the first that is not: layer poison" in told
    assert "output 16x8x8x4" in told


@pytest.mark.parametrize("streamed", [False, True])
def test_steps_since_the_last_checkpoint_are_taken_again(dataset, config, tmp_path: Path, streamed: bool) -> None:
    """The third epoch's fifth step sees an image that is poisoned by the augmentation."""
    memory = 0.003 if streamed else None
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, memory=memory))

    def augment(key: jax.Array, images: jax.Array) -> jax.Array:
        seen = jax.random.key_data(key)[..., -1]
        return jnp.where(seen == poisoned, jnp.nan, images.astype(jnp.float32))

    key = jax.random.fold_in(jax.random.key(config.seed), np.uint32(2**32 - 1))
    poisoned = int(jax.random.key_data(jax.random.split(jax.random.fold_in(key, 2 * 8 + 4))[0])[-1])
    told = failure("linear", dataset, config, tmp_path / "run", augment=augment)
    assert "the loss is not finite at step 5 of epoch 3 (the first that is not: the images of its batch)" in told
    run = Run.open(tmp_path / "run")
    assert run.latest_step() == 16
    assert [row["epoch"] for row in run.metrics()] == [1, 2]


def test_a_parameter_that_a_step_blew_up_is_named(dataset, config, tmp_path: Path) -> None:
    def large(outputs: jax.Array, targets: jax.Array) -> jax.Array:
        return 1e30 * training.cross_entropy(outputs, targets)

    config = dataclasses.replace(config, optim=OptimConfig("sgd", lr=1e10))
    told = failure("linear", dataset, config, tmp_path, loss=large)
    assert "at step 2 of epoch 1 (the first that is not: the parameter head/" in told
    assert "after the step before it" in told


def test_what_only_validation_sees_is_found(dataset, config, tmp_path: Path) -> None:
    told = failure(network(Poisoned(-9.0, when=(False,))), dataset, config, tmp_path)
    assert "the validation loss is not finite after epoch 1 (the first that is not: layer poison" in told


def test_the_loss_itself_is_named_where_the_network_is_finite(dataset, config, tmp_path: Path) -> None:
    told = failure("linear", dataset, config, tmp_path, loss=lambda outputs, targets: outputs.sum() / 0)
    assert "the first that is not: the loss itself" in told
