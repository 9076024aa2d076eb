import dataclasses
import json
import shutil
from datetime import datetime
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest

from jaxcnn import training
from jaxcnn.config import Config, OptimConfig
from jaxcnn.runs import Run, environment, folder, is_run, new_folder, tensorboard
from jaxcnn.runs.verify import verify
from jaxcnn.training import Progress

CONFIG = Config(epochs=5, seed=3)
FACTS = {"name": "mine", "input_shape": (2, 2, 1), "classes": ["a", "b"], "counts": {"train": 8}}
FACTS |= {"preprocessing": {"scale": 1.0, "mean": [0.0], "std": [1.0]}}


def state(step: int) -> training.TrainState:
    made = training.create_state({"kernel": jnp.full(3, float(step))}, {}, optax.adam(0.1), jax.random.key(0))
    return dataclasses.replace(made, step=jnp.int32(step))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", CONFIG, FACTS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Epochs of two steps: the second is the best, the third and fourth the newest; the first's checkpoint is gone."""
    run = Run.create(tmp_path_factory.mktemp("made") / "run", CONFIG, FACTS)
    for epoch, value, best, top in ((1, 0.4, 1, 0.4), (2, 0.6, 2, 0.6), (3, 0.5, 2, 0.6), (4, 0.3, 2, 0.6)):
        run.record({"epoch": epoch, "loss": 1 / epoch}, {"seconds": 1.0})
        run.save(state(2 * epoch), Progress(epoch, top, best, value)).result()
    return run.path


@pytest.fixture
def trained(made: Path, tmp_path: Path) -> Run:
    return Run(shutil.copytree(made, tmp_path / "trained"))


def test_a_folder_tells_what_was_done(run: Run) -> None:
    assert run.config == CONFIG
    assert run.facts["classes"] == ["a", "b"]
    facts = json.loads((run.path / "environment.json").read_text())
    assert facts["packages"]["jax"] == jax.__version__
    assert facts["device"]["count"] == len(jax.devices())
    assert run.result is None
    assert run.latest_step() is None
    assert Run.open(run.path) == run


def test_the_environment_names_flags_but_no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXCNN_LOWERING", "xla")
    facts = environment()
    assert facts["flags"]["JAXCNN_LOWERING"] == "xla"
    assert "host" not in json.dumps(list(facts))


def test_newest_and_best_are_found(trained: Run) -> None:
    assert trained.steps() == [4, 6, 8]
    assert (trained.latest_step(), trained.chosen_step()) == (8, 4)
    assert trained.progress(4) == Progress(2, 0.6, 2, 0.6)
    restored = trained.restore(4, state(0))
    assert int(restored.step) == 4
    assert restored.params["kernel"].tolist() == [4.0] * 3
    params, statistics = trained.restore_network(6, state(0).params, {})
    assert (params["kernel"].tolist(), statistics) == ([6.0] * 3, {})


