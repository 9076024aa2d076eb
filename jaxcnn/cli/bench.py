"""`jaxcnn bench`: measure, record, compare."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, Flag, parse
from jaxcnn.cli.bench_show import show, show_comparison, show_peers
from jaxcnn.cli.bench_works import different, environments, measured, peers, sizes
from jaxcnn.cli.interrupt import at_once
from jaxcnn.cli.output import console, emit_json, quiet
from jaxcnn.config import Lowering, ModelConfig, unknown

WORKS = {
    "conv": "convolutions, forward and both gradients",
    "pool": "pools, forward and backward",
    "infer": "a model's logits for a batch",
    "train": "a model's training steps, as `jaxcnn train` takes them",
    "epoch": "the same steps as one program, one by one, and by nnx.jit",
    "ensemble": "several networks' steps: by vmap, by lax.map, one network after another",
    "scale": "a model's training steps on 1, 2, 4 ... devices",
    "data": "an epoch's batches: gathered on the device, read from the host, changed at random",
    "startup": "imports, help, the first step; with and without a compilation cache",
    "peak": "what the device can do: products of matrices, moves of memory",
    "peers": "nothing: tells which other libraries --peers finds",
}
OF_A_MODEL = ("infer", "train", "epoch", "ensemble", "scale")
_ONLY = {
    "only": ("conv", "pool"),
    "growth": ("infer", "train", "ensemble"),
    "peers": ("infer", "train"),
    "steps": ("train", "epoch", "ensemble", "scale"),
    **dict.fromkeys(("weak", "devices", "coordinator", "processes", "process"), ("scale",)),
}
"""Flags that are for some works alone."""
_NOT_OF_A_START = ("--starts", "--record", "--page", "--gate")
"""Flags that are for what several starts measured together."""
_HINT = ""


@dataclass(frozen=True)
class Arguments(Common):
    """Measure work: conv, pool, infer, train, epoch, ensemble, scale (of a MODEL), data, startup, peak; list peers.
    Compilation is kept apart, results are waited for, warm-up goes on until it is steady, and what is compared is
    measured in turns.

    A ratio has an interval of 95 %, over the turns of one process or, with --starts, over processes; where it holds 1
    no difference is claimed.
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
    """Of infer and train: measure at several sizes, batch, width, depth or side (of the image), and fit an exponent; of
    ensemble: members."""
    steps: Annotated[int | None, arg(metavar="INT", help_behavior_hint=_HINT)] = None
    """Of train, epoch, ensemble and scale: steps in a call (default: 8)."""
    devices: Annotated[str | None, arg(metavar="N,N,...", help_behavior_hint=_HINT)] = None
    """Of scale: how many devices share each batch (default: 1,2,4,8; of several processes all that there are). A CPU
    is divided into as many."""
    weak: Flag = False
    """Of scale: --batch images on every device, and not in all."""
    coordinator: Annotated[str | None, arg(metavar="HOST:PORT", help_behavior_hint=_HINT)] = None
    """Of scale: address of the first of several processes, as `jaxcnn train` takes it."""
    processes: Annotated[int | None, arg(metavar="INT", help_behavior_hint=_HINT)] = None
    """How many processes there are; each is started with the same arguments, but for --process."""
    process: Annotated[int | None, arg(metavar="INT", help_behavior_hint=_HINT)] = None
    """Which of them this is, from 0; the first one tells and records."""
    peers: Annotated[str | None, arg(metavar="NAME,...", help_behavior_hint=_HINT)] = None
    """Of train and infer: measure other libraries too, in turns, with the same network: torch, torch-compiled, nnx,
    linen, equinox, keras, or all. `jaxcnn bench peers` tells which are there."""
    environments: Annotated[str | None, arg(metavar="DIR", help_behavior_hint=_HINT)] = None
    """Folder of the peers' virtual environments (default: peers, in jaxcnn's cache)."""
    seconds: float = 2.0
    """How long to measure each work, about; warm-up and compilation come on top."""
    starts: int = 1
    """Measure all of it by so many processes, started one after another, and take ratios' intervals over the starts: a
    process keeps what it began with, and two may differ by a tenth. One, or three and more."""
    roofline: Flag = False
    """Measure the device's peaks first, and tell how near each work comes."""
    record: Annotated[str | None, arg(metavar="FILE", help_behavior_hint=_HINT)] = None
    """Append a line of JSON for each measurement."""
    page: Annotated[str | None, arg(metavar="DIR", help_behavior_hint=_HINT)] = None
    """Write the records of this run, or those in --record where nothing is measured, as a page with figures there."""
    compare: Annotated[tuple[str, ...] | None, arg(metavar="A B", help_behavior_hint=_HINT)] = None
    """Compare two files of records, and measure nothing."""
    gate: Annotated[str | None, arg(metavar="FILE", help_behavior_hint=_HINT)] = None
    """End with 1 where a ratio of this run, or of the records in --record where nothing is measured, falls under its
    bound in FILE; of a work that is recorded more than once the last counts."""
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
    if arguments.page is not None:
        _check_page(Path(arguments.page))
    from jaxcnn import benchmark

    if arguments.compare:
        return show_comparison(arguments)
    if arguments.work == "peers":
        return show_peers(environments(arguments), json=arguments.json)
    bounds = benchmark.read_bounds(arguments.gate) if arguments.gate else {}
    if arguments.work is None:
        assert arguments.record is not None
        records = benchmark.read(arguments.record)
    else:
        records = _recorded(arguments) if arguments.starts == 1 else _recorded_by_starts(arguments, argv)
        if not records:
            return 0  # of several processes the first one tells
    if arguments.page is not None:
        page = benchmark.write_page(records, arguments.page)
        console(stderr=True).print(f"written: {page}", style="dim")
    fallen = benchmark.fallen(records, bounds)
    growth = benchmark.growth_of(records) if arguments.growth else None
    if arguments.json:
        emit_json({"records": records, "growth": growth and asdict(growth), "fallen": fallen})
    elif arguments.work is not None:
        show(records)
        if growth:
            console().print(growth.told(sizes(str(arguments.growth))[0]))
    for line in fallen:
        console(stderr=True).print(f"gate: {line}", style="red")
    return 1 if fallen else 0


