"""`jaxcnn train`: a preset and flags, to a run."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, parse
from jaxcnn.cli.interrupt import Interrupts
from jaxcnn.cli.output import console, emit_json, quiet
from jaxcnn.config import PRESETS, Config, ModelConfig, unknown

DEFAULT = "digits"
_HINT = ""  # the text itself says what None means


@dataclass(frozen=True)
class Arguments(Common):
    """Train a network, choose an epoch (--select), and measure it on the test set, once.

    Every flag that is not given is the preset's. Another --model.name brings its own model's defaults.

    Everything is written to a run's folder. The same --out goes on where it was stopped: `jaxcnn train --out RUN`.
    """

    preset: Annotated[Positional[str | None], arg(metavar="[PRESET]", help_behavior_hint=_HINT)] = None
    """Where the other defaults come from: see `jaxcnn presets` (default: digits, or the run that --out names)."""
    out: Annotated[str | None, arg(metavar="DIR", help_behavior_hint=_HINT)] = None
    """Folder of the run (default: a new checkpoints/DATE_PRESET)."""
    profile: Annotated[str | None, arg(metavar="DIR", help_behavior_hint=_HINT)] = None
    """Write a trace of the first steps there, for jax.profiler's viewers."""
    config: Annotated[Config, arg(name="")] = field(default_factory=lambda: PRESETS[DEFAULT])


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = read(argv)
    config = arguments.config
    quiet(debug=arguments.debug)
    from jaxcnn import api, lowering
    from jaxcnn.cli.progress import show_end, watch

    lowering.enable(config.lowering)
    out = console(stderr=arguments.json)
    preset = arguments.preset or DEFAULT
    name = preset if config.data.name == PRESETS[preset].data.name else None
    seen: list[Any] = []
    run = api.fit_events(config.model.name, config.data, config, out=arguments.out, name=name)
    try:
        with Interrupts() as interrupts, contextlib.closing(run) as events:
            kept = interrupts.between(_noting(events, seen))
            finished = watch(_profiled(kept, arguments.profile), config, out)
    except KeyboardInterrupt:
        if seen:
            _tell_how_to_go_on(seen[0].run)
        raise
    show_end(finished, config, out)
    if arguments.json:
        emit_json({"run": str(finished.run.path), **finished.result})
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
    first = parse(Arguments, [part for part in argv if part not in ("-h", "--help")], verb="train")
    if first.preset is not None and first.preset not in PRESETS:
        raise ValueError(unknown("preset", first.preset, PRESETS))
    default = PRESETS[first.preset or DEFAULT]
    if first.preset is None and first.out and (Path(first.out) / "config.json").is_file():
        from jaxcnn.runs import Run

        default = Run.open(first.out).config
    named = first.config.model.name
    if named not in (PRESETS[DEFAULT].model.name, default.model.name):  # another model does not want this one's width
        default = replace(default, model=ModelConfig(named))
    return parse(Arguments, argv, verb="train", default=replace(Arguments(), config=default))


def _noting(events: Iterator[Any], seen: list[Any]) -> Iterator[Any]:
    """Pass events on, and remember the first."""
    for event in events:
        if not seen:
            seen.append(event)
        yield event


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


def _tell_how_to_go_on(run: Any) -> None:
    step = run.latest_step()
    saved = "before its first epoch ended" if step is None else f"epoch {run.progress(step).epoch} is saved"
    print(f"\njaxcnn: interrupted, {saved}; go on with: jaxcnn train --out {run.path}", file=sys.stderr)
