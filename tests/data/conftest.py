"""A cache and source files of each test's own."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's root, empty."""
    monkeypatch.setenv("JAXCNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in the idx format."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def idx_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The four files of a small Fashion-MNIST, 50 and 20 images, which counts as the original here."""
    from jaxcnn.data import fashion_mnist
    from jaxcnn.data.idx import digest

    folder = tmp_path / "idx"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for part, n in (("train", 50), ("t10k", 20)):
        images = generator.integers(0, 256, (n, 28, 28), np.uint8)
        labels = np.arange(n, dtype=np.uint8) % 10
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    monkeypatch.setattr(fashion_mnist, "DIGESTS", {name: digest(folder / name) for name in fashion_mnist.DIGESTS})
    return folder


@pytest.fixture
def jpeg_fields() -> dict[str, np.ndarray]:
    """The fields of a small cifar10_jpeg file, 40 and 10 images, each of one colour."""
    fields = {}
    for split, n in (("train", 40), ("test", 10)):
        files = [_jpeg((6 * index, 100, 200)) for index in range(n)]
        fields[f"{split}_jpeg"] = np.frombuffer(b"".join(files), np.uint8)
        fields[f"{split}_size"] = np.array([len(file) for file in files], np.uint16)
        fields[f"{split}_label"] = np.arange(n, dtype=np.uint8) % 10
    return fields


@pytest.fixture
def write_npz(tmp_path: Path) -> Callable[[dict[str, np.ndarray]], Path]:
    """Writes fields into an .npz file."""

    def write(fields: dict[str, np.ndarray]) -> Path:
        np.savez_compressed(tmp_path / "cifar.npz", allow_pickle=False, **fields)
        return tmp_path / "cifar.npz"

    return write


def _jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (32, 32)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "jpeg", quality=95)
    return file.getvalue()
