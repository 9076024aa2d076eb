"""`jaxcnn data`: which data sets there are, ready or not, what is in them, and what they look like."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, parse
from jaxcnn.cli.output import emit_json, quiet, show_facts, show_table
from jaxcnn.config import AugmentConfig, DataConfig

_ROWS = 100
"""Classes that have a line of the table."""
_NAMED = 24
"""Classes that are named in one line."""


@dataclass(frozen=True)
class Arguments(Common):
    """List the data sets; prepare one for quick use, or check its every byte; show what is in one.

    jaxcnn data show folder:DIR --data.size 64 --sheet FILE.png --augment.flip random draws what training sees.
    """

    action: Positional[Literal["list", "prepare", "show"]] = "list"
    """What to do."""
    name: Annotated[Positional[str | None], arg(metavar="[NAME]", help_behavior_hint="")] = None
    """The data set, for `prepare` and `show`: short for --data.name."""
    sheet: Annotated[str | None, arg(metavar="FILE.png", help_behavior_hint="")] = None
    """Draw some images of every class there, or what the augmentation makes of them (show)."""
    seed: int = 0
    """Draws the augmentation."""
    data: DataConfig = field(default_factory=lambda: DataConfig(""))
    augment: AugmentConfig = field(default_factory=AugmentConfig)


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = parse(Arguments, argv, verb="data")
    quiet(debug=arguments.debug)
    name = arguments.name or arguments.data.name
    config = dataclasses.replace(arguments.data, name=name)
    if arguments.action != "show" and (arguments.sheet or arguments.augment != AugmentConfig()):
        raise ValueError("--sheet and --augment are for jaxcnn data show NAME")
    if arguments.action == "list":
        return _list(arguments)
    if not name:
        raise ValueError(f"jaxcnn data {arguments.action} needs the name of a data set: see jaxcnn data list")
    return (_prepare if arguments.action == "prepare" else _show)(arguments, config)


def _list(arguments: Arguments) -> int:
    from jaxcnn import data

    sets = {
        name: {"state": data.state(dataclasses.replace(arguments.data, name=name)), "description": description}
        for name, description in data.available().items()
    }
    if arguments.json:
        emit_json(sets)
    else:
        show_table(["Data set", "State", "What it is"], [(name, *facts.values()) for name, facts in sets.items()])
    return 0


def _prepare(arguments: Arguments, config: DataConfig) -> int:
    from jaxcnn import data
    from jaxcnn.cli.preparing import show_preparing

    show_preparing(config.name, data.checking(config))
    folder = data.prepared_folder(config)
    if arguments.json:
        emit_json({"name": config.name, "folder": folder and str(folder)})
    elif folder:
        print(f"{config.name} is ready in {folder}")
    else:
        print(f"{config.name} is ready: it is made anew each time, and nothing is stored")
    return 0


def _show(arguments: Arguments, config: DataConfig) -> int:
    from jaxcnn import data
    from jaxcnn.cli.preparing import show_preparing

    if arguments.augment != AugmentConfig() and arguments.sheet is None:
        raise ValueError("--augment shows on a sheet: add --sheet FILE.png")
    if arguments.sheet is not None:
        from jaxcnn.cli.sheet import check_sheet

        check_sheet(arguments.sheet)
    show_preparing(config.name, data.preparing(config))
    dataset = data.load(config)
    facts = data.describe(dataset)
    drawn = None
    if arguments.sheet is not None:
        from jaxcnn.cli.sheet import write_sheet

        drawn = write_sheet(arguments.sheet, dataset, arguments.augment, seed=arguments.seed)
    if arguments.json:
        emit_json(facts if drawn is None else facts | {"sheet": arguments.sheet})
        return 0
    shape = "x".join(map(str, facts["input_shape"]))
    preprocessing = facts["preprocessing"]
    show_facts(
        {
            "name": facts["name"],
            "inputs": f"{shape} {facts['dtype']}",
            **({"images": _policy(facts["images"])} if "images" in facts else {}),
            "scale": f"{preprocessing['scale']:.6g}",
            "mean": ", ".join(f"{value:.4f}" for value in preprocessing["mean"]),
            "std": ", ".join(f"{value:.4f}" for value in preprocessing["std"]),
            **({} if facts["class_counts"] else _uncounted(facts)),
            **({"sheet": f"{arguments.sheet}: {drawn}"} if drawn else {}),
        }
    )
    splits, counts = facts["counts"], facts["class_counts"]
    if not (names := facts["classes"] if counts else []):
        return 0
    rows = [(name, *(counts[split][k] for split in splits)) for k, name in enumerate(names[:_ROWS])]
    if len(names) > _ROWS:
        rest = [sum(counts[split][_ROWS:]) for split in splits]
        rows.append((f"{len(names) - _ROWS:,} more classes (--json lists all)", *rest))
    show_table(["Class", *splits], rows, footer=["total", *splits.values()], right=range(1, 1 + len(splits)))
    return 0


def _uncounted(facts: dict[str, Any]) -> dict[str, str]:
    """Return the lines that stand in for the table, where an example has no class, or more than one."""
    names, examples = facts["classes"], ", ".join(f"{count:,} {split}" for split, count in facts["counts"].items())
    more = f" and {len(names) - _NAMED:,} more (--json lists all)" if len(names) > _NAMED else ""
    return {"examples": examples, **({"classes": ", ".join(names[:_NAMED]) + more} if names else {})}


def _policy(images: dict[str, str | int | None]) -> str:
    how = {"crop": "the middle square", "stretch": "stretched", "pad": "zeros beside"}
    side = images["size"]
    size = "of the size they have" if side is None else f"to {side} x {side}, {how[str(images['resize'])]}"
    return f"{size}, {'grey' if images['colour'] == 'grey' else 'in colour'}"
