"""`jaxcnn bench`: what it prints and records, and how it refuses."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from jaxcnn import benchmark

COMMAND = (sys.executable, "-c", "import sys; from jaxcnn.cli import main; sys.exit(main())")
QUICK = ("--seconds", "0.01", "--batch", "1")


def test_a_measurement_is_shown_recorded_and_compared(command, tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    code, out, _ = command("bench", "pool", "--only", "global max", *QUICK, "--record", str(file))
    assert code == 0
    assert "pool global max batch=1 32x32 channels=64 float32 forward" in out
    assert "images/s" in out
    assert [record["work"]["direction"] for record in benchmark.read(file)] == ["forward", "gradient"]
    code, out, _ = command("bench", "--compare", str(file), str(file))
    assert code == 0
    assert out.count("no difference shown") == 2
    code, out, _ = command("bench", "--compare", str(file), str(file), "--json")
    assert [row["ratio"] for row in json.loads(out)["works"]] == [1.0, 1.0]


def test_one_document_with_ratios_and_a_gate(command, tmp_path: Path) -> None:
    gate = tmp_path / "gate.json"
    gate.write_text(json.dumps({"epoch scan linear batch=1 8x8x1 float32 steps=8: loop": 1e6}))
    argv = ("bench", "epoch", "linear", "--input", "8x8x1", *QUICK, "--json")
    code, out, _ = command(*argv)
    document = json.loads(out)
    assert code == 0
    assert [record["work"]["way"] for record in document["records"]] == ["scan", "loop", "nnx.jit"]
    assert set(document["records"][0]["ratios"]) == {"loop", "nnx.jit"}
    code, out, err = command(*argv, "--gate", str(gate))
    assert code == 1
    assert "is under its bound of 1e+06" in json.loads(out)["fallen"][0]
    assert "gate: epoch scan linear" in err


def test_starts_are_processes_of_their_own_and_one_record(command, tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    argv = ("bench", "epoch", "linear", "--input", "8x8x1", *QUICK, "--starts=3", "--record", str(file))
    code, out, err = command(*argv)
    assert code == 0
    assert "nnx.jit" in out
    assert [f"start {k} of 3" in err for k in (1, 2, 3, 4)] == [True, True, True, False]
    records = benchmark.read(file)
    assert [record["work"]["way"] for record in records] == ["scan", "loop", "nnx.jit"]
    assert all(len(record["starts"]) == 3 and record["seconds"]["n"] >= 21 for record in records)
    assert {record["environment"]["command"] for record in records} == {benchmark.environment()["command"]}


def test_a_start_that_fails_says_why(command, tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    code, out, err = command("bench", "pool", "--only", "nothing", "--starts", "3", "--record", str(file))
    assert (code, out, file.read_text()) == (1, "", "")
    assert "start 1 of 3 ended with 2; its own words are above" in err


def test_growth_is_measured_at_every_size(command) -> None:
    argv = ("bench", "infer", "linear", "--seconds", "0.01", "--json", "--growth")
    code, out, _ = command(*argv, "side=8,4,16")
    document = json.loads(out)
    assert code == 0
    assert [record["work"]["shape"] for record in document["records"]] == [[n, n, 3] for n in (4, 8, 16)]
    assert document["growth"]["flops_exponent"] == pytest.approx(2, abs=0.05)
    assert {"exponent", "low", "high"} < set(document["growth"])


def test_what_was_measured_is_kept_where_the_rest_fails(command, tmp_path: Path, monkeypatch) -> None:
    file, run = tmp_path / "records.jsonl", benchmark.run

    def fails(works, **options):
        if file.read_text():
            raise RuntimeError("interrupted")
        return run(works, **options)

    monkeypatch.setattr(benchmark, "run", fails)
    code, _, err = command("bench", "pool", "--only", "global max", *QUICK, "--record", str(file))
    assert code == 1
    assert "interrupted" in err
    assert len(benchmark.read(file)) == 1


def test_a_record_that_cannot_be_written_is_told_before_anything_is_measured(command, tmp_path: Path) -> None:
    code, out, err = command("bench", "conv", "--record", str(tmp_path))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1


def test_files_without_a_common_work_are_not_compared(command, tmp_path: Path) -> None:
    files = []
    for name in ("nap", "walk"):
        files.append(tmp_path / name)
        samples = benchmark.Samples((1.0,) * 5, 1, 3, True)
        benchmark.append(files[-1], [benchmark.make_record({"name": name}, samples)])
    code, _, err = command("bench", "--compare", *map(str, files))
    assert code == 2
    assert "no work in common that can be compared: nap: only in the first file; walk: only in the second" in err


def test_a_gate_reads_records_that_are_there(command, tmp_path: Path) -> None:
    file, gate = tmp_path / "records.jsonl", tmp_path / "gate.json"
    samples = benchmark.Samples((1.0,) * 5, 1, 3, True)
    ratios = {"sleep": benchmark.Ratio(2.0, 1.9, 2.1)}
    benchmark.append(file, [benchmark.make_record({"name": "nap"}, samples, ratios=ratios)])
    for bound, expected in ((2.0, 0), (2.2, 1)):
        gate.write_text(json.dumps({"nap: sleep": bound}))
        assert command("bench", "--gate", str(gate), "--record", str(file))[0] == expected


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("bench", "nothing to do: name a work (conv, pool, infer"),
        ("bench convs", "unknown work 'convs': did you mean 'conv'?"),
        ("bench train", "`bench train` needs a model: see `jaxcnn models`"),
        ("bench conv lenet5", "`bench conv` takes no model"),
        ("bench infer lenet6", "unknown model 'lenet6': did you mean 'lenet5'?"),
        ("bench conv --only nothing", "--only (='nothing'): no case of `bench conv` has this in its name"),
        ("bench conv --growth batch=1,2", "--growth is for `bench infer` and `bench train`"),
        ("bench infer linear --growth batches=1,2", "unknown size of --growth 'batches': did you mean 'batch'?"),
        (
            "bench infer linear --growth batch=1",
            "--growth (='batch=1') must be at least two whole numbers, positive and different",
        ),
        (
            "bench infer linear --growth batch=1,x",
            "--growth (='batch=1,x') must be at least two whole numbers, positive and different",
        ),
        ("bench infer linear --growth batch=4,4", "--growth (='batch=4,4') must be at least two whole numbers"),
        ("bench infer linear --only x", "--only is for `bench conv` and `bench pool`"),
        ("bench infer linear --model.name mlp", "--model.name (=mlp): name the model after the work"),
        ("bench --compare a b --gate g", "--compare stands alone: a gate is for what is measured"),
        ("bench conv --record nowhere/a.jsonl", "--record (=nowhere/a.jsonl) lies in no folder: there is no nowhere"),
        ("bench conv --record .", "--record (=.) is a folder; expected a file, which records are added to"),
        ("bench conv --record text", "text, line 1: not JSON"),
        ("bench conv --batch 0", "--batch (=0) must be at least 1"),
        ("bench ensemble linear --members 1", "--members (=1) must be at least 2"),
        ("bench data lenet5", "`bench data` takes no model"),
        ("bench conv --seconds 0", "--seconds (=0) must be a positive number"),
        ("bench conv --seed -1", "--seed (=-1) must be from 0 to 2**32 - 1"),
        ("bench conv --compare a b", "--compare reads two files and measures nothing"),
        ("bench --compare a b", "a is no file of records"),
        ("bench conv --gate nowhere", "nowhere is no file of bounds"),
        ("bench --gate nowhere", "nothing to do"),
        ("bench infer lenet5 --input 32", "must be (height, width, channels)"),
    ],
)
def test_wrong_requests_are_told_in_one_line(command, argv: str, message: str) -> None:
    Path("text").write_text("no record")
    code, out, err = command(*argv.split())
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("jaxcnn: error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("conv", "--peers", "torch"), "--peers is for `bench infer` and `bench train`"),
        (("train", "lenet5", "--peers", "theano"), "unknown peer 'theano'"),
        (("train", "lenet5", "--peers", "torch", "--environments", "nowhere"), "python -m venv nowhere/torch"),
        (("train", "lenet5", "--weak"), "--weak is for `bench scale`"),
        (("infer", "lenet5", "--steps", "2"), "--steps is for"),
        (("scale", "lenet5", "--devices", "1"), "--devices (='1') must be at least two whole numbers, positive"),
        (("train", "lenet5", "--growth", "members=1,2"), "--growth members=... is for `bench ensemble`"),
        (("ensemble", "lenet5", "--growth", "batch=1,2"), "grows by --growth members=2,4,8 alone; got batch"),
        (("infer", "lenet5", "--peers", ""), "unknown peer ''"),
        (("infer", "lenet5", "--devices", "1,2"), "--devices is for `bench scale`"),
        (("conv", "--page", "/proc/page"), "--page (=/proc/page) must be a folder that can be written: No such file"),
        (("--compare", "one.jsonl"), "--compare takes two files of records, A B; got 1"),
        (("--page", "folder"), "nothing to do"),
        (("conv", "--starts", "2"), "--starts (=2) must be 1, or at least 3"),
        (("startup", "--starts", "3"), "--starts is not for `bench startup`"),
        (("scale", "mlp", "--starts", "3", "--processes", "2"), "--starts is for one process"),
    ],
)
def test_what_does_not_go_together_is_refused(command, argv: tuple[str, ...], told: str) -> None:
    code, out, err = command("bench", *argv)
    assert code in (1, 2)
    assert out == ""
    assert told in err
    assert err.count("\n") == 1


def test_a_page_is_written_of_records(command, tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    command("bench", "ensemble", "linear", "--input", "8x8x1", "--growth", "members=1,2", *QUICK, "--record", str(file))
    assert [record["growth"] for record in benchmark.read(file)] == ["members", "members"]
    code, out, err = command("bench", "--page", str(tmp_path / "page"), "--record", str(file))
    assert (code, out) == (0, "")
    assert f"written: {tmp_path}" in err
    assert "time grows as members^" in (tmp_path / "page" / "results.md").read_text()
    assert (tmp_path / "page" / "growth.png").exists()


def test_training_on_more_and_more_devices() -> None:
    """A CPU is divided into as many; each takes its share of the same batch, or a batch of its own."""
    argv = ("bench", "scale", "linear", "--input", "8x8x1", "--seconds", "0.01", "--json", "--batch", "8")
    for flags, batches in (((), [8, 8, 8]), (("--weak",), [8, 16, 64])):
        done = subprocess.run(
            [*COMMAND, *argv, "--devices", "1,2,8", *flags], capture_output=True, text=True, check=True
        )
        records = json.loads(done.stdout)["records"]
        assert [record["work"]["devices"] for record in records] == [1, 2, 8]
        assert [record["work"]["batch"] for record in records] == batches
        assert records[0]["environment"]["device"]["count"] == 8
        assert set(records[0]["ratios"]) == {"2 devices", "8 devices"}


def test_peers_are_listed_with_the_commands_that_make_their_environments(command, tmp_path: Path) -> None:
    code, out, _ = command("bench", "peers", "--environments", str(tmp_path), "--json")
    found = json.loads(out)["peers"]
    assert code == 0
    assert [row["peer"] for row in found] == list(benchmark.PEERS)
    assert all(row["python"] is None and row["make"].startswith("python -m venv") for row in found)


def test_a_batch_that_not_all_devices_can_share_is_refused() -> None:
    done = subprocess.run(
        [*COMMAND, "bench", "scale", "linear", "--batch", "20"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    told = "--batch (=20) must be divisible by every number of devices, 1, 2, 4, 8: take 16, or --weak for 20 images"
    assert told in done.stderr


def test_several_processes_share_each_batch_and_the_first_one_tells() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    argv = (*COMMAND, "bench", "scale", "linear", "--input", "8x8x1", "--seconds", "0.01", "--json", "--batch", "8")
    flags = ("--coordinator", address, "--processes", "2", "--process")
    started = [
        subprocess.Popen((*argv, *flags, str(number)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for number in range(2)
    ]
    (first, said), (second, _) = (process.communicate(timeout=120) for process in started)
    assert [process.returncode for process in started] == [0, 0], said
    (record,) = json.loads(first)["records"]
    assert (record["work"]["devices"], record["work"]["processes"], record["work"]["batch"]) == (2, 2, 8)
    assert second == ""
