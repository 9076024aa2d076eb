"""The page of results: every measurement under its command, figures that hold what was measured."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from jaxcnn import benchmark
from jaxcnn.benchmark import figures, page

PEERS = "jaxcnn bench train lenet5 --peers torch,nnx"


def record(command: str, seconds: float, *, work: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    samples = benchmark.Samples(tuple(seconds * (1 + 0.01 * i) for i in range(7)), 1, 3, True)
    made = benchmark.make_record({"name": "train", **(work or {})}, samples, **options)
    made["environment"]["command"] = command
    return made


def rows() -> list[dict[str, Any]]:
    costs = {"macs": 10, "flops": 10**9, "bytes": 10**8}
    place = benchmark.place(benchmark.Peak({"float32": 1e11}, 1e10), "float32", flops=10**9, moved=10**8, seconds=0.02)
    ratios = {"torch": benchmark.Ratio(2.0, 1.9, 2.1), "nnx": benchmark.Ratio(1.0, 0.9, 1.1)}
    return [
        record(
            f"jaxcnn bench train lenet5 --growth batch=1,2,4 --record {number}.jsonl", 0.01 * 2**number, growth="batch",
            work={"model": "lenet5", "batch": 2**number}, costs={**costs, "flops": 10**9 * 2**number},
        )
        for number in range(3)
    ] + [
        record("jaxcnn bench conv --record=a", 0.02, costs=costs, roofline=place, work={"dtype": "float32"}),
        record(f"{PEERS} --environments E", 0.5, ratios=ratios, costs=costs),
        record(f"{PEERS} --environments E", 1.0, library="torch", peer={"threads": 2}),
        *(
            record(
                "jaxcnn bench scale lenet5", 1.0 / devices, per_call={"images_per_s": 8},
                work={"name": "scale", "model": "lenet5", "shape": [28, 28, 1], "dtype": "float32", "devices": devices},
            )
            for devices in (1, 2)
        ),
    ]  # fmt: skip


def test_every_record_stands_under_its_command(tmp_path: Path) -> None:
    text = benchmark.write_page(rows(), tmp_path / "new").read_text()
    assert text.count("\n## `jaxcnn bench ") == 4
    assert "## `jaxcnn bench train lenet5 --growth batch=1,2,4`" in text
    assert "## `jaxcnn bench train lenet5 --peers torch,nnx`" in text
    assert "time grows as batch^1.00 (" in text
    assert "FLOPs as batch^1.00." in text
    assert "torch 2.00 (1.90 to 2.10); nnx 1.00? (0.90 to 1.10)" in text
    assert "48% (memory)" in text or "50% (compute)" in text
    for name in ("peers", "roofline", "growth", "scale"):
        assert f"]({name}.png)" in text
        assert (tmp_path / "new" / f"{name}.png").stat().st_size > 5000


def test_a_page_draws_what_there_is_alone(tmp_path: Path) -> None:
    text = benchmark.write_page(rows()[3:4], tmp_path).read_text()
    assert "roofline.png" in text
    assert not (tmp_path / "peers.png").exists()
    assert "growth.png" not in text


def test_what_was_measured_again_stands_there_once() -> None:
    again = [record("jaxcnn bench nap", 1.0), record("jaxcnn bench nap", 2.0)]
    ((kept,),) = page.by_command(again).values()
    assert kept["samples_s"][0] == 2.0


def test_no_records_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no records to write a page of"):
        benchmark.write_page([], tmp_path)


def test_the_roof_is_drawn_through_both_peaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left of the ridge, at 10 FLOPs a byte, it rises with the bandwidth; right of it, it is flat."""
    drawn = []
    monkeypatch.setattr(figures, "_save", lambda axes, path: drawn.append(axes))
    placed = []
    for moved in (10**9, 10**7):
        place = benchmark.place(
            benchmark.Peak({"float32": 1e11}, 1e10), "float32", flops=10**9, moved=moved, seconds=0.5
        )
        placed.append(record("jaxcnn bench conv", 0.5, roofline=place, work={"dtype": "float32"}))
    figures.draw_roofline(placed, tmp_path / "roof.png")
    x, y = drawn[0].lines[0].get_data()
    plt.close("all")
    assert x.min() < 1 < 100 < x.max()
    for intensity, speed in zip(x, y, strict=True):
        assert speed == pytest.approx(min(100.0, 10 * intensity))
