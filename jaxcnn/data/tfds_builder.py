"""Fashion-MNIST as TFDS knows it, prepared and read without TensorFlow.

The official builder opens its files through `tf.io.gfile` and has TensorFlow encode the images. This one has its
name, version and features, reads the idx files itself and hands PNG bytes over, so that what it writes is
`tfds.data_source("fashion_mnist", data_dir=...)` to everybody.
"""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import registered
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
from tensorflow_datasets.core.download.util import DownloadError
from tensorflow_datasets.image_classification import mnist as official

from jaxcnn.data.idx import read_labelled

_READ_CHUNK = 1000  # examples fetched at once: three times faster than one by one

with registered.skip_registration():

    class FashionMNIST(official.FashionMNIST):
        """TFDS's `fashion_mnist`, from local idx files or from TFDS's download manager."""

        url_infos = official.FashionMNIST.url_infos  # sizes and SHA-256 of the downloads
        files: dict[str, Path] | None = None  # by the names in `URL`, or None to download them

        def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> Any:
            """Return a dict, TFDS's newer style (the parent's is a list)."""
            names = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
            files = self.files or dl_manager.download({name: self.URL + name for name in names})
            images_and_labels = [Path(files[name]) for name in names]
            return {
                "train": self._png_examples(*images_and_labels[:2]),
                "test": self._png_examples(*images_and_labels[2:]),
            }

        def _png_examples(self, images: Path, labels: Path) -> Iterator[tuple[int, dict[str, Any]]]:
            height, width, _ = official.MNIST_IMAGE_SHAPE
            pixels, targets = read_labelled(images, labels, image_shape=(height, width), classes=10)
            for index, (image, label) in enumerate(zip(pixels, targets, strict=True)):
                png = io.BytesIO()
                Image.fromarray(image).save(png, "png", compress_level=1)
                png.seek(0)
                yield index, {"image": png, "label": int(label)}


def prepare(files: dict[str, Path] | None, folder: Path, *, downloads: Path) -> None:
    """Write the set into a TFDS data directory.

    Args:
        files: The four idx files by their official names, or None to download them.
        folder: The TFDS data directory.
        downloads: Where downloads are kept.

    Raises:
        ValueError: A file is damaged.
        OSError: The download failed, or is not what its checksum says.
    """
    builder = FashionMNIST(data_dir=folder, file_format="array_record")
    builder.files = files
    try:
        with _quiet():
            builder.download_and_prepare(download_dir=downloads)
    except (DownloadError, NonMatchingChecksumError) as error:
        raise OSError(str(error).splitlines()[0].rstrip(":")) from error


def read(split: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read one split of a prepared set, in TFDS's order.

    Args:
        split: "train" or "test".
        folder: The TFDS data directory.

    Returns:
        Images (n, 28, 28, 1) uint8 and labels (n,) int32.
    """
    undecoded = {"image": tfds.decode.SkipDecoding()}
    source: Any = tfds.data_source("fashion_mnist", split=split, data_dir=folder, decoders=undecoded)
    images = np.empty((len(source), *official.MNIST_IMAGE_SHAPE), np.uint8)
    labels = np.empty(len(source), np.int32)
    for start in range(0, len(source), _READ_CHUNK):
        chunk = range(start, min(start + _READ_CHUNK, len(source)))
        for index, example in zip(chunk, source.__getitems__(chunk), strict=True):
            images[index, ..., 0] = np.asarray(Image.open(io.BytesIO(example["image"])))
            labels[index] = example["label"]
    return images, labels


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep TFDS's progress bars and prints off the terminal: standard output is the command's."""
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()
