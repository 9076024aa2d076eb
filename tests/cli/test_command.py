import json
import subprocess
import sys
from pathlib import Path

import pytest

from jaxcnn import __version__, lowering
from jaxcnn.cli.dispatch import VERBS
from jaxcnn.presets import PRESETS

HELP = """
import sys
from jaxcnn.cli import main
for argv in (["--help"], ["--version"], ["train", "--help"], ["train", "fashion_mnist", "--help"], ["presets"]):
    assert main(argv) == 0, argv
heavy = {"jax", "flax", "numpy", "orbax"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""


def test_help_imports_no_jax() -> None:
    process = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")
    for text in (*VERBS, __version__, "--optim.lr", "--augment.flip"):
        assert text in process.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help(command, verb: str) -> None:
    code, out, err = command(verb, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: jaxcnn {verb}")
    assert "--json" in out


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("trian", "unknown command 'trian': did you mean 'train'?"),
        ("train digit", "unknown preset 'digit': did you mean 'digits'?"),
        ("train small_cnn", "'small_cnn' is a model; expected a preset (see `jaxcnn presets`): to train this model by"),
        ("train small_cnn --epochs 1", "the preset digits, give `--model.name small_cnn`"),
        ("train --batch 5000", "`--last-batch` (='drop') would drop them all"),
        ("train --batch 5000", "take a batch of at most 1293, or `--last-batch wrap`"),
        ("train --save-every 0", "`--save-every` (=0) must be at least 1"),
        ("train --loss.label-smoothing 2", "`--loss.label-smoothing` (=2.0) must be from 0 to 1"),
        ("train --model.name vgg16", "vgg16 with images of 8x8x1 in layer stage4/pool: `window` (=2) does not fit"),
        ("train --optim.lrr 3", "unknown flag --optim.lrr: did you mean --optim.lr?"),
        ("train --epoch=3", "unknown flag --epoch: did you mean --epochs?"),
        ("train --epochs x", "--epochs: invalid literal"),
        ("train --data.size abc", "--data.size takes a whole number, or None; got 'abc' (see jaxcnn train --help)"),
        ("train --model.norm bach", "invalid choice 'bach' for argument '--model.norm'"),
        ("train --model.name resnet51", "unknown model 'resnet51': did you mean 'resnet56'?"),
        ("train --model.stem cifar", "unknown option of small_cnn 'stem'"),
        ("train --data.name digit", "unknown data set 'digit': did you mean 'digits'?"),
        ("train --data.name cifar10_jpeg:nowhere.npz", "nowhere.npz"),
        ("train --data.validation 2", "`validation` (=2.0)"),
        ("train --epochs 0", "`epochs` (=0)"),
        ("train --batch -1", "`batch` (=-1)"),
        ("train --out .", "is not empty, and is not a run"),
        ("evaluate", "RUN"),
        ("evaluate nowhere", "nowhere is not a run: it does not exist"),
        ("evaluate .", ". is not a run: it has no config.json"),
        ("summary smallcnn", "unknown model 'smallcnn': did you mean 'small_cnn'?"),
        ("summary .", ". is not a run"),
        ("summary mlp --input 32xx", "`--input` (='32xx') must be positive sizes"),
        ("summary mlp --input 0x32x3", "`--input` (='0x32x3') must be positive sizes"),
        ("summary lenet5 --input 32x32", "`--input` (=32x32) must be (height, width, channels)"),
        ("summary lenet5 --input 4x4x1", "lenet5 with `--input` (=4x4x1) in layer"),
        ("models x", "unexpected argument 'x'"),
        ("data lst", "invalid choice 'lst'"),
        ("data show", "needs the name of a data set"),
        ("data show digit", "unknown data set 'digit': did you mean 'digits'?"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(command, tmp_path: Path, argv: str, expected: str) -> None:
    (tmp_path / "file").touch()
    code, out, err = command(*argv.split())
    assert (code, out) == (2, "")
    assert err.startswith("jaxcnn: error: ")
    assert expected in err
    assert err.count("\n") == 1
    assert not (tmp_path / "checkpoints").exists()


def test_debug_shows_the_traceback(command) -> None:
    code, _, err = command("evaluate", "nowhere", "--debug")
    assert code == 2
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("jaxcnn: error: nowhere is not a run")


def test_models_and_presets(command) -> None:
    code, out, _ = command("models")
    assert (code, "small_cnn" in out) == (0, True)
    assert "lenet5" in json.loads(command("models", "--json")[1])
    code, out, _ = command("presets")
    assert (code, "fashion_mnist" in out) == (0, True)
    assert json.loads(command("presets", "--json")[1])["digits"]["epochs"] == PRESETS["digits"].epochs


def test_data(command) -> None:
    code, out, _ = command("data")
    assert (code, "synthetic" in out) == (0, True)
    assert json.loads(command("data", "list", "--json")[1])["synthetic"]["state"] == "prepared"
    assert json.loads(command("data", "show", "digits", "--json")[1])["counts"]["test"] == 360
    code, out, _ = command("data", "show", "digits")
    assert (code, out.split()[-1]) == (0, "360")
    assert "is ready" in command("data", "prepare", "synthetic")[1]
    assert json.loads(command("data", "prepare", "digits", "--json")[1])["folder"]


def test_doctor(command) -> None:
    code, out, _ = command("doctor", "--json")
    facts = json.loads(out)
    assert (code, facts["check"]) == (0, "passed")
    assert facts["packages"]["jaxcnn"] == __version__
    code, out, _ = command("doctor")
    assert (code, lowering.enable().tier in out) == (0, True)


def test_doctor_finds_a_wrong_convolution(command, monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxcnn import functional

    conv = functional.conv
    monkeypatch.setattr(functional, "conv", lambda x, kernel, **options: 2 * conv(x, kernel, **options))
    code, out, _ = command("doctor")
    assert (code, "a convolution came out wrong" in out) == (1, True)


def test_doctor_finds_wrong_half_precision(command, monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxcnn import functional

    pool = functional.max_pool
    monkeypatch.setattr(functional, "max_pool", lambda x, window: pool(x, window) * (2 if x.dtype == "bfloat16" else 1))
    code, out, _ = command("doctor")
    assert (code, "a network in bfloat16 came out wrong" in out) == (1, True)


def test_a_signal_ends_a_command_from_its_first_moment() -> None:
    """While libraries are imported an exception would be lost, or would break them."""
    program = (
        "import os, signal, time, jaxcnn.cli.models as verb; from jaxcnn.cli import main\n"
        "verb.main = lambda argv: (os.kill(os.getpid(), signal.SIGINT), time.sleep(60))\n"
        "main(['models'])\n"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout, process.stderr) == (130, "", "")
