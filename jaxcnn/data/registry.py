"""Named data sets: where each comes from, and the way from a name to three splits."""

import hashlib
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from jaxcnn.config import DataConfig, unknown
from jaxcnn.data import cache, captions, cifar10_jpeg, digits, folder, npz, originals, scenes, synthetic, tfds_named
from jaxcnn.data.arrange import divide
from jaxcnn.data.cache import Prepared
from jaxcnn.data.dataset import Dataset
from jaxcnn.data.policy import check_options
from jaxcnn.data.source import Build, Preparing, Source


class _Recipe(NamedTuple):
    summary: str
    find: Callable[[str, DataConfig], Source]
    argument: str = ""
    """What the name goes on with, if the set is nothing without it."""
    cached: bool = True
    sized: bool = False
    """Whether its images are brought to a size and colour."""


_RECIPES = {
    "digits": _Recipe("1,797 grey 8x8 handwritten digits, 360 of them for the test; shipped", digits.find),
    "mnist": _Recipe(
        "70,000 grey 28x28 handwritten digits, from a folder of idx files or a download",
        partial(originals.find, "mnist"),
    ),
    "fashion_mnist": _Recipe(
        "70,000 grey 28x28 clothes, from Debian's package, a folder of idx files or a download",
        partial(originals.find, "fashion_mnist"),
    ),
    "cifar10": _Recipe(
        "60,000 32x32 images in colour of 10 classes, from a folder with cifar-10-binary.tar.gz or a download",
        partial(originals.find, "cifar10"),
    ),
    "cifar100": _Recipe(
        "60,000 32x32 images in colour of 100 classes, from a folder with cifar-100-binary.tar.gz or a download",
        partial(originals.find, "cifar100"),
    ),
    "cifar10_jpeg": _Recipe(
        "CIFAR-10 as JPEG, 32x32 in colour, from one file: cifar10_jpeg:FILE.npz",
        cifar10_jpeg.find, argument="FILE.npz",
    ),
    "folder": _Recipe(
        "your own images: folder:DIR, with a folder for each class, or such folders in train, val and test",
        folder.find, argument="DIR", sized=True,
    ),
    "npz": _Recipe(
        "your own arrays: npz:FILE.npz, with x_train and y_train, train_images and train_labels, or inputs and targets",
        npz.find, argument="FILE.npz",
    ),
    "tfds": _Recipe(
        "what TFDS has prepared on this machine: tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:VERSION",
        tfds_named.find, argument="NAME", sized=True,
    ),
    "scenes": _Recipe(
        "digits or garments on a canvas of 64x64, or scenes:NAME:SIZE, to be detected: scenes:digits, "
        "scenes:fashion_mnist",
        lambda argument, config: scenes.find(argument, config, load), argument="NAME", cached=False,
    ),
    "captions": _Recipe(
        "digits or garments on a canvas of 64x64 and a sentence about them: captions:digits, captions:fashion_mnist",
        lambda argument, config: captions.find(argument, config, load), argument="NAME", cached=False,
    ),
    "synthetic": _Recipe(
        "2,500 generated images of ten patterns under noise, 32x32x3 or synthetic:HEIGHTxWIDTHxCHANNELS",
        synthetic.find, cached=False,
    ),
}  # fmt: skip


def available() -> dict[str, str]:
    """Return every named data set with a line about it.

    Returns:
        Name to description.

    Example:
        >>> list(available())[:5]
        ['digits', 'mnist', 'fashion_mnist', 'cifar10', 'cifar100']
    """
    return {name: recipe.summary for name, recipe in _RECIPES.items()}


def load(config: DataConfig | str) -> Dataset:
    """Return a named data set, preparing it first where that has not been done.

    The splits are the same for every run: neither a seed nor the machine changes them. The first call for a set
    reads its source (Fashion-MNIST: 13 s on two cores) and writes memory-mapped arrays below `$JAXCNN_CACHE`, by
    default `~/.cache/jaxcnn`; later ones open them. A damaged cache, or one of other source files, is made anew.

    Args:
        config: Name, folder and validation share; or the name alone.

    Returns:
        The data set. Its arrays are memory-mapped and read-only.

    Raises:
        ValueError: An unknown name, a wrong share, or a source file that is damaged.
        FileNotFoundError: The source is not there; the message names the ways to get it.

    Example:
        >>> from jaxcnn.config import DataConfig
        >>> dataset = load(DataConfig("synthetic:28x28x1", validation=0.2))
        >>> dataset.train.inputs.shape, dataset.validation.inputs.shape
        ((1600, 28, 28, 1), (400, 28, 28, 1))
    """
    config = _config(config)
    prepared = _drain(_prepared(config))
    return divide(_kind(config), prepared.arrays, config.validation, facts=prepared.facts)


