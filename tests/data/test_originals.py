"""MNIST, Fashion-MNIST, CIFAR-10 and -100 from small files of their formats."""

import functools
import gzip
import hashlib
import http.server
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from data.conftest import cifar_members, small_original

from jaxcnn import data
from jaxcnn.config import DataConfig
from jaxcnn.data import originals, tfds_builder
from jaxcnn.data.idx import read_idx

Pairs = list[bytes]


def pairs(inputs: np.ndarray, targets: np.ndarray) -> Pairs:
    return sorted(bytes([target]) + image.tobytes() for image, target in zip(inputs, targets, strict=True))


def originally(name: str, folder: Path) -> dict[str, Pairs]:
    """What the files hold, read byte by byte."""
    if not name.startswith("cifar"):
        return {
            split: pairs(
                *(read_idx(next(folder.glob(f"{part}-{kind}*")), n) for kind, n in (("images", 3), ("labels", 1)))
            )
            for split, part in (("train", "train"), ("test", "t10k"))
        }
    labels = 2 if name == "cifar100" else 1  # the last one is the class
    splits: dict[str, Pairs] = {"train": [], "test": []}
    for file, content in cifar_members(name).items():
        if not file.endswith(".bin"):
            continue
        found = splits["test" if "test" in file else "train"]
        for start in range(0, len(content), labels + 3072):
            record = content[start : start + labels + 3072]
            image = bytes(record[labels + 1024 * c + p] for p in range(1024) for c in range(3))
            found.append(record[labels - 1 : labels] + image)
    return {split: sorted(found) for split, found in splits.items()}


def load(folder: Path, name: str = "fashion_mnist") -> data.Dataset:
    return data.load(DataConfig(name, directory=str(folder), validation=0.2))


