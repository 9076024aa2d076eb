"""Several processes write one run together: the first one its files, each its part of the arrays."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from references import damage

from jaxcnn.runs import Run

CHILD = Path(__file__).parents[1] / "references" / "run_together.py"


def together(run: Path, processes: int) -> list[dict[str, Any]]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    children = [
        subprocess.Popen(
            [sys.executable, str(CHILD), str(run), str(port), str(processes), str(process)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )
        for process in range(processes)
    ]  # fmt: skip
    said = [child.communicate(timeout=120) for child in children]
    assert [child.returncode for child in children] == [0] * processes, said[0][1][-3000:]
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


def test_two_processes_save_and_go_on_and_one_can_read_it(tmp_path: Path) -> None:
    first, second = together(tmp_path / "run", 2)
    for said in (first, second):
        assert [said[f"seen {epoch}"] for epoch in (1, 2, 3)] == [[2], [2, 4], [2, 4, 6]]
        assert said["left"] == ["2", "4", "6"]
    assert first["full"].startswith(f"RunWriteError: cannot write {tmp_path}/run/steps/8: No space left on device; ")
    assert second["full"] == "RuntimeError: process 0 could not go on: its own message says why"
    run = Run.open(tmp_path / "run")
    assert [row["epoch"] for row in run.metrics()] == [1, 2, 3]
    assert damage.bits(run.restore(6, damage.make_state(0))) == damage.bits(damage.make_state(6))

    (run.path / "steps" / "6" / "config.json").write_text("{}")
    first, second = together(tmp_path / "run", 2)
    assert [(said["step"], said["epoch"], said["same"]) for said in (first, second)] == [(4, 2, True)] * 2
    assert (first["notes"], second["notes"]) == (1, 0)
