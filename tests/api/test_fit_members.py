"""Many networks as one program, on disk: each is the run that it would be alone."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxcnn import api, data, runs, training
from jaxcnn.api.members import grouped, varied
from jaxcnn.config import AugmentConfig, Config, LossConfig, ModelConfig, OptimConfig
from jaxcnn.training import Plan

BASE = Config(
    model=ModelConfig(dropout=0.2),
    optim=OptimConfig("nesterov", lr=0.05, weight_decay=1e-3),
    augment=AugmentConfig(translate=1, brightness=0.1),
    loss=LossConfig(label_smoothing=0.1),
    epochs=2,
    batch=64,
    chunk=3,
)
CONFIGS = [
    BASE,
    replace(BASE, seed=1, optim=replace(BASE.optim, lr=0.01, momentum=0.5, weight_decay=1e-2)),
    replace(
        BASE,
        seed=2,
        model=ModelConfig(dropout=0.0),
        loss=LossConfig(label_smoothing=0.0),
        augment=AugmentConfig(translate=2, brightness=0.3),
    ),
]
PLANS = [Plan("vmap"), Plan("map", 2), Plan("one by one")]


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


@pytest.fixture(scope="module")
def alone(digits: data.Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[runs.Run]:
    folder = tmp_path_factory.mktemp("alone")
    return [api.fit("mlp", digits, config, out=folder / str(at)) for at, config in enumerate(CONFIGS)]


def params_of(run: runs.Run) -> Any:
    return api.load(run).params


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_members_are_the_runs_that_they_would_be_alone(
    plan: Plan, digits: data.Dataset, alone: list[runs.Run], tmp_path: Path
) -> None:
    assert grouped(CONFIGS) == [[0, 1, 2]]
    found = api.fit_members("mlp", digits, CONFIGS, out=tmp_path / "members", plan=plan)
    assert [run.path.name for run in found] == ["000", "001", "002"]
    for run, other in zip(found, alone, strict=True):
        assert run.config == other.config
        for row, expected in zip(run.metrics(), other.metrics(), strict=True):
            assert (row["epoch"], row["step"]) == (expected["epoch"], expected["step"])
            assert row["lr"] == expected["lr"]
            assert row["train"]["loss"] == pytest.approx(expected["train"]["loss"], rel=1e-4)
            assert row["validation"]["accuracy"] == pytest.approx(expected["validation"]["accuracy"], abs=0.01)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=0.05, atol=1e-3), params_of(run), params_of(other)
        )
        assert run.result is not None
        assert other.result is not None
        assert run.result.keys() - {"members"} == other.result.keys()
        assert run.result["accuracy"] == api.evaluate(run)["accuracy"]


def test_a_member_can_be_trained_on_alone(digits: data.Dataset, tmp_path: Path) -> None:
    configs = [replace(BASE, seed=seed, epochs=1) for seed in range(2)]
    _, second = api.fit_members("mlp", digits, configs, out=tmp_path / "members", plan=Plan("vmap"))
    longer = api.fit("mlp", digits, replace(configs[1], epochs=2), out=second.path)
    assert [row["epoch"] for row in longer.metrics()] == [1, 2]


def test_what_differs_in_more_than_numbers_is_trained_in_groups(digits: data.Dataset, tmp_path: Path) -> None:
    base = Config(epochs=1, batch=256)
    configs = [
        base,
        replace(base, optim=OptimConfig("sgd")),
        replace(base, seed=3),
        replace(base, optim=OptimConfig(weight_decay=0.1)),
    ]
    assert grouped(configs) == [[0, 2], [1], [3]]
    assert varied([configs[0], configs[2]]) == {}
    events = list(api.fit_members_events("linear", digits, configs, out=tmp_path / "members", plan=Plan("one by one")))
    planned = [event.members for event in events if isinstance(event, api.Planned)]
    ended = [event.member for event in events if isinstance(event, api.MemberEnded)]
    assert planned == [(0, 2), (1,), (3,)]
    assert ended == [0, 2, 1, 3]


def test_each_member_stops_early_by_itself(digits: data.Dataset, tmp_path: Path) -> None:
    """A rate of next to nothing never gets better; the other goes on to its last epoch, as it would alone."""
    base = Config(epochs=5, batch=128, patience=2, select="last")
    configs = [replace(base, optim=OptimConfig("sgd", lr=lr, schedule="constant")) for lr in (1e-9, 0.01)]
    found = api.fit_members("linear", digits, configs, out=tmp_path / "members", plan=Plan("vmap"))
    other = api.fit("linear", digits, configs[1], out=tmp_path / "alone")
    assert [len(run.metrics()) for run in found] == [3, len(other.metrics())]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), params_of(found[1]), params_of(other))


def test_a_member_that_diverges_ends_alone(digits: data.Dataset, tmp_path: Path) -> None:
    base = Config(epochs=2, batch=128)
    configs = [replace(base, optim=OptimConfig("sgd", lr=lr, schedule="constant")) for lr in (0.01, 1e38, 0.02)]
    ended = {
        event.member: event
        for event in api.fit_members_events("mlp", digits, configs, out=tmp_path / "members", plan=Plan("vmap"))
        if isinstance(event, api.MemberEnded)
    }
    assert "of epoch 1 is not finite" in (ended[1].failed or "")
    assert ended[1].result is None
    assert ended[1].run.result is None
    assert all(len(ended[k].run.metrics()) == 2 and ended[k].result for k in (0, 2))


@pytest.mark.parametrize("plan", [Plan("vmap"), Plan("one by one")], ids=str)
def test_what_was_stopped_goes_on_bit_for_bit(plan: Plan, digits: data.Dataset, tmp_path: Path) -> None:
    configs = [replace(BASE, seed=seed, epochs=3) for seed in range(2)]
    whole = api.fit_members("mlp", digits, configs, out=tmp_path / "whole", plan=plan)
    seen = []

    def stop() -> bool:
        return bool(seen)

    for event in api.fit_members_events("mlp", digits, configs, out=tmp_path / "parts", plan=plan, stop=stop):
        if isinstance(event, api.MembersEpoch):
            seen.append(event.epoch)
    assert seen == [1]
    parts = api.fit_members("mlp", digits, configs, out=tmp_path / "parts", plan=plan)
    for one, other in zip(whole, parts, strict=True):
        jax.tree.map(np.testing.assert_array_equal, params_of(one), params_of(other))
        assert one.metrics() == other.metrics()


def test_a_straggler_catches_up(digits: data.Dataset, tmp_path: Path) -> None:
    """Killed between two members' checkpoints: one is an epoch behind, and is alone in the next."""
    configs = [replace(BASE, seed=seed, epochs=2) for seed in range(2)]
    whole = api.fit_members("mlp", digits, configs, out=tmp_path / "whole", plan=Plan("vmap"))
    early = [replace(config, epochs=2) for config in configs]
    stopped = api.fit_members_events("mlp", digits, early, out=tmp_path / "parts", plan=Plan("vmap"))
    for event in stopped:
        if isinstance(event, api.MembersEpoch):
            break
    stopped.close()
    behind = runs.Run.open(tmp_path / "parts" / "001")
    shutil.rmtree(behind.path / "steps")  # it begins anew
    events = list(api.fit_members_events("mlp", digits, configs, out=tmp_path / "parts", plan=Plan("vmap")))
    assert [sorted(event.rows) for event in events if isinstance(event, api.MembersEpoch)] == [[1], [0, 1]]
    for one, number in zip(whole, ("000", "001"), strict=True):
        other = runs.Run.open(tmp_path / "parts" / number)
        jax.tree.map(np.testing.assert_array_equal, params_of(one), params_of(other))


