"""`jaxcnn bench`: measure, record, compare."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from jaxcnn.cli import targets
from jaxcnn.cli.arguments import Common, Flag, parse
from jaxcnn.cli.output import console, emit_json, quiet, show_table
from jaxcnn.config import Lowering, ModelConfig, unknown

if TYPE_CHECKING:
    from jaxcnn.benchmark import Peak

WORKS = {
    "conv": "convolutions, forward and both gradients",
    "pool": "pools, forward and backward",
    "infer": "a model's logits for a batch",
    "train": "a model's training steps, as `jaxcnn train` takes them",
    "epoch": "the same steps as one program, one by one, and by nnx.jit",
    "ensemble": "several networks' steps: by vmap, by lax.map, one network after another",
    "data": "an epoch's batches: gathered on the device, read from the host, changed at random",
    "startup": "imports, help, the first step; with and without a compilation cache",
    "peak": "what the device can do: products of matrices, moves of memory",
}
OF_A_MODEL = ("infer", "train", "epoch", "ensemble")
_HINT = ""
GROWING = ("batch", "width", "depth", "side")
_UNITS = (("s", 1.0), ("ms", 1e3), ("us", 1e6))


@dataclass(frozen=True)
class Arguments(Common):
    """Measure work: conv, pool, infer, train, epoch, ensemble (of a MODEL), data, startup, peak. Compilation is kept
    apart, results are waited for, warm-up goes on until it is steady, and what is compared is measured in turns.

    A ratio has a bootstrap interval of 95 %; where it holds 1 no difference is claimed.
    """

    work: Annotated[Positional[str | None], arg(metavar="[WORK]", help_behavior_hint=_HINT)] = None
    """What is measured."""
    network: Annotated[Positional[str | None], arg(metavar="[MODEL]", help_behavior_hint=_HINT)] = None
    """Of infer, train, epoch and ensemble: a model (see `jaxcnn models`)."""
    batch: Annotated[int | None, arg(metavar="INT", help_behavior_hint=_HINT)] = None
    """Images at once (default: 32, of a model 128)."""
    input: Annotated[str, arg(metavar="HxWxC")] = "32x32x3"
    """Shape of an image of a model, or of data."""
    members: int = 8
    """Networks of an ensemble."""
    dtype: Literal["float32", "bfloat16", "float16", "float64"] = "float32"
    """What is computed in."""
    only: Annotated[str | None, arg(metavar="TEXT", help_behavior_hint=_HINT)] = None
    """Of conv and pool: cases whose name holds this."""
    growth: Annotated[str | None, arg(metavar="SIZE=N,N,...", help_behavior_hint=_HINT)] = None
    """Of infer and train: measure at several sizes, batch, width, depth or side (of the image), and fit an exponent."""
    seconds: float = 2.0
    """How long to measure each work, about; warm-up and compilation come on top."""
    roofline: Flag = False
    """Measure the device's peaks first, and tell how near each work comes."""
    record: Annotated[str | None, arg(metavar="FILE", help_behavior_hint=_HINT)] = None
    """Append a line of JSON for each measurement."""
    compare: Annotated[tuple[str, str] | None, arg(metavar="A B", help_behavior_hint=_HINT)] = None
    """Compare two files of records, and measure nothing."""
    gate: Annotated[str | None, arg(metavar="FILE", help_behavior_hint=_HINT)] = None
    """End with 1 where a ratio of this run, or of the records in --record where nothing is measured, falls under its
    bound in FILE."""
    lowering: Annotated[Lowering | None, arg(help_behavior_hint=_HINT)] = None
    """How convolutions are compiled for a CPU (default: the environment's JAXCNN_LOWERING, or auto)."""
    seed: int = 0
    """Draws the numbers."""
    model: ModelConfig = field(default_factory=lambda: ModelConfig(name=""))


def main(argv: Sequence[str]) -> int:
    """Run the command: 1 where a gate closes."""
    arguments = parse(Arguments, argv, verb="bench")
    quiet(debug=arguments.debug)
    _check(arguments)
    from jaxcnn import benchmark

    if arguments.compare:
        return _show_comparison(arguments)
    bounds = benchmark.read_bounds(arguments.gate) if arguments.gate else {}
    if arguments.work is None:
        assert arguments.record is not None
        records = benchmark.read(arguments.record)
    else:
        if arguments.record:
            _check_record(Path(arguments.record))
        records = []
        for measured in _measured(arguments):
            records += measured
            if arguments.record:
                benchmark.append(arguments.record, measured)
    fallen = benchmark.fallen(records, bounds)
    growth = None
    if arguments.growth is not None:
        _, sizes = _sizes(arguments.growth)
        growth = benchmark.fit_growth(
            sizes, [record["samples_s"] for record in records], [record["costs"]["flops"] for record in records]
        )
    if arguments.json:
        emit_json({"records": records, "growth": growth and asdict(growth), "fallen": fallen})
    elif arguments.work is not None:
        _show(records)
    if growth and not arguments.json:
        console().print(growth.told(_sizes(str(arguments.growth))[0]))
    for line in fallen:
        console(stderr=True).print(f"gate: {line}", style="red")
    return 1 if fallen else 0


