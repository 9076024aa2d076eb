import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcnn import api, training
from jaxcnn.cli import output, train
from jaxcnn.config import ModelConfig
from jaxcnn.presets import PRESETS
from jaxcnn.runs import Run

COMMAND = [sys.executable, "-c", "import sys; from jaxcnn.cli import main; sys.exit(main())"]


def test_a_run_from_the_first_line_to_its_evaluation(command, small) -> None:
    code, out, err = command("train", *small, "--out", "run")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    names = ["device", "data", "model", "training", "note", "compiling", "epoch", "epoch", "test", "run", "next"]
    assert [line.split()[0] for line in lines[: len(names)]] == names
    assert "650 parameters" in lines[2]
    assert "2 epochs of 20 batches of 64" in lines[3]
    assert "the warm-up (=2 epochs) is not over when the run (=2 epochs) ends" in lines[4]
    result = Run.open("run").result
    assert f"test accuracy {result['accuracy']:.2%}" in lines[8]

    code, out, _ = command("evaluate", "run", "--json")
    measured = json.loads(out)
    assert code == 0
    assert {
        name: measured[name] for name in ("accuracy", "loss", "epoch", "per_class_accuracy")
    }.items() <= result.items()
    code, out, _ = command("evaluate", "run", "--split", "validation")
    assert code == 0
    assert out.startswith("validation accuracy")
    code, out, _ = command("summary", "run", "--json")
    assert json.loads(out)["totals"]["parameters"] == result["parameters"]


def test_another_model_does_not_inherit_the_presets_options() -> None:
    from jaxcnn.cli.train import read
    from jaxcnn.config import ModelConfig

    assert read(["--model.name", "resnet9"]).config.model == ModelConfig("resnet9")
    assert read(["--model.name", "mlp", "--model.depth", "3"]).config.model == ModelConfig("mlp", depth=3)
    assert read(["--model.norm", "group"]).config.model == ModelConfig("small_cnn", width=32, norm="group")


def test_the_same_out_resumes(command, small) -> None:
    assert command("train", *small, "--out", "run")[0] == 0
    code, out, _ = command("train", "--out", "run")
    assert code == 0
    assert "nothing to do" in out
    code, out, _ = command("train", "--out", "run", "--epochs", "3")
    assert code == 0
    assert "resuming   after epoch 2" in out
    assert Run.open("run").result["epochs"] == 3
    code, _, err = command("train", "--out", "run", "--epochs", "3", "--seed", "9")
    assert (code, "`seed` was 0 and is 9" in err) == (2, True)


def test_a_process_prints_one_document(tmp_path: Path, small) -> None:
    process = subprocess.run(
        [*COMMAND, "train", *small, "--json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0
    document = json.loads(process.stdout)
    assert {"accuracy", "loss", "parameters", "seconds", "compile_s", "run", "epoch"} <= document.keys()
    assert Run.open(tmp_path / document["run"]).path.parent.name == "checkpoints"
    assert "Warning" not in process.stderr
    assert process.stderr.splitlines()[0].startswith("device")


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 143)],
    ids=lambda value: str(value),
)
def test_a_signal_ends_it_after_saving_and_it_goes_on_as_if_nothing_had_been(
    tmp_path: Path, small, number: signal.Signals, code: int
) -> None:
    """The signal comes when the first epoch's row is there; some chunk of some later epoch is the last one."""
    flags = ["train", *small, "--chunk", "1", "--batch", "8", "--patience", "8"]
    argv = [*COMMAND, *flags, "--out", "stopped", "--epochs", "20"]
    with subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        wait_for(tmp_path / "stopped" / "metrics.jsonl")
        os.kill(process.pid, number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    run = Run.open(tmp_path / "stopped")
    progress = run.progress(run.latest_step())
    assert 1 <= progress.epoch < 20
    first, last = (line for line in err.splitlines() if line)
    assert first == "jaxcnn: stopping after these steps; once more to stop at once"
    within = f" and {progress.step} steps of the next one are saved" if progress.step else " is saved"
    assert last == f"jaxcnn: interrupted, epoch {progress.epoch}{within}; go on with: jaxcnn train --out stopped"
    if number != signal.SIGTERM:
        return
    for out in ("stopped", "whole"):
        argv = [*COMMAND, *flags, "--out", out, "--epochs", "20"]
        subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True)
    whole = Run.open(tmp_path / "whole")
    assert (run.path / "metrics.jsonl").read_bytes() == (whole.path / "metrics.jsonl").read_bytes()
    assert bits(run) == bits(whole)


