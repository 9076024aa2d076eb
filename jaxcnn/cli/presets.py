"""`jaxcnn presets`: the ready-made configs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from jaxcnn.cli.arguments import Common, parse
from jaxcnn.cli.output import emit_json, show_table
from jaxcnn.config import PRESETS


@dataclass(frozen=True)
class Arguments(Common):
    """List the presets of `jaxcnn train`; `jaxcnn train PRESET --help` shows every field of one."""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = parse(Arguments, argv, verb="presets")
    if arguments.json:
        emit_json({name: asdict(config) for name, config in PRESETS.items()})
        return 0
    rows = [
        (name, c.data.name, c.model.name, f"{c.optim.name}, lr {c.optim.lr:g}, {c.optim.schedule}", c.epochs, c.batch)
        for name, c in PRESETS.items()
    ]
    show_table(["Preset", "Data", "Model", "Optimizer", "Epochs", "Batch"], rows, right=(4, 5))
    return 0
