"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100 from their original files: a folder's, a package's or a download's.

Reference:
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition (1998).
    H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms (2017), arXiv:1708.07747.
    A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images (2009).
"""

import hashlib
import shutil
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from jaxcnn.config import DataConfig
from jaxcnn.data.cache import identity
from jaxcnn.data.idx import digest
from jaxcnn.data.source import Build, Source


def _digest_as_is(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Original(NamedTuple):
    """A set, and how its files are known."""

    name: str
    """TFDS's."""
    title: str
    digests: dict[str, str]
    """SHA-256 by name of file: of what idx files hold, unpacked, as their gzip headers differ from place to place."""
    digest: Callable[[Path], str]
    package: Path | None = None
    """Where Debian's package puts the files."""
    ways: str = ""
    """How else to get them."""


def _idx(*digests: str) -> dict[str, str]:
    names = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    return dict(zip(names, digests, strict=True))


_ALL = (
    Original(
        "mnist",
        "MNIST",
        _idx(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        digest,
    ),
    Original(
        "fashion_mnist",
        "Fashion-MNIST",
        _idx(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        digest,
        Path("/usr/share/datasets/fashion-mnist"),
        "install Debian's package `dataset-fashion-mnist`, ",
    ),
    Original(
        "cifar10",
        "CIFAR-10",
        {"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
        _digest_as_is,
    ),
    Original(
        "cifar100",
        "CIFAR-100",
        {"cifar-100-binary.tar.gz": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"},
        _digest_as_is,
    ),
)
ORIGINALS = {original.name: original for original in _ALL}
"""By name."""


def find(name: str, argument: str, config: DataConfig) -> Source:
    """Find the files of a set, or leave them to a download."""
    original = ORIGINALS[name]
    if argument:
        raise ValueError(f"`{name}` takes no argument (got {argument!r}): name the folder by `directory`")
    folder = original.package if config.directory is None else Path(config.directory)
    if folder is None or (config.directory is None and not folder.is_dir()):
        return Source(partial(_build, original, None), None)
    files = {file: _find(original, folder, file) for file in original.digests}
    found = tuple(files.values())
    place = "" if config.directory is None else str(found[0].resolve())
    return Source(partial(_build, original, files), identity(found), place)


def ways(original: Original) -> str:
    """Tell how to get the files of a set."""
    files = "its four idx files" if len(original.digests) > 1 else next(iter(original.digests))
    return f"{original.ways}give the folder of {files} with `--data.directory DIR`, or go online"


def _build(original: Original, files: dict[str, Path] | None, folder: Path) -> Build:
    """Prepare the set with TFDS under `folder`, where it stays for TFDS's and Grain's own readers, and read it back."""
    from jaxcnn.data import tfds_builder, tfds_reader

    if files is None:
        _check_online(original)
    else:
        _check_original(original, files)
    try:
        yield from tfds_builder.write(original.name, files, folder / "tfds", downloads=folder / "downloads")
    except OSError as error:
        if files is not None:
            raise
        raise FileNotFoundError(f"{original.name} could not be downloaded ({error}): {ways(original)}") from error
    shutil.rmtree(folder / "downloads", ignore_errors=True)
    builder = tfds_reader.open_builder(original.name, folder / "tfds")
    prepared = yield from tfds_reader.read(builder, DataConfig(original.name), folder)
    return prepared._replace(facts=prepared.facts | {"images": None})  # every image is as it always was


def _find(original: Original, folder: Path, name: str) -> Path:
    plain = name.removesuffix(".gz")
    for candidate in (folder / name, *([folder / plain] if not plain.endswith(".tar") else [])):
        if candidate.is_file():
            return candidate
    unpacked = "" if plain.endswith(".tar") else " (nor its unpacked form)"
    raise FileNotFoundError(f"{folder} has no {name}{unpacked}: {ways(original)}")


def _check_original(original: Original, files: dict[str, Path]) -> None:
    for file, expected in zip(files.values(), original.digests.values(), strict=True):
        if original.digest(file) != expected:
            warnings.warn(f"{file} is not the original {original.title}'s: results do not compare", stacklevel=2)
            return


def _check_online(original: Original) -> None:
    """Fail at once where there is no network: TFDS would retry for minutes."""
    from jaxcnn.data.tfds_builder import downloads

    request = urllib.request.Request(next(iter(downloads(original.name))), method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=20).close()
    except (OSError, urllib.error.URLError) as error:
        raise FileNotFoundError(f"{original.name} is not on this machine: {ways(original)}") from error
