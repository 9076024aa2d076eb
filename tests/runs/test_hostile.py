"""Run folders that somebody else made: nothing is written outside them, and nothing in them is believed unseen."""

import contextlib
import dataclasses
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from references import campaigns, damage

from jaxcnn.config import Config
from jaxcnn.runs import Run, lock
from jaxcnn.runs.listing import filtered, list_runs, ordered
from jaxcnn.runs.verify import verify


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return damage.make_run(tmp_path_factory.mktemp("made") / "run").path


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Run:
    return Run(shutil.copytree(made, tmp_path / "run"))


def everything(path: Path) -> dict[str, bytes]:
    return {name: (path / name).read_bytes() for name in damage.files(path)}


LINKS = [
    "config.json", "environment.json", "data.json", "metrics.jsonl", "timings.jsonl", "result.json", "steps", ".lock",
    "tensorboard", "tensorboard/events.out.tfevents.0.jaxcnn", "steps/4", "steps/4/manifest.json", "steps/4/arrays",
    "steps/4/arrays/network/d", "steps/4/metrics.jsonl", "steps/6", "steps/.6.writing",
]  # fmt: skip


@pytest.mark.parametrize("name", LINKS)
def test_a_link_out_of_the_folder_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    path, outside = run.path / name, tmp_path / "outside"
    if os.path.lexists(path):
        path.rename(outside)
    else:
        outside.mkdir()
    before = everything(tmp_path) if outside.is_dir() else {}
    path.symlink_to(outside)
    with pytest.raises(ValueError, match=r"is a symbolic link \(to .*/outside\), which may lead out") as raised:
        Run.open(run.path)
    assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match="is a symbolic link"):
        run.resume(damage.CONFIG, damage.FACTS)
    assert [finding.whole for finding in verify(run.path)] == [False]
    assert {listed.name: listed.problem is None for listed in list_runs(tmp_path)}["run"] is False
    assert all((tmp_path / name).read_bytes() == content for name, content in before.items())


@pytest.mark.parametrize("name", ["steps/8", "steps/.8.writing", "metrics.jsonl", "timings.jsonl", "config.json"])
def test_a_link_that_came_later_is_not_written_through(run: Run, tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious"
    if name.startswith("steps"):
        precious.mkdir()
        (precious / "file").write_text("mine")
    else:
        precious.write_text("mine")
        (run.path / name).unlink()
    (run.path / name).symlink_to(precious)
    for write in (
        lambda: run.save(damage.make_state(8), damage.Progress(3, 0.5, 3, 0.5)).result(),
        lambda: run.record({"epoch": 3}, {"seconds": 1.0}),
        lambda: run.resume(damage.CONFIG, damage.FACTS),
    ):
        with contextlib.suppress(OSError, ValueError):
            write()
    assert (precious / "file" if precious.is_dir() else precious).read_text() == "mine"


def test_the_folder_itself_may_be_a_link(run: Run, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run.path)
    linked = Run.open(tmp_path / "link")
    assert linked.resume(damage.CONFIG, damage.FACTS).step == 4
    linked.save(damage.make_state(6), damage.Progress(3, 0.5, 3, 0.5)).result()
    assert run.latest_step() == 6


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"epochs": "three"}, "`epochs` must be a whole number, got 'three'"),
        ({"epochs": True}, "`epochs` must be a whole number, got True"),
        ({"epochs": 1.5}, "`epochs` must be a whole number, got 1.5"),
        ({"epochs": 10**30}, "`epochs` must be a whole number, got a number of 100 bits"),
        ({"epochs": None}, "`epochs` must be a whole number, got None"),
        ({"optim": []}, "`optim` must be an object, got a JSON list"),
        ({"optim": {"lr": "1e-3"}}, "`optim.lr` must be a number, got '1e-3'"),
        ({"optim": {"lr": float("nan")}}, "`optim.lr` must be a number, got nan"),
        ({"optim": {"name": "sgdd"}}, "`optim.name` must be one of sgd, momentum, "),
        ({"augment": {"flip": 1}}, "`augment.flip` must be one of none, random, alternating, got 1"),
        ({"model": {"name": "x" * 5000}}, "`model.name` must be a text of at most 4096 characters, got 'xxx"),
        ({"model": {"width": "9"}}, "`model.width` must be a whole number, got '9'"),
        ({"model": {"norm": ["batch"]}}, "`model.norm` must be one of batch, group, layer, none, got a JSON list"),
        ({"lowering": 3}, "`lowering` must be one of auto, "),
        ({"momentum": 0.9}, "unknown config field 'momentum'"),
        ({"model": {"width\n": 3}}, r"unknown config field 'model.width\\n'"),
        ({"name": "x" * 1_000_001}, "it has 1,000,0"),
    ],
)
def test_a_config_of_other_types_is_refused_by_name(run: Run, values: dict[str, Any], problem: str) -> None:
    (run.path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"config\.json is damaged: ") as raised:
        _ = Run.open(run.path).config
    assert problem.replace(r"\\n", r"\n") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_every_field_of_a_config_fits_its_type(run: Run) -> None:
    changed = dataclasses.replace(Config(), epochs=3, ema=0.5, mesh="data=2", optim=dataclasses.replace(Config().optim))
    (run.path / "config.json").write_text(json.dumps(dataclasses.asdict(changed)))
    assert run.config == changed


