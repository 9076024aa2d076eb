"""`jaxcnn sweep`: a preset, flags with several values, to many runs and what was best."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, flags
from jaxcnn.cli.interrupt import after_saving
from jaxcnn.cli.output import console, emit_json, quiet, show_table
from jaxcnn.cli.train import ALIASES, read_preset
from jaxcnn.config import Config
from jaxcnn.presets import PRESETS
from jaxcnn.space import Choice, Range, drawn, grid, parse_space

if TYPE_CHECKING:
    from jaxcnn.api.sweep import Standing, Trial

SHOWN = 20
"""Trials in the table."""
NAMED = 4
"""Runs of the best trial, one a seed, that are named."""
_HINT = ""
_FIXED = ("mesh", "init", "fresh", "freeze", "lowering", "save_every", "keep_last", "keep_best", "chunk")
"""Fields that are no matter of trials; their values may hold commas and colons."""


@dataclass(frozen=True)
class Arguments(Common):
    """Train a network by many configs, those that differ in numbers alone as one program, and rank them on validation.

    Any flag of `jaxcnn train` takes several values: 0:8 (0 to 7), a,b,c, log:LOW:HIGH or lin:LOW:HIGH, or with points
    as log:LOW:HIGH:POINTS. Several --seed are one trial: mean and interval over them. The same command goes on where
    it was stopped.

    Example: jaxcnn sweep digits --optim.lr log:1e-3:1e-1:5 --seed 0:3 --epochs 10
    """

    preset: Annotated[Positional[str | None], arg(metavar="[PRESET]", help_behavior_hint=_HINT)] = None
    """Where the other values come from: see `jaxcnn presets` (default: digits)."""
    out: Annotated[str | None, arg(metavar="DIR", help_behavior_hint=_HINT)] = None
    """Folder of all runs (default: checkpoints/sweep_PRESET)."""
    search: Literal["grid", "random", "tpe", "cmaes", "gp"] = "grid"
    """Every combination; --trials drawn ones; or --trials that an Optuna sampler chooses by those before (an extra:
    pip install 'jaxcnn[optuna]')."""
    trials: int = 16
    """Of any search but the grid; an Optuna study's on all machines."""
    together: int = 4
    """Trials that a study is asked for at once, and trained as one program."""
    storage: Annotated[str | None, arg(metavar="URL", help_behavior_hint=_HINT)] = None
    """Of a study that machines share: a database such as postgresql://HOST/NAME, or a file for a journal that all see
    (default: a journal in the sweep's folder)."""
    study: Annotated[str | None, arg(metavar="NAME", help_behavior_hint=_HINT)] = None
    """Its name in the storage (default: the folder's)."""
    halving: Annotated[int | None, arg(metavar="INT", help_behavior_hint=_HINT)] = None
    """Successive halving: one of so many trials goes on, for so many times as long (default: all go to their end)."""
    figure: Annotated[str | None, arg(metavar="FILE", help_behavior_hint=_HINT)] = None
    """Draw all trials there, as lines through the values of every flag to the accuracy."""
    config: Annotated[Config, arg(name="")] = field(default_factory=lambda: PRESETS["digits"])


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    argv, spaces = _spaces(argv)
    arguments = read_preset(Arguments, argv, verb="sweep")
    quiet(debug=arguments.debug)
    from jaxcnn import api, data, lowering
    from jaxcnn.api.adaptive import Asked, adaptive_events
    from jaxcnn.api.sweep import Dropped, read_trials, standings, sweep_events
    from jaxcnn.cli.preparing import show_preparing
    from jaxcnn.runs.records import write_json

    if not spaces:
        raise ValueError("a sweep needs a flag with several values, such as --optim.lr log:1e-3:1 or --seed 0:8")
    adaptive = arguments.search not in ("grid", "random")
    for name, size in (("trials", arguments.trials), ("together", arguments.together)):
        if arguments.search != "grid" and size < 1:
            raise ValueError(f"--{name} (={size}) must be at least 1")
    if not adaptive and (arguments.storage or arguments.study):
        raise ValueError("--storage and --study are an Optuna study's: give --search tpe, cmaes or gp")
    if arguments.halving is not None and arguments.halving < 2:
        raise ValueError(f"--halving (={arguments.halving}) must be at least 2")
    if adaptive and arguments.halving is not None:
        raise ValueError(f"--halving is for --search grid and random, whose trials are known; got {arguments.search}")
    if adaptive and not set(spaces) - {"seed"}:
        raise ValueError(f"--search {arguments.search} needs a flag beside --seed to choose values of")
    build = _Builder(arguments, argv, spaces)
    trials = [] if adaptive else [build(values) for values in _tried(arguments, build.varied)]
    lowering.enable(arguments.config.lowering)
    config, told = arguments.config, console(stderr=True)
    folder = Path(arguments.out or f"checkpoints/sweep_{arguments.preset or 'digits'}")
    networks = sum(len(trial.configs) for trial in trials)
    told.print(
        f"{arguments.trials} trials, {arguments.together} at a time, by {arguments.search}, in {folder}"
        if adaptive
        else f"{len(trials)} trials, {networks} networks, in {folder}"
    )
    if not arguments.json:
        show_preparing(config.data.name, data.preparing(config.data))
    dataset = data.load(config.data)
    with after_saving() as stop:
        options: Any = {"out": folder, "stop": stop, "told": lambda plan: told.print(f"trying {plan}", style="dim")}
        if adaptive:
            events = adaptive_events(
                config.model.name, dataset, build.varied, build, trials=arguments.trials, together=arguments.together,
                sampler=arguments.search, seed=config.seed, storage=arguments.storage, study=arguments.study, **options,
            )  # fmt: skip
        else:
            events = sweep_events(config.model.name, dataset, trials, keep=arguments.halving, **options)
        with contextlib.closing(events):
            for event in events:
                match event:
                    case api.Planned():
                        _show_plan(event, told)
                    case api.MembersEpoch():
                        _show_epoch(event, config.epochs, told)
                    case api.MemberEnded() if event.failed:
                        told.print(f"{event.run.path.name}: {event.failed}", style="yellow")
                    case Asked():
                        names = ", ".join(f"{number:03d}" for number in event.trials)
                        told.print(f"{event.told} of {arguments.trials} trials have ended; next: {names}")
                    case Dropped():
                        told.print(f"after {event.epochs} epochs {len(event.trials)} trials are dropped")
        if stop():
            print(f"jaxcnn: interrupted; the same command goes on, in {folder}", file=sys.stderr)
            return stop.code
    trials = read_trials(folder) if adaptive else trials
    if not trials:
        print(f"jaxcnn: the study has its {arguments.trials} trials, none of them in {folder}", file=sys.stderr)
        return 0
    found = standings(folder, trials)
    document = {"sweep": str(folder), "best": found[0].trial, "trials": [_facts(one) for one in found]}
    write_json(folder / "result.json", document)
    if arguments.figure:
        from jaxcnn.report import draw_parallel

        draw_parallel([(one.values, one.mean) for one in found], arguments.figure)
    if arguments.json:
        emit_json(document)
    else:
        _show(found, folder, trials)
        if arguments.figure:
            print(f"figure: {arguments.figure}")
    return 0


