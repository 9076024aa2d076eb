"""`jaxcnn sweep`: several values of a flag, a table, a figure, JSON."""

import json
from pathlib import Path

import pytest

from jaxcnn.runs import Run

SMALL = ("--model", "linear", "--epochs", "2", "--batch", "128")


def test_a_grid_over_seeds(command, tmp_path: Path) -> None:
    argv = (
        "sweep",
        *SMALL,
        "--optim.lr",
        "log:1e-4:1e-2:3",
        "--seed",
        "0:2",
        "--out",
        "sweep",
        "--figure",
        "lines.png",
    )
    code, out, err = command(*argv)
    assert code == 0, err
    assert "3 trials, 6 networks, in sweep" in err
    lines = [line for line in out.splitlines() if "±" in line]
    assert len(lines) == 3
    assert "best on validation: sweep/00" in out
    assert Path("lines.png").stat().st_size > 1000
    config = Run.open("sweep/001-1").config
    assert (config.optim.lr, config.seed, config.epochs) == (0.001, 1, 2)
    code, out, err = command(*argv[:-2], "--json")
    document = json.loads(out)
    assert code == 0
    assert [len(trial["scores"]) for trial in document["trials"]] == [2, 2, 2]
    assert document["trials"][0]["trial"] == document["best"]
    assert "epoch 1/2" not in err, "what has ended is not trained again"


def test_a_random_search_with_halving(command) -> None:
    argv = ("sweep", *SMALL[:2], "--epochs", "4", "--batch", "128", "--json", "--out", "drawn")
    code, out, err = command(*argv, "--optim.lr=log:1e-4:1e-1", "--optim.schedule", "linear,cosine",
                             "--search", "random", "--trials", "4", "--halving", "2")  # fmt: skip
    document = json.loads(out)
    assert code == 0, err
    assert [trial["epochs"] for trial in document["trials"]] == [4, 2, 1, 1]
    assert {trial["values"]["optim.schedule"] for trial in document["trials"]} <= {"linear", "cosine"}
    assert "after 1 epochs 2 trials are dropped" in err


def test_whole_numbers_of_a_range(command) -> None:
    argv = ("sweep", "--model", "mlp", "--epochs", "1", "--out", "widths", "--model.width", "lin:8:12:3", "--json")
    code, out, err = command(*argv)
    assert code == 0, err
    assert sorted(trial["values"]["model.width"] for trial in json.loads(out)["trials"]) == [8, 10, 12]


def test_an_adaptive_search_goes_on(command) -> None:
    argv = ("sweep", *SMALL, "--optim.lr", "log:1e-4:1e-1", "--search", "tpe", "--together", "2", "--out", "tpe")
    code, out, err = command(*argv, "--trials", "3", "--figure", "lines.png")
    assert code == 0, err
    assert "3 trials, 2 at a time, by tpe, in tpe" in err
    assert "2 of 3 trials have ended; next: 002" in err
    assert "best on validation: tpe/00" in out
    assert Path("lines.png").stat().st_size > 1000
    code, out, err = command(*argv, "--trials", "4", "--json")
    document = json.loads(out)
    assert code == 0, err
    assert sorted(trial["trial"] for trial in document["trials"]) == [0, 1, 2, 3]
    assert "next: 003" in err
    assert "next: 002" not in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("sweep digits", "a sweep needs a flag with several values"),
        ("sweep digit --seed 0:2", "unknown preset 'digit': did you mean 'digits'?"),
        ("sweep --optim.lr log:0:1", "LOW must be above 0"),
        ("sweep --optim.name sgd,adan", "adan"),
        ("sweep --seed 0:2 --halving 1", "--halving (=1) must be at least 2"),
        ("sweep --seed 0:2 --search random --trials 0", "--trials (=0) must be at least 1"),
        ("sweep --seed 0:2 --search tpe", "--search tpe needs a flag beside --seed"),
        ("sweep --optim.lr log:1e-3:1 --search tpe --halving 2", "--halving is for --search grid and random"),
        ("sweep --optim.lr log:1e-3:1 --search tpe --together 0", "--together (=0) must be at least 1"),
        ("sweep --optim.lr log:1e-3:1 --storage a.log", "--storage and --study are an Optuna study's"),
        ("sweep --optim.lr log:1e-3:1 --search tpe --storage nowhere://x", "`storage` (=nowhere://x) cannot be opened"),
        ("sweep --sed 0:2", "unknown flag --sed: did you mean --seed?"),
        ("sweep --optim.lr=-1,1 --model linear --out a", "must be finite, and not negative"),
    ],
)
def test_wrong_requests_are_told_in_one_line(command, argv: str, message: str) -> None:
    code, out, err = command(*argv.split())
    assert (code, out) == (2, "")
    assert message in err
    assert [line for line in err.splitlines() if "error" in line][-1].startswith("jaxcnn: error: ")
