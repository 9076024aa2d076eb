"""Pages as a person uses them: in a browser, from a file, with the network off."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jaxcnn.cli import main
from jaxcnn.report import Tab, Table, charts, fragment, page

pytestmark = pytest.mark.browser
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
RUNS = ("one", HOSTILE)
METRICS = [
    [
        {"epoch": e, "lr": 0.1 / e, "train": {"loss": 2 / e**2, "each": [1, 2]}, "validation": {"loss": 3 / e**2}}
        for e in range(1, 9)
    ],
    [{"epoch": e, "lr": 0.2, "train": {"loss": math.inf if e == 2 else -1.0}} for e in range(1, 4)],
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "page.html"
    tabs = [
        Tab("curves", "Curves", fragment("charts.html", charts=charts(RUNS, METRICS))),
        Tab("table", HOSTILE, fragment("table.html", table=Table(HOSTILE, ("", HOSTILE), [(HOSTILE, HOSTILE)]))),
        Tab("empty", "Empty", fragment("charts.html", charts=[])),
    ]
    file.write_text(page(HOSTILE, tabs), "utf-8")
    return file


Opened = Callable[..., Any]


def shown(page: Any) -> list[str]:
    return [panel.get_attribute("id") for panel in page.locator("[role=tabpanel]").all() if panel.is_visible()]


def test_text_stays_text(path: Path, opened: Opened) -> None:
    page = opened(path)
    assert page.title() == page.locator("h1").inner_text() == HOSTILE
    assert page.locator("img").count() == 0
    page.get_by_role("tab").nth(1).click()
    assert page.locator("#table td").inner_text() == page.locator("#table caption").inner_text() == HOSTILE
    assert HOSTILE in page.locator("#curves .legend").first.text_content()


def test_tabs_by_mouse_keyboard_and_address(path: Path, opened: Opened) -> None:
    page = opened(path)
    tabs = page.get_by_role("tab")
    assert shown(page) == ["curves"]
    tabs.nth(2).click()
    assert shown(page) == ["empty"]
    assert page.url.endswith("#empty")
    for key, there in (("ArrowRight", "curves"), ("ArrowLeft", "empty"), ("Home", "curves"), ("End", "empty")):
        page.keyboard.press(key)
        assert shown(page) == [there]
        assert page.evaluate("document.activeElement.getAttribute('aria-controls')") == there
    assert [tab.get_attribute("aria-selected") for tab in tabs.all()] == ["false", "false", "true"]
    page.reload()
    assert shown(page) == ["empty"]


def test_a_chart_tells_the_numbers_of_an_epoch(path: Path, opened: Opened) -> None:
    page = opened(path)
    drawing, told = page.locator(".drawing").first, page.locator("output").first
    box = drawing.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 630 / 640, box["y"] + 20)
    assert told.inner_text() == f"epoch 8: one, validation {3 / 64:.4}; one, train {2 / 64:.4g}"
    drawing.focus()
    page.keyboard.press("Home")
    assert told.inner_text().startswith("epoch 1: one, validation 3; one, train 2; ")
    page.keyboard.press("ArrowRight")
    assert told.inner_text().endswith("train not finite")
    assert "loss by epoch. one, validation: 3 at epoch 1" in drawing.get_attribute("aria-label")


def test_a_logarithmic_scale_makes_powers_straight_lines_of_the_logarithm(path: Path, opened: Opened) -> None:
    page = opened(path)
    figure = page.locator("figure").first

    def heights() -> list[float]:
        pieces = figure.locator("path").first.get_attribute("d").replace("M", "L").split("L")[1:]
        return [float(piece.split()[1]) for piece in pieces]

    linear = heights()
    assert (linear[1] - linear[0]) / (linear[7] - linear[0]) == pytest.approx((3 - 3 / 4) / (3 - 3 / 64), abs=0.01)
    figure.locator("[data-log]").check()
    log = heights()
    assert (log[1] - log[0]) / (log[7] - log[0]) == pytest.approx(math.log(4) / math.log(64), abs=0.01)
    assert figure.locator("path").nth(2).get_attribute("d") == ""  # nothing of it is positive
    figure.locator("[data-log]").uncheck()
    assert heights() == linear


def test_lines_have_colours_and_can_be_left_out(path: Path, opened: Opened) -> None:
    page = opened(path)
    figure = page.locator("figure").first
    swatches = figure.locator(".legend i").evaluate_all("all => all.map(i => getComputedStyle(i).borderTopColor)")
    lines = figure.locator("path").evaluate_all("all => all.map(p => getComputedStyle(p).stroke)")
    assert swatches == lines
    assert len(set(lines)) == 2
    figure.get_by_role("checkbox", name="one, train").uncheck()
    assert figure.locator("path").count() == 2


def test_its_numbers_are_those_of_the_rows(path: Path, opened: Opened) -> None:
    page = opened(path)
    figure = page.locator("figure").first
    figure.locator("summary").click()
    cells = [row.locator("td").all_inner_texts() for row in figure.locator("tbody tr").all()]
    assert [float(row[0]) for row in cells] == [row["validation"]["loss"] for row in METRICS[0]]
    assert [float(row[1]) for row in cells] == [row["train"]["loss"] for row in METRICS[0]]
    assert [row[2] for row in cells] == ["-1.0", "", "-1.0", "", "", "", "", ""]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_legible_on_a_phone_in_dark_and_light(path: Path, opened: Opened, scheme: str) -> None:
    page = opened(path, viewport={"width": 360, "height": 640}, color_scheme=scheme)
    for tab in page.get_by_role("tab").all():
        tab.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    text, ground = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert contrast(text, ground) > 7
    page.get_by_role("tab").first.click()
    strokes = page.locator("figure path").evaluate_all("all => all.map(p => getComputedStyle(p).stroke)")
    assert min(contrast(stroke, ground) for stroke in strokes) > 3  # WCAG 2.2, 1.4.11


def contrast(one: str, other: str) -> float:
    """The ratio of luminances, as WCAG defines it, of colours such as rgb(0, 114, 178)."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in colour.partition("(")[2].rstrip(")").split(",")[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_compare_writes_the_numbers_of_its_runs(tmp_path: Path, opened: Opened, capsys: Any) -> None:
    small = ("--data.name", "digits", "--model.name", "linear")
    for seed, epochs in ((0, 3), (1, 2)):
        out = ("--out", str(tmp_path / f"run{seed}"), "--seed", str(seed), "--epochs", str(epochs))
        assert main(["train", *small, *out]) == 0
    file = tmp_path / "compared.html"
    runs = [str(tmp_path / "run0"), str(tmp_path / "run1")]
    assert main(["compare", *runs, "--html", str(file)]) == 0
    assert str(file) in capsys.readouterr().out
    page = opened(file)
    chart = json.loads(page.locator("[data-chart] script").first.text_content())
    for series in chart["series"]:
        name, part = series["name"].split(", ")
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        assert series["points"] == [[row["epoch"], row[part][chart["title"]]] for row in rows]
    page.get_by_role("tab", name="Configs").click()
    assert page.locator("#configs tbody th").all_inner_texts() == ["epochs", "seed"]
    page.get_by_role("tab", name="Results").click()
    result = json.loads((tmp_path / "run0" / "result.json").read_text())
    row = page.locator("#results tr", has=page.get_by_role("rowheader", name="test accuracy", exact=True))
    assert row.locator("td").first.inner_text() == f"{result['accuracy']:.4f}"
