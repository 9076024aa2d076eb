"""Disks that are full, folders that may not be written to: told in one line, and nothing is lost."""

import errno
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from references import campaigns, damage

from jaxcnn.runs import Run, RunWriteError, disk
from jaxcnn.runs.records import append_line, read_lines, write_json

CHILD = Path(__file__).parents[1] / "references" / "full_disk.py"
GO_ON = "the checkpoint of step 2 is intact: set that right, and go on with `jaxcnn train --out {run}`"


def hindered(run: Path, how: str, around: str = "exec {}") -> dict[str, Any]:
    """Run the child; return what it says."""
    command = shlex.join([sys.executable, str(CHILD), str(run), how])
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    argv = ["sh", "-c", around.format(command)]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def check(found: dict[str, Any], run: Path, reason: str) -> None:
    """One line with what, why and what is left; no trace of what failed."""
    ending = f"{reason}; {GO_ON.format(run=run)}"
    assert found["raised"] == f"RunWriteError: cannot write {run}/steps/4: {ending}"
    assert found["recorded"] == f"cannot write {run}/metrics.jsonl: {ending}"
    assert (found["left"], found["latest"], found["metrics"]) == (["2"], 2, 0)


def test_a_quota_that_is_used_up(tmp_path: Path) -> None:
    check(hindered(tmp_path / "run", "small"), tmp_path / "run", "File too large")


def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to other users, as whom root's child runs
        Path(folder).chmod(0o755)
        run = Path(folder) / "run"
        check(hindered(run, "denied"), run, "Permission denied")
        for path in (run, run / "steps"):
            path.chmod(0o700)


@pytest.mark.campaign
def test_a_file_system_of_its_own(tmp_path: Path) -> None:
    """A tmpfs of 1 MiB, mounted where no other process sees it."""
    said = {}
    for how, reason in (("full", "No space left on device"), ("read-only", "Read-only file system")):
        inner = f"mount -t tmpfs -o size=1m none {tmp_path} && {{}}"
        found = hindered(tmp_path / "run", how, f"unshare --map-root-user --mount sh -c '{inner}'")
        check(found, tmp_path / "run", reason)
        said[how] = found["raised"].replace(str(tmp_path / "run"), "RUN")
    campaigns.record("small_disks", "pytest -m campaign -n0 tests/runs/test_faults.py", size="1 MiB tmpfs", said=said)


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    write_json(tmp_path / "x.json", {"a": 1})

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if fails == "replace":
        monkeypatch.setattr(Path, "replace", full)
    else:
        monkeypatch.setattr(disk.os, "fsync", full)
    with pytest.raises(RunWriteError, match=r"cannot write .*/x.json: No space left on device$"):
        write_json(tmp_path / "x.json", {"a": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 1}


def test_a_line_is_added_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write, calls = tmp_path / "x.jsonl", os.write, []
    append_line(path, {"epoch": 1})

    def nearly_full(file: int, content: Any) -> int:
        calls.append(len(content))
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, content[:5])

    monkeypatch.setattr(disk.os, "write", nearly_full)
    with pytest.raises(RunWriteError, match=r"cannot write .*/x.jsonl: No space left on device$"):
        append_line(path, {"epoch": 2})
    assert len(calls) == 2
    monkeypatch.undo()
    assert path.read_text() == '{"epoch": 1}\n'
    append_line(path, {"epoch": 2})
    assert read_lines(path) == [{"epoch": 1}, {"epoch": 2}]


def test_a_run_that_cannot_be_begun_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def full(path: Path, target: Path) -> Path:
        if target.name == "config.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RunWriteError, match=r"cannot write .*/config.json: No space left on device$"):
        Run.create(tmp_path / "run", damage.CONFIG, damage.FACTS)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    monkeypatch.undo()
    assert Run.create(tmp_path / "run", damage.CONFIG, damage.FACTS).config == damage.CONFIG


def test_without_a_checkpoint_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.create(tmp_path / "run", damage.CONFIG, damage.FACTS)
    (run.path / "steps").write_text("in the way")
    with pytest.raises(RunWriteError, match=r"cannot write .*/steps/2: .*; the run has no checkpoint yet: set that"):
        run.save(damage.make_state(2), damage.Progress(1)).result()
