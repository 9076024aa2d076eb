"""`jaxcnn presets`: the ready-made configs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from jaxcnn.cli.arguments import Common, parse
from jaxcnn.cli.output import emit_json, show_table
from jaxcnn.presets import PRESETS, expectations


@dataclass(frozen=True)
class Arguments(Common):
    """List the presets of `jaxcnn train`; `jaxcnn train PRESET --help` shows every field of one."""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = parse(Arguments, argv, verb="presets")
    if arguments.json:
        emit_json({name: asdict(config) for name, config in PRESETS.items()})
        return 0
    show_table(["Preset", "What to expect"], list(expectations().items()))
    return 0