def _spaces(argv: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Take several values out of a command: return it with the first of each, and what is tried, by field."""
    known = {flag: flag.removeprefix("--").replace("-", "_") for flag in flags(Config)}
    words: list[str] = []
    for word in argv:  # --flag=value becomes two words
        flag, _, value = word.partition("=")
        flag = ALIASES.get(flag, flag)
        words += [flag, value] if word.startswith("--") and "=" in word else [flag]
    spaces: dict[str, Choice | Range] = {}
    for at, word in enumerate(words[:-1]):
        name = known.get(word)
        if name is None or name in _FIXED or name.startswith("data."):
            continue
        space = parse_space(words[at + 1])
        if space is not None:
            spaces[name] = space
            words[at + 1] = f"{space.low:g}" if isinstance(space, Range) else space.values[0]
    return words, spaces


def _tried(arguments: Arguments, varied: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the values of all trials, where they are known beforehand."""
    if arguments.search == "random" and varied:
        return drawn(varied, arguments.trials, seed=arguments.config.seed)
    return grid(varied)


class _Builder:
    """Makes a trial's configs of values; one that no flag takes is told as `jaxcnn train` tells it."""

    def __init__(self, arguments: Arguments, argv: Sequence[str], spaces: dict[str, Any]):
        self.seeds = [int(seed) for seed in spaces["seed"].grid()] if "seed" in spaces else [arguments.config.seed]
        self.varied = {name: space for name, space in spaces.items() if name != "seed"}
        self.config, self.read = arguments.config, _Reader(argv)

    def __call__(self, values: dict[str, Any]) -> "Trial":
        from jaxcnn.api.members import with_values
        from jaxcnn.api.sweep import Trial

        typed = {name: self.read(name, value) for name, value in values.items()}
        return Trial(typed, tuple(with_values(self.config, {**typed, "seed": seed}) for seed in self.seeds))


class _Reader:
    """Reads a value of a field as the command would, and remembers it."""

    def __init__(self, argv: Sequence[str]):
        self.argv, self.known = list(argv), {}

    def __call__(self, name: str, value: Any) -> Any:
        from jaxcnn.api.members import get

        if (name, value) not in self.known:
            flag = f"--{name.replace('_', '-')}"
            argv = list(self.argv)
            argv[argv.index(flag) + 1] = str(value)
            try:
                config = read_preset(Arguments, argv, verb="sweep").config
            except ValueError:
                if not isinstance(value, float):
                    raise
                argv[argv.index(flag) + 1] = str(round(value))  # a range of whole numbers
                config = read_preset(Arguments, argv, verb="sweep").config
            self.known[name, value] = get(config, name)
        return self.known[name, value]


def _show_plan(event: Any, told: Any) -> None:
    chosen, count = event.chosen, len(event.members)
    times = ", ".join(f"{name} {seconds:.2g} s" for name, seconds in chosen.seconds.items())
    how = " (measured before)" if chosen.remembered else ""
    told.print(f"{count} networks of {event.parameters:,} parameters by {chosen.plan}{how}: {times}".rstrip(": "))


def _show_epoch(event: Any, epochs: int, told: Any) -> None:
    from jaxcnn import runs

    values = [row["validation"][runs.score_name(row["validation"]) or "loss"] for row in event.rows.values()]
    low, high = min(values), max(values)
    what = f"{len(values)} networks  validation {low:.4f} to {high:.4f}"
    told.print(f"epoch {event.epoch}/{epochs}  {what}  {event.seconds:.1f} s")


def _facts(one: "Standing") -> dict[str, Any]:
    return {**dataclasses.asdict(one), "mean": one.mean, "half_width": one.half}


def _show(found: "Sequence[Standing]", folder: Path, trials: "Sequence[Trial]") -> None:
    """Print the table of trials, the best first."""
    names = list(found[0].values)
    columns = ["Trial", *names, "Validation", "Seeds", "Epochs", "Test"]
    rows = [
        [f"{one.trial:03d}", *(_text(one.values[name]) for name in names), *_measured(one)] for one in found[:SHOWN]
    ]
    show_table(columns, rows, right=(len(columns) - 2,))
    if len(found) > SHOWN:
        console().print(f"and {len(found) - SHOWN} more: {folder / 'result.json'}")
    best = found[0]
    names = list(trials[best.trial].names(best.trial))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    console().print(f"best on validation: {', '.join(str(folder / name) for name in names[:NAMED])}{more}")


def _measured(one: "Standing") -> Iterator[str]:
    half = "" if one.half != one.half else f" ± {one.half:.4f}"
    yield f"{one.mean:.4f}{half}"
    yield str(len(one.scores))
    yield str(one.epochs)
    yield f"{sum(one.test) / len(one.test):.4f}" if one.ended and one.test else ""


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
