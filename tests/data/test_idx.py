import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.data.idx import digest, read_idx, read_labelled

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
LABELS = np.array([0, 9, 4], np.uint8)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_reads_what_was_written(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(pack(idx(IMAGES)))
    np.testing.assert_array_equal(read_idx(path, 3), IMAGES)
    plain = tmp_path / "plain"
    plain.write_bytes(idx(IMAGES))
    assert digest(path) == digest(plain)


WHOLE, PACKED = idx(IMAGES), gzip.compress(idx(IMAGES), mtime=0)  # no time in it: its tests have the same names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no idx file of 3 axes"),
        (bytes([1]) + WHOLE[1:], "magic 01000803, expected 00000803"),
        (WHOLE[:2] + b"\x0d" + WHOLE[3:], "no idx file"),  # floats
        (idx(LABELS), "no idx file of 3 axes"),
        (WHOLE[:9], "truncated inside its header"),
        (WHOLE[:-1], "holds 75 bytes where its header (3, 4, 5) asks for 76"),
        (WHOLE + b"\0", "holds 77 bytes"),
        (WHOLE[:4] + np.array([2**31, 2**31, 4], ">u4").tobytes(), "asks for"),  # 2**64 elements: 0 in 64 bits
        (PACKED[:-9], "truncated or damaged gzip"),
        (PACKED[:12], "truncated or damaged gzip"),
        (PACKED[:20] + b"\x55\xaa" + PACKED[22:], "truncated or damaged gzip"),
        (PACKED[:-6] + b"\0" + PACKED[-5:], "truncated or damaged gzip"),  # checksum
        (b"\x1f\x8b\x07" + PACKED[3:], "truncated or damaged gzip"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "train-images"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read_idx(path, 3)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, LABELS[:2], r"3 images, but .*labels has 2 labels"),
        (IMAGES[:0], LABELS[:0], "holds no images"),
        (IMAGES[:, :3], LABELS, r"images of \(3, 5\), expected \(4, 5\)"),
        (IMAGES, LABELS + 1, r"label 10, expected 0\.\.9"),
    ],
)
def test_images_and_labels_belong_together(
    images: np.ndarray, labels: np.ndarray, message: str, tmp_path: Path
) -> None:
    (tmp_path / "images").write_bytes(idx(images))
    (tmp_path / "labels").write_bytes(idx(labels))
    with pytest.raises(ValueError, match=message):
        read_labelled(tmp_path / "images", tmp_path / "labels", image_shape=(4, 5), classes=10)
