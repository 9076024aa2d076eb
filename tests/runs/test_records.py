import math
from pathlib import Path

import pytest

from jaxcnn.runs.records import append_line, read_json, read_lines, read_object, write_json, write_lines


def test_json_comes_back(tmp_path: Path) -> None:
    value = {"a": [1, 0.1, None, "é"], "b": {"c": True}}
    write_json(tmp_path / "x.json", {"an": "older one"})
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_lines_come_back(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    assert read_lines(path) == []
    for number in range(3):
        append_line(path, {"epoch": number})
    assert read_lines(path) == [{"epoch": 0}, {"epoch": 1}, {"epoch": 2}]
    write_lines(path, [{"epoch": 0}])
    assert read_lines(path) == [{"epoch": 0}]


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"epoch": 1}\n{"epo')
    assert read_lines(tmp_path / "x.jsonl") == [{"epoch": 1}]


@pytest.mark.parametrize(("read", "text"), [(read_json, '{"a": '), (read_lines, '{"epo\n{"epoch": 1}\n')])
def test_damage_is_told(tmp_path: Path, read, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(ValueError, match="file is damaged"):
        read(tmp_path / "file")


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    value, written = {"a": [math.nan, (math.inf, 1.5)], "b": -math.inf}, {"a": [None, [None, 1.5]], "b": None}
    write_json(tmp_path / "x.json", value)
    write_lines(tmp_path / "x.jsonl", [value])
    append_line(tmp_path / "x.jsonl", value)
    assert read_json(tmp_path / "x.json") == written
    assert read_lines(tmp_path / "x.jsonl") == [written, written]
    (tmp_path / "x.json").write_text("NaN")  # as older runs hold it
    assert math.isnan(read_json(tmp_path / "x.json"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "x.json is missing: the run's folder is damaged"),
        ("[]", "x.json is damaged: it holds a JSON list, an object is expected"),
        ('{"a": 1}', "x.json is damaged: it lacks b, c"),
        ("{", "x.json is damaged: it is not JSON"),
    ],
)
def test_what_is_no_object_is_told(tmp_path: Path, text: str | None, problem: str) -> None:
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=problem):
        read_object(tmp_path / "x.json", ("a", "b", "c"))
