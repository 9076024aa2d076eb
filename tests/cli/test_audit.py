"""`jaxcnn audit`: models, runs, networks in a line, and networks of the user's own."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import jaxcnn
from jaxcnn import data, equivariance
from jaxcnn.equivariance import Audit, AuditedLayer, Cause

NETWORKS = """
import time
import equinox as eqx, jax, jax.numpy as jnp
from flax import linen, nnx
from jaxcnn import functional as F

KERNEL = jax.random.normal(jax.random.key(0), (3, 3, 3, 4))

def keeps(x):
    return jax.nn.relu(F.conv(x, KERNEL, padding_mode="circular"))

def loses(x):
    return F.conv(x, KERNEL)

def strided(x):
    return keeps(x)[..., ::2, ::2, :]

def signal(x):
    return F.conv(x, KERNEL[0], padding_mode="circular")

def fails(x):
    raise RuntimeError("no luck")

def slow(x):
    time.sleep(60)

class Linen(linen.Module):
    @linen.compact
    def __call__(self, x, train=True):
        x = linen.Conv(4, (3, 3), padding="CIRCULAR")(x)
        x = linen.relu(linen.BatchNorm(use_running_average=not train)(x))
        return linen.Conv(4, (3, 3), strides=2, padding="CIRCULAR")(linen.Dropout(0.5, deterministic=not train)(x))

class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 4, (3, 3), padding="CIRCULAR", rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropout(nnx.relu(self.norm(self.conv(x))))

def make():
    return Nnx(nnx.Rngs(3))

class Tree(eqx.Module):
    conv: eqx.nn.Conv2d

    def __init__(self):
        self.conv = eqx.nn.Conv2d(3, 4, 3, padding=1, key=jax.random.key(0))

    def __call__(self, x):
        return jax.nn.relu(self.conv(x))
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with networks of the user's own, to work in."""
    (tmp_path / "audited_networks.py").write_text(NETWORKS)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "audited_networks", raising=False)
    return tmp_path


