import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import api, data, nn, training
from jaxcnn.config import AugmentConfig, Config, OptimConfig
from jaxcnn.runs import Run

TIMES = {"seconds", "images_per_s", "compile_s"}


def follow(events: Iterable[Any]) -> tuple[Run, list[bytes]]:
    """The run, and all bits of the state at its last epoch's end."""
    state, event = None, None
    for event in events:
        if isinstance(event, training.Epoch):
            state = dataclasses.replace(event.state, key=jax.random.key_data(event.state.key))
            state = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]
    assert isinstance(event, api.Finished)
    assert state is not None
    return event.run, state


def untimed(run: Run) -> list[dict[str, Any]]:
    """What was measured, but for how long it took."""
    rows = [*run.metrics(), run.result or {}]
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def test_a_run_learns_and_tells(make_net, dataset, config, tmp_path: Path) -> None:
    run = api.fit(make_net(), dataset, dataclasses.replace(config, epochs=12), out=tmp_path / "run")
    rows, result = run.metrics(), run.result
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert set(rows[0]["validation"]) == set(rows[0]["train"]) == {"loss", "accuracy"}
    assert result["accuracy"] > 0.8
    assert result["parameters"] == 3 * 3 * 4 + 4 + 8 + 15
    assert len(result["per_class_accuracy"]) == 3
    best = max(rows, key=lambda row: row["validation"]["accuracy"])
    assert (result["epoch"], result["step"]) == (best["epoch"], best["step"])
    assert run.steps() == sorted({best["step"], rows[-2]["step"], rows[-1]["step"]})
    assert run.config.model.name.endswith(":Sequential")


def test_another_seed_gives_other_bits(dataset, config, tmp_path: Path) -> None:
    states = [
        follow(
            api.fit_events("linear", dataset, dataclasses.replace(config, epochs=1, seed=seed), out=tmp_path / name)
        )[1]
        for seed, name in ((0, "a"), (0, "b"), (1, "c"))
    ]
    assert states[0] == states[1]
    assert states[0] != states[2]


def test_a_resumed_run_ends_as_one_that_was_never_stopped(make_net, dataset, config, tmp_path: Path) -> None:
    config = dataclasses.replace(config, augment=AugmentConfig(translate=1, flip="alternating", mixup=0.2))
    whole, expected = follow(api.fit_events(make_net(), dataset, config, out=tmp_path / "whole"))

    events = api.fit_events(make_net(), dataset, config, out=tmp_path / "stopped")
    for event in events:
        if isinstance(event, training.Chunk) and event.epoch == 3:
            with pytest.raises(KeyboardInterrupt):
                events.throw(KeyboardInterrupt)
    assert Run.open(tmp_path / "stopped").progress(16).epoch == 2

    events = api.fit_events(make_net(), dataset, config, out=tmp_path / "stopped")
    assert next(events).epoch == 2
    resumed, state = follow(events)
    assert state == expected
    assert untimed(resumed) == untimed(whole)


def test_stopping_before_the_first_checkpoint_loses_nothing_else(dataset, config, tmp_path: Path) -> None:
    events = api.fit_events("linear", dataset, config, out=tmp_path / "run")
    next(events)
    events.close()
    assert api.fit("linear", dataset, config, out=tmp_path / "run").result["epochs"] == 4


def test_a_run_that_ended_is_not_trained_again_unless_for_more_epochs(dataset, config, tmp_path) -> None:
    short = dataclasses.replace(config, epochs=1)
    before = api.fit("linear", dataset, short, out=tmp_path / "run").result
    again = list(api.fit_events("linear", dataset, short, out=tmp_path / "run"))
    assert [type(event) for event in again] == [api.Started, api.Finished]
    assert again[-1].result == before
    assert api.fit("linear", dataset, config, out=tmp_path / "run").result["epochs"] == 4


