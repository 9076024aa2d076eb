"""The arithmetic of the speed experiments, and what their checks refuse."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "cpu_speed"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    return {name: importlib.import_module(name) for name in ("records", "training_steps", "convolutions")}


def test_spread(scripts: dict[str, ModuleType]) -> None:
    found = scripts["records"].spread([4.0, 1.0, 2.0, 3.0, 10.0])
    assert found == {"n": 5, "least": 1, "q1": 2, "median": 3, "q3": 4, "most": 10}
    assert scripts["records"].geometric_mean([0.5, 8.0]) == pytest.approx(2)


def test_each_side_begins_every_other_round(scripts: dict[str, ModuleType]) -> None:
    assert [scripts["records"].in_turn("a", "b", n)[0] for n in range(4)] == ["a", "b", "a", "b"]


def line(peer: str, ours: float, theirs: float) -> dict:
    sides = {"ours": {"median_ms": ours, "peak_rss_mb": 1}, "theirs": {"median_ms": theirs, "peak_rss_mb": 2}}
    return {"work": "w", "peer": peer, "ratio": theirs / ours, "load": 0.0, **sides}


def test_of_eager_and_compiled_the_faster_counts(scripts: dict[str, ModuleType]) -> None:
    lines = [line("torch", 10, t) for t in (20, 22, 24)] + [line("torch-compile", 10, t) for t in (15, 16, 40)]
    lines += [line("flax", 10, 50), line("flax-loop", 10, 500)]
    found = scripts["training_steps"].summarise(lines)["w"]
    assert found["torch"]["ratio"]["median"] == 2.2
    assert (found["better torch"]["which"], found["better torch"]["ratio"]["median"]) == ("torch-compile", 1.6)
    assert found["flax"]["outside_over_loop"] == 0.1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"parameters": 4}, "4 parameters for 3"),
        ({"logits": [[1.0, 2.1]]}, "logits differ by 0.05"),
        ({"logits": [[1.0, float("nan")]]}, "logits differ"),
        ({"losses": [1.0, 2.1]}, "losses"),
    ],
)
def test_another_network_is_refused(scripts: dict[str, ModuleType], change: dict, said: str | None) -> None:
    ours = {"parameters": 3, "logits": [[1.0, 2.0]], "losses": [1.0, 2.0]}
    found = scripts["training_steps"].disagreement(ours, ours | change, 1e-4, 1e-4)
    assert found is None if said is None else said in found


def test_convolutions_are_averaged_over_cases(scripts: dict[str, ModuleType]) -> None:
    ours, theirs = (
        {"a, float32, input": 1.0, "b, float32, input": 2.0},
        {"a, float32, input": 4.0, "b, float32, input": 2.0},
    )
    found = scripts["convolutions"].summarise(
        [{"peer": "torch", "ours": {"results": ours}, "theirs": {"results": theirs}}]
    )
    assert found["torch"]["geometric_mean"] == 2
    assert found["torch"]["least"] == {"b, float32, input": 1}
