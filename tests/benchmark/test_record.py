"""Records, what is read back, and what two files of them say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from jaxcnn import benchmark
from jaxcnn.benchmark import record as recording


def made(name: str = "nap", seconds: tuple[float, ...] = (1.0, 1.1, 0.9, 1.0, 1.05), **facts: Any) -> dict[str, Any]:
    work = {"name": name, **facts.pop("work", {})}
    return benchmark.make_record(work, benchmark.Samples(seconds, 1, 3, True), **facts)


def test_the_table_of_the_schema_names_every_key() -> None:
    assert recording.__doc__ is not None
    rows = re.findall(r"^\| (`[^|]*) \|", recording.__doc__, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == set(made())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "records.jsonl"
    first, second = made(), made("walk", per_call={"steps_per_s": 10.0}, seed=3)
    benchmark.append(file, [first])
    benchmark.append(file, [second])
    assert benchmark.read(file) == [first, second]
    assert second["rates"]["steps_per_s"]["median"] == pytest.approx(10.0)
    assert second["seed"] == 3


def test_a_record_begins_a_line_of_its_own(tmp_path: Path) -> None:
    """After a file whose last line was not ended."""
    file = tmp_path / "records.jsonl"
    benchmark.append(file, [made()])
    file.write_text(file.read_text().rstrip())
    benchmark.append(file, [made("other")])
    assert [record["work"]["name"] for record in benchmark.read(file)] == ["nap", "other"]


@pytest.mark.parametrize(
    ("name", "value"), [("seconds", None), ("seconds", {"median": "x"}), ("ratios", []), ("costs", 1)]
)
def test_a_damaged_record_is_told_with_its_line(tmp_path: Path, name: str, value: object) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text(json.dumps({**made(), name: value}) + "\n")
    with pytest.raises(ValueError, match=rf"records\.jsonl, line 1: `{name}` must"):
        benchmark.read(file)


def test_the_environment_names_what_speed_depends_on() -> None:
    facts = made()["environment"]
    assert {"packages", "device", "flags", "commit", "command", "lowering", "cpu"} <= set(facts)
    assert set(facts["lowering"]) == {"tier", "reason"}
    assert json.dumps(facts)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no json", "line 2: not JSON"),
        ("[]", "line 2: a record has `schema` 1; this one has None"),
        (json.dumps({**made(), "schema": 2}), "this one has 2"),
        (json.dumps({**made(), "work": {}}), "`work` must be an object with a `name`; got {}"),
        (json.dumps({**made(), "samples_s": []}), "`samples_s` must be positive numbers, at least one"),
        (json.dumps({**made(), "samples_s": [True, -1]}), "`samples_s` must be positive numbers"),
    ],
)
def test_what_is_no_record_is_told_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "records.jsonl"
    benchmark.append(file, [made()])
    with file.open("a") as end:
        end.write(line + "\n")
    with pytest.raises(ValueError, match=re.escape(message)):
        benchmark.read(file)


def test_works_are_compared_by_all_that_tells_them_apart() -> None:
    before = [made(), made(work={"batch": 8}), made("gone"), made("brief", (1.0, 1.1))]
    after = [
        made(seconds=(2.0, 2.1, 1.9, 2.0, 2.05)),
        made(work={"batch": 8}),
        made("new"),
        made("brief", (1.0, 1.1)),
        made(library="torch"),
    ]
    rows, left = benchmark.compare(before, after)
    assert {row.name: row.ratio.verdict for row in rows} == {"nap": "slower", "nap batch=8": "no difference shown"}
    assert left == [
        "gone: only in the first file",
        "brief: 2 and 2 measurements; a ratio needs 5 of each",
        "new: only in the second file",
        "nap (torch): only in the second file",
    ]


def test_devices_are_not_compared_with_each_other() -> None:
    other = made()
    other["environment"]["device"] = {"kind": "accelerator"}
    rows, left = benchmark.compare([made()], [other])
    assert rows == []
    assert left == ["nap: on cpu and on accelerator"]


RATIOS = {"sleep": benchmark.Ratio(1.2, 1.1, 1.3), "walk": benchmark.Ratio(3.0, 2.0, 4.0)}


@pytest.mark.parametrize(
    ("bounds", "closed"),
    [
        ({"nap: sleep": 1.3}, 0),
        ({"nap: sleep": 1.31}, 1),
        ({"nap: sleep": 1.0, "nap: walk": 4.1}, 1),
        ({"nap: run": 1}, 1),
    ],
)
def test_a_gate_closes_where_a_whole_interval_lies_under_its_bound(bounds: dict[str, float], closed: int) -> None:
    assert len(benchmark.fallen([made(ratios=RATIOS)], bounds)) == closed


@pytest.mark.parametrize(
    "text", ["no json", "[]", "{}", '{"nap: sleep": 0}', '{"nap: sleep": "1"}', '{"nap: sleep": true}']
)
def test_what_are_no_bounds(tmp_path: Path, text: str) -> None:
    file = tmp_path / "gate.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"gate\.json: (not JSON|expected positive bounds)"):
        benchmark.read_bounds(file)


@pytest.mark.parametrize(
    ("flops", "bound", "roof", "fraction"), [(400, "compute", 100.0, 1.0), (100, "memory", 50.0, 0.5)]
)
def test_work_under_the_roof(flops: int, bound: str, roof: float, fraction: float) -> None:
    told = benchmark.place(benchmark.Peak({"float32": 100.0}, 10.0), "float32", flops=flops, moved=20, seconds=4.0)
    assert (told["bound"], told["attainable_flops_per_s"], told["fraction"]) == (bound, roof, fraction)
    assert told["mfu"] == flops / 400
    with pytest.raises(ValueError, match="the peak of float16 was not measured: there are float32"):
        benchmark.place(benchmark.Peak({"float32": 1.0}, 1.0), "float16", flops=1, moved=1, seconds=1.0)
