"""Named data sets: where each comes from, and the way from a name to three splits."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from jaxcnn.config import DataConfig, unknown
from jaxcnn.data import cache, cifar10_jpeg, digits, fashion_mnist, synthetic
from jaxcnn.data.arrange import arrange, divide
from jaxcnn.data.cache import Arrays
from jaxcnn.data.dataset import Dataset

Files = tuple[Path, ...]


class _Recipe(NamedTuple):
    summary: str
    classes: tuple[str, ...]
    scale: float
    locate: Callable[[str, str | None], Files | None]
    """(argument, directory) -> source files, none if the set needs none, None if only a download is left."""
    build: Callable[[str, Files | None, Path], Arrays]
    """(argument, files, folder) -> `train_` and `test_inputs` and `_targets`; a cached set may keep files there."""
    cached: bool = True


_RECIPES = {
    "digits": _Recipe(
        "1,797 grey 8x8 handwritten digits, 360 of them for the test; shipped",
        digits.CLASSES, 1 / 16, digits.locate, digits.build,
    ),
    "fashion_mnist": _Recipe(
        "70,000 grey 28x28 clothes, from Debian's package, a folder of idx files or a download",
        fashion_mnist.CLASSES, 1 / 255, fashion_mnist.locate, fashion_mnist.build,
    ),
    "cifar10_jpeg": _Recipe(
        "CIFAR-10 as JPEG, 32x32 in colour, from one file: cifar10_jpeg:FILE.npz",
        cifar10_jpeg.CLASSES, 1 / 255, cifar10_jpeg.locate, cifar10_jpeg.build,
    ),
    "synthetic": _Recipe(
        "2,500 generated images of ten patterns under noise, 32x32x3 or synthetic:HEIGHTxWIDTHxCHANNELS",
        synthetic.CLASSES, 1 / 255, synthetic.locate, synthetic.build, cached=False,
    ),
}  # fmt: skip


def available() -> dict[str, str]:
    """Return every named data set with a line about it.

    Returns:
        Name to description.

    Example:
        >>> sorted(available())
        ['cifar10_jpeg', 'digits', 'fashion_mnist', 'synthetic']
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
    share = config.validation if isinstance(config, DataConfig) else DataConfig().validation
    source = _find(config)
    arrays = source.open() or source.make()
    return divide(source.name, arrays, share, classes=source.recipe.classes, scale=source.recipe.scale)


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
    source = _find(config)
    if not source.recipe.cached:
        return None
    if source.open(digests=True) is None:
        source.make()
    folder = cache.root() / source.entry
    return folder if folder.is_dir() else None


def state(config: DataConfig | str) -> Literal["prepared", "available", "missing"]:
    """Tell whether a set can be loaded, without preparing it.

    Args:
        config: As for `load`.

    Returns:
        "prepared": loads at once. "available": its source is here, the first `load` prepares it. "missing": it must
        be got first, by a download or by hand.

    Raises:
        ValueError: An unknown name.

    Example:
        >>> state("synthetic")
        'prepared'
    """
    name, _ = _parse(config)
    if not _RECIPES[name].cached:
        return "prepared"
    try:
        source = _find(config)
    except (ValueError, FileNotFoundError):
        return "missing"
    if source.open() is not None:
        return "prepared"
    return "missing" if source.files is None else "available"


class _Source(NamedTuple):
    """A named set, found."""

    name: str
    argument: str
    recipe: _Recipe
    files: Files | None
    entry: str
    """Folder of the prepared arrays, below the cache's root."""

    def open(self, *, digests: bool = False) -> Arrays | None:
        """Return the prepared arrays, if they are whole and of these very files."""
        return cache.read(self.entry, cache.identity(self.files), digests=digests) if self.recipe.cached else None

    def make(self) -> Arrays:
        """Build the arrays, and cache them where that is worth it."""

        def build(folder: Path) -> Arrays:
            return arrange(self.recipe.build(self.argument, self.files, folder))

        if not self.recipe.cached:
            return build(cache.root())
        return cache.write(self.entry, cache.identity(self.files), build)


def _find(config: DataConfig | str) -> _Source:
    name, argument = _parse(config)
    directory = config.directory if isinstance(config, DataConfig) else None
    files = _RECIPES[name].locate(argument, directory)
    entry = name
    if files and (argument or directory):  # a user's own files: told apart by where they are
        entry += "-" + hashlib.sha256(str(files[0].resolve()).encode()).hexdigest()[:12]
    return _Source(name, argument, _RECIPES[name], files, entry)


def _parse(config: DataConfig | str) -> tuple[str, str]:
    """Split "name:argument"."""
    full = config.name if isinstance(config, DataConfig) else config
    name, _, argument = full.partition(":")
    if name not in _RECIPES:
        raise ValueError(unknown("data set", name, _RECIPES))
    return name, argument