def test_the_config_chooses(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", dataclasses.replace(CONFIG, select="last"), FACTS)
    run.save(state(2), Progress(1, 0.5, 1, 0.5)).result()
    run.save(state(4), Progress(2, 0.5, 1, 0.4)).result()
    assert run.chosen_step() == 4


def test_a_step_within_an_epoch_is_never_the_best(run: Run) -> None:
    run.save(state(1), Progress(step=1, sums={"loss": 0.1, "nothing": float("nan")})).result()
    assert run.latest_step() == 1
    assert repr(run.progress(1).sums) == "{'loss': 0.1, 'nothing': nan}"
    with pytest.raises(ValueError, match="has no checkpoint of a whole epoch yet"):
        run.chosen_step()
    run.save(state(2), Progress(1, 0.5, 1, 0.5)).result()
    run.save(state(3), Progress(1, 0.5, 1, step=1, sums={"loss": 0.1})).result()
    assert (run.latest_step(), run.chosen_step()) == (3, 2)


def test_a_moving_average_is_the_network(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", dataclasses.replace(CONFIG, ema=0.9), FACTS)
    averaged = dataclasses.replace(state(2), ema={"kernel": jnp.full(3, 7.0)})
    run.save(averaged, Progress(1, 0.5, 1, 0.5)).result()
    assert run.restore_network(2, state(0).params, {})[0]["kernel"].tolist() == [7.0] * 3
    restored = run.restore(2, dataclasses.replace(state(0), ema=state(0).params))
    assert restored.ema["kernel"].tolist() == [7.0] * 3
    assert restored.params["kernel"].tolist() == [2.0] * 3
    with pytest.raises(ValueError, match=r"`ema/kernel` is float32\[3\] there, nothing is expected"):
        run.restore(2, state(0))


def test_resuming_forgets_what_came_after_the_checkpoint(trained: Run) -> None:
    before = (trained.path / "metrics.jsonl").read_bytes()
    trained.record({"epoch": 5, "loss": 0.1}, {"seconds": 1.0})
    with (trained.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 6, "lo')
    longer = dataclasses.replace(CONFIG, epochs=9, chunk=7, save_every=3, keep_last=9, mesh="data=2")
    assert trained.resume(longer, FACTS) == (8, Progress(4, 0.6, 2, 0.3), ())
    assert (trained.path / "metrics.jsonl").read_bytes() == before
    assert [row["epoch"] for row in trained.metrics()] == [1, 2, 3, 4]
    assert trained.times() == [{"epoch": epoch, "seconds": 1.0} for epoch in (1, 2, 3, 4)]
    assert tensorboard.read(trained.path / tensorboard.FILE) == tensorboard.points(trained.metrics())
    assert trained.config == longer
    assert json.loads((trained.path / "environment.json").read_text())["resumed"][0]["epoch"] == 4


def test_an_older_result_is_kept(trained: Run) -> None:
    trained.finish({"accuracy": 0.5})
    trained.resume(CONFIG, FACTS)
    assert trained.result == {"accuracy": 0.5}
    trained.resume(dataclasses.replace(CONFIG, epochs=9), FACTS)
    assert trained.result is None
    assert json.loads((trained.path / "result_5_epochs.json").read_text()) == {"accuracy": 0.5}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 4}, "another config: `seed` was 3 and is 4"),
        ({"optim": OptimConfig(lr=1.0), "batch": 1}, "`optim.lr` was 0.001 and is 1.0, `batch` was 128 and is 1"),
        ({"epochs": 4}, r"`epochs` \(=5\), which may be raised, not lowered to 4"),
    ],
)
def test_another_config_is_refused(trained: Run, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trained.resume(dataclasses.replace(CONFIG, **changes), FACTS)
    assert trained.config == CONFIG


def test_other_data_are_refused(trained: Run) -> None:
    with pytest.raises(ValueError, match=r"the data are not those .* counts differ"):
        trained.resume(CONFIG, FACTS | {"counts": {"train": 9}})


def test_without_a_checkpoint_anything_may_change(run: Run) -> None:
    run.record({"epoch": 1})
    other, facts = dataclasses.replace(CONFIG, seed=4, epochs=2), FACTS | {"counts": {"train": 9}}
    assert run.resume(other, facts) == (None, Progress(), ())
    assert (run.config, run.facts["counts"], run.metrics()) == (other, {"train": 9}, [])


def test_a_run_that_has_ended_keeps_what_was_measured(trained: Run) -> None:
    trained.finish({"accuracy": 0.5})
    before = [path.read_bytes() for path in sorted(trained.path.glob("*.json*"))]
    shutil.rmtree(trained.path / "steps" / "8")
    assert trained.resume(CONFIG, FACTS).progress.epoch == 3
    shutil.rmtree(trained.path / "steps")
    with pytest.raises(ValueError, match=r"has ended .* but its checkpoints are gone: give another `--out`"):
        trained.resume(dataclasses.replace(CONFIG, epochs=9), FACTS)
    assert [path.read_bytes() for path in sorted(trained.path.glob("*.json*"))] == before


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("config.json", "[]", "holds a JSON list"),
        ("config.json", '{"epoch": 1}', "is damaged: unknown config field 'epoch'"),
        ("config.json", '{"optim": 1}', "is damaged: `optim` must be an object, got 1"),
        ("data.json", "{}", "lacks input_shape, classes, counts, preprocessing"),
        ("data.json", None, "is missing"),
        ("result.json", "[]", "holds a JSON list"),
    ],
)
def test_damage_is_told(trained: Run, name: str, text: str | None, problem: str) -> None:
    path = trained.path / name
    path.unlink(missing_ok=True) if text is None else path.write_text(text)
    with pytest.raises(ValueError, match=f"{name} .*{problem}|{name} {problem}"):
        trained.resume(CONFIG, FACTS)


