"""Folders of images that cannot be used: each is refused in one line, which names the file."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.conftest import WriteImages as Write
from PIL import Image

from jaxcnn import data
from jaxcnn.config import DataConfig


def load(root: Path) -> data.Dataset:
    return data.load(f"folder:{root}")


def small(write: Write) -> None:
    write("a", 10)
    write("b", 10)


def damaged(name: str, content: bytes) -> Callable[[Path, Write], object]:
    def damage(root: Path, write: Write) -> None:
        small(write)
        (root / name).write_bytes(content)

    return damage


def fifo(root: Path, write: Write) -> None:
    small(write)
    os.mkfifo(root / "b" / "pipe.png")


def links(root: Path, write: Write) -> None:
    small(write)
    (root / "b" / "gone.png").symlink_to(root / "nowhere.png")
    (root / "b" / "round").symlink_to(root / "b" / "round")


def unlike(root: Path, write: Write) -> None:
    for place in ("train/a", "train/b", "train/c", "train/d", "test/a", "test/b"):
        write(place, 3)


def many_bad(root: Path, write: Write) -> None:
    small(write)
    for number in range(5):
        (root / "b" / f"bad{number}.png").write_bytes(b"")


def truncated(root: Path, write: Write) -> None:
    write("a", 10, shape=(64, 64, 3))
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for number in range(8):  # some of them fall to the test and to validation
        file = write("b", 10, shape=(64, 64, 3)) / f"cut{number}.jpg"
        Image.fromarray(noise).save(file)
        file.write_bytes(file.read_bytes()[:2000])


HOSTILE: dict[str, tuple[Callable[[Path, Write], object], str]] = {
    "nothing": (lambda root, write: root.mkdir(), "/images holds no folders: expected one folder of images for each"),
    "files only": (lambda root, write: write(""), "/images/000.png: an image beside the folders: move it into"),
    "one class": (lambda root, write: write("a", 5), "/images holds one class, 'a'; expected a folder for each of"),
    "an empty class": (
        lambda root, write: (small(write), (root / "c").mkdir()),
        "/images/c: holds no images: put some",
    ),
    "an empty train": (lambda root, write: (root / "train").mkdir(parents=True), "/train holds nothing; expected one"),
    "a train of files": (lambda root, write: write("train", 3), "/images/train holds only files; expected one folder"),
    "a folder beside train": (
        lambda root, write: [write(name) for name in ("train/a", "train/b", "new")],
        "holds train, a split with folders of its own, beside 'new': expected train and test, or a folder of images",
    ),
    "a test alone": (
        lambda root, write: [write(name) for name in ("test/a", "test/b", "val/a", "val/b")],
        "/images holds test and val, but no train: expected train, and test if there is one",
    ),
    "classes that differ": (unlike, r"/images/test lacks the class 'c' \(and 1 more\) that /.*/images/train has"),
    "a class of the test alone": (
        lambda root, write: (write("train/a"), write("train/b"), write("test/a"), write("test/b"), write("test/c")),
        "/images/train lacks the class 'c' that /.*/images/test has",
    ),
    "two kinds of validation": (
        lambda root, write: [write(f"{part}/{name}") for part in ("train", "val", "valid") for name in "ab"],
        "/images holds val and valid: keep one",
    ),
    "a folder in a class": (lambda root, write: (small(write), write("b/more")), "/b/more: a folder within a class"),
    "zero bytes": (damaged("a/x.png", b""), r"/a/x.png: empty \(0 bytes\)$"),
    "text": (damaged("b/notes.txt", b"hello"), r"/b/notes.txt: no image, or a damaged one"),
    "five bad ones": (many_bad, r"/b/bad0.png: empty \(0 bytes\) \(and 4 more\)$"),
    "truncated": (truncated, r"/b/cut0.jpg: damaged, or of a kind .*truncated.* \(and 7 more\)$"),
    "a name of two lines": (damaged("b/two\nlines.png", b""), r"/b/two\\nlines.png': empty"),
    "a pipe": (fifo, "/b/pipe.png: no regular file"),
    "broken links": (links, r"/b/gone.png: a link that leads nowhere \(and 1 more\)$"),
}


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_what_is_wrong_is_said_in_one_line(kind: str, root: Path, write: Write, cache: Path) -> None:
    damage, message = HOSTILE[kind]
    damage(root, write)
    with pytest.raises(ValueError, match=message) as error:
        load(root)
    assert "\n" not in str(error.value)
    assert list(cache.glob("*")) == []


def test_class_names_must_be_utf8(root: Path, write: Write) -> None:
    small(write)
    os.mkdir(os.fsencode(root) + b"/\xff\xfe")
    with pytest.raises(ValueError, match=r"'\\udcff\\udcfe': a class's name must be UTF-8") as error:
        load(root)
    assert str(error.value).isascii()


def test_what_may_not_be_read_is_named(root: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    small(write)
    opened = Path.open

    def refuse(self: Path, *args: str, **options: Any) -> object:
        if self.name == "003.png":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ValueError, match=r"/a/003.png: cannot be read \(Permission denied\) \(and 1 more\)$"):
        load(root)


def test_a_full_disk_is_told(root: Path, write: Write, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(write)

    opened = Path.open

    class Full(io.FileIO):
        def write(self, content: Any) -> int:
            if self.tell() > 100:
                raise OSError(28, "No space left on device")
            return super().write(content)

    def limited(self: Path, *args: str, **options: Any) -> object:
        return Full(self, "wb") if self.name == "test_inputs.npy" else opened(self, *args, **options)

    monkeypatch.setattr(Path, "open", limited)
    with pytest.raises(OSError, match=r"cannot be written \(No space left on device\): set JAXCNN_CACHE") as error:
        load(root)
    assert "\n" not in str(error.value)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("folder", r"`folder` needs your folder: give the name as folder:DIR"),
        ("folder:nowhere", r"nowhere is no folder: `folder:DIR` names one with a folder of images for each class"),
        (DataConfig("folder:x", size=-3), r"`data.size` \(=-3\) must be a whole number of pixels, from 1 to 8192"),
        (DataConfig("folder:x", resize="zoom"), r"`data.resize` \(='zoom'\) must be one of crop, stretch, pad"),
        (DataConfig("folder:x", colour="hsv"), r"`data.colour` \(='hsv'\) must be one of auto, rgb, grey"),
    ],
)
def test_wrong_configs(config: DataConfig | str, message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        data.load(config)
