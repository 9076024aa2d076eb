"""Checkpoints of members are written seldom, and lose nothing that a run keeps."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxcnn import api, data, runs
from jaxcnn.api import keeping
from jaxcnn.config import Config, OptimConfig
from jaxcnn.training import Plan

EPOCHS = 5
CONFIGS = [Config(epochs=EPOCHS, seed=seed, optim=OptimConfig("nesterov", lr=lr)) for seed, lr in ((0, 0.02), (1, 0.5))]


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first epoch no writing is ever due."""
    monkeypatch.setattr(keeping.Keeper, "is_due", lambda keeper: keeper._written == 0.0)


def values(run: runs.Run) -> list[float]:
    return [row["validation"]["accuracy"] for row in run.metrics()]


def same(one: runs.Run, other: runs.Run) -> None:
    jax.tree.map(np.testing.assert_array_equal, api.load(one).params, api.load(other).params)
    assert one.metrics() == other.metrics()
    assert one.result
    assert other.result
    assert one.result.keys() == other.result.keys()
    for name in one.result.keys() - {"seconds", "compile_s"}:
        assert one.result[name] == other.result[name]


@pytest.mark.parametrize("keep_best", [1, 3])
@pytest.mark.parametrize("plan", [Plan("vmap"), Plan("one by one")], ids=str)
def test_the_best_are_kept_though_seldom_written(
    plan: Plan, keep_best: int, digits: data.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [replace(config, keep_best=keep_best) for config in CONFIGS]
    monkeypatch.setattr(keeping.Keeper, "is_due", lambda keeper: True)
    always = api.fit_members("mlp", digits, configs, out=tmp_path / "always", plan=plan)
    monkeypatch.setattr(keeping.Keeper, "is_due", lambda keeper: keeper._written == 0.0)
    seldom = api.fit_members("mlp", digits, configs, out=tmp_path / "seldom", plan=plan)
    steps = always[0].metrics()[0]["step"]
    for one, other in zip(always, seldom, strict=True):
        same(one, other)
        ranked = sorted(range(EPOCHS), key=lambda epoch: (-values(one)[epoch], epoch))[:keep_best]
        assert {steps * (epoch + 1) for epoch in ranked} <= set(other.steps())
        assert other.latest_step() == steps * EPOCHS
    assert len({tuple(values(run)) for run in always}) == 2, "members that differ"


def test_a_checkpoint_that_is_written_late_holds_its_own_epochs(
    seldom: None, digits: data.Dataset, tmp_path: Path
) -> None:
    for run in api.fit_members("mlp", digits, CONFIGS, out=tmp_path, plan=Plan("vmap")):
        for step in run.steps():
            rows = (run.path / "steps" / str(step) / "metrics.jsonl").read_text().splitlines()
            assert len(rows) == run.progress(step).epoch


def test_what_was_killed_goes_on_from_what_was_written(seldom: None, digits: data.Dataset, tmp_path: Path) -> None:
    whole = api.fit_members("mlp", digits, CONFIGS, out=tmp_path / "whole", plan=Plan("vmap"))
    killed: Any = api.fit_members_events("mlp", digits, CONFIGS, out=tmp_path / "parts", plan=Plan("vmap"))
    for event in killed:
        if isinstance(event, api.MembersEpoch) and event.epoch == 3:
            break
    killed.close()
    begun = [runs.Run.open(tmp_path / "parts" / number) for number in ("000", "001")]
    assert [len(run.metrics()) for run in begun] == [3, 3]
    assert [len(run.steps()) for run in begun] == [1, 1]
    events = list(api.fit_members_events("mlp", digits, CONFIGS, out=tmp_path / "parts", plan=Plan("vmap")))
    assert [event.epoch for event in events if isinstance(event, api.MembersEpoch)] == [2, 3, 4, 5]
    for one, other in zip(whole, begun, strict=True):
        same(one, other)


def test_writing_takes_no_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(keeping.time, "perf_counter", lambda: now[0])
    keeper = keeping.Keeper([], mode="max")
    assert keeper.is_due()
    keeper._took, keeper._written = 2.0, 100.0
    now[0] = 117.9
    assert not keeper.is_due()
    now[0] = 118.1
    assert keeper.is_due()
