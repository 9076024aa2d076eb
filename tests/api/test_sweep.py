"""Sweeps: what is tried, what is dropped, what is ranked; stopped and gone on with."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from jaxcnn import api, data
from jaxcnn.api.sweep import Dropped, Trial, interval, rungs, standings, sweep_events
from jaxcnn.config import Config, OptimConfig
from jaxcnn.space import Choice, Range, drawn, grid, parse_space
from jaxcnn.training import Plan


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("0:3", Choice(("0", "1", "2"))),
        ("relu,gelu", Choice(("relu", "gelu"))),
        ("0.1,1e-3", Choice(("0.1", "1e-3"))),
        ("log:1e-3:1", Range(1e-3, 1.0, log=True)),
        ("lin:0:0.5:3", Range(0.0, 0.5, log=False, points=3)),
        ("cosine", None),
        ("0.1", None),
        ("folder:pictures", None),
    ],
)
def test_what_a_flag_is_given(text: str, space: Choice | Range | None) -> None:
    assert parse_space(text) == space


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3:3", "holds no number"),
        ("log:0:1", "LOW must be above 0"),
        ("log:1:0.1", "HIGH larger"),
        ("lin:a:b", "must be log:LOW:HIGH"),
        ("log:0.1", "must be log:LOW:HIGH"),
        ("lin:0:1:1", "POINTS must be at least 2"),
        ("a,,b", "different values"),
        ("a,a", "different values"),
        ("lin:0:inf", "HIGH larger and finite"),
    ],
)
def test_what_is_no_space(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_space(text)


def test_grids_and_draws() -> None:
    spaces = {"lr": Range(1e-4, 1.0, log=True, points=5), "act": Choice(("a", "b"))}
    assert [row["lr"] for row in grid(spaces)][::2] == pytest.approx([1e-4, 1e-3, 1e-2, 0.1, 1])
    assert len({tuple(row.values()) for row in grid(spaces)}) == 10
    rows = drawn(spaces, 400, seed=1)
    logs = np.log([row["lr"] for row in rows])
    assert stats.kstest(logs, "uniform", (math.log(1e-4), -math.log(1e-4))).pvalue > 0.01
    assert 150 < sum(row["act"] == "a" for row in rows) < 250
    assert rows[:5] == drawn(spaces, 5, seed=1) != drawn(spaces, 5, seed=2)
    even = [row["x"] for row in drawn({"x": Range(2.0, 4.0, log=False)}, 400, seed=0)]
    assert stats.kstest(even, "uniform", (2, 2)).pvalue > 0.01


@pytest.mark.parametrize(
    ("epochs", "trials", "keep", "expected"),
    [
        (9, 9, 3, [(1, 9), (3, 3), (9, 1)]),
        (10, 16, 4, [(2, 16), (10, 4)]),
        (16, 4, 4, [(4, 4), (16, 1)]),
        (1, 8, 2, [(1, 8)]),
        (8, 1, 2, [(8, 1)]),
        (27, 20, 3, [(3, 20), (9, 6), (27, 2)]),
    ],
)
def test_rungs_of_successive_halving(epochs: int, trials: int, keep: int, expected: list) -> None:
    assert rungs(epochs, trials, keep) == expected


def test_an_interval_over_seeds_is_students() -> None:
    values = [0.91, 0.93, 0.90, 0.94]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    mean, half = interval(values)
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert math.isnan(interval([0.5])[1])


BASE = Config(epochs=4, batch=128, optim=OptimConfig("sgd", schedule="cosine"))
RATES = (1e-5, 0.05, 1e-4, 0.01, 2e-5, 1e-3)


def trials(rates: tuple[float, ...] = RATES, seeds: int = 1) -> list[Trial]:
    return [
        Trial({"optim.lr": lr}, tuple(replace(BASE, seed=s, optim=replace(BASE.optim, lr=lr)) for s in range(seeds)))
        for lr in rates
    ]


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


def test_the_better_half_goes_on(digits: data.Dataset, tmp_path: Path) -> None:
    asked, planned = trials(), []
    dropped = []
    for event in sweep_events("linear", digits, asked, out=tmp_path / "sweep", keep=2, plan=Plan("vmap")):
        if isinstance(event, Dropped):
            dropped.append((event.epochs, event.trials))
        if isinstance(event, api.Planned):
            planned.append(len(event.members))
    found = standings(tmp_path / "sweep", asked)
    assert planned == [6, 3, 1], "what was dropped makes room"
    assert [epochs for epochs, _ in dropped] == [1, 2]
    assert [one.epochs for one in found] == [4, 2, 2, 1, 1, 1]
    assert [one.ended for one in found] == [True] + [False] * 5
    assert found[0].trial == 1
    whole = api.fit("linear", digits, asked[1].configs[0], out=tmp_path / "alone")
    best = max(row["validation"]["accuracy"] for row in whole.metrics())
    assert found[0].mean == pytest.approx(best, abs=0.01), "of its whole schedule, not of a shorter one"
    assert found[0].test == pytest.approx([(whole.result or {})["accuracy"]], abs=0.01)


def test_a_sweep_that_was_stopped_goes_on(digits: data.Dataset, tmp_path: Path) -> None:
    asked = trials(RATES[:4], seeds=2)
    for _ in sweep_events("linear", digits, asked, out=tmp_path / "whole", keep=2, plan=Plan("vmap")):
        pass
    for limit in (1, 2, 3):
        seen: list[int] = []
        events = sweep_events(
            "linear", digits, asked, out=tmp_path / "parts", keep=2, plan=Plan("vmap"),
            stop=lambda seen=seen, limit=limit: len(seen) >= limit,
        )  # fmt: skip
        for event in events:
            if isinstance(event, api.MembersEpoch):
                seen.append(event.epoch)
        assert seen, "each call goes on"
    for _ in sweep_events("linear", digits, asked, out=tmp_path / "parts", keep=2, plan=Plan("vmap")):
        pass
    one, other = (standings(tmp_path / name, asked) for name in ("whole", "parts"))
    assert one == other
    assert [len(standing.scores) for standing in one] == [2] * 4


def test_a_folder_keeps_its_trials(digits: data.Dataset, tmp_path: Path) -> None:
    list(sweep_events("linear", digits, trials(RATES[:2]), out=tmp_path, plan=Plan("vmap")))
    more = trials(RATES[:3])
    list(sweep_events("linear", digits, more, out=tmp_path, plan=Plan("vmap")))
    assert all(one.ended for one in standings(tmp_path, more))
    with pytest.raises(ValueError, match="holds a sweep of other trials"):
        list(sweep_events("linear", digits, trials((0.5,)), out=tmp_path))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(ValueError, match="is not empty, and holds no sweep"):
        list(sweep_events("linear", digits, more, out=tmp_path / "other"))
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(ValueError, match=r"sweep.json is damaged"):
        list(sweep_events("linear", digits, more, out=tmp_path))
    with pytest.raises(ValueError, match="at least one"):
        list(sweep_events("linear", digits, [], out=tmp_path))


def test_a_trial_whose_networks_diverge_ranks_last(digits: data.Dataset, tmp_path: Path) -> None:
    asked = trials((1e38, 0.01))
    events = list(sweep_events("mlp", digits, asked, out=tmp_path, plan=Plan("vmap")))
    assert [event.member for event in events if isinstance(event, api.MemberEnded) and event.failed] == [0]
    assert [one.trial for one in standings(tmp_path, asked)] == [1, 0]
    assert json.loads((tmp_path / "sweep.json").read_text())["model"] == "mlp"