def _recorded(arguments: Arguments) -> list[dict[str, Any]]:
    """Measure, and keep what was measured as soon as it is there."""
    from jaxcnn import benchmark

    if arguments.record:
        _check_record(Path(arguments.record))
    records: list[dict[str, Any]] = []

    def stopped() -> str:
        return f"stopped; {len(records)} records are in {arguments.record}" if arguments.record else "stopped"

    with at_once(stopped):
        for found in measured(arguments):
            records += found
            if arguments.record and found:
                benchmark.append(arguments.record, found)
    return records


def _recorded_by_starts(arguments: Arguments, argv: Sequence[str]) -> list[dict[str, Any]]:
    """Measure by processes started one after another, and keep what all of them measured."""
    from jaxcnn import benchmark

    if arguments.record:
        _check_record(Path(arguments.record))
    asked = benchmark.without([word for word in argv if word != "--json"], _NOT_OF_A_START)
    starts, told = benchmark.Starts(["bench", *asked]), console(stderr=True)

    def stopped() -> str:
        starts.kill()
        return "stopped; nothing is recorded before the last start has ended"

    with at_once(stopped):
        records = starts.run(
            arguments.starts, told=lambda number: told.print(f"start {number} of {arguments.starts}", style="bold")
        )
    if arguments.record:
        benchmark.append(arguments.record, records)
    return records


def _check(arguments: Arguments) -> None:
    """Refuse what does not go together, before anything is measured."""
    if arguments.work is None:
        _check_without_work(arguments)
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
    for flag, works in _ONLY.items():
        if getattr(arguments, flag) not in (None, False) and arguments.work not in works:
            of = " and ".join(f"`bench {work}`" for work in works)
            raise ValueError(f"--{flag} is for {of}")
    if arguments.growth is not None:
        name, _ = sizes(arguments.growth)
        if name != "members" and arguments.work == "ensemble":
            raise ValueError(f"`bench ensemble` grows by --growth members=2,4,8 alone; got {name}")
        if name == "members" and arguments.work != "ensemble":
            raise ValueError("--growth members=... is for `bench ensemble`")
        if arguments.peers is not None:
            raise ValueError("--growth and --peers: measure one at a time")
    if arguments.peers is not None:
        if arguments.roofline:
            raise ValueError("--roofline and --peers: measure one at a time")
        peers(arguments)
    if arguments.devices is not None:
        different(f"--devices (={arguments.devices!r})", arguments.devices, "1,2,4")
    if arguments.starts != 1:
        _check_starts(arguments)
    for flag, least in (("batch", 1), ("members", 2), ("steps", 1)):
        value = getattr(arguments, flag)
        if value is not None and value < least:
            raise ValueError(f"--{flag} (={value}) must be at least {least}")
    if not 0 < arguments.seconds < 3600:
        raise ValueError(f"--seconds (={arguments.seconds:g}) must be a positive number, under 3600")
    if not 0 <= arguments.seed < 2**32:
        raise ValueError(f"--seed (={arguments.seed}) must be from 0 to 2**32 - 1")


def _check_starts(arguments: Arguments) -> None:
    """Refuse several starts where nothing can be said of them."""
    from jaxcnn.benchmark import LEAST_STARTS

    if arguments.starts < LEAST_STARTS:
        raise ValueError(f"--starts (={arguments.starts}) must be 1, or at least {LEAST_STARTS}")
    if arguments.work in ("startup", "peers"):
        raise ValueError(f"--starts is not for `bench {arguments.work}`")
    if arguments.coordinator or arguments.processes:
        raise ValueError("--starts is for one process; several are started by whoever starts them")


def _check_without_work(arguments: Arguments) -> None:
    """Refuse a command that neither measures nor reads."""
    if arguments.compare:
        if arguments.gate or arguments.record:
            raise ValueError("--compare stands alone: a gate is for what is measured, or for --record FILE")
        if len(arguments.compare) != 2:
            raise ValueError(f"--compare takes two files of records, A B; got {len(arguments.compare)}")
    elif not ((arguments.gate or arguments.page) and arguments.record):
        raise ValueError(
            f"nothing to do: name a work ({', '.join(WORKS)}), --compare A B, or --gate FILE or --page DIR with "
            "--record FILE"
        )


def _check_page(folder: Path) -> None:
    """Tell before anything is measured where a page cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"--page (={folder}) must be a folder that can be written: {error.strerror or error}"
        ) from error


def _check_record(path: Path) -> None:
    """Tell before anything is measured where records cannot be kept."""
    from jaxcnn import benchmark

    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"lies in no folder: there is no {path.parent}"
        raise ValueError(f"--record (={path}) {what}; expected a file, which records are added to")
    if path.exists():
        benchmark.read(path)  # raises where it holds something else
    try:
        benchmark.append(path, [])
    except OSError as error:
        raise ValueError(f"--record (={path}) cannot be written: {error.strerror or error}") from error