def _check(arguments: Arguments) -> None:
    """Refuse what does not go together, before anything is measured."""
    if arguments.work is None:
        if not arguments.compare and not (arguments.gate and arguments.record):
            raise ValueError(
                f"nothing to do: name a work ({', '.join(WORKS)}), --compare A B, or --gate FILE with --record FILE"
            )
        if arguments.compare and (arguments.gate or arguments.record):
            raise ValueError("--compare stands alone: a gate is for what is measured, or for --record FILE")
        return
    if arguments.compare:
        raise ValueError("--compare reads two files and measures nothing: leave the work out")
    if arguments.work not in WORKS:
        raise ValueError(unknown("work", arguments.work, WORKS))
    if (arguments.network is None) == (arguments.work in OF_A_MODEL):
        needs = "needs a model: see `jaxcnn models`" if arguments.network is None else "takes no model"
        raise ValueError(f"`bench {arguments.work}` {needs}")
    if arguments.model.name:
        raise ValueError(f"--model.name (={arguments.model.name}): name the model after the work, `bench WORK MODEL`")
    if arguments.only is not None and arguments.work not in ("conv", "pool"):
        raise ValueError("--only is for `bench conv` and `bench pool`")
    if arguments.growth is not None:
        if arguments.work not in ("infer", "train"):
            raise ValueError("--growth is for `bench infer` and `bench train`")
        _sizes(arguments.growth)
    if arguments.batch is not None and arguments.batch < 1:
        raise ValueError(f"--batch (={arguments.batch}) must be at least 1")
    if arguments.members < 2:
        raise ValueError(f"--members (={arguments.members}) must be at least 2")
    if not 0 < arguments.seconds < 3600:
        raise ValueError(f"--seconds (={arguments.seconds:g}) must be a positive number, under 3600")
    if not 0 <= arguments.seed < 2**32:
        raise ValueError(f"--seed (={arguments.seed}) must be from 0 to 2**32 - 1")


def _check_record(path: Path) -> None:
    """Tell before anything is measured where records cannot be kept."""
    from jaxcnn import benchmark

    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"lies in no folder: there is no {path.parent}"
        raise ValueError(f"--record (={path}) {what}; expected a file, which records are added to")
    if path.exists():
        benchmark.read(path)  # raises where it holds something else
    benchmark.append(path, [])


def _sizes(text: str) -> tuple[str, list[int]]:
    """Read a size and its values."""
    name, _, values = text.partition("=")
    if name not in GROWING:
        raise ValueError(unknown("size of --growth", name, GROWING))
    numbers = [part.strip() for part in values.split(",")]
    if len(set(numbers)) < 2 or not all(part.isdigit() and int(part) > 0 for part in numbers):
        raise ValueError(f"--growth (={text!r}) must be two different whole numbers or more, such as {name}=8,16,32")
    return name, sorted({int(part) for part in numbers})


def _measured(arguments: Arguments) -> Iterator[list[dict[str, Any]]]:
    """Measure what was asked for, a group at a time, and tell what is going on meanwhile."""
    from jaxcnn import benchmark, lowering

    _prepare_dtype(arguments.dtype)
    lowering.enable(arguments.lowering)
    if arguments.work == "startup":
        console(stderr=True).print("starting 40 processes, one after another: a minute or two", style="dim")
        yield benchmark.measure_startup()
        return
    if arguments.work == "peak":
        dtypes = ("float32", "bfloat16") if arguments.dtype == "float32" else (arguments.dtype,)
        yield benchmark.measure_peak(dtypes, seconds=arguments.seconds)[1]
        return
    groups = _groups(arguments)
    if not groups:
        raise ValueError(f"--only (={arguments.only!r}): no case of `bench {arguments.work}` has this in its name")
    told = console(stderr=True)
    peak: Peak | None = None
    if arguments.roofline:
        told.print("measuring the device's peaks", style="dim")
        peak = benchmark.measure_peak((arguments.dtype,), seconds=min(arguments.seconds, 1.0))[0]
    for number, works in enumerate(groups, 1):
        told.print(f"{number}/{len(groups)}  {', '.join(works)}", style="dim")
        yield benchmark.run(works, seconds=arguments.seconds, peak=peak, seed=arguments.seed)


def _prepare_dtype(dtype: str) -> None:
    if dtype == "float64":
        import jax

        jax.config.update("jax_enable_x64", True)


