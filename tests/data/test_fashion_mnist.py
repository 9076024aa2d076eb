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

from jaxcnn import data
from jaxcnn.config import DataConfig
from jaxcnn.data import fashion_mnist
from jaxcnn.data.idx import read_idx


def pairs(inputs: np.ndarray, targets: np.ndarray) -> list[bytes]:
    return sorted(bytes([target]) + image.tobytes() for image, target in zip(inputs, targets, strict=True))


def load(folder: Path) -> data.Dataset:
    return data.load(DataConfig("fashion_mnist", directory=str(folder), validation=0.2))


@pytest.mark.parametrize("packed", [True, False])
def test_a_folder_of_idx_files_comes_through_tfds_unchanged(packed: bool, idx_folder: Path) -> None:
    if not packed:
        for file in list(idx_folder.iterdir()):
            file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
            file.unlink()
    dataset = load(idx_folder)
    assert dataset.input_shape == (28, 28, 1)
    assert [len(split.inputs) for split in dataset.splits.values()] == [40, 10, 20]
    assert np.bincount(dataset.validation.targets).tolist() == [1] * 10
    assert dataset.train.inputs.dtype == np.uint8
    assert dataset.train.targets.dtype == np.int32
    learned = [np.concatenate(arrays) for arrays in zip(dataset.train, dataset.validation, strict=True)]
    for part, (inputs, targets) in (("train", learned), ("t10k", dataset.test)):
        files = [next(idx_folder.glob(f"{part}-{kind}*")) for kind in ("images", "labels")]
        assert pairs(inputs, targets) == pairs(read_idx(files[0], 3), read_idx(files[1], 1))


def test_debian_s_folder_is_the_default(idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "DEBIAN", idx_folder)
    assert data.state("fashion_mnist") == "available"
    assert len(data.load("fashion_mnist").test.inputs) == 20
    assert data.state("fashion_mnist") == "prepared"


def test_tfds_itself_reads_what_was_prepared(idx_folder: Path) -> None:
    import tensorflow_datasets as tfds

    folder = data.prepare(DataConfig("fashion_mnist", directory=str(idx_folder)))
    assert folder is not None
    undecoded = {"image": tfds.decode.SkipDecoding()}
    source = tfds.data_source("fashion_mnist", split="train[:50%]", data_dir=folder / "tfds", decoders=undecoded)
    assert len(source) == 25


def test_nothing_is_printed(idx_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load(idx_folder)
    assert capfd.readouterr() == ("", "")


def test_other_files_under_the_same_names_are_told(idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "DIGESTS", dict.fromkeys(fashion_mnist.DIGESTS, "0" * 64))
    with pytest.warns(UserWarning, match=r"train-images-idx3-ubyte.gz is not the original Fashion-MNIST's"):
        load(idx_folder)


@pytest.mark.parametrize("name", list(fashion_mnist.DIGESTS))
def test_a_truncated_file_is_named_in_one_line(name: str, idx_folder: Path, cache: Path) -> None:
    file = idx_folder / name
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ValueError, match=f"{name}: truncated or damaged gzip file") as error:
        load(idx_folder)
    assert "\n" not in str(error.value)
    assert list(cache.iterdir()) == []


def test_a_wrong_label_is_named_in_one_line(idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "_check_original", lambda files: None)
    file = idx_folder / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(file.read_bytes()))
    content[-1] = 10
    file.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte.gz: label 10, expected 0\.\.9") as error:
        load(idx_folder)
    assert "\n" not in str(error.value)


def test_a_missing_file_names_the_ways_to_get_it(idx_folder: Path) -> None:
    (idx_folder / "t10k-labels-idx1-ubyte.gz").unlink()
    assert data.state(DataConfig("fashion_mnist", directory=str(idx_folder))) == "missing"
    with pytest.raises(FileNotFoundError, match=r"t10k-labels.*dataset-fashion-mnist.*--data\.directory DIR.*online"):
        load(idx_folder)


def test_offline_without_files_names_the_ways_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "nowhere")
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    assert data.state("fashion_mnist") == "missing"
    with pytest.raises(
        FileNotFoundError, match=r"not on this machine.*dataset-fashion-mnist.*--data\.directory DIR.*online"
    ) as error:
        data.load("fashion_mnist")
    assert "\n" not in str(error.value)


@pytest.fixture
def online(idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The small set behind an address of its own, with its checksums, and on no disk."""
    from tensorflow_datasets.core.download.checksums import UrlInfo
    from tensorflow_datasets.image_classification.mnist import FashionMNIST as Official

    from jaxcnn.data.tfds_builder import FashionMNIST

    handler = functools.partial(_Silent, directory=str(idx_folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        files = [idx_folder / name for name in fashion_mnist.DIGESTS]
        infos = {
            url + file.name: UrlInfo(file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest(), file.name)
            for file in files
        }
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(Official, "URL", url)
        monkeypatch.setattr(FashionMNIST, "url_infos", infos)
        monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "nowhere")
        yield idx_folder
        server.shutdown()
        thread.join()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None: ...


def test_what_is_nowhere_is_downloaded(online: Path, cache: Path) -> None:
    dataset = data.load("fashion_mnist")
    assert pairs(*dataset.test) == pairs(
        read_idx(online / "t10k-images-idx3-ubyte.gz", 3), read_idx(online / "t10k-labels-idx1-ubyte.gz", 1)
    )
    assert data.state("fashion_mnist") == "prepared"
    assert not (cache / "fashion_mnist" / "downloads").exists()


def test_a_download_must_have_its_checksum(online: Path) -> None:
    file = online / "t10k-labels-idx1-ubyte.gz"
    content = gzip.decompress(file.read_bytes())
    file.write_bytes(gzip.compress(content[:-1] + b"\1", mtime=1))
    with pytest.raises(FileNotFoundError, match=r"could not be downloaded.*dataset-fashion-mnist") as error:
        data.load("fashion_mnist")
    assert "\n" not in str(error.value)


def test_the_official_checksums_are_in_use() -> None:
    from jaxcnn.data.tfds_builder import FashionMNIST

    assert {Path(url).name for url in FashionMNIST.url_infos or ()} == set(fashion_mnist.DIGESTS)
