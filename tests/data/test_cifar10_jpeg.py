import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxcnn import data
from jaxcnn.config import DataConfig

Fields = dict[str, np.ndarray]
Write = Callable[[Fields], Path]


def test_it_decodes_every_image(jpeg_fields: Fields, write_npz: Write) -> None:
    file = write_npz(jpeg_fields)
    dataset = data.load(DataConfig("cifar10_jpeg:cifar.npz", directory=str(file.parent), validation=0.25))
    assert [split.inputs.shape for split in dataset.splits.values()] == [
        (30, 32, 32, 3), (10, 32, 32, 3), (10, 32, 32, 3),
    ]  # fmt: skip
    assert np.bincount(dataset.validation.targets).tolist() == [1] * 10
    for index, (image, target) in enumerate(zip(*dataset.test, strict=True)):
        np.testing.assert_allclose(image, np.broadcast_to([6 * index, 100, 200], (32, 32, 3)), atol=3)
        assert target == index % 10
    assert data.load(f"cifar10_jpeg:{file}").classes[9] == "truck"


def cut(fields: Fields, name: str, stop: int) -> Fields:
    return {**fields, name: fields[name][:stop]}


def garbage(fields: Fields) -> Fields:
    jpeg = fields["train_jpeg"].copy()
    start = int(fields["train_size"][0].astype(int))
    jpeg[start : start + 40] = 7
    return {**fields, "train_jpeg": jpeg}


def other_size(fields: Fields) -> Fields:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (16, 32)).save(file, "jpeg")
    jpeg = np.frombuffer(file.getvalue(), np.uint8)
    return {**fields, "test_jpeg": jpeg, "test_size": np.array([len(jpeg)]), "test_label": np.array([1])}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda fields: {k: v for k, v in fields.items() if k != "test_size"}, "lacks test_size"),
        (lambda fields: cut(fields, "train_label", 39), "40 train images, but 39 labels"),
        (lambda fields: cut(fields, "test_jpeg", 500), "test_size sums to"),
        (lambda fields: {**fields, "train_label": fields["train_label"] + 1}, "train labels 1..10, expected 0..9"),
        (lambda fields: {**fields, "test_label": fields["test_label"] * 1.0}, "whole numbers"),
        (lambda fields: {**fields, "test_jpeg": fields["test_jpeg"].astype(np.int32)}, "test_jpeg must be uint8"),
        (lambda fields: {**fields, "test_label": fields["test_label"][:, None]}, "of one axis"),
        (garbage, "train image 1 is no readable JPEG"),
        (other_size, "test image 0 has shape (32, 16, 3), expected (32, 32, 3)"),
        (lambda fields: {**fields, "test_label": np.array([None] * 10)}, "test_label must hold numbers or texts"),
    ],
)
def test_a_wrong_field_is_named_in_one_line(
    damage: Callable[[Fields], Fields], message: str, jpeg_fields: Fields, write_npz: Write
) -> None:
    fields = damage(jpeg_fields)
    file = write_npz(fields) if not _has_objects(fields) else _write_objects(write_npz(jpeg_fields), fields)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        data.load(f"cifar10_jpeg:{file}")
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def _has_objects(fields: Fields) -> bool:
    return any(array.dtype == object for array in fields.values())


def _write_objects(file: Path, fields: Fields) -> Path:
    np.savez_compressed(file, **fields)
    return file


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_named_in_one_line(keep: float, jpeg_fields: Fields, write_npz: Write) -> None:
    file = write_npz(jpeg_fields)
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=r"truncated, damaged or no \.npz file") as error:
        data.load(f"cifar10_jpeg:{file}")
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_a_flipped_byte_is_found(jpeg_fields: Fields, write_npz: Write) -> None:
    file = write_npz(jpeg_fields)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"truncated, damaged or no \.npz file"):
        data.load(f"cifar10_jpeg:{file}")


def test_another_kind_of_file(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"truncated, damaged or no \.npz file"):
        data.load(f"cifar10_jpeg:{tmp_path / 'array.npy'}")


def test_no_file_and_a_missing_file() -> None:
    with pytest.raises(ValueError, match=r"cifar10_jpeg:FILE\.npz"):
        data.load("cifar10_jpeg")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz is no file"):
        data.load("cifar10_jpeg:nowhere.npz")
    assert data.state("cifar10_jpeg") == "yours"
    assert data.state("cifar10_jpeg:nowhere.npz") == "missing"
