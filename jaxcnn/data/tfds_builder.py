"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100 as TFDS knows them, prepared without TensorFlow.

The official builders open their files through `tf.io.gfile` and have TensorFlow encode the images. These have their
names, versions and features, read the original files themselves and hand PNG bytes over, so that what they write is
`tfds.data_source("cifar10", data_dir=...)` to everybody.
"""

import contextlib
import io
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import registered
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
from tensorflow_datasets.core.download.util import DownloadError
from tensorflow_datasets.image_classification import cifar as official_cifar
from tensorflow_datasets.image_classification import mnist as official_mnist

from jaxcnn.data.cifar import read_cifar
from jaxcnn.data.idx import read_labelled
from jaxcnn.data.source import Preparing

_TOLD = 0.5  # seconds between two words on how far it is


Labelled = tuple[np.ndarray, dict[str, np.ndarray]]
"""Images (n, height, width[, channels]), and labels by the feature that they are."""


def _idx_examples(info: Any, files: dict[str, Path]) -> dict[str, Labelled]:
    """Read MNIST's four files, or those of a successor."""
    splits = {}
    for split, part in (("train", "train"), ("test", "t10k")):
        images, labels = (files[f"{part}-{kind}-ubyte.gz"] for kind in ("images-idx3", "labels-idx1"))
        height, width, _ = info.features["image"].shape
        pixels, targets = read_labelled(images, labels, image_shape=(height, width), classes=10)
        splits[split] = pixels, {"label": targets}
    return splits


def _cifar_examples(info: Any, files: dict[str, Path], official: Any) -> dict[str, Labelled]:
    """Read CIFAR's archive."""
    layout = official._cifar_info.fget(info)  # a property of the builder, which needs no more of it than its name
    kinds, prefix = layout.label_keys, layout.prefix
    (file,) = files.values()
    train, test, names = (
        [prefix + name for name in part] for part in (layout.train_files, layout.test_files, layout.label_files)
    )
    counts = [info.features[kind].num_classes for kind in kinds]
    read = read_cifar(file, train=train, test=test, names=names, classes=counts)
    for kind, told in zip(kinds, read.names, strict=True):
        info.features[kind].names = told
    return {
        split: (read.images[split], dict(zip(kinds, read.labels[split].T, strict=True))) for split in ("train", "test")
    }


_SETS: dict[str, tuple[Any, Callable[[Any, dict[str, Path]], dict[str, Labelled]]]] = {
    "mnist": (official_mnist.MNIST, _idx_examples),
    "fashion_mnist": (official_mnist.FashionMNIST, _idx_examples),
    "cifar10": (official_cifar.Cifar10, partial(_cifar_examples, official=official_cifar.Cifar10)),
    "cifar100": (official_cifar.Cifar100, partial(_cifar_examples, official=official_cifar.Cifar100)),
}
"""TFDS's own builder, and what reads the original files."""


def downloads(name: str) -> dict[str, UrlInfo]:
    """Return what TFDS knows of the original files: size, SHA-256 and name by address."""
    return _SETS[name][0].url_infos


def _make_builder(name: str, files: dict[str, Path] | None, folder: Path) -> Any:
    """Return a builder with the official one's name, version and features."""
    official, read = _SETS[name]
    infos = downloads(name)
    with registered.skip_registration():

        class Original(official):
            url_infos = infos
            made = total = 0

            def _log_download_bytes(self) -> None:
                """Print nothing: standard output is the command's."""

            _log_download_done = _log_download_bytes

            def _split_generators(self, dl_manager: Any) -> Any:
                """Return a dict, TFDS's newer style (an official one is a list)."""
                found = files or dl_manager.download({info.filename: url for url, info in infos.items()})
                splits = read(self.info, {name: Path(file) for name, file in found.items()})
                self.total = sum(len(images) for images, _ in splits.values())
                return {split: self._generate_examples(split, *labelled) for split, labelled in splits.items()}

            def _generate_examples(
                self, split: str, images: np.ndarray, labels: dict[str, np.ndarray]
            ) -> Iterator[tuple[int, dict[str, Any]]]:
                for index, image in enumerate(images):
                    png = io.BytesIO()
                    Image.fromarray(image).save(png, "png", compress_level=1)
                    png.seek(0)
                    known = {"image": png, "id": f"{split}_{index:05d}"}
                    known |= {kind: int(values[index]) for kind, values in labels.items()}
                    yield index, {feature: known[feature] for feature in self.info.features}
                    self.made += 1

    Original.name = name
    return Original(data_dir=folder, file_format="array_record")


def write(
    name: str, files: dict[str, Path] | None, folder: Path, *, downloads: Path
) -> Generator[Preparing, None, None]:
    """Write a set into a TFDS data directory, and tell how far it is.

    Args:
        name: TFDS's.
        files: The original files by their names, or None to download them.
        folder: The TFDS data directory.
        downloads: Where downloads are kept.

    Raises:
        ValueError: A file is damaged.
        OSError: The download failed, or is not what its checksum says.
    """
    with _no_bars(), ThreadPoolExecutor(1) as thread:
        builder = _make_builder(name, files, folder)
        writing = thread.submit(builder.download_and_prepare, download_dir=downloads)
        while not wait([writing], timeout=_TOLD).done:
            yield Preparing("writing" if builder.total else "fetching", builder.made, builder.total)
        try:
            writing.result()
        except (DownloadError, NonMatchingChecksumError) as error:
            raise OSError(str(error).splitlines()[0].rstrip(":")) from error


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """Keep TFDS's progress bars off the terminal."""
    tfds.disable_progress_bar()
    try:
        yield
    finally:
        tfds.enable_progress_bar()