@pytest.mark.parametrize(
    ("field", "value"),
    [("input_shape", "32"), ("input_shape", [1.5]), ("classes", {}), ("classes", [1]), ("counts", {"train": "8"}),
     ("preprocessing", []), ("preprocessing", {}), ("preprocessing", {"scale": 1, "mean": [0], "std": [0]}),
     ("preprocessing", {"scale": 1, "mean": [0], "std": [1], "code": "x"})],
)  # fmt: skip
def test_data_facts_of_other_types_are_refused(run: Run, field: str, value: Any) -> None:
    (run.path / "data.json").write_text(json.dumps(damage.FACTS | {field: value}))
    with pytest.raises(ValueError, match=r"data\.json is damaged: ") as raised:
        _ = run.facts
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    ['{"epoch": "1"}\n', "[]\n", "3\n", '{"epoch": true}\n', "\xff\n", "[" * 200_000 + "\n", '{"epoch": 1}\n{\n'],
)
def test_metrics_of_other_types_are_refused(run: Run, text: str) -> None:
    (run.path / "metrics.jsonl").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"metrics\.jsonl is damaged: line [12] ") as raised:
        run.metrics()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "facts", [{}, {"epoch": "1"}, {"epoch": 1, "sums": [1]}, {"epoch": 1, "code": "x"}, {"epoch": 1, "value": "high"}]
)
def test_progress_of_other_types_is_refused(run: Run, facts: dict[str, Any]) -> None:
    (run.path / "steps" / "4" / "progress.json").write_text(json.dumps(facts))
    if facts:
        with pytest.raises(ValueError, match=r"steps/4 is damaged: "):
            run.progress(4)
    assert run.resume(damage.CONFIG, damage.FACTS).step == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FILES = {
    "config.json": dataclasses.asdict(damage.CONFIG),
    "data.json": damage.FACTS,
    "environment.json": {"python": "3", "packages": {}, "device": {}, "resumed": []},
    "result.json": {"epochs": 5, "accuracy": 0.5, "seconds": 1.0},
    "metrics.jsonl": {"epoch": 1, "step": 2, "train": {"loss": 0.5}},
    "timings.jsonl": {"epoch": 1, "seconds": 0.5},
    "steps/4/manifest.json": {"format": 1, "checkpoint": "4", "files": {"progress.json": {"size": 2, "sha256": ""}}},
    "steps/4/progress.json": {"epoch": 2, "value": 0.5, "best_value": 0.5, "best_epoch": 2},
}


@st.composite
def contents(draw: Callable[..., Any]) -> tuple[str, bytes]:
    """A file's name, and bytes: any, any JSON, or its own with one value changed."""
    name = draw(st.sampled_from(sorted(FILES)))
    kind = draw(st.sampled_from(["bytes", "json", "own"]))
    if kind == "bytes":
        return name, draw(st.binary(max_size=200))
    value = draw(JSON)
    if kind == "own":
        value = {**FILES[name], draw(st.sampled_from(sorted(FILES[name]))): value}
    return name, json.dumps(value, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass") + b"\n"


def use(run: Run, changed: str) -> Counter[str]:
    """Do all that reads a run's files; count what was refused, and let through what no user should see."""
    counts: Counter[str] = Counter()
    readers: list[Callable[[], Any]] = [
        lambda: Run.open(run.path).config,
        lambda: run.facts,
        lambda: run.preprocessing,
        lambda: run.result,
        lambda: run.metrics(),
        lambda: run.times(),
        lambda: run.steps(),
        lambda: run.progress(4),
        lambda: run.latest_step(),
        lambda: [finding.problem for finding in verify(run.path)],
        lambda: ordered(filtered(list_runs(run.path.parent), ["state=stopped"]), "seconds"),
        lambda: lock.holder(run.path),
        lambda: run.resume(damage.CONFIG, damage.FACTS),
    ]
    if changed.startswith("steps"):
        readers.append(lambda: run.restore(4, damage.make_state(0)))
    said = []
    for read in readers:
        try:
            read()
            counts["accepted"] += 1
        except ValueError as error:
            said.append(str(error))
            counts["refused"] += 1
    assert all(text and "\n" not in text for text in said)
    return counts


def fuzz(run: Run, examples: int) -> Counter[str]:
    """Put drawn bytes into drawn files of a run."""
    whole, total = everything(run.path), Counter()

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(contents())
    def once(changed: tuple[str, bytes]) -> None:
        name, content = changed
        (run.path / name).write_bytes(content)
        total.update(use(run, name), examples=1, **{name: 1})
        for extra in set(damage.files(run.path)) - whole.keys():
            (run.path / extra).unlink()
        for path, old in whole.items():
            (run.path / path).write_bytes(old)

    once()
    return total


def test_whatever_is_in_a_file_nothing_crashes(run: Run) -> None:
    assert fuzz(run, 25)["examples"] >= 25


@pytest.mark.campaign
def test_thousands_of_files(run: Run) -> None:
    counts = fuzz(run, 3000)
    campaigns.record("run_files_fuzz", "pytest -m campaign -n0 tests/runs/test_hostile.py", counts=dict(counts))
    assert counts["examples"] >= 3000