@pytest.mark.parametrize("text", [None, "[]", "{"])
def test_a_damaged_environment_is_no_obstacle(trained: Run, text: str | None) -> None:
    path = trained.path / "environment.json"
    path.unlink() if text is None else path.write_text(text)
    assert trained.resume(CONFIG, FACTS).step == 8
    assert len(json.loads(path.read_text())["resumed"]) == 1


def test_a_config_that_was_changed_by_hand_is_told(trained: Run) -> None:
    """The newest checkpoint has it as it was."""
    changed = dataclasses.replace(CONFIG, batch=CONFIG.batch + 1)
    (trained.path / "config.json").write_text(json.dumps(dataclasses.asdict(changed)))
    with pytest.raises(ValueError, match=f"`batch` was {CONFIG.batch} and is {changed.batch}"):
        trained.resume(trained.config, FACTS)
    (finding,) = (found for found in verify(trained.path) if found.name == "config.json")
    assert f"it is not that of the checkpoint of step 8: `batch` was {CONFIG.batch}" in str(finding.problem)


@pytest.mark.parametrize("torn", [b"x\n", b""])
def test_the_metrics_of_a_run_that_has_ended_are_restored(trained: Run, torn: bytes) -> None:
    trained.finish({"accuracy": 0.5})
    path = trained.path / "metrics.jsonl"
    before = path.read_bytes()
    path.write_bytes(torn)
    trained.resume(CONFIG, FACTS)
    assert path.read_bytes() == before


def test_nothing_is_overwritten(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a run already"):
        Run.create(run.path, CONFIG, FACTS)
    with pytest.raises(ValueError, match="is not empty, and is not a run"):
        Run.create(tmp_path, CONFIG, FACTS)
    (tmp_path / "empty").mkdir()
    assert Run.create(tmp_path / "empty", CONFIG, FACTS).config == CONFIG


def test_what_is_no_run_is_told(run: Run, tmp_path: Path) -> None:
    for path, problem in ((tmp_path, "has no config.json"), (tmp_path / "no", "does not exist")):
        assert not is_run(path)
        with pytest.raises(ValueError, match=f"is not a run: it {problem}"):
            Run.open(path)
    with pytest.raises(ValueError, match="has no checkpoint"):
        run.chosen_step()


def test_folders_are_numbered(tmp_path: Path) -> None:
    names = [new_folder("cifar10:a/b", tmp_path).name.split("_", 1)[1] for _ in range(3)]
    assert names == ["cifar10-a-b", "cifar10-a-b-2", "cifar10-a-b-3"]


@pytest.mark.parametrize("name", ["é" * 300, "x" * 300, "日本" * 90, ".." * 200])
def test_long_names_are_cut_off(tmp_path: Path, name: str) -> None:
    first, second = new_folder(name, tmp_path), new_folder(name, tmp_path)
    assert first != second
    assert all(len(path.name.encode()) <= 255 and path.parent == tmp_path for path in (first, second))


def test_a_clock_that_goes_back_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        days = iter([9, 8, 9])

        @classmethod
        def now(cls) -> datetime:
            return datetime(2026, 1, next(cls.days))

    monkeypatch.setattr(folder, "datetime", Clock)
    names = [new_folder("x", tmp_path).name for _ in range(3)]
    assert names == ["2026-01-09_x", "2026-01-08_x", "2026-01-09_x-2"]


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_a_name_that_nothing_can_have_is_told(tmp_path: Path, name: str) -> None:
    assert not is_run(tmp_path / name)
    with pytest.raises((ValueError, OSError)) as raised:
        Run.create(tmp_path / name, CONFIG, FACTS)
    assert "\n" not in str(raised.value)
