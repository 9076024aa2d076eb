"""What the README shows is what happens."""

import doctest
from pathlib import Path

import pytest

from jaxcnn import lowering

README = Path(__file__).parents[1] / "README.md"


def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(README), module_relative=False)
    lowering.disable()
    assert result.failed == 0
    assert result.attempted > 15
