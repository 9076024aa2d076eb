"""`jaxcnn export`, and `jaxcnn evaluate` of a file of weights."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from jax import export
from safetensors.numpy import load_file, save_file

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(command: Command, small: tuple[str, ...]) -> str:
    assert command("train", *small, "--out", "run")[0] == 0
    return "run"


def test_a_program_and_what_it_takes(command: Command, run: str) -> None:
    code, out, err = command("export", run)
    assert (code, err) == (0, "")
    told = json.loads(Path("run.stablehlo.json").read_text())
    assert told["input"]["shape"] == ["examples", 8, 8, 1]
    assert told["classes"] == list("0123456789")
    program = export.deserialize(bytearray(Path("run.stablehlo").read_bytes()))
    assert program.call(np.zeros((5, 8, 8, 1), np.float32)).shape == (5, 10)
    lines = out.partition("\n\n")[2]  # the lines that it prints run as they stand
    named: dict[str, object] = {}
    exec(lines, named)
    assert named["network"].out_avals[0].shape[1:] == (10,)  # type: ignore[attr-defined]


def test_weights_are_measured_like_their_run(command: Command, run: str) -> None:
    code, out, _ = command("export", run, "--format", "safetensors", "--out", "some/where.safetensors", "--json")
    assert code == 0
    assert json.loads(out)["numbers"] == 650
    measured = json.loads(command("evaluate", run, "--json")[1])
    found = json.loads(command("evaluate", "some/where.safetensors", "--data", "digits", "--json")[1])
    for name in ("accuracy", "loss", "per_class_accuracy", "examples", "split"):
        assert found[name] == measured[name]
    again = command("train", "--model", "linear", "--init", "some/where.safetensors", "--epochs", "1", "--out", "more")
    assert again[0] == 0


def test_weights_of_another_program_need_a_model(command: Command, run: str) -> None:
    command("export", run, "--format", "safetensors")
    plain = {name.replace("/", "."): array for name, array in load_file("run.safetensors").items()}
    save_file(plain, "plain.safetensors")
    code, _, err = command("evaluate", "plain.safetensors", "--data", "digits")
    assert code == 2
    assert "does not say what network it is of: name the `--model`" in err.replace("`model`", "`--model`")
    code, out, _ = command("evaluate", "plain.safetensors", "--data", "digits", "--model", "linear", "--json")
    assert code == 0
    measured = json.loads(command("evaluate", run, "--json")[1])
    assert json.loads(out)["accuracy"] == measured["accuracy"]  # prepared as the same data are for training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("head/dense/bias"), "it has no head/dense/bias"),
        (lambda arrays: arrays.update(more=np.zeros(3, np.float32)), "it has more, which the network has not"),
        (
            lambda arrays: arrays.update({"head/dense/bias": np.zeros(3, np.float32)}),
            "head/dense/bias is (3,) there, (10,) here",
        ),
        (lambda arrays: arrays.update({"head/dense/bias": np.zeros(10, np.int32)}), "is int32, expected floats"),
    ],
)
def test_what_does_not_fit_is_told(
    command: Command, run: str, change: Callable[[dict[str, np.ndarray]], object], message: str
) -> None:
    command("export", run, "--format", "safetensors")
    arrays = dict(load_file("run.safetensors"))
    change(arrays)
    save_file(arrays, "changed.safetensors")
    code, _, err = command("evaluate", "changed.safetensors", "--data", "digits", "--model", "linear")
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("export", "run"), "run.stablehlo is there already"),
        (("export", "nowhere"), "nowhere"),
        (("export", "run", "--format", "caffe"), "caffe"),
        (("evaluate", "run", "--model", "linear"), "--model is for a .safetensors file"),
        (("evaluate", "no.safetensors", "--data", "digits"), "there is no such file"),
        (("evaluate", "bad.safetensors", "--data", "digits"), "is damaged, or no .safetensors file"),
        (("evaluate", "bad.safetensors"), "name those to measure it on, --data NAME"),
    ],
)
def test_errors_are_one_line_and_nothing_is_lost(
    command: Command, run: str, argv: tuple[str, ...], message: str
) -> None:
    Path("run.stablehlo").write_text("mine")
    Path("bad.safetensors").write_text("not one")
    code, _, err = command(*argv)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert Path("run.stablehlo").read_text() == "mine"
