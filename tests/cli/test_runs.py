import dataclasses
import json
from pathlib import Path

import pytest
from references import damage

from jaxcnn.config import ModelConfig
from jaxcnn.runs import Run


@pytest.fixture(autouse=True)
def three() -> None:
    """One that ended, one that was stopped in its first epoch, and one that is damaged; and what is no run."""
    base = dataclasses.replace(damage.CONFIG, model=ModelConfig("resnet9"), epochs=2)
    ended = Run.create("checkpoints/a", base, damage.FACTS)
    for epoch, accuracy in ((1, 0.75), (2, 0.5)):
        ended.record({"epoch": epoch, "validation": {"accuracy": accuracy}}, {"seconds": 10.0})
    ended.finish({"epochs": 2, "accuracy": 0.625, "seconds": 1234.5})
    stopped = Run.create("checkpoints/b", dataclasses.replace(base, model=ModelConfig("mlp"), seed=9), damage.FACTS)
    stopped.record({"epoch": 1, "validation": {"loss": 0.5}}, {"seconds": 3.0})
    stopped.record({"epoch": 2, "validation": {"loss": 0.25}}, {"seconds": -1.0})  # the clock went back
    Run.create("checkpoints/c", base, damage.FACTS)
    Path("checkpoints/c/config.json").write_text("[]")
    Path("checkpoints/README.md").write_text("what lies here")


def test_a_table(command) -> None:
    code, out, err = command("runs")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines() if line.strip()]
    assert lines[0] == ["Run", "Model", "Data", "Epochs", "Validation", "Test", "State", "Seconds"]
    assert lines[2:5] == [
        ["a", "resnet9", "digits", "2/2", "0.7500", "0.6250", "ended", "1,234.5"],
        ["b", "mlp", "digits", "2/2", "0.2500", "stopped", "3.0"],
        ["c", "damaged"],
    ]
    assert out.splitlines()[-1].startswith("c is damaged: checkpoints/c/config.json is damaged: it holds a JSON list")


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        ([], "abc"), (["--descending"], "cba"), (["--sort", "seconds"], "bac"), (["--sort", "accuracy"], "abc"),
        (["--sort", "model"], "bac"), (["--sort", "seed", "--descending"], "bac"),
        (["--filter", "model.name=resnet9"], "a"), (["--filter", "seed=9"], "b"), (["--filter", "seed=9.0"], "b"),
        (["--filter", "state=damaged"], "c"), (["--filter", "optim.lr=1e-3", "state=ended"], "a"),
        (["--filter", "model.width=none", "model.width=null"], "abc"), (["--filter", "model.name=linear"], ""),
        (["checkpoints/b"], "b"),
    ],
)  # fmt: skip
def test_sorted_and_filtered(command, argv: list[str], names: str) -> None:
    code, out, _ = command("runs", *argv, "--json")
    assert (code, [run["name"] for run in json.loads(out)]) == (0, list(names))


def test_what_is_running_is_told(command) -> None:
    with Run.open("checkpoints/b").locked():
        _, out, _ = command("runs", "--json")
    assert [run["state"] for run in json.loads(out)] == ["ended", "running", "damaged"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--sort", "acuracy"], "unknown field 'acuracy': did you mean 'accuracy'?"),
        (["--filter", "model.name"], "the filter 'model.name' must be FIELD=VALUE, such as model.name=resnet9"),
        (["--filter", "model.nam=x"], "unknown field 'model.nam': did you mean 'model.name'?"),
        (["checkpoints/README.md"], "checkpoints/README.md is a file: give the folder that runs lie in"),
    ],
)
def test_what_is_wrong_is_one_line(command, argv: list[str], message: str) -> None:
    code, out, err = command("runs", *argv)
    assert (code, out) == (2, "")
    assert err.startswith(f"jaxcnn: error: {message}")


def test_nothing_there_is_no_error(command) -> None:
    assert command("runs", "nowhere")[0] == 2
    Path("empty").mkdir()
    assert command("runs", "empty") == (0, "no runs in empty\n", "")
    assert command("runs", "--filter", "seed=77") == (0, "no runs in checkpoints that fit\n", "")
