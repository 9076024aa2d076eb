"""`jaxcnn report`: a page about one run, or several."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, parse
from jaxcnn.cli.output import console, emit_json, quiet

if TYPE_CHECKING:
    from jaxcnn.api import Classifier
    from jaxcnn.report import Convolution, Shown, Tab
    from jaxcnn.runs import Run

TEST_IMAGES = 10_000
"""Images of the test set that are looked at, at most."""
FIELD_IMAGES = 8
"""Images that the effective receptive field is measured on."""


@dataclass(frozen=True)
class Arguments(Common):
    """Write a page about a run: curves, predictions, layers, receptive fields, filters, what shifts do to it, config.

    One file, which needs no server, no network and no other file. Of several runs, the curves are of all and the rest
    is of the first.
    """

    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN [RUN ...]")]
    """Folders of the runs."""
    out: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """The page (default: report.html in the first run's folder); an older one is replaced."""
    image: int = 0
    """Which image of the test set is looked at, layer by layer."""
    bench: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Measurements to show too, as `jaxcnn bench --record` writes them."""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = parse(Arguments, argv, verb="report")
    quiet(debug=arguments.debug)
    if not arguments.runs:
        raise ValueError("a report is of one run or more: give their folders")
    from jaxcnn import lowering
    from jaxcnn.report import page
    from jaxcnn.runs import Run

    runs = [Run.open(path) for path in arguments.runs]
    first, path = runs[0], Path(arguments.out or Path(arguments.runs[0]) / "report.html")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ValueError(f"--out (={path}) must be a file in a folder that is there")
    measured = [] if arguments.bench is None else [_benchmark(Path(arguments.bench))]
    lowering.enable(first.config.lowering)
    began, tabs = time.perf_counter(), []
    left_out: list[str] = []
    with console(stderr=True).status("images") as status:
        steps = [("curves", lambda: _curves(runs)), *_of_images(first, arguments.image, left_out)]
        for name, make in [*steps, ("config", lambda: _config(first))]:
            status.update(name)
            tabs.append(make())
    tabs[-1:-1] = measured
    text = page(f"jaxcnn: {', '.join(run.path.resolve().name for run in runs)}", tabs)
    path.write_text(text, "utf-8")
    seconds = time.perf_counter() - began
    if arguments.json:
        emit_json({
            "page": str(path), "bytes": len(text.encode()), "seconds": seconds,
            "tabs": [tab.id for tab in tabs], "left_out": left_out,
        })  # fmt: skip
        return 0
    for line in left_out:
        print(f"left out   {line}")
    print(f"page       {path} ({len(text.encode()) / 1e6:.1f} MB, {len(tabs)} tabs, {seconds:.0f} s)")
    return 0


Step = tuple[str, Callable[[], "Tab"]]


def _of_images(run: "Run", number: int, left_out: list[str]) -> Iterator[Step]:
    """Give what there is to show of images, if the run's network classifies them and its data are here."""
    from jaxcnn import api, data

    try:
        classify = api.classifier(run)
        if data.state(run.config.data) != "prepared":
            raise ValueError(f"the data ({run.config.data.name}) are not prepared: jaxcnn data prepare")
        dataset = data.load(run.config.data)
        run.check_data(data.describe(dataset))
    except (ValueError, OSError) as error:
        left_out.append(f"all that is shown of images: {error}")
        return
    count = len(dataset.test.targets)
    if not 0 <= number < count:
        raise ValueError(f"--image (={number}) must be from 0 to {count - 1}, the images of the test set")
    test = _shown(classify, dataset.test.inputs[:TEST_IMAGES], dataset.test.targets[:TEST_IMAGES])
    one = _shown(classify, dataset.test.inputs[number : number + 1], dataset.test.targets[number : number + 1])
    from jaxcnn import report

    name, first = (
        f"image {number} of the test set of {dataset.name}",
        report.first_convolution(_plain(run), one.prepared),
    )
    yield "predictions", lambda: _predictions(classify, test)
    yield "architecture", lambda: _architecture(run, one, test)
    yield "layers of an image", lambda: report.layers(classify.logits, one, classify.classes)
    yield "filters", lambda: _filters(first, one)
    yield "convolution", lambda: report.stepper(first)
    yield "shifts", lambda: report.shifted(_plain(run), one.prepared, one.pictures[0])
    yield "audit", lambda: _audit(run, one, name)


def _shown(classify: "Classifier", stored: np.ndarray, targets: np.ndarray) -> "Shown":
    from jaxcnn.report import Shown

    pictures = np.clip(np.asarray(stored, np.float32) / classify.white, 0, 1)
    return Shown(np.asarray(classify.preprocessing(stored), np.float32), pictures, np.asarray(targets))


def _predictions(classify: "Classifier", test: "Shown") -> "Tab":
    import jax.numpy as jnp

    from jaxcnn import report

    size, rows, prepared = 256, [], test.prepared
    for start in range(0, len(prepared), size):
        part = prepared[start : start + size]
        filled = np.pad(part, [(0, min(size, len(prepared)) - len(part)), *[(0, 0)] * (part.ndim - 1)])
        rows.append(np.asarray(classify.logits(jnp.asarray(filled)))[: len(part)])
    return report.predictions(classify.logits, test, np.concatenate(rows), classify.classes, "test set")


def _plain(run: "Run") -> Callable[[Any], Any]:
    """Return a run's network for one view: what summaries and audits speak of."""
    from jaxcnn import api

    loaded = api.load(run)
    return lambda x: loaded.fn(loaded.params, x)


def _architecture(run: "Run", one: "Shown", test: "Shown") -> "Tab":
    from jaxcnn import analysis, api, report

    loaded = api.load(run)
    summary = analysis.summarize(loaded.fn, loaded.params, one.prepared[0], spatial_axes=(-3, -2))
    x = np.concatenate([one.prepared, test.prepared[: FIELD_IMAGES - 1]])
    return report.architecture(loaded.fn, loaded.params, summary, x, one.pictures[0])


def _filters(first: "Convolution | None", one: "Shown") -> "Tab":
    from jaxcnn import report

    kernel, name = (None, "") if first is None else (first.kernel, first.name)
    return report.filters(kernel, name, one.pictures[0])


def _audit(run: "Run", one: "Shown", what: str) -> "Tab":
    from jaxcnn import equivariance, report

    return report.audited(equivariance.audit(_plain(run), one.prepared[0]), what)


def _curves(runs: "Sequence[Run]") -> "Tab":
    from jaxcnn.report import Tab, charts, fragment

    names = [run.path.resolve().name for run in runs]
    names = [name if names.count(name) == 1 else str(run.path) for name, run in zip(names, runs, strict=True)]
    drawn = charts(names, [run.metrics() for run in runs])
    return Tab("curves", "Curves", fragment("charts.html", charts=drawn))


def _benchmark(path: Path) -> "Tab":
    from jaxcnn import benchmark
    from jaxcnn.report import Tab, Table, fragment

    records = benchmark.read(path)
    if not records:
        raise ValueError(f"{path} holds no measurement: jaxcnn bench --record writes them")
    titles, *rows = benchmark.table(records)
    table = Table(f"Measurements of {path.name}", titles, rows, numbers=False)
    return Tab("benchmark", "Benchmark", fragment("table.html", table=table))


def _config(run: "Run") -> "Tab":
    from jaxcnn.report import Tab, fragment

    environment = run.path / "environment.json"
    parts = [
        ("Result, on the test set", run.result),
        ("Config", asdict(run.config)),
        ("Data", run.facts),
        ("Environment", json.loads(environment.read_text()) if environment.exists() else None),
    ]
    told = [(title, json.dumps(value, indent=2)) for title, value in parts if value is not None]
    return Tab("config", "Config", fragment("config.html", parts=told))
