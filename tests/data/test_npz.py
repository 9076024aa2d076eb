"""`npz:FILE`: arrays under the names that others give them, and files that nobody should have written."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxcnn import data
from jaxcnn.config import DataConfig
from jaxcnn.data.npz_file import field_names

GENERATOR = np.random.default_rng(0)
Arrays = dict[str, Any]


def images(n: int, *shape: int) -> np.ndarray:
    return GENERATOR.integers(0, 256, (n, *(shape or (8, 8, 3))), np.uint8)


LABELS = np.arange(60) % 3
TEST = np.arange(12) % 3
MANY = GENERATOR.integers(0, 2, (60, 4), np.uint8)


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Arrays], Path]:
    def save(arrays: Arrays) -> Path:
        np.savez(tmp_path / "set.npz", **arrays)
        return tmp_path / "set.npz"

    return save


def keras(**changes: Any) -> Arrays:
    arrays = {"x_train": images(60, 8, 8), "y_train": LABELS, "x_test": images(12, 8, 8), "y_test": TEST}
    return {**arrays, **changes}


def medmnist() -> Arrays:
    counts = {"train": 60, "val": 6, "test": 12}
    pairs = {f"{part}_images": images(n) for part, n in counts.items()}
    return pairs | {f"{part}_labels": (np.arange(n, dtype=np.uint8) % 3)[:, None] for part, n in counts.items()}


def plain(**changes: Any) -> Arrays:
    return {"inputs": images(60), "targets": LABELS, **changes}


@pytest.mark.parametrize(
    ("arrays", "shape", "counts"),
    [
        (keras(), (8, 8, 1), (54, 6, 12)),
        (keras(x_val=images(9, 8, 8), y_val=LABELS[:9]), (8, 8, 1), (60, 9, 12)),
        (medmnist(), (8, 8, 3), (60, 6, 12)),
        (plain(), (8, 8, 3), (49, 5, 6)),
        (plain(inputs=images(60) / 255), (8, 8, 3), (49, 5, 6)),
        (plain(classes=np.array(["cat", "dog", "鳥"])), (8, 8, 3), (49, 5, 6)),
    ],
    ids=["keras", "keras with validation", "medmnist", "one split", "floats", "classes"],
)
def test_names_that_others_give(arrays: Arrays, shape: tuple, counts: tuple, save: Callable[[Arrays], Path]) -> None:
    file = save(arrays)
    dataset = data.load(DataConfig("npz:set.npz", directory=str(file.parent)))
    assert dataset.input_shape == shape
    assert tuple(len(split.inputs) for split in dataset.splits.values()) == counts
    assert dataset.classes == (("cat", "dog", "鳥") if "classes" in arrays else ("0", "1", "2"))
    everything = np.concatenate([split.inputs for split in dataset.splits.values()])
    given = [array.astype(everything.dtype) for array in arrays.values() if array.ndim > 2]
    assert sorted(map(bytes, everything)) == sorted(bytes(image) for array in given for image in array)
    floats = everything.dtype == np.float32
    assert dataset.preprocessing.scale == (1 if floats else 1 / 255)
    if "x_test" in arrays:
        np.testing.assert_array_equal(dataset.test.inputs[..., 0], arrays["x_test"])
        np.testing.assert_array_equal(dataset.test.targets, TEST)
    assert data.state(f"npz:{file}") == "prepared"


def test_an_image_may_have_any_number_of_labels(save: Callable[[Arrays], Path]) -> None:
    dataset = data.load(f"npz:{save(plain(targets=MANY))}")
    assert dataset.classes == ("0", "1", "2", "3")
    assert dataset.train.targets.dtype == np.float32
    assert dataset.test.targets.shape == (6, 4)
    assert data.describe(dataset)["class_counts"] == {}
    learned = np.concatenate([split.targets for split in dataset.splits.values()])
    assert sorted(map(bytes, learned)) == sorted(map(bytes, MANY.astype(np.float32)))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "holds nothing; expected x_train and y_train, or train_images and train_labels, or inputs and targets"),
        ({"x": images(3)}, "holds x; expected x_train and y_train"),
        ({"x_train": images(3)}, "holds x_train; expected x_train and y_train"),
        ({**plain(), "targets": LABELS[:9]}, "`train` has 60 inputs, but 9 targets"),
        (plain(targets=LABELS.astype(str)), "`train` targets are <U.*encode labels as integers"),
        (plain(targets=LABELS - 1), r"`train` target 0 is -1; expected a class in 0\.\."),
        (plain(targets=LABELS / 2), r"targets are no classes; expected whole numbers \(n,\)"),
        (plain(targets=MANY + 1, classes=list("abcd")), r"`train` targets of shape \(60, 4\) must be zeros and ones"),
        (plain(targets=MANY, classes=["a"]), r"`train` targets have shape \(60, 4\), and there are 1 classes"),
        (plain(inputs=images(60, 64)), r"`train` inputs have shape \(60, 64\); expected rank 4"),
        (plain(inputs=images(60).astype(int)), "`train` inputs are int64; expected uint8 or floats"),
        (plain(inputs=np.full((60, 4, 4), np.nan)), "`train` input 0 holds NaN or infinity"),
        (plain(classes=["a", "b"]), r"`train` target 2 is 2; expected a class in 0\.\.1"),
        (keras(x_test=None), "x_test must hold numbers or texts"),
        ({k: v for k, v in keras().items() if k != "y_test"}, "lacks y_test"),
        (plain(targets=LABELS * 0), "all targets are 0, one class; expected two or more, numbered from 0"),
        (
            plain(inputs=np.zeros((60, 3, 8, 8), np.uint8)),
            r"\(60, 3, 8, 8\), channels first; .*x.transpose\(0, 2,",
        ),
        (
            plain(targets=np.array([None] * 60)),
            "targets must hold numbers or texts; arrays of Python objects are not read, .*: save images of one size as",
        ),
        (
            plain(classes=np.array(["a", "b", "c"], object)),
            r"classes must hold .* and names as `np.array\(names, str\)`",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arrays: Arrays, message: str, save: Callable[[Arrays], Path]) -> None:
    file = save(arrays)
    with pytest.raises(ValueError, match=message) as error:
        data.load(f"npz:{file}")
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def npy(shape: tuple[int, ...], content: bytes, dtype: str = "|u1") -> bytes:
    """An .npy file whose header says what it likes."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue() + content


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"inputs": npy((10**6, 10**6), b"\0" * 9), "targets": npy((3,), b"abc")}, "inputs holds 137 bytes where"),
        ({"inputs": npy((3,), b"abcd"), "targets": npy((3,), b"abc")}, "inputs holds 132 bytes where its header asks"),
        ({"inputs": npy((-3,), b""), "targets": npy((3,), b"abc")}, "truncated, damaged"),
        ({"inputs": b"", "targets": npy((3,), b"abc")}, "truncated, damaged"),
        ({"inputs": b"\x93NUMPY\x01\0\x10\0{'descr': exit()}", "targets": b""}, "truncated, damaged"),
        ({"inputs": b"cos\nsystem\n(S'false'\ntR.", "targets": npy((3,), b"abc")}, "truncated, damaged"),
    ],
)
def test_headers_are_not_believed(fields: dict[str, bytes], message: str, tmp_path: Path) -> None:
    file = tmp_path / "hostile.npz"
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in fields.items():
            archive.writestr(f"{name}.npy", content)
    with pytest.raises(ValueError, match=message) as error:
        data.load(f"npz:{file}")
    assert str(error.value).startswith(f"{file}: truncated, damaged or no .npz file")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_named(keep: float, save: Callable[[Arrays], Path]) -> None:
    file = save(plain())
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=r"set\.npz: truncated, damaged or no \.npz file"):
        data.load(f"npz:{file}")


def test_names_of_fields(save: Callable[[Arrays], Path]) -> None:
    assert field_names(save(plain())) == ["inputs", "targets"]


def test_no_file_and_a_missing_file() -> None:
    with pytest.raises(ValueError, match=r"`npz` needs its file: give the name as npz:FILE\.npz"):
        data.load("npz")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz is no file"):
        data.load("npz:nowhere.npz")