def bits(run: Run) -> list[bytes]:
    params, statistics = api.load(run).params, run.result
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(params)] + [str(statistics["accuracy"]).encode()]


def test_a_second_signal_ends_it_at_once(tmp_path: Path, small) -> None:
    argv = [*COMMAND, "train", *small, "--epochs", "100000", "--out", "run"]
    with subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        wait_for(tmp_path / "run" / "metrics.jsonl")
        for _ in range(2):
            os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    run = Run.open(tmp_path / "run")
    assert api.evaluate(run)["step"] == run.chosen_step() if run.steps() else run.latest_step() is None


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes a run stop before its first step."""

    def stop() -> None:
        def epochs(*_, **__):
            yield training.Stopped(training.Progress())

        monkeypatch.setattr(training, "epochs", epochs)

    return stop


def test_a_profile_is_written(command, small, tmp_path: Path) -> None:
    assert command("train", *small, "--profile", "trace")[0] == 0
    assert list((tmp_path / "trace").rglob("*.xplane.pb"))


def test_the_lowering_is_the_configs(command, small, stopped, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped()
    assert "convolutions: canonical" in command("train", *small, "--lowering", "canonical")[1]
    assert "convolutions: xla" not in command("train", *small)[1]
    assert "convolutions: xla" in command("train", *small, "--lowering", "xla")[1]
    monkeypatch.setenv("JAXCNN_LOWERING", "xla")
    assert "convolutions: xla" in command("train", *small)[1]


def test_what_the_device_lacks_ends_with_1(command, small, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_, **__):
        raise training.OutOfMemoryError("batch", 64)

    monkeypatch.setattr(api, "fit_events", fail)
    code, out, err = command("train", *small)
    assert (code, out) == (1, "")
    assert err == "jaxcnn: error: out of memory with `batch` (=64): try `batch` 32\n"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], PRESETS["digits"]),
        (["fashion_mnist"], PRESETS["fashion_mnist"]),
        (["--epochs", "3", "fashion_mnist"], ("epochs", 3)),
        (["fashion_mnist", "--optim.lr", "0.5"], ("optim.lr", 0.5)),
        (["--augment.flip", "alternating"], ("augment.flip", "alternating")),
        (["resnet20", "--data", "cifar10_jpeg:FILE"], ("data.name", "cifar10_jpeg:FILE")),
        (["resnet20", "--data=npz:FILE"], ("model", PRESETS["resnet20"].model)),
        (["--model=mlp"], ("model", ModelConfig("mlp"))),
        (["--freeze", "stage1", "*/bias"], ("freeze", ("stage1", "*/bias"))),
        (["--model.width", "None"], ("model.width", None)),
        (["--last-batch", "wrap"], ("last_batch", "wrap")),
    ],
)
def test_flags_fill_the_config(argv: list[str], expected) -> None:
    config = train.read(argv).config
    if isinstance(expected, tuple):
        name, value = expected
        for part in name.split("."):
            config = getattr(config, part)
        assert config == value
    else:
        assert config == expected


def test_json_is_strict(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit_json({"loss": float("nan"), "list": [float("inf"), 1]})
    assert json.loads(capsys.readouterr().out) == {"loss": None, "list": [None, 1]}