def test_a_run_within_an_epoch_is_no_member(digits: data.Dataset, tmp_path: Path) -> None:
    """Its order would begin anew in the middle."""
    config = replace(BASE, epochs=2, chunk=2)
    stopped = iter([False, True, True])
    for _ in api.fit_events("mlp", digits, config, out=tmp_path / "000", stop=lambda: next(stopped, True)):
        pass
    assert runs.Run.open(tmp_path / "000").latest_step() is not None
    with pytest.raises(ValueError, match=r"stands within epoch 1: members go on from the ends"):
        api.fit_members("mlp", digits, [config], out=tmp_path)


def test_a_plan_is_measured_once(digits: data.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXCNN_CACHE", str(tmp_path / "cache"))
    configs = [Config(epochs=1, batch=256, seed=seed) for seed in range(3)]
    chosen = []
    for number in range(2):
        events = api.fit_members_events("linear", digits, configs, out=tmp_path / str(number))
        chosen += [event.chosen for event in events if isinstance(event, api.Planned)]
    assert [one.remembered for one in chosen] == [False, True]
    assert set(chosen[0].seconds) == {str(plan) for plan in training.plans(3, cores=os.cpu_count() or 1)}
    assert chosen[0].plan == chosen[1].plan
    monkeypatch.setattr("jaxcnn.api.plans.memory", lambda: 0)
    configs = [replace(config, batch=128) for config in configs]
    (planned, *_) = api.fit_members_events("linear", digits, configs, out=tmp_path / "small")
    assert isinstance(planned, api.Planned)
    assert planned.chosen.plan == Plan("one by one"), "what needs the least is left where nothing fits"


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        ([], "`configs` must be at least one"),
        ([Config(mesh="data=1")], r"`mesh` \(=data=1\) is not for members"),
        ([Config(optim=OptimConfig(lr=-1.0))], r"`lr` \(=-1.0\)"),
        ([Config(), Config(augment=AugmentConfig(mixup=-1.0))], "`mixup`"),
    ],
)
def test_what_cannot_be_members(configs: list[Config], message: str, digits: data.Dataset, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        api.fit_members("linear", digits, configs, out=tmp_path / "members")
    assert not (tmp_path / "members").exists()
