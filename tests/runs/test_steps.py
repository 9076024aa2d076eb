"""Which checkpoints are kept."""

from pathlib import Path

import jax.numpy as jnp
import pytest

from jaxcnn.runs import checkpoint, steps


def make(folder: Path, values: dict[int, float | None], mode: str = "max") -> None:
    for step, value in values.items():
        facts = {"epoch": step, "value": value, "mode": mode}
        checkpoint.save(folder / str(step), {"x": {"x": jnp.float32(step)}}, facts).result()


@pytest.mark.parametrize(
    ("values", "last", "best", "mode", "kept"),
    [
        ({1: 0.5, 2: 0.9, 3: 0.6, 4: 0.7}, 2, 1, "max", [2, 3, 4]),
        ({1: 0.5, 2: 0.9, 3: 0.6, 4: 0.7}, 2, 1, "min", [1, 3, 4]),
        ({1: 0.5, 2: 0.9, 3: 0.6, 4: 0.7}, 1, 2, "max", [2, 4]),
        ({1: 0.5, 2: 0.9, 3: 0.9, 4: 0.7}, 1, 1, "max", [2, 4]),
        ({1: 0.5, 2: 0.9, 3: 0.6, 4: 0.7}, 0, 0, "max", [4]),
        ({1: 0.5, 2: None, 3: None, 4: None}, 2, 1, "max", [1, 3, 4]),
        ({1: 0.5, 2: float("nan"), 3: 0.4}, 1, 1, "max", [1, 3]),
        ({1: 0.5, 2: 0.6}, 9, 9, "max", [1, 2]),
    ],
)
def test_the_newest_and_the_best_are_kept(tmp_path: Path, values, last: int, best: int, mode, kept: list[int]) -> None:
    make(tmp_path, values, mode)
    steps.prune(tmp_path, max(values), keep_last=last, keep_best=best, mode=mode)
    assert steps.committed(tmp_path) == kept
    assert sorted(int(entry.name) for entry in tmp_path.iterdir()) == kept


def test_the_best_is_found_by_the_runs_own_measure(tmp_path: Path) -> None:
    make(tmp_path / "max", {1: 0.5, 2: 0.9, 3: 0.6})
    make(tmp_path / "min", {1: 0.5, 2: 0.9, 3: 0.6}, "min")
    assert steps.best_intact(tmp_path / "max") == (2, [])
    assert steps.best_intact(tmp_path / "min") == (1, [])
    assert steps.best_intact(tmp_path / "nothing") == (None, [])


def test_what_is_damaged_foreign_or_newer_is_never_deleted(tmp_path: Path) -> None:
    make(tmp_path, dict.fromkeys(range(1, 8), 0.5))
    (tmp_path / "1" / "progress.json").write_bytes((tmp_path / "1" / "progress.json").read_bytes().swapcase())
    (tmp_path / "2" / "manifest.json").unlink()
    (tmp_path / "3" / "thesis.txt").write_text("years of work")
    (tmp_path / "nine").mkdir()
    steps.prune(tmp_path, 6, keep_last=1, keep_best=0, mode="max")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["1", "2", "3", "6", "7", "nine"]
    assert checkpoint.damage(tmp_path / "3") is None
    assert checkpoint.damage(tmp_path / "3", strangers=True) == "thesis.txt is not in its manifest"


def test_a_deletion_that_is_killed_does_not_look_like_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, {1: 0.5, 2: 0.5})
    monkeypatch.setattr(steps, "remove", lambda _: None)
    steps.prune(tmp_path, 2, keep_last=1, keep_best=0, mode="max")
    monkeypatch.undo()
    assert steps.numbered(tmp_path) == [2]
    steps.sweep(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["2"]
