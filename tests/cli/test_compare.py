"""`jaxcnn compare`: the numbers of the runs' own files, side by side."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from jaxcnn import api
from jaxcnn.config import Config, ModelConfig, OptimConfig
from jaxcnn.runs import Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that have ended, and one that was stopped in its first epoch."""
    folder = tmp_path_factory.mktemp("compare")
    base = Config(epochs=3, optim=OptimConfig(lr=0.01))
    api.fit("linear", "digits", base, out=folder / "one")
    api.fit("mlp", "digits", replace(base, epochs=2, model=ModelConfig("mlp", width=8)), out=folder / "two")
    for _ in api.fit_events("linear", "digits", replace(base, seed=5), out=folder / "begun", stop=lambda: True):
        pass
    return folder


def test_the_numbers_are_those_of_the_files(command, folder: Path) -> None:
    code, out, err = command("compare", *(str(folder / name) for name in ("one", "two", "begun")), "--json")
    found = json.loads(out)
    measured = found["measured"]
    assert (code, err) == (0, "")
    assert found["runs"] == ["one", "two", "begun"]
    assert measured["state"] == ["ended", "ended", "stopped"]
    for place, name in enumerate(("one", "two")):
        lines = (folder / name / "metrics.jsonl").read_text().splitlines()
        rows, result = [json.loads(line) for line in lines], json.loads((folder / name / "result.json").read_text())
        accuracies = [row["validation"]["accuracy"] for row in rows]
        best = rows[accuracies.index(max(accuracies))]
        for metric in ("loss", "accuracy"):
            assert measured[f"validation {metric}, last"][place] == rows[-1]["validation"][metric]
            assert measured[f"validation {metric}, best"][place] == best["validation"][metric]
            assert measured[f"train {metric}, last"][place] == rows[-1]["train"][metric]
            assert measured[f"test {metric}"][place] == result[metric]
        assert measured["epoch, best"][place] == best["epoch"]
        assert measured["parameters"][place] == result["parameters"]
        assert measured["seconds"][place] == result["seconds"]
        assert measured["epochs"][place] == len(rows)
    assert measured["test accuracy"][2] is None


def test_only_what_differs_is_told_of_configs(command, folder: Path) -> None:
    _, out, _ = command("compare", str(folder / "one"), str(folder / "two"), "--json")
    assert json.loads(out)["configs"] == {
        "model.name": ["linear", "mlp"],
        "model.width": [None, 8],
        "epochs": [3, 2],
    }
    code, out, _ = command("compare", str(folder / "one"), str(folder / "two"))
    assert code == 0
    assert f"{Run.open(folder / 'two').result['accuracy']:.4f}" in out
    assert "optim.lr" not in out
    assert "train accuracy" not in out
    assert "train accuracy, last" in command("compare", str(folder / "one"), str(folder / "two"), "--all")[1]


def test_runs_of_one_name_are_called_by_their_paths(command, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "one", tmp_path / "one")
    _, out, _ = command("compare", str(folder / "one"), str(tmp_path / "one"), "--json")
    assert json.loads(out)["runs"] == [str(folder / "one"), str(tmp_path / "one")]
    assert "their configs are the same" in command("compare", str(folder / "one"), str(tmp_path / "one"))[1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["one"], "takes two runs or more"),
        ([], "takes two runs or more"),
        (["one", "one/../one"], "is given twice"),
        (["one", "three"], "is not a run: it does not exist"),
    ],
)
def test_what_is_wrong_is_one_line(names: list[str], message: str, command, folder: Path) -> None:
    code, out, err = command("compare", *(str(folder / name) for name in names))
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert message in err
