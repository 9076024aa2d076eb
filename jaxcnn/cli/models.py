"""`jaxcnn models`: the architectures that there are."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxcnn.cli.arguments import Common, parse
from jaxcnn.cli.output import emit_json, quiet, show_table


@dataclass(frozen=True)
class Arguments(Common):
    """List the models that `--model.name` and `jaxcnn summary` take."""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = parse(Arguments, argv, verb="models")
    quiet(debug=arguments.debug)
    from jaxcnn import models

    if arguments.json:
        emit_json(models.available())
    else:
        show_table(["Model", "What it is"], list(models.available().items()))
    return 0
