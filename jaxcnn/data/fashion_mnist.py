"""Fashion-MNIST: 70,000 grey 28x28 images of clothes, as Debian packages it, TFDS downloads it or a folder holds it.

Reference:
    H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms (2017), arXiv:1708.07747.
"""

import shutil
import urllib.error
import urllib.request
import warnings
from pathlib import Path

import numpy as np

from jaxcnn.data.idx import digest

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts the files."""

WAYS = (
    "install Debian's package `dataset-fashion-mnist`, give the folder of its four idx files with "
    "`--data.directory DIR`, or go online"
)

DIGESTS = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""SHA-256 of what the files hold, unpacked: their gzip headers differ from place to place."""


def locate(argument: str, directory: str | None) -> tuple[Path, ...] | None:
    """Return the four idx files, in the order of `DIGESTS`, or None where only a download is left."""
    if argument:
        raise ValueError(f"`fashion_mnist` takes no argument (got {argument!r}): name the folder by `directory`")
    if directory is None and not DEBIAN.is_dir():
        return None
    folder = DEBIAN if directory is None else Path(directory)
    return tuple(_find(folder, name) for name in DIGESTS)


def build(argument: str, files: tuple[Path, ...] | None, folder: Path) -> dict[str, np.ndarray]:
    """Prepare the set with TFDS under `folder`, where it stays for TFDS's and Grain's own readers, and read it back."""
    if files is None:
        _check_online()
    else:
        _check_original(files)
    from jaxcnn.data import tfds_builder

    named = None if files is None else dict(zip(DIGESTS, files, strict=True))
    try:
        tfds_builder.prepare(named, folder / "tfds", downloads=folder / "downloads")
    except OSError as error:
        if files is not None:
            raise
        raise FileNotFoundError(f"fashion_mnist could not be downloaded ({error}): {WAYS}") from error
    arrays = {}
    for split in ("train", "test"):
        arrays[f"{split}_inputs"], arrays[f"{split}_targets"] = tfds_builder.read(split, folder / "tfds")
    shutil.rmtree(folder / "downloads", ignore_errors=True)
    return arrays


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / name.removesuffix(".gz")):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"{folder} has no {name} (nor its unpacked form): {WAYS}")


def _check_original(files: tuple[Path, ...]) -> None:
    for file, expected in zip(files, DIGESTS.values(), strict=True):
        if digest(file) != expected:
            warnings.warn(f"{file} is not the original Fashion-MNIST's: results do not compare", stacklevel=2)
            return


def _check_online() -> None:
    """Fail at once where there is no network: TFDS would retry for minutes."""
    from tensorflow_datasets.image_classification.mnist import FashionMNIST

    request = urllib.request.Request(FashionMNIST.URL + next(iter(DIGESTS)), method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=20).close()
    except (OSError, urllib.error.URLError) as error:
        raise FileNotFoundError(f"fashion_mnist is not on this machine: {WAYS}") from error