def document(command, *argv: str) -> dict:
    code, out, err = command("audit", *argv, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


LINE = "conv3(2) same circular > pool2 > conv3(2) same"


def test_a_network_in_a_line(command) -> None:
    code, out, err = command("audit", LINE, "--input", "16x16x1")
    assert (code, err) == (0, "")
    rows = {row.split()[0]: row for row in out.splitlines()}
    assert rows["conv1"].split() == ["conv1", "conv", "16x16x2", "exact", "0"]
    assert rows["pool1"].endswith("stride 2")
    assert rows["conv2"].endswith("zero padding 1 and 1 before a window of 3")
    result, first = out.splitlines()[-2:]
    assert result.startswith("result: interior ")
    assert result.endswith(" on 2Z under circular shifts (32 tried)")
    assert first == "first lost at pool1: stride 2"
    told = document(command, "relu", "--input", "9x2", "--mode", "interior")
    assert (told["model"], told["input"], told["verdict"], told["mode"]) == (
        "relu",
        [9, 2],
        "exact-interior",
        "interior",
    )


def test_a_requirement_decides_the_exit_code(command, monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ("audit", LINE, "--input", "16x16x1", "--require")
    done: list[Audit] = []
    audit = equivariance.audit

    def once(*args, **options) -> Audit:
        if not done:
            done.append(audit(*args, **options))
        return done[0]

    monkeypatch.setattr(equivariance, "audit", once)
    code, out, err = command(*argv, "lattice")
    assert code == 1
    assert "result: " in out
    where = "first lost at conv2: zero padding 1 and 1 before a window of 3"  # not at the pool, which is allowed to
    assert err == f"jaxcnn: the result is exact-interior, which --require lattice does not allow: {where}\n"
    assert command(*argv, "interior")[::2] == (0, "")
    code, out, err = command(*argv, "exact", "--json")
    assert (code, json.loads(out)["verdict"]) == (1, "exact-interior")
    assert err.endswith("which --require exact does not allow: first lost at pool1: stride 2\n")
    done[0] = Audit((replace(done[0].layers[0], refuted=True),), "exact", "circular", (16, 16, 1), 32)
    code, _, err = command(*argv, "exact")
    assert (code, "measurement refutes the contract of conv1: an error of jaxcnn's" in err) == (1, True)


def test_a_model(command) -> None:
    options = ("--input", "4x4x1", "--model.width", "2", "--model.head", "avg", "--model.padding-mode", "circular")
    told = document(command, "small_cnn", *options)
    assert (told["model"], told["input"], told["verdict"]) == ("small_cnn", [4, 4, 1], "exact-lattice")
    assert told["layers"][0]["verdict"] == "exact"


def test_a_seed_draws_the_parameters_and_the_input(command, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[np.ndarray, np.ndarray]] = []

    def audit(fn, x, **options) -> Audit:
        drawn.append((np.asarray(x), np.asarray(fn(jnp.ones_like(x)))))
        return Audit((), "exact", "circular", x.shape, 0)

    monkeypatch.setattr(equivariance, "audit", audit)
    for target in ("linear", "conv3(2)"):
        for seed in ("0", "0", "1"):
            assert command("audit", target, "--input", "4x4x1", "--seed", seed)[0] == 0
        first, again, other = drawn[-3:]
        for one, same, different in zip(first, again, other, strict=True):
            assert (one == same).all()
            assert (one != different).any()


@pytest.mark.parametrize(
    ("target", "verdicts"),
    [
        ("keeps", ["exact", "exact"]),
        ("strided", ["exact", "exact-lattice"]),
        ("Linen", ["exact", "exact", "exact", "exact-lattice"]),
        ("Nnx", ["exact", "exact", "exact"]),
    ],
)
def test_a_network_of_the_users_own(command, own: Path, target: str, verdicts: list[str]) -> None:
    told = document(command, f"audited_networks:{target}", "--input", "6x8x3")
    assert (told["model"], told["input"]) == (f"audited_networks:{target}", [6, 8, 3])
    assert [layer["verdict"] for layer in told["layers"]] == verdicts
    strided = [layer["error"] for layer in told["layers"] if layer["verdict"] != "exact"]
    assert all(error > 0.1 for error in strided)  # its parameters are real ones: zeros would lose nothing


def test_own_networks_on_other_inputs(command, own: Path) -> None:
    told = document(command, "audited_networks:Tree", "--channels-first", "--input", "3x6x8")
    assert [(layer["verdict"], layer["shape"]) for layer in told["layers"]] == [("exact-interior", [4, 6, 8])] * 2
    assert told["layers"][0]["error"] > 0.1
    assert document(command, "audited_networks:signal", "--input", "9x3", "--batch", "0")["verdict"] == "exact"
    told = document(command, "audited_networks:keeps", "--input", "6x6x3", "--batch", "2")
    assert (told["input"], told["verdict"]) == ([2, 6, 6, 3], "exact")


def test_a_run_is_audited_with_what_it_learned(command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ("--model.name", "small_cnn", "--model.width", "2", "--model.head", "avg")
    assert command("train", "--epochs", "1", *model, "--out", "run")[0] == 0
    seen = {}

    def audit(fn, x, **options):
        seen.update(fn=fn, x=x)
        return Audit((), "exact", "circular", x.shape, 0)

    monkeypatch.setattr(equivariance, "audit", audit)
    fn, params, preprocessing, _ = jaxcnn.load("run")
    images = preprocessing(data.load("digits").validation.inputs)
    assert "of the validation set of digits" in command("audit", "run", "--seed", "3")[1]
    assert any((np.asarray(image) == seen["x"]).all() for image in images)
    assert (np.asarray(seen["fn"](seen["x"])) == np.asarray(fn(params, seen["x"]))).all()
    assert "random numbers, seed 0" in command("audit", "run", "--input", "12x12x1")[1]
    monkeypatch.setattr(data, "state", lambda config: "available")
    assert "random numbers, seed 0" in command("audit", "run")[1]
    code, _, err = command("audit", "run", "--input", "8x8x3")
    assert (code, "--input 8x8x3 does not fit the network of run, trained on 8x8x1" in err) == (2, True)
    assert command("audit", "run", "--model.width", "3")[0] == 2


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("smal_cnn", "unknown model 'smal_cnn': did you mean 'small_cnn'?"),
        ("small_cnn --require nonsense", "invalid choice 'nonsense' for argument '--require'"),
        ("small_cnn --mode round", "invalid choice 'round' for argument '--mode'"),
        ("small_cnn --requir exact", "unknown flag --requir: did you mean --require?"),
        ("small_cnn --input 8x8", "`--input` (=8x8) must be (height, width, channels)"),
        ("small_cnn --input 8xx8", "`--input` (='8xx8') must be positive sizes"),
        ("small_cnn --seed -1", "--seed (=-1) must be a whole number"),
        ("small_cnn --batch 2", "--channels-first and --batch are for networks of your own"),
        ("small_cnn --model.stem cifar", "unknown option of small_cnn 'stem'"),
        ("small_cnn --model.name mlp", "the model is the first argument"),
        ("relu --model.width 2", "--model.* flags are for models"),
        ("relu --input 1x1x3", "has one position along its spatial axes: there is nothing to shift"),
        (".", ". is not a run"),
        ("nowhere:fn", "no module 'nowhere'"),
        ("audited_networks:los", "did you mean 'loses'?"),
        ("audited_networks:fails", "RuntimeError: no luck"),
        ("audited_networks:keeps --input 9x3", "have spatial rank 2, but --input 9x3 has 1 spatial sizes"),
        ("audited_networks:keeps --batch -1", "--batch (=-1)"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(command, own: Path, argv: str, expected: str) -> None:
    code, out, err = command("audit", *argv.split())
    assert (code, out) == (2, "")
    assert err.startswith("jaxcnn: error: ")
    assert expected in err
    assert err.count("\n") == 1


def test_a_narrow_table_sets_causes_below() -> None:
    cause = Cause("zero padding", "zero padding 1 and 1 before a window of 3", "conv", 0.8)
    layer = AuditedLayer("stage1/block12/conv", "conv", (32, 32, 16), "broken", ("broken",), ("",), error=0.05)
    found = Audit((layer, AuditedLayer(**{**vars(layer), "causes": (cause,)})), "broken", "circular", (8, 8, 1), 15)
    wide, narrow = (found.to_text(width, what="random numbers").splitlines() for width in (120, 48))
    assert wide[4].endswith(f"5.0 %  {cause}")
    assert max(map(len, narrow)) <= 48
    assert "stag…2/conv" in narrow[4]
    assert " ".join(" ".join(narrow[5:7]).split()) == str(cause)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_at_once_and_the_terminal_is_as_before(own: Path, number: int, code: int) -> None:
    master, terminal = pty.openpty()
    script = "import sys; from jaxcnn.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "audit", "audited_networks:slow"], cwd=own, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    shown = b""
    while b"0:00:01" not in shown:  # something happens, on the terminal
        shown += os.read(master, 4096)
    process.send_signal(number)
    began = time.monotonic()
    assert process.wait(30) == code
    assert time.monotonic() - began < 20
    while chunk := _read(master):
        shown += chunk
    os.close(master)
    assert shown.endswith(b"\x1b[?25h")
    assert b"auditing audited_networks:slow" in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other end is closed
        return b""
