"""`folder:DIR`: images of your own, a folder for each class: see `listing` for the layout, `images` for the rest."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from jaxcnn.config import DataConfig
from jaxcnn.data.listing import Listing, list_images
from jaxcnn.data.source import Build, Source


def find(argument: str, config: DataConfig) -> Source:
    """List the images of the folder that the name carries, relative to `directory` if that is given."""
    if not argument:
        raise ValueError("`folder` needs your folder: give the name as folder:DIR")
    root = Path(config.directory or ".") / argument
    listing = list_images(root)
    identity = [[str(root.resolve()), {name: len(files) for name, files in listing.names.items()}, listing.digest]]
    wanted = f"{config.size} {config.resize} {config.colour}"
    return Source(partial(_build, root, listing, config), identity, f"{root.resolve()} {wanted}")


def _build(root: Path, listing: Listing, config: DataConfig, folder: Path) -> Build:
    from jaxcnn.data.gather import Opener, Pictures, gather

    def pictures(split: str) -> Pictures:
        names = listing.names[split]

        def openers(numbers: Sequence[int]) -> list[Opener]:
            return [partial(_open, root / names[number]) for number in numbers]

        return Pictures(listing.targets[split], openers, lambda number: str(root / names[number]))

    return (
        yield from gather({name: pictures(name) for name in listing.names}, listing.classes, config, str(root), folder)
    )


def _open(file: Path) -> BinaryIO:
    return file.open("rb")
