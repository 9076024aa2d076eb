"""`jaxcnn report`: a page about one run, or several."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, parse
from jaxcnn.cli.output import console, emit_json, quiet

if TYPE_CHECKING:
    from jaxcnn.api import Classifier, Loaded
    from jaxcnn.report import Convolution, Shown, Tab
    from jaxcnn.runs import Run

TEST_IMAGES = 10_000
"""Images of the test set that are looked at, at most."""
TOGETHER = 256
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
    from jaxcnn import api, data, equivariance

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
    from jaxcnn import report

    def shown(numbers: Any) -> "Shown":
        """Read some images alone: prepared, a set may be larger than the memory."""
        stored = np.asarray(dataset.test.inputs[numbers])
        pictures = np.clip(np.asarray(stored, np.float32) / classify.white, 0, 1)
        prepared = np.asarray(classify.preprocessing(stored), np.float32)
        return report.Shown(prepared, pictures, np.asarray(dataset.test.targets[numbers]))

    one, name = shown(slice(number, number + 1)), f"image {number} of the test set of {dataset.name}"
    loaded = api.load(run)  # for one view, of which summaries and audits speak
    network = partial(loaded.fn, loaded.params)
    first = report.first_convolution(network, one.prepared)
    labels = run.config.loss.name == "multi_label"
    if labels:
        left_out.append("confusions and the layers of an image: its images may have several labels")
    else:
        yield "predictions", lambda: _predictions(classify, shown, dataset.test.targets)
    fields = np.concatenate([one.prepared, shown(slice(FIELD_IMAGES - 1)).prepared])
    yield "architecture", lambda: _architecture(loaded, one, fields)
    if not labels:
        yield "layers of an image", lambda: report.layers(classify.logits, one, classify.classes)
    yield "filters", lambda: _filters(first, one)
    yield "convolution", lambda: report.stepper(first)
    yield "shifts", lambda: report.shifted(network, one.prepared, one.pictures[0])
    yield "audit", lambda: report.audited(equivariance.audit(network, one.prepared[0]), name)


def _predictions(classify: "Classifier", shown: "Callable[[Any], Shown]", targets: Any) -> "Tab":
    import jax.numpy as jnp

    from jaxcnn import report

    count, rows = min(len(targets), TEST_IMAGES), []
    size = min(TOGETHER, count)
    for start in range(0, count, size):
        part = shown(slice(start, min(start + size, count))).prepared
        filled = np.pad(part, [(0, size - len(part)), *[(0, 0)] * (part.ndim - 1)])  # so that one program serves all
        rows.append(np.asarray(classify.logits(jnp.asarray(filled)))[: len(part)])
    split = "test set" if count == len(targets) else f"first {count:,} of the test set"
    outputs = np.concatenate(rows)
    return report.predictions(classify.logits, outputs, targets[:count], shown, classify.classes, split)


def _architecture(loaded: "Loaded", one: "Shown", fields: np.ndarray) -> "Tab":
    from jaxcnn import analysis, report

    summary = analysis.summarize(loaded.fn, loaded.params, one.prepared[0], spatial_axes=(-3, -2))
    return report.architecture(loaded.fn, loaded.params, summary, fields, one.pictures[0])


def _filters(first: "Convolution | None", one: "Shown") -> "Tab":
    from jaxcnn import report

    kernel, name = (None, "") if first is None else (first.kernel, first.name)
    return report.filters(kernel, name, one.pictures[0])


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
