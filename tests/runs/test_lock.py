"""Two processes in one run's folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from references import damage

from jaxcnn.runs import Run, RunLockedError, lock

HOLD = """
import sys, pathlib
from jaxcnn.runs.lock import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holding(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_and_a_dead_one_is_no_obstacle(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", damage.CONFIG, damage.FACTS)
    with holding(run.path) as process:
        assert lock.holder(run.path) == process.pid
        with pytest.raises(RunLockedError, match=f"run is being written by process {process.pid}: wait for it or stop"):
            run.locked().__enter__()
        os.kill(process.pid, signal.SIGKILL)
    assert lock.holder(run.path) is None
    with run.locked():
        assert lock.holder(run.path) == os.getpid()
        with pytest.raises(RunLockedError, match=f"process {os.getpid()}"), run.locked():
            pass
    with run.locked():
        pass
    assert lock.holder(run.path) is None


def test_a_folder_is_made_a_run_by_one_process(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with holding(tmp_path / "run") as process:
        with pytest.raises(RunLockedError, match=f"process {process.pid}"):
            Run.create(tmp_path / "run", damage.CONFIG, damage.FACTS)
        process.communicate("")
    Run.create(tmp_path / "run", damage.CONFIG, damage.FACTS)
    with pytest.raises(ValueError, match="is a run already"):
        Run.create(tmp_path / "run", damage.CONFIG, damage.FACTS)


def test_who_only_looks_is_not_in_the_way(tmp_path: Path) -> None:
    """`holder` takes a shared lock for an instant; who wants the lock tries again."""
    assert lock.fcntl is not None
    seen, take = [], lock._take

    def looked_at(file: int, kind: int) -> bool:
        seen.append(kind)
        return len(seen) > 3 and take(file, kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lock, "_take", looked_at)
        with lock.locked(tmp_path):
            assert len(seen) == 4


@pytest.mark.parametrize("answer", [None, lock.errno.ENOLCK])
def test_where_there_are_no_locks_a_run_does_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(answer, "No locks available")

    if answer is None:
        monkeypatch.setattr(lock, "fcntl", None)
    else:
        monkeypatch.setattr(lock.fcntl, "flock", no_locks)
    with lock.locked(tmp_path), lock.locked(tmp_path):
        assert lock.holder(tmp_path) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"), lock.locked(tmp_path / "run"):
        pass
    assert (tmp_path / "precious").read_text() == "mine"