@pytest.mark.parametrize(
    ("name", "classes"), [("mnist", "3"), ("fashion_mnist", "Dress"), ("cifar10", "class3"), ("cifar100", "fine3")]
)
def test_original_files_come_through_tfds_unchanged(
    name: str, classes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_original(name, tmp_path, monkeypatch)
    dataset = load(folder, name)
    n, test = (200, 100) if name == "cifar100" else (50, 20)
    assert dataset.input_shape == ((32, 32, 3) if name.startswith("cifar") else (28, 28, 1))
    assert [len(split.inputs) for split in dataset.splits.values()] == [n - n // 5, n // 5, test]
    assert dataset.train.inputs.dtype == np.uint8
    assert dataset.train.targets.dtype == np.int32
    assert dataset.classes[3] == classes
    assert "images" not in data.describe(dataset)
    learned = [np.concatenate(arrays) for arrays in zip(dataset.train, dataset.validation, strict=True)]
    assert {"train": pairs(*learned), "test": pairs(*dataset.test)} == originally(name, folder)


@pytest.mark.parametrize("name", list(originals.ORIGINALS))
def test_tfds_itself_reads_what_was_prepared(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow_datasets as tfds

    folder = small_original(name, tmp_path, monkeypatch)
    prepared = data.prepare(DataConfig(name, directory=str(folder)))
    assert prepared is not None
    source = tfds.data_source(name, split="train[:50%]", data_dir=prepared / "tfds")
    assert len(source) == (100 if name == "cifar100" else 25)
    example, labels = source[0], {"label"} | ({"coarse_label"} if name == "cifar100" else set())
    assert example["image"].dtype == np.uint8
    assert example.keys() == {"image", *labels} | ({"id"} if name.startswith("cifar") else set())
    again = data.load(DataConfig(f"tfds:{name}", directory=str(prepared / "tfds")))
    first = load(folder, name)
    assert pairs(*again.test) == pairs(*first.test)
    assert again.classes == first.classes


def test_unpacked_idx_files_will_do(idx_folder: Path) -> None:
    expected = originally("fashion_mnist", idx_folder)
    for file in list(idx_folder.iterdir()):
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()
    assert pairs(*load(idx_folder).test) == expected["test"]


def test_debian_s_folder_is_the_default(idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = originals.ORIGINALS["fashion_mnist"]
    monkeypatch.setitem(originals.ORIGINALS, "fashion_mnist", original._replace(package=idx_folder))
    assert data.state("fashion_mnist") == "available"
    assert len(data.load("fashion_mnist").test.inputs) == 20
    assert data.state("fashion_mnist") == "prepared"


def test_nothing_is_printed(idx_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load(idx_folder)
    assert capfd.readouterr() == ("", "")


def test_progress_is_told(idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfds_builder, "_TOLD", 0.0)
    config = DataConfig("fashion_mnist", directory=str(idx_folder))
    told = list(data.preparing(config))
    assert {"reading labels", "decoding"} <= {step.stage for step in told}
    assert all(step.done <= step.total for step in told if step.stage != "fetching")
    assert told[-1] == ("decoding", 70, 70)
    assert list(data.preparing(config)) == []


@pytest.mark.parametrize(("name", "title"), [("fashion_mnist", "Fashion-MNIST"), ("cifar10", "CIFAR-10")])
def test_other_files_under_the_same_names_are_told(
    name: str, title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_original(name, tmp_path, monkeypatch)
    original = originals.ORIGINALS[name]
    first = next(iter(original.digests))
    monkeypatch.setitem(originals.ORIGINALS, name, original._replace(digests=dict.fromkeys(original.digests, "0" * 64)))
    with pytest.warns(UserWarning, match=rf"{first} is not the original {title}'s: results do not compare"):
        load(folder, name)


@pytest.mark.parametrize("name", list(originals.ORIGINALS["mnist"].digests))
def test_a_truncated_file_is_named_in_one_line(name: str, idx_folder: Path, cache: Path) -> None:
    file = idx_folder / name
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ValueError, match=f"{name}: truncated or damaged gzip file") as error:
        load(idx_folder)
    assert "\n" not in str(error.value)
    assert list(cache.iterdir()) == []


def test_a_wrong_label_is_named_in_one_line(idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(originals, "_check_original", lambda *_: None)
    file = idx_folder / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(file.read_bytes()))
    content[-1] = 10
    file.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte.gz: label 10, expected 0\.\.9") as error:
        load(idx_folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "file", "ways"),
    [
        ("fashion_mnist", "t10k-labels-idx1-ubyte.gz", "dataset-fashion-mnist.*four idx files.*DIR.*online"),
        ("mnist", "t10k-labels-idx1-ubyte.gz", r"\(nor its unpacked form\): give the folder of its four idx files"),
        (
            "cifar100",
            "cifar-100-binary.tar.gz",
            r"give the folder of cifar-100-binary\.tar\.gz with `--data\.directory",
        ),
    ],
)
def test_a_missing_file_names_the_ways_to_get_it(
    name: str, file: str, ways: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_original(name, tmp_path, monkeypatch)
    (folder / file).unlink()
    assert data.state(DataConfig(name, directory=str(folder))) == "missing"
    with pytest.raises(FileNotFoundError, match=f"has no {file}.*{ways}"):
        load(folder, name)


def test_offline_without_files_names_the_ways_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    assert data.state("mnist") == "missing"
    with pytest.raises(
        FileNotFoundError, match=r"mnist is not on this.*four idx.*--data\.directory DIR.*online"
    ) as error:
        data.load("mnist")
    assert "\n" not in str(error.value)


@pytest.fixture(params=["fashion_mnist", "cifar10"])
def online(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Path]]:
    """A small set behind an address of its own, with its checksums, and on no disk."""
    from tensorflow_datasets.core.download.checksums import UrlInfo

    name = request.param
    folder = small_original(name, tmp_path, monkeypatch)
    handler = functools.partial(_Silent, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        infos = {
            url + file.name: UrlInfo(file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest(), file.name)
            for file in folder.iterdir()
        }
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(tfds_builder, "downloads", lambda name: infos)
        monkeypatch.setitem(originals.ORIGINALS, name, originals.ORIGINALS[name]._replace(package=None))
        yield name, folder
        server.shutdown()
        thread.join()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None: ...


def test_what_is_nowhere_is_downloaded(online: tuple[str, Path], cache: Path) -> None:
    name, folder = online
    dataset = data.load(name)
    assert pairs(*dataset.test) == originally(name, folder)["test"]
    assert data.state(name) == "prepared"
    assert not (cache / name / "downloads").exists()


def test_a_download_must_have_its_checksum(online: tuple[str, Path]) -> None:
    name, folder = online
    file = sorted(folder.iterdir())[0]
    content = gzip.decompress(file.read_bytes())
    file.write_bytes(gzip.compress(content[:-1] + b"\1", mtime=1))
    with pytest.raises(FileNotFoundError, match=rf"{name} could not be downloaded.*--data\.directory DIR") as error:
        data.load(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", list(originals.ORIGINALS))
def test_the_official_checksums_are_in_use(name: str) -> None:
    infos = tfds_builder.downloads(name)
    assert {info.filename for info in infos.values()} == set(originals.ORIGINALS[name].digests)
    if name.startswith("cifar"):
        assert [info.checksum for info in infos.values()] == list(originals.ORIGINALS[name].digests.values())
