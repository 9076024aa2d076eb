"""`jaxcnn report`: the page of a run, tab by tab, in a browser; its numbers against those made by hand."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import api, data
from jaxcnn.cli import main
from jaxcnn.report import Shown, page, predictions
from jaxcnn.report.stepper import Convolution, stepper
from jaxcnn.runs import Run

pytestmark = pytest.mark.browser
Opened = Callable[..., Any]
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
SMALL = ("--data.name", "digits", "--model.name", "small_cnn", "--epochs", "2")
TABS = ["curves", "predictions", "architecture", "layers", "filters", "stepper", "shifts", "audit", "config"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        assert main(["train", *SMALL, "--seed", str(seed), "--out", str(folder / f"run{seed}")]) == 0
    assert main(["report", str(folder / "run0"), str(folder / "run1")]) == 0
    return folder / "run0"


@pytest.fixture
def shown(run: Path, opened: Opened) -> Any:
    return opened(run / "report.html")


def choose(page: Any, tab: str) -> Any:
    page.locator(f"#tab-{tab}").click()
    panel = page.locator(f"#{tab}")
    assert panel.is_visible()
    return panel


def test_it_has_every_part_small_and_with_words_for_every_picture(run: Path, shown: Any) -> None:
    tabs = [tab.get_attribute("aria-controls") for tab in shown.get_by_role("tab").all()]
    assert tabs == TABS
    assert (run / "report.html").stat().st_size < 5e6
    alts = shown.locator("img").evaluate_all("all => all.map(i => i.getAttribute('alt'))")
    assert len(alts) > 50
    assert all(alts)
    assert shown.locator("img").evaluate_all("all => all.every(i => i.complete && i.naturalWidth > 0)")


def test_curves_are_of_all_runs(run: Path, shown: Any) -> None:
    chart = json.loads(shown.locator("[data-chart] script").first.text_content())
    assert {series["name"].split(", ")[0] for series in chart["series"]} == {"run0", "run1"}
    for series in chart["series"]:
        name, part = series["name"].split(", ")
        rows = [json.loads(line) for line in (run.parent / name / "metrics.jsonl").read_text().splitlines()]
        assert series["points"] == [[row["epoch"], row[part][chart["title"]]] for row in rows]


def test_predictions_count_what_the_result_counts(run: Path, shown: Any) -> None:
    panel = choose(shown, "predictions")
    numbers = panel.locator(".confusion tbody tr").evaluate_all(
        "rows => rows.map(r => [...r.querySelectorAll('td')].map(c => Number(c.textContent || 0)))"
    )
    matrix = np.array(numbers)
    result = json.loads((run / "result.json").read_text())
    assert matrix.shape == (10, 10)
    assert matrix.trace() / matrix.sum() == pytest.approx(result["accuracy"])
    targets = data.load(Run.open(run).config.data).test.targets
    assert matrix.sum(1).tolist() == np.bincount(targets, minlength=10).tolist()
    assert panel.locator(".gallery li").count() == min(12, int(matrix.sum() - matrix.trace()))
    sure = [float(text) for text in re.findall(r"\((\d+\.\d)%\)", panel.locator(".gallery").inner_text())]
    assert sure == sorted(sure, reverse=True)


def test_a_layer_that_is_pointed_at_or_has_the_focus_draws_its_fields(shown: Any) -> None:
    panel = choose(shown, "architecture")
    image, box, told = panel.locator(".stack img"), panel.locator(".box"), panel.locator("output")
    plain, rows = image.get_attribute("src"), panel.locator("[data-field]")
    assert not box.is_visible()
    rows.first.hover()
    assert box.is_visible()
    assert image.get_attribute("src") != plain
    assert "could see 3x3 positions" in told.inner_text()
    stack, frame = panel.locator(".stack").bounding_box(), box.bounding_box()
    assert frame["width"] / stack["width"] == pytest.approx(3 / 8, abs=0.02)
    before = image.get_attribute("src")
    rows.nth(2).focus()
    assert image.get_attribute("src") != before
    assert panel.locator("tbody tr").first.locator("td").nth(3).inner_text() == str(3 * 3 * 1 * 32)


def test_layers_end_in_the_probabilities_of_the_run(run: Path, shown: Any) -> None:
    panel = choose(shown, "layers")
    classify = api.classifier(Run.open(run))
    test = data.load(Run.open(run).config.data).test
    logits = np.asarray(classify.logits(classify.preprocessing(test.inputs[:1])), np.float64)[0]
    shares = np.exp(logits) / np.exp(logits).sum()
    first = panel.locator(".top li").first.inner_text()
    assert classify.classes[int(shares.argmax())] in first
    assert f"{shares.max():.1%}" in first
    assert panel.locator("h2").count() >= 6


def test_the_slider_shows_frames_whose_errors_are_those_measured_by_hand(run: Path, shown: Any) -> None:
    panel = choose(shown, "shifts")
    slider, frames = panel.locator("input[type=range]"), panel.locator(".frame")
    assert [frame.is_visible() for frame in frames.all()] == [True] + [False] * (frames.count() - 1)
    slider.focus()
    for _ in range(2):
        shown.keyboard.press("ArrowRight")
    assert panel.locator("output").inner_text() == "2"
    assert [number for number, frame in enumerate(frames.all()) if frame.is_visible()] == [2]

    loaded, test = api.load(Run.open(run)), data.load(Run.open(run).config.data).test
    classify = api.classifier(Run.open(run))
    x = np.asarray(classify.preprocessing(test.inputs[:1]), np.float64)
    kernel = next(np.asarray(p, np.float64) for p in jax.tree.leaves(loaded.params) if p.shape == (3, 3, 1, 32))
    at_rest, moved = (convolved(np.roll(x[0], s, 1), kernel, (1, 1), [(1, 1)] * 2, (1, 1)) for s in (0, 2))
    error = np.abs(moved - np.roll(at_rest, 2, 1)).max() / np.abs(at_rest).max()
    told = frames.nth(2).locator("h2 small").first.inner_text()
    assert float(told.removeprefix("error ")) == pytest.approx(error, rel=0.06)  # of two digits


def convolved(x: np.ndarray, kernel: np.ndarray, s: Any, padding: Any, d: Any) -> np.ndarray:
    """A convolution by loops, in float64."""
    x = np.pad(np.asarray(x, np.float64), [*padding, (0, 0)])
    k = kernel.shape[:2]
    out = [max((n - d[a] * (k[a] - 1) - 1) // s[a] + 1, 0) for a, n in enumerate(x.shape[:2])]
    y = np.zeros((*out, kernel.shape[3]))
    for i, j in np.ndindex(*out):
        patch = x[
            i * s[0] : i * s[0] + d[0] * (k[0] - 1) + 1 : d[0], j * s[1] : j * s[1] + d[1] * (k[1] - 1) + 1 : d[1]
        ]
        y[i, j] = np.tensordot(patch, kernel, 3)
    return y


def test_filters_and_the_audit(shown: Any) -> None:
    text = choose(shown, "filters").inner_text()
    assert "32 filters of stage1/unit1/conv, 3x3 on 1 channel;" in text
    assert all(name in text for name in ("edge8", "sharpen", "box_blur", "gaussian5", "sobel_x"))
    audit = choose(shown, "audit")
    assert audit.locator("strong").first.inner_text() == "broken"  # zeros at the borders, under circular shifts
    rows = {row[0]: row for row in (line.split("\t") for line in audit.locator("tbody").inner_text().splitlines())}
    assert rows["stage1/unit1/conv"][3] == "exact-interior"
    assert "zero padding 1 and 1 before a window of 3" in rows["stage1/unit1/conv"][5]
    assert rows["stage1/pool"][5] == "stride 2"
    assert float(rows["head/dense"][4]) > 0.1


def test_the_config_and_what_it_ran_on_are_there(run: Path, shown: Any) -> None:
    texts = choose(shown, "config").locator("pre").all_text_contents()
    result, config, facts, environment = map(json.loads, texts)
    assert result["accuracy"] == json.loads((run / "result.json").read_text())["accuracy"]
    assert config["epochs"] == 2
    assert facts["classes"] == list(map(str, range(10)))
    assert "jax" in json.dumps(environment)


CASES = [
    ((8, 8), (3, 3), 3, (1, 1), ((1, 1), (1, 1)), (1, 1)),
    ((9, 7), (2, 3), 2, (2, 1), ((0, 1), (2, 0)), (1, 2)),
]
SETTINGS = [(0, 0, 0), (2, 1, 1), (3, 3, 2), (4, 2, 3), (1, 1, 3)]


@pytest.mark.parametrize(("size", "window", "channels", "strides", "padding", "dilation"), CASES)
def test_the_stepper_convolves(
    size: Any, window: Any, channels: int, strides: Any, padding: Any, dilation: Any, tmp_path: Path, opened: Opened
) -> None:
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(*size, channels)), rng.normal(size=(*window, channels, 2))
    tab = stepper(Convolution("conv1", x, kernel, strides, padding, dilation))
    (tmp_path / "page.html").write_text(page("one", [tab]), "utf-8")
    shown = opened(tmp_path / "page.html")
    output, canvas = shown.locator("output"), shown.locator("[data-output]")
    for stride, pad, spread in SETTINGS:
        for name, value in (("stride", stride), ("padding", pad), ("dilation", spread), ("filter", 1)):
            shown.locator(f"[data-{name}]").select_option(index=value)
        s = (stride,) * 2 if stride else strides
        p = [(pad - 1,) * 2] * 2 if pad else padding
        d = (spread,) * 2 if spread else dilation
        wanted = convolved(x, kernel, s, p, d)[..., 1]
        if not wanted.size:
            assert output.inner_text().startswith("no output")
            continue
        assert f"= {wanted.shape[0]}" in shown.locator(".formula").inner_text()
        canvas.focus()
        for _ in range(max(size) + 8):  # to the first position
            shown.keyboard.press("ArrowLeft")
            shown.keyboard.press("ArrowUp")
        for i in range(wanted.shape[0]):
            j = i % wanted.shape[1]
            found = re.fullmatch(r"row (\d+), column (\d+) of (\d+)x(\d+): .* (\S+)", output.inner_text())
            assert found is not None
            assert tuple(map(int, found.groups()[:4])) == (i + 1, j + 1, *wanted.shape)
            assert float(found[5]) == pytest.approx(wanted[i, j], rel=1e-3, abs=1e-4)
            products = shown.locator("[data-products] td").all_inner_texts()
            assert len(products) == window[0] * window[1]
            shown.keyboard.press("ArrowDown")
            if j + 1 < wanted.shape[1]:
                shown.keyboard.press("ArrowRight")
            else:
                for _ in range(j):
                    shown.keyboard.press("ArrowLeft")


def test_the_stepper_goes_where_a_map_is_pressed(shown: Any) -> None:
    panel = choose(shown, "stepper")
    canvas = panel.locator("[data-output]")
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] * 0.99, "y": box["height"] * 0.01})
    assert panel.locator("output").inner_text().startswith("row 1, column 8 of 8x8")
    box = panel.locator("[data-input]").bounding_box()
    panel.locator("[data-input]").click(position={"x": box["width"] * 6.5 / 10, "y": box["height"] * 4.5 / 10})
    assert panel.locator("output").inner_text().startswith("row 4, column 6 of 8x8")  # whose patch has its middle there


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_part_is_wider_than_a_phone(run: Path, opened: Opened, scheme: str) -> None:
    shown = opened(run / "report.html", viewport={"width": 360, "height": 640}, color_scheme=scheme)
    for tab in TABS:
        choose(shown, tab)
        assert shown.evaluate("document.documentElement.scrollWidth") <= 360


def test_names_of_classes_are_text(tmp_path: Path, opened: Opened) -> None:
    x = np.random.default_rng(0).uniform(size=(4, 4, 4, 1)).astype(np.float32)
    outputs, targets = np.array([[2.0, 0.0]] * 4), np.array([0, 1, 1, 0])
    tab = predictions(
        lambda x: jnp.tanh(x).sum((1,)).reshape(-1, 4)[:, :2], outputs, targets,
        lambda numbers: Shown(x[numbers], x[numbers], targets[numbers]), (HOSTILE, "dog"), HOSTILE,
    )  # fmt: skip
    (tmp_path / "page.html").write_text(page("one", [tab]), "utf-8")
    shown = opened(tmp_path / "page.html")
    assert shown.locator(".confusion tbody th").first.inner_text() == HOSTILE
    assert shown.locator("script").count() == 1


def test_measurements_are_shown(run: Path, tmp_path: Path, opened: Opened, capsys: Any) -> None:
    records = tmp_path / "records.jsonl"
    assert (
        main(["bench", "pool", "--only", "avg 2x2", "--batch", "1", "--seconds", "0.05", "--record", str(records)]) == 0
    )
    out = tmp_path / "page.html"
    capsys.readouterr()
    assert main(["report", str(run), "--out", str(out), "--bench", str(records), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tabs"] == [*TABS[:-1], "benchmark", "config"]
    assert told["bytes"] == out.stat().st_size
    assert told["left_out"] == []
    panel = choose(opened(out), "benchmark")
    works = [json.loads(line)["work"]["case"] for line in records.read_text().splitlines()]
    assert [work in row for work, row in zip(works, panel.locator("tbody th").all_inner_texts(), strict=True)] == [
        True
    ] * len(works)


def test_what_has_no_classes_has_curves_and_config(tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "run"
    assert main(["train", "detector", "--epochs", "1", "--data.name", "scenes:digits", "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["report", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tabs"] == ["curves", "config"]
    assert len(told["left_out"]) == 1


def test_what_has_several_labels_has_no_confusions(tmp_path: Path, capsys: Any) -> None:
    rng = np.random.default_rng(0)
    file = tmp_path / "set.npz"
    arrays = {f"x_{part}": rng.integers(0, 256, (40, 8, 8, 1), np.uint8) for part in ("train", "test")}
    np.savez(file, **arrays, **{f"y_{part}": rng.integers(0, 2, (40, 3)) for part in ("train", "test")})
    out = tmp_path / "run"
    flags = ("--data.name", f"npz:{file}", "--model.name", "small_cnn", "--loss.name", "multi_label", "--epochs", "1")
    assert main(["train", *flags, "--batch", "8", "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["report", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tabs"] == [tab for tab in TABS if tab not in ("predictions", "layers")]
    assert "several labels" in told["left_out"][0]


def test_a_network_without_maps_has_no_heat(tmp_path: Path, opened: Opened) -> None:
    out = tmp_path / "run"
    assert main(["train", "--data.name", "digits", "--model.name", "linear", "--epochs", "1", "--out", str(out)]) == 0
    assert main(["report", str(out)]) == 0
    shown = opened(out / "report.html")
    assert "no Grad-CAM" in choose(shown, "predictions").inner_text()
    assert "no convolution" in choose(shown, "stepper").inner_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give their folders"),
        (("RUN", "--image", "360"), "from 0 to 359"),
        (("RUN", "--image", "-1"), "from 0 to 359"),
        (("RUN", "--out", "/"), "must be a file in a folder that is there"),
        (("RUN", "--out", "/no/such/folder/page.html"), "must be a file in a folder that is there"),
        (("RUN", "--bench", "nothing.jsonl"), "jaxcnn bench"),
        (("nothing",), "is not a run"),
    ],
)
def test_bad_arguments_end_in_a_line(run: Path, arguments: tuple[str, ...], message: str, capsys: Any) -> None:
    assert main(["report", *(str(run) if word == "RUN" else word for word in arguments)]) != 0
    told = capsys.readouterr().err
    assert message in told
    assert told.strip().count("\n") == 0