def _groups(arguments: Arguments) -> list[dict[str, Any]]:
    """Return the works, those together that are measured in turns and compared."""
    from jaxcnn import benchmark

    if arguments.work in ("conv", "pool"):
        make = benchmark.convolutions if arguments.work == "conv" else benchmark.pools
        works = make(arguments.batch or 32, arguments.dtype, seed=arguments.seed, only=arguments.only)
        return [{name: work} for name, work in works.items()]
    if arguments.work == "data":
        return [benchmark.feeding(targets.shape(arguments.input), batch=arguments.batch or 128, seed=arguments.seed)]
    if arguments.growth is None:
        return [_network_works(arguments)]
    name, sizes = _sizes(arguments.growth)
    return [_network_works(arguments, **{name: size}) for size in sizes]


def _network_works(arguments: Arguments, *, side: int | None = None, **changed: int) -> dict[str, Any]:
    """Return what is measured of a model, at one size."""
    from jaxcnn import benchmark, models

    shape, classes = targets.shape(arguments.input), 10
    shape = shape if side is None else (*(side for _ in shape[:-1]), shape[-1])
    batch = changed.pop("batch", arguments.batch or 128)
    options = {**arguments.model.options(), **changed}
    assert arguments.network is not None
    module = models.create(arguments.network, num_classes=classes, input_shape=shape, rngs=arguments.seed, **options)
    facts = {"model": arguments.network, **options}
    if arguments.work == "infer":
        return {"infer": benchmark.inference(module, facts, shape, batch=batch, dtype=arguments.dtype)}
    setting = benchmark.Training(module, facts, shape, classes=classes, batch=batch, dtype=arguments.dtype)
    if arguments.work == "train":
        return {"train": setting.scan()}
    if arguments.work == "ensemble":
        return setting.ensemble(arguments.members)
    return {"scan": setting.scan("epoch"), "loop": setting.loop(), "nnx.jit": setting.nnx_jit()}


def _show(records: list[dict[str, Any]]) -> None:
    """Print a table of what was measured, and what is to be told of it."""
    from jaxcnn.benchmark import title

    rows = []
    for record in records:
        seconds, costs = record["seconds"], record["costs"]
        rates = [f"{rate['median']:,.0f} {name.removesuffix('_per_s')}/s" for name, rate in record["rates"].items()]
        flops = costs.get("flops")
        stages, place = record["stages"], record["roofline"]
        rows.append(
            (
                title(record),
                f"{_time(seconds['median'])} ({_time(seconds['q1'])} to {_time(seconds['q3'])})",
                seconds["n"],
                ", ".join(rates),
                f"{flops / seconds['median'] / 1e9:,.1f}" if flops else "",
                f"{place['fraction']:.0%} of {place['bound']}" if place else "",
                f"{stages['compile_s']:.2f} s" if stages else "",
                "; ".join(f"{name} {_interval(value)}" for name, value in record["ratios"].items()),
            )
        )
    titles = ("Work", "Time (quartiles)", "n", "Rate", "GFLOP/s", "Roof", "Compile", "Others take, times this one's")
    kept = [column for column in range(len(titles)) if any(row[column] not in ("", None) for row in rows)]
    show_table([titles[k] for k in kept], [[row[k] for k in kept] for row in rows], right=[kept.index(2)])
    for record in records:
        for note in record["notes"]:
            console().print(f"note: {title(record)}: {note}", style="yellow")


def _interval(value: dict[str, float]) -> str:
    return f"{value['median']:.2f} ({value['low']:.2f} to {value['high']:.2f})"


def _time(seconds: float) -> str:
    unit, factor = next(pair for pair in _UNITS if seconds * pair[1] >= 1 or pair is _UNITS[-1])
    return f"{seconds * factor:.3g} {unit}"


def _show_comparison(arguments: Arguments) -> int:
    """Print what became of every work that both files hold."""
    from jaxcnn import benchmark

    assert arguments.compare is not None
    one, other = map(benchmark.read, arguments.compare)
    rows, left = benchmark.compare(one, other)
    if not rows:
        raise ValueError(
            f"the files have no work in common that can be compared: {'; '.join(left) or 'both are empty'}"
        )
    if arguments.json:
        found = [{"work": row.name, **_interval_of(row), "verdict": row.ratio.verdict} for row in rows]
        emit_json({"works": found, "left": left})
        return 0
    cells = [
        (row.name, f"{row.ratio.median:.3f} ({row.ratio.low:.3f} to {row.ratio.high:.3f})", row.ratio.verdict)
        for row in rows
    ]
    show_table(("Work", "Time in B over time in A", "B is"), cells)
    for line in left:
        console().print(f"not compared: {line}", style="yellow")
    return 0


def _interval_of(row: Any) -> dict[str, float]:
    return {"ratio": row.ratio.median, "low": row.ratio.low, "high": row.ratio.high}
