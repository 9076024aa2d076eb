import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from jaxcnn import api, training
from jaxcnn.cli import progress
from jaxcnn.config import Config
from jaxcnn.runs import Run
from jaxcnn.training import Chunk, Compiled, Epoch, Progress

CONFIG = Config(epochs=3)
MEASURED = {"loss": 0.5, "accuracy": 0.75}
FACTS = {"name": "mine", "input_shape": [8, 8, 1], "classes": ["a", "b"], "counts": {"train": 1000, "test": 10}}
FACTS |= {"preprocessing": {"scale": 1.0, "mean": [0.0], "std": [1.0]}}


def events(run: Run, *, epochs: int = 3) -> Iterator[Any]:
    yield api.Started(run, 12345, 8, 0)
    yield Compiled(1.25)
    for epoch in range(1, epochs + 1):
        yield Chunk(epoch, 4, 8, MEASURED, 2000.0)
        yield Chunk(epoch, 8, 8, MEASURED, 2000.0)
        yield Epoch(epoch, None, MEASURED, MEASURED, epoch == 2, False, 1.0, Progress(epoch, 0.75, 2))
    result = {"accuracy": 0.9, "loss": 0.3, "epoch": 2, "epochs": epochs, "seconds": 4.0}
    yield api.Finished(run, result)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", CONFIG, FACTS)


def watch(run: Run, **options: Any) -> str:
    out = Console(file=io.StringIO(), width=140, **options)
    finished = progress.watch(events(run), CONFIG, out)
    progress.show_end(finished, CONFIG, out)
    return out.file.getvalue()


def test_lines_where_there_is_no_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    lines = watch(run).splitlines()
    assert "1,000 train, 10 test; 8x8x1, 2 classes" in lines[1]
    assert lines[2] == "model      small_cnn: 12,345 parameters"
    assert lines[3] == "training   3 epochs of 8 batches of 128; adamw, lr 0.001, cosine"
    assert lines[4] == "compiling  1.2 s"
    assert lines[5] == "epoch 1/3  loss 0.5000 accuracy 75.00%  validation loss 0.5000 accuracy 75.00%  1.0 s"
    assert [line.endswith("best") for line in lines[5:8]] == [False, True, False]
    assert (
        lines[8]
        == "test accuracy 90.00%, loss 0.3000: epoch 2 of 3, the best on validation; 4.0 s, compilation included"
    )
    commands = [f"jaxcnn evaluate {run.path}", f"jaxcnn summary {run.path}"]
    assert lines[9:] == [f"run        {run.path}", f"next       {commands[0]}", f"           {commands[1]}"]


def test_lines_are_seldom(run: Run) -> None:
    assert [line[:9] for line in watch(run).splitlines() if line.startswith("epoch")] == ["epoch 1/3", "epoch 3/3"]


def test_long_epochs_tell_of_their_chunks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    assert "epoch 2/3  step 4/8  loss 0.5000 accuracy 75.00%  2,000 images/s" in watch(run)


def test_a_terminal_gets_a_bar(run: Run) -> None:
    out = watch(run, force_terminal=True)
    assert "\x1b[" in out
    assert "━" in out
    assert "2,000 images/s" in out


def test_a_resumed_run_says_so(run: Run) -> None:
    out = Console(file=io.StringIO(), width=140)
    started = api.Started(run, 1, 8, 2)
    finished = api.Finished(run, {})
    progress.watch([started, training.Compiled(1.0), finished], CONFIG, out)
    assert f"resuming   after epoch 2 of {run.path}" in out.file.getvalue()
    run.finish({"accuracy": 1.0})
    progress.watch([started, finished], CONFIG, out)
    assert "finished   before: nothing to do; a larger --epochs (=3) goes on" in out.file.getvalue()


def test_a_result_that_was_read_may_lack_its_loss(run: Run) -> None:
    out = Console(file=io.StringIO(), width=140)
    result = {"accuracy": 0.1, "loss": None, "epoch": 1, "epochs": 1, "seconds": 1.0}
    progress.show_end(api.Finished(run, result), CONFIG, out)
    assert "loss not finite: epoch 1" in out.file.getvalue()