def test_a_loss_and_metrics_of_ones_own(dataset, config, tmp_path: Path) -> None:
    def squares(outputs, targets):
        return jnp.mean((outputs - jax.nn.one_hot(targets, 3)) ** 2)

    def largest(outputs, targets):
        return jnp.abs(outputs).max()

    run = api.fit("linear", dataset, config, out=tmp_path, loss=squares, metrics={"largest": largest})
    rows = run.metrics()
    assert set(rows[0]["validation"]) == {"loss", "largest"}
    assert run.result["epoch"] == min(rows, key=lambda row: row["validation"]["loss"])["epoch"]
    measured = api.evaluate(run, model="linear", data=dataset, loss=squares, metrics={"largest": largest})
    assert measured.items() <= run.result.items()


def test_regression(config, tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).normal(size=(100, 8, 8, 1)).astype(np.float32)
    dataset = data.from_arrays((inputs, inputs.mean((1, 2))), name="means")
    with pytest.raises(ValueError, match="means has no classes, so that it needs a `loss`"):
        api.fit("linear", dataset, config, out=tmp_path / "no")
    run = api.fit("linear", dataset, config, out=tmp_path / "run", loss=training.mean_squared_error)
    assert set(run.metrics()[0]["train"]) == {"loss"}


def test_an_augmentation_of_ones_own(dataset, config, tmp_path: Path) -> None:
    seen = []

    def record(key, images):
        seen.append((images.shape, images.dtype))
        return images

    api.fit("linear", dataset, dataclasses.replace(config, epochs=1), out=tmp_path, augment=record)
    assert seen[0] == ((16, 8, 8, 1), np.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "`epochs`"),
        ({"batch": 0}, "`batch`"),
        ({"chunk": 0}, "`chunk`"),
        ({"eval_batch": 0}, "`eval_batch`"),
        ({"epochs": 1.5}, r"`epochs` \(=1.5\) must be at least 1, and whole"),
        ({"batch": "3"}, r"`batch` \(='3'\) must be at least 1, and whole"),
        ({"seed": -1}, r"`seed` \(=-1\) must be a whole number from 0 to"),
        ({"seed": 2**32}, r"`seed` \(=4294967296\) must be"),
        ({"dtype": "float16"}, r"`dtype` \(='float16'\) must be one of float32, bfloat16"),
        ({"optim": OptimConfig(lr=-1)}, "`lr`"),
        ({"optim": OptimConfig(lr=float("nan"))}, "`lr`"),
        ({"optim": OptimConfig(lr=float("inf"))}, "`lr`"),
    ],
)
def test_a_wrong_config_makes_no_folder(dataset, config, tmp_path, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        api.fit("linear", dataset, dataclasses.replace(config, **changes), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": nn.Dense}, "`model` is the class Dense; expected a registered name .* or an instance"),
        ({"model": lambda x: x}, "`model` is of type function; expected a registered name"),
        ({"data": None}, "`data` is of type NoneType; expected a name, a DataConfig, or a data set"),
        ({"data": (np.zeros((9, 8, 8, 1)), np.zeros(9))}, r"`data` is of type tuple; .*jaxcnn\.data\.from_arrays"),
        ({"config": {}}, r"`config` is of type dict; expected a jaxcnn\.config\.Config"),
    ],
)
def test_arguments_of_another_kind_make_no_folder(dataset, config, tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(TypeError, match=message) as raised:
        api.fit(**{"model": "linear", "data": dataset, "config": config, **changes}, out=tmp_path / "run")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_a_model_that_does_not_fit_makes_no_folder(make_net, dataset, config, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"outputs of shape \(1, 5\) for one image; expected \(1, 3\)"):
        api.fit(make_net(classes=5), dataset, config, out=tmp_path / "run")
    with pytest.raises(ValueError, match="unknown model 'small_cn': did you mean 'small_cnn'"):
        api.fit("small_cn", dataset, config, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_the_run(dataset, config, tmp_path: Path) -> None:
    with pytest.raises(training.NonFiniteLossError, match=r"step 1 of epoch 1 .*the loss itself"):
        api.fit("linear", dataset, config, out=tmp_path, loss=lambda outputs, targets: outputs.sum() / 0)


def test_the_default_folder(dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = api.fit("linear", dataset, Config(epochs=1, batch=16))
    assert run.path.parent.name == "checkpoints"
    assert run.path.name.endswith("_stripes")
