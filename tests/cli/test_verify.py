import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from references import damage

from jaxcnn.runs import Run


@pytest.fixture
def run() -> Run:
    run = damage.make_run(Path("run"))
    run.finish({"epochs": 2, "accuracy": 0.5})
    return run


def test_a_whole_run_is_told_file_by_file(command: Callable[..., tuple[int, str, str]], run: Run) -> None:
    code, out, err = command("verify", "run")
    assert (code, err) == (0, "")
    *lines, last = out.splitlines()
    assert [line.split() for line in lines] == [
        [name, "whole"]
        for name in (
            "config.json", "data.json", "environment.json", "result.json", "timings.jsonl", "steps/2", "steps/4",
            "metrics.jsonl", "tensorboard/events.out.tfevents.0.jaxcnn", "tensorboard/events.out.tfevents.1.jaxcnn",
        )
    ]  # fmt: skip
    assert last == "all 10 whole"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("config.json", '{"epochs": "5"}', "`epochs` must be a whole number, got '5'"),
        ("data.json", None, "it is missing"),
        ("environment.json", "[]", "it holds a JSON list, an object is expected"),
        ("result.json", "{}", "it lacks epochs"),
        ("timings.jsonl", "{\n", "line 1 is not JSON (Expecting property name enclosed in double quotes: "),
        ("metrics.jsonl", '{"epoch": 1}\n', "it has other bytes than the checkpoint of step 4, from which"),
        ("metrics.jsonl", None, "it is missing: its lines are in the checkpoint of step 4, from which resuming"),
        ("steps/4/progress.json", None, "progress.json is missing"),
        ("steps/4/manifest.json", None, "it has no manifest.json"),
        ("steps/2/config.json", "{}\n", "config.json has 3 bytes, "),
        ("tensorboard/events.out.tfevents.0.jaxcnn", "x", "it differs from metrics.jsonl, which it is made of"),
        ("tensorboard/events.out.tfevents.1.jaxcnn", "x", "it is damaged; nothing else is made of it"),
    ],
)
def test_damage_ends_with_1(command, run: Run, name: str, text: str | None, problem: str) -> None:
    (run.path / name).unlink() if text is None else (run.path / name).write_text(text)
    code, out, err = command("verify", "run")
    assert (code, err) == (1, "")
    about = "/".join(name.split("/")[:2])
    (line,) = [line for line in out.splitlines() if "damaged: " in line]
    assert line.split()[:2] == [about, "damaged:"]
    assert problem in line
    assert out.splitlines()[-1] in ("1 of 10 damaged", "1 of 9 damaged")  # TensorBoard's is held against whole metrics
    code, out, _ = command("verify", "run", "--json")
    document = json.loads(out)
    assert (code, document["run"], document["damaged"]) == (1, "run", 1)
    assert [finding["name"] for finding in document["findings"] if finding["problem"]] == [about]


@pytest.mark.parametrize("name", ["steps", "tensorboard"])
def test_a_file_in_the_place_of_a_folder_is_damage(command, run: Run, name: str) -> None:
    shutil.rmtree(run.path / name)
    (run.path / name).write_text("")
    code, out, _ = command("verify", "run")
    assert code == 1
    assert any(line.split() == [name, "damaged:", "it", "is", "no", "folder"] for line in out.splitlines())


def test_what_was_set_aside_is_no_damage(command, run: Run) -> None:
    (run.path / "steps" / "6.damaged").mkdir()
    code, out, _ = command("verify", "run")
    assert code == 0
    assert "steps/6.damaged                           set aside, and not used" in out


def test_a_link_is_damage_and_is_not_followed(command, run: Run) -> None:
    (run.path / "steps").rename("elsewhere")
    (run.path / "steps").symlink_to("../elsewhere")
    code, out, _ = command("verify", "run")
    assert code == 1
    assert "run/steps is a symbolic link (to ../elsewhere), which may lead out of the run's folder" in out


def test_what_is_no_run_is_told(command) -> None:
    assert command("verify", "run") == (2, "", "jaxcnn: error: run is not a run: it does not exist\n")
    Path("empty").mkdir()
    code, out, _ = command("verify", "empty")
    assert code == 1
    assert out.splitlines()[-1] == "3 of 3 damaged"
