"""`jaxcnn data`: which data sets there are, ready or not, and what is in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, parse
from jaxcnn.cli.output import emit_json, quiet, show_facts, show_table
from jaxcnn.config import DataConfig


@dataclass(frozen=True)
class Arguments(Common):
    """List the data sets; prepare one for quick use, or check its every byte; show what is in one."""

    action: Positional[Literal["list", "prepare", "show"]] = "list"
    """What to do."""
    name: Annotated[Positional[str | None], arg(metavar="[NAME]", help_behavior_hint="")] = None
    """The data set, for `prepare` and `show`."""
    directory: Annotated[str | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder with its original files (default: the usual places)."""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = parse(Arguments, argv, verb="data")
    quiet(debug=arguments.debug)
    if arguments.action == "list":
        return _list(arguments)
    if arguments.name is None:
        raise ValueError(f"jaxcnn data {arguments.action} needs the name of a data set: see jaxcnn data list")
    config = DataConfig(arguments.name, directory=arguments.directory)
    return (_prepare if arguments.action == "prepare" else _show)(arguments, config)


def _list(arguments: Arguments) -> int:
    from jaxcnn import data

    sets = {
        name: {"state": data.state(DataConfig(name, directory=arguments.directory)), "description": description}
        for name, description in data.available().items()
    }
    if arguments.json:
        emit_json(sets)
    else:
        show_table(["Data set", "State", "What it is"], [(name, *facts.values()) for name, facts in sets.items()])
    return 0


def _prepare(arguments: Arguments, config: DataConfig) -> int:
    from jaxcnn import data

    folder = data.prepare(config)
    if arguments.json:
        emit_json({"name": config.name, "folder": folder and str(folder)})
    elif folder:
        print(f"{config.name} is ready in {folder}")
    else:
        print(f"{config.name} is ready: it is made anew each time, and nothing is stored")
    return 0


def _show(arguments: Arguments, config: DataConfig) -> int:
    from jaxcnn import data

    facts = data.describe(data.load(config))
    if arguments.json:
        emit_json(facts)
        return 0
    shape = "x".join(map(str, facts["input_shape"]))
    preprocessing = facts["preprocessing"]
    show_facts(
        {
            "name": facts["name"],
            "inputs": f"{shape} {facts['dtype']}",
            "scale": f"{preprocessing['scale']:.6g}",
            "mean": ", ".join(f"{value:.4f}" for value in preprocessing["mean"]),
            "std": ", ".join(f"{value:.4f}" for value in preprocessing["std"]),
        }
    )
    splits = facts["counts"]
    rows = [(name, *(facts["class_counts"][s][k] for s in splits)) for k, name in enumerate(facts["classes"])]
    show_table(["Class", *splits], rows, footer=["total", *splits.values()], right=range(1, 1 + len(splits)))
    return 0
