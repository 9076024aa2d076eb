"""A cache and source files of each test's own."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcnn.data import originals

WriteImages = Callable[..., Path]
"""(class's folder, n images, *, start, shape) -> the folder."""


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
    """A small Fashion-MNIST, see `small_original`."""
    return small_original("fashion_mnist", tmp_path, monkeypatch)


def small_original(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a small set, 50 and 20 images, in a folder; they count as the original here."""
    folder = tmp_path / name
    folder.mkdir()
    for file, content in (cifar_files(name) if name.startswith("cifar") else idx_files()).items():
        (folder / file).write_bytes(content)
    original = originals.ORIGINALS[name]
    digests = {file: original.digest(folder / file) for file in original.digests}
    monkeypatch.setitem(originals.ORIGINALS, name, original._replace(digests=digests))
    return folder


def idx_files() -> dict[str, bytes]:
    """The four files of a set like MNIST."""
    generator, files = np.random.default_rng(0), {}
    for part, n in (("train", 50), ("t10k", 20)):
        images = generator.integers(0, 256, (n, 28, 28), np.uint8)
        labels = np.arange(n, dtype=np.uint8) % 10
        files[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(idx(images), mtime=0)
        files[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx(labels), mtime=0)
    return files


def cifar_members(name: str) -> dict[str, bytes]:
    """The files within the archive of a CIFAR, as Krizhevsky's pages describe them."""
    generator = np.random.default_rng(0)

    def records(n: int) -> bytes:
        labels = [np.arange(n) % 20, np.arange(n) % 100] if name == "cifar100" else [np.arange(n) % 10]
        pixels = generator.integers(0, 256, (n, 3072), np.uint8)
        return np.concatenate([np.stack(labels, 1).astype(np.uint8), pixels], axis=1).tobytes()

    if name == "cifar100":
        coarse, fine = ("\n".join(f"{kind}{k}" for k in range(n)) + "\n" for kind, n in (("coarse", 20), ("fine", 100)))
        names = {"coarse_label_names.txt": coarse.encode(), "fine_label_names.txt": fine.encode()}
        return {
            f"cifar-100-binary/{file}": content
            for file, content in {**names, "train.bin": records(200), "test.bin": records(100)}.items()
        }
    batches = {f"data_batch_{k}.bin": records(10) for k in range(1, 6)} | {"test_batch.bin": records(20)}
    names = {"batches.meta.txt": "\n".join(f"class{k}" for k in range(10)).encode() + b"\n\n", "readme.html": b"<html>"}
    return {f"cifar-10-batches-bin/{file}": content for file, content in {**batches, **names}.items()}


def cifar_files(name: str) -> dict[str, bytes]:
    """The archive of a CIFAR."""
    file = "cifar-100-binary.tar.gz" if name == "cifar100" else "cifar-10-binary.tar.gz"
    return {file: packed([(entry(name, content), content) for name, content in cifar_members(name).items()])}


def entry(name: str, content: bytes = b"", **changes: object) -> tarfile.TarInfo:
    """An entry of a tar archive."""
    made = tarfile.TarInfo(name)
    made.size = len(content)
    for field, value in changes.items():
        setattr(made, field, value)
    return made


def packed(entries: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """A .tar.gz; headers say what they say, and contents are as long as they are."""
    blocks = [info.tobuf() + content + bytes(-len(content) % 512) for info, content in entries]
    return gzip.compress(b"".join(blocks) + bytes(1024), mtime=0)


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


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a test's folder of images is to stand."""
    return tmp_path / "images"


@pytest.fixture
def write(root: Path) -> WriteImages:
    """Writes n images of its own value into a class's folder; its shape may be given."""

    def write(place: str, n: int = 1, *, start: int = 0, shape: tuple[int, ...] = (6, 6, 3)) -> Path:
        (root / place).mkdir(parents=True, exist_ok=True)
        for number in range(start, start + n):
            Image.fromarray(np.full(shape, number, np.uint8)).save(root / place / f"{number:03d}.png")
        return root / place

    return write
