"""Adaptive sweeps: what an Optuna study asks for is trained and told, after a stop and from several folders too."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from jaxcnn import training
from jaxcnn.api.adaptive import NEEDED, Asked, adaptive_events
from jaxcnn.api.sweep import Trial, read_trials, standings
from jaxcnn.config import Config, OptimConfig
from jaxcnn.space import Choice, Range

SPACES = {"optim.lr": Range(1e-5, 1e-1, log=True), "optim.schedule": Choice(("linear", "cosine"))}
PLAN = training.Plan("one by one")


def build(values: dict[str, Any]) -> Trial:
    config = Config(epochs=2, batch=256, optim=OptimConfig(lr=values["optim.lr"], schedule=values["optim.schedule"]))
    return Trial(values, tuple(replace(config, seed=seed) for seed in (0, 1)))


def search(out: Path, **options: Any) -> list[tuple[int, ...]]:
    """Return which trials were asked for."""
    options = {"trials": 5, "together": 2, "plan": PLAN, **options}
    events = adaptive_events("linear", "synthetic", SPACES, build, out=out, **options)
    return [event.trials for event in events if isinstance(event, Asked)]


def journal(file: Path, name: str) -> optuna.Study:
    return optuna.load_study(
        study_name=name, storage=optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
    )


def test_what_is_told_is_the_mean_over_seeds(tmp_path: Path) -> None:
    assert search(tmp_path / "sweep") == [(0, 1), (2, 3), (4,)]
    study = journal(tmp_path / "sweep" / "optuna.log", "sweep")
    found = {one.trial: one for one in standings(tmp_path / "sweep", read_trials(tmp_path / "sweep"))}
    assert len(found) == 5
    for trial in study.trials:
        one = found[trial.user_attrs["number"]]
        assert trial.value == one.mean == pytest.approx(sum(one.scores) / 2)
        assert one.values == trial.params
        assert len(one.scores) == 2
    assert study.best_trial.user_attrs["number"] == min(found.values(), key=lambda one: -one.mean).trial
    assert len({trial.params["optim.lr"] for trial in study.trials}) == 5
    assert search(tmp_path / "sweep") == [], "a study that has its trials asks for no more"
    assert search(tmp_path / "sweep", trials=6) == [(5,)]


@pytest.mark.parametrize("after", [1, 3])
def test_a_search_goes_on_where_it_was_stopped(tmp_path: Path, after: int) -> None:
    asked_to_stop: list[int] = []

    def stop() -> bool:
        asked_to_stop.append(1)
        return len(asked_to_stop) > after

    begun = search(tmp_path / "sweep", stop=stop)
    study = journal(tmp_path / "sweep" / "optuna.log", "sweep")
    running = [trial.user_attrs["number"] for trial in study.trials if not trial.state.is_finished()]
    assert running, "it was stopped with trials that run"
    # And as if it had been killed after a trial was asked for and before it was written down.
    schedules = optuna.distributions.CategoricalDistribution(("linear", "cosine"))
    rates = optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True)
    lost = study.ask({"optim.lr": rates, "optim.schedule": schedules})
    lost.set_user_attr("at", str((tmp_path / "sweep").resolve()))
    lost.set_user_attr("number", len(read_trials(tmp_path / "sweep")))
    assert search(tmp_path / "sweep")[0] == (*running, lost.number)
    states = [trial.state.name for trial in journal(tmp_path / "sweep" / "optuna.log", "sweep").trials]
    assert states == ["COMPLETE"] * 5
    trials = read_trials(tmp_path / "sweep")
    assert [one.epochs for one in standings(tmp_path / "sweep", trials)] == [2] * len(trials)
    assert begun[0] == (0, 1)


def test_trials_that_diverge_count_and_are_told(tmp_path: Path) -> None:
    spaces = {"optim.lr": Range(1e30, 1e35, log=True)}

    def wild(values: dict[str, Any]) -> Trial:
        config = Config(epochs=1, batch=256, optim=OptimConfig("sgd", lr=values["optim.lr"]))
        return Trial(values, (config,))

    events = adaptive_events("mlp", "synthetic", spaces, wild, out=tmp_path / "wild", trials=3, together=2, plan=PLAN)
    assert [event.trials for event in events if isinstance(event, Asked)] == [(0, 1), (2,)]
    states = [trial.state.name for trial in journal(tmp_path / "wild" / "optuna.log", "wild").trials]
    assert states == ["FAIL"] * 3
    with pytest.raises(ValueError, match="holds a sweep of other settings"):
        list(adaptive_events("mlp", "synthetic", SPACES, build, out=tmp_path / "wild", trials=4, plan=PLAN))


def test_folders_share_a_study(tmp_path: Path) -> None:
    shared = {"storage": str(tmp_path / "study.log"), "study": "both"}
    assert search(tmp_path / "here", trials=2, **shared) == [(0, 1)]
    assert search(tmp_path / "there", trials=5, **shared) == [(0, 1), (2,)]
    trials = journal(tmp_path / "study.log", "both").trials
    assert [Path(trial.user_attrs["at"]).name for trial in trials] == ["here"] * 2 + ["there"] * 3
    sqlite = f"sqlite:///{tmp_path}/study.db"
    assert search(tmp_path / "third", trials=1, storage=sqlite) == [(0,)]
    assert len(optuna.load_study(study_name="third", storage=sqlite).trials) == 1


def test_a_sampler_does_not_draw_again_what_it_drew(tmp_path: Path) -> None:
    for trials in range(1, 5):
        search(tmp_path / "sweep", trials=trials)
    rates = [trial.params["optim.lr"] for trial in journal(tmp_path / "sweep" / "optuna.log", "sweep").trials]
    assert len(set(rates)) == 4


def test_what_is_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="`trials` \\(=0\\)"):
        search(tmp_path / "a", trials=0)
    with pytest.raises(ValueError, match="must be one of tpe, cmaes, gp"):
        search(tmp_path / "a", sampler="best")
    monkeypatch.setitem(NEEDED, "gp", "no_such_package")
    with pytest.raises(ValueError, match="sampler gp needs the package no_such_package"):
        search(tmp_path / "a", sampler="gp")
    with pytest.raises(ValueError, match="cannot be opened"):
        search(tmp_path / "a", storage="nowhere://x")
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("kept")
    with pytest.raises(ValueError, match="is not empty, and holds no sweep"):
        search(other)
    assert [path.name for path in other.iterdir()] == ["mine.txt"]
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match=r"pip install 'jaxcnn\[optuna\]'"):
        search(tmp_path / "a")
