"""`jaxcnn train`: a preset and flags, to a run."""

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, parse
from jaxcnn.cli.dispatch import told
from jaxcnn.cli.interrupt import after_saving
from jaxcnn.cli.output import console, emit_json, quiet
from jaxcnn.config import Config, ModelConfig, unknown
from jaxcnn.presets import PRESETS

T = TypeVar("T")
DEFAULT = "digits"
ALIASES = {"--data": "--data.name", "--model": "--model.name"}
_HINT = ""  # the text itself says what None means


@dataclass(frozen=True)
class Arguments(Common):
    """Train a network, choose an epoch (--select), and measure it on the test set, once.

    Every flag that is not given is the preset's. --data and --model are short for --data.name and --model.name;
    another model brings its own defaults.

    Everything is written to a run's folder. The same --out goes on where it was stopped: `jaxcnn train --out RUN`.
    """

    preset: Annotated[Positional[str | None], arg(metavar="[PRESET]", help_behavior_hint=_HINT)] = None
    """Where the other defaults come from: see `jaxcnn presets` (default: digits, or the run that --out names)."""
    out: Annotated[str | None, arg(metavar="DIR", help_behavior_hint=_HINT)] = None
    """Folder of the run (default: a new checkpoints/DATE_PRESET)."""
    coordinator: Annotated[str | None, arg(metavar="HOST:PORT", help_behavior_hint=_HINT)] = None
    """Address of the first of several processes that train one network (SLURM's and Open MPI's are found)."""
    processes: Annotated[int | None, arg(help_behavior_hint=_HINT)] = None
    """How many processes there are; each is started with the same arguments, but for --process."""
    process: Annotated[int | None, arg(help_behavior_hint=_HINT)] = None
    """Which of them this is, from 0."""
    profile: Annotated[str | None, arg(metavar="DIR", help_behavior_hint=_HINT)] = None
    """Write a trace of the first steps there, for jax.profiler's viewers."""
    config: Annotated[Config, arg(name="")] = field(default_factory=lambda: PRESETS[DEFAULT])


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = read(argv)
    config = arguments.config
    quiet(debug=arguments.debug)
    import jax

    from jaxcnn import api, data, lowering
    from jaxcnn.cli.preparing import show_preparing
    from jaxcnn.cli.progress import show_end, watch
    from jaxcnn.training import distributed

    lowering.enable(config.lowering)
    if arguments.coordinator and not arguments.json:
        print(f"jaxcnn: waiting for the other processes, by {arguments.coordinator}", file=sys.stderr, flush=True)
    distributed.initialize(arguments.coordinator, arguments.processes, arguments.process)
    out = console(stderr=arguments.json)
    out.quiet = jax.process_index() > 0
    preset = arguments.preset or DEFAULT
    name = preset if config.data.name == PRESETS[preset].data.name else None
    try:
        with distributed.together(), after_saving() as stop:
            if not (arguments.json or out.quiet):
                show_preparing(config.data.name, data.preparing(config.data))
            run = api.fit_events(config.model.name, config.data, config, out=arguments.out, name=name, stop=stop)
            with contextlib.closing(run) as events:
                last = watch(_profiled(events, arguments.profile), config, out)
    except Exception as error:
        if jax.process_count() == 1:
            raise
        distributed.leave(told(error, verb="train", debug=arguments.debug))
    if isinstance(last, api.Halted):
        again = f"jaxcnn train --out {shlex.quote(str(last.run.path))}"
        if jax.process_count() > 1:
            again += ", in every process, and where you gave them --coordinator, --processes and --process"
        print(f"\njaxcnn: interrupted, {last.told}; go on with: {again}", file=sys.stderr)
        return stop.code or 143  # another process of the run was asked
    show_end(last, config, out)
    if arguments.json:
        emit_json({"run": str(last.run.path), **last.result})
    return 0


def read(argv: Sequence[str]) -> Arguments:
    """Parse twice: first to learn the preset or the run, then with their fields as defaults.

    Args:
        argv: The arguments.

    Returns:
        What was asked for.

    Raises:
        ValueError: An unknown preset or flag, or a value that does not fit.
    """
    return read_preset(Arguments, argv, verb="train")


def read_preset(kind: type[T], argv: Sequence[str], *, verb: str) -> T:
    """Parse the arguments of a command that takes a preset, a folder and a config, as `read` does.

    Args:
        kind: Their dataclass, with `preset`, `out` and `config`.
        argv: The arguments.
        verb: The command.

    Returns:
        What was asked for.

    Raises:
        ValueError: An unknown preset or flag, or a value that does not fit.
    """
    argv = [ALIASES.get(flag := part.partition("=")[0], flag) + part[len(flag) :] for part in argv]
    first: Any = parse(kind, [part for part in argv if part not in ("-h", "--help")], verb=verb)
    if first.preset is not None and first.preset not in PRESETS:
        raise ValueError(_no_preset(first.preset))
    default = PRESETS[first.preset or DEFAULT]
    if first.preset is None and first.out and (Path(first.out) / "config.json").is_file():
        from jaxcnn.runs import Run

        default = Run.open(first.out).config
    named = first.config.model.name
    if named not in (PRESETS[DEFAULT].model.name, default.model.name):  # another model does not want this one's width
        default = replace(default, model=ModelConfig(named))
    made: Any = kind()
    return parse(kind, argv, verb=verb, default=replace(made, config=default))


def _no_preset(name: str) -> str:
    """Return the message for a name that is no preset; a model's is told what it is."""
    from jaxcnn import models

    if name in models.available():
        return (
            f"{name!r} is a model; expected a preset (see `jaxcnn presets`): to train this model by the preset "
            f"{DEFAULT}, give `--model.name {name}`"
        )
    return unknown("preset", name, PRESETS)


def _profiled(events: Iterator[Any], folder: str | None) -> Iterator[Any]:
    """Trace what happens between the end of the compilation and the first chunk's end."""
    import jax

    from jaxcnn import training

    tracing = False
    try:
        for event in events:
            if tracing and isinstance(event, training.Chunk):
                jax.profiler.stop_trace()
                tracing = False
            yield event
            if folder and isinstance(event, training.Compiled):
                jax.profiler.start_trace(folder)
                tracing = True
    finally:
        if tracing:
            jax.profiler.stop_trace()