def preparing(config: DataConfig | str) -> Generator[Preparing, None, None]:
    """Do what `load` does before it returns, and tell how far it has come.

    Args:
        config: As for `load`.

    Returns:
        A generator of what is being done; of nothing for a set that is prepared, or generated on the spot.

    Raises:
        ValueError: As for `load`.
        FileNotFoundError: As for `load`.

    Example:
        >>> list(preparing("synthetic"))
        []
    """
    config = _config(config)
    if _recipe(config).cached:
        yield from _prepared(config)


def prepare(config: DataConfig | str) -> Path | None:
    """Prepare a set for later use, or check every byte of what is prepared and repair it.

    Args:
        config: As for `load`.

    Returns:
        The folder of the prepared arrays; None for a set that is generated on the spot, or where the cache cannot be
        written.

    Raises:
        ValueError: As for `load`.
        FileNotFoundError: As for `load`.

    Example:
        >>> prepare("synthetic") is None
        True
    """
    for _ in checking(config):
        pass
    return prepared_folder(config)


def prepared_folder(config: DataConfig | str) -> Path | None:
    """Return where a set's prepared arrays stand; None where there are none.

    Args:
        config: As for `load`.

    Returns:
        Their folder below the cache's root.

    Example:
        >>> prepared_folder("synthetic") is None
        True
    """
    found = _find(_config(config))
    folder = cache.root() / found.entry
    return folder if found.recipe.cached and folder.is_dir() else None


def checking(config: DataConfig | str) -> Generator[Preparing, None, None]:
    """Do what `prepare` does, and tell how far it has come.

    Args:
        config: As for `load`.

    Returns:
        A generator of what is being done.

    Raises:
        ValueError: As for `load`.
        FileNotFoundError: As for `load`.

    Example:
        >>> list(checking("synthetic"))
        []
    """
    config = _config(config)
    if _recipe(config).cached:
        yield from _prepared(config, digests=True)


State = Literal["prepared", "available", "missing", "yours"]


def state(config: DataConfig | str) -> State:
    """Tell whether a set can be loaded, without preparing it.

    Args:
        config: As for `load`.

    Returns:
        "prepared": loads at once. "available": its source is here, the first `load` prepares it. "missing": it must
        be got first, by a download or by hand. "yours": the name alone is no set yet, it goes on with a folder or file.

    Raises:
        ValueError: An unknown name.

    Example:
        >>> state("synthetic"), state("folder")
        ('prepared', 'yours')
    """
    config = _config(config)
    recipe = _recipe(config)
    if recipe.argument and not config.name.partition(":")[2]:
        return "yours"
    if not recipe.cached:
        return "prepared"
    try:
        found = _find(config)
    except (ValueError, OSError):
        return "missing"
    if found.open() is not None:
        return "prepared"
    return "missing" if found.source.identity is None else "available"


class _Found(NamedTuple):
    """A named set, found."""

    recipe: _Recipe
    source: Source
    entry: str
    """Folder of the prepared arrays, below the cache's root."""

    def open(self, *, digests: bool = False) -> Prepared | None:
        """Return the prepared arrays, if they are whole and of these very files."""
        return cache.read(self.entry, self.source.identity or [], digests=digests) if self.recipe.cached else None


def _prepared(config: DataConfig, *, digests: bool = False) -> Build:
    """Open what is prepared, or prepare it, in the cache where that is worth it."""
    found = _find(config)
    if (stored := found.open(digests=digests)) is not None:
        return stored
    if not found.recipe.cached:
        return (yield from found.source.build(cache.root()))
    return (yield from cache.write(found.entry, found.source.identity or [], found.source.build))


def _drain(build: Build) -> Prepared:
    while True:
        try:
            next(build)
        except StopIteration as end:
            return end.value


def _find(config: DataConfig) -> _Found:
    recipe, (name, _, argument) = _recipe(config), config.name.partition(":")
    check_options(config)
    default = DataConfig()
    given = [
        f"`data.{option}`"
        for option in ("size", "resize", "colour")
        if getattr(config, option) != getattr(default, option)
    ]
    if given and not recipe.sized:
        raise ValueError(f"{given[0]} is for folder:DIR and tfds:NAME: the images of `{name}` are taken as they are")
    source = recipe.find(argument, config)
    place = (
        "-" + hashlib.sha256(source.place.encode("utf-8", "surrogateescape")).hexdigest()[:12] if source.place else ""
    )
    return _Found(recipe, source, name + place)


def _config(config: DataConfig | str) -> DataConfig:
    return config if isinstance(config, DataConfig) else DataConfig(config)


def _kind(config: DataConfig) -> str:
    return config.name.partition(":")[0]


def _recipe(config: DataConfig) -> _Recipe:
    if _kind(config) not in _RECIPES:
        raise ValueError(unknown("data set", _kind(config), _RECIPES))
    return _RECIPES[_kind(config)]
