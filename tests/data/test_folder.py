"""`folder:DIR`: the layout, what is held out, what is stored, and what is refused in which words."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.conftest import WriteImages as Write
from PIL import Image

from jaxcnn import data
from jaxcnn.config import DataConfig
from jaxcnn.data import gather, listing


def load(root: Path, **options: Any) -> data.Dataset:
    return data.load(DataConfig(f"folder:{root}", **options))


def values(*splits: data.Split) -> list[int]:
    return sorted(int(image.flat[0]) for split in splits for image in split.inputs)


def test_a_folder_a_class(root: Path, write: Write) -> None:
    write("dog", 40)
    write("cat", 20, start=100)
    dataset = load(root, validation=0.2)
    assert dataset.classes == ("cat", "dog")
    facts = data.describe(dataset)
    assert facts["class_counts"] == {"train": [14, 29], "validation": [4, 7], "test": [2, 4]}
    assert facts["images"] == {"size": None, "resize": "crop", "colour": "rgb"}
    assert dataset.input_shape == (6, 6, 3)
    assert dataset.preprocessing.scale == 1 / 255
    assert isinstance(dataset.train.inputs, np.memmap)
    for split in dataset.splits.values():
        assert all((image == image.flat[0]).all() for image in split.inputs)
        assert [int(image.flat[0] < 100) for image in split.inputs] == split.targets.tolist()
    assert values(*dataset.splits.values()) == [*range(40), *range(100, 120)]
    scaled = dataset.train.inputs / 255
    np.testing.assert_allclose(dataset.preprocessing.mean, scaled.mean((0, 1, 2)))
    assert set(values(dataset.validation)) < set(values(load(root, validation=0.4).validation))
    assert values(load(root, validation=0.4).test) == values(dataset.test)


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_folders_for_each_split(name: str, root: Path, write: Write) -> None:
    for place, n, start in (("train/a", 9, 0), ("train/b", 5, 20), (f"{name}/a", 2, 40), (f"{name}/b", 3, 60),
                            ("test/a", 4, 80), ("test/b", 1, 100)):  # fmt: skip
        write(place, n, start=start)
    dataset = load(root)
    assert data.describe(dataset)["class_counts"] == {"train": [9, 5], "validation": [2, 3], "test": [4, 1]}
    assert values(dataset.validation) == [40, 41, 60, 61, 62]
    assert values(dataset.test) == [80, 81, 82, 83, 100]
    np.testing.assert_allclose(dataset.preprocessing.mean, (dataset.train.inputs / 255).mean((0, 1, 2)))


def test_what_is_not_there_is_held_out_from_train(root: Path, write: Write) -> None:
    write("train/a", 20)
    write("train/b", 20, start=40)
    assert data.describe(load(root))["counts"] == {"train": 32, "validation": 4, "test": 4}
    write("test/a", 3, start=80)
    write("test/b", 3, start=90)
    assert data.describe(load(root))["counts"] == {"train": 36, "validation": 4, "test": 6}


def test_classes_of_any_name(root: Path, write: Write) -> None:
    names = ["train", "Zebra", "ähre", "z", "中文", "emoji 🐈", "a b", "_x"]
    for number, name in enumerate(names):
        write(name, 3, start=3 * number)
    dataset = load(root)
    assert dataset.classes == tuple(sorted(names, key=str.encode))
    for split in dataset.splits.values():
        assert [dataset.classes[k] for k in split.targets] == [names[int(image.flat[0]) // 3] for image in split.inputs]


def test_hidden_files_and_papers_beside_the_folders_are_passed_over(root: Path, write: Write) -> None:
    for name in ("a", "b"):
        (write(name, 10) / ".DS_Store").write_text("x")
    (root / "README.md").write_text("x")
    (root / ".git").mkdir()
    assert load(root).classes == ("a", "b")


def test_links_are_followed(root: Path, write: Write, tmp_path: Path) -> None:
    write("a", 10)
    (tmp_path / "elsewhere").mkdir()
    for number in range(10, 20):
        Image.new("RGB", (6, 6), (number,) * 3).save(tmp_path / "elsewhere" / f"{number}.png")
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "linked.png").symlink_to(tmp_path / "elsewhere" / "10.png")
    dataset = load(root)
    assert values(*dataset.splits.values()) == [*range(10), 10, *range(10, 20)]


def test_grey_stays_grey_where_all_are(root: Path, write: Write) -> None:
    write("a", 10, shape=(6, 6))
    write("b", 10, shape=(6, 6))
    assert load(root).input_shape == (6, 6, 1)
    assert load(root, colour="rgb").input_shape == (6, 6, 3)
    write("a", 1, start=50)
    dataset = load(root)
    assert dataset.input_shape == (6, 6, 3)
    assert data.describe(dataset)["images"]["colour"] == "rgb"
    assert load(root, colour="grey").input_shape == (6, 6, 1)


def test_images_of_any_size_are_brought_to_one(root: Path, write: Write) -> None:
    write("a", 10, shape=(6, 9, 3))
    write("b", 10, start=20, shape=(12, 7, 3))
    message = (
        r"images differ in size, such as 9 x 6 \(.*/a/000\.png\) and 7 x 12 \(.*/b/020\.png\): give `--data.size N`"
    )
    with pytest.raises(ValueError, match=message):
        load(root)
    for resize in ("crop", "stretch", "pad"):
        dataset = load(root, size=8, resize=resize)
        assert dataset.input_shape == (8, 8, 3)
        assert data.describe(dataset)["images"] == {"size": 8, "resize": resize, "colour": "rgb"}
        assert bool((dataset.train.inputs[:, 0] == dataset.train.inputs[:, 4]).all()) == (resize != "pad")


def test_the_same_folder_gives_the_same_bytes(
    root: Path, write: Write, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever order the disk lists it, with however many threads, and elsewhere."""
    for name in ("b", "ä", "a", "B"):
        write(name, 8, start=8 * len(name.encode()) + ord(name[0]) % 100)
    first = load(root)
    folder = next(cache.glob("folder-*"))
    before = {file.name: file.read_bytes() for file in folder.glob("*.npy")}
    copy = tmp_path / "copy"
    for place in sorted(root.rglob("*.png"), reverse=True):
        (copy / place.parent.name).mkdir(parents=True, exist_ok=True)
        (copy / place.parent.name / place.name).write_bytes(place.read_bytes())
    scandir = os.scandir

    class Backwards:
        def __init__(self, path: Path):
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> list:
            return self.entries

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(listing.os, "scandir", Backwards)
    monkeypatch.setattr(gather.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(gather, "_MOST", 3)
    second = load(copy)
    monkeypatch.undo()
    again = next(place for place in cache.glob("folder-*") if place != folder)
    assert before == {file.name: file.read_bytes() for file in again.glob("*.npy")}
    assert first.classes == second.classes == ("B", "a", "b", "ä")


def test_another_image_is_another_set(root: Path, write: Write, cache: Path) -> None:
    write("a", 10)
    write("b", 10)
    config = DataConfig(f"folder:{root}")
    assert data.state(config) == "available"
    data.load(config)
    assert data.state(config) == "prepared"
    assert data.state(DataConfig(f"folder:{root}", size=4)) == "available"
    assert data.state(DataConfig("folder:images", directory=str(root.parent))) == "prepared"
    write("b", 1, start=50)
    assert data.state(config) == "available"
    data.load(config)
    facts = (root / "b" / "050.png").stat()
    os.utime(root / "b" / "050.png", ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert data.state(config) == "available"
    data.load(config)
    with (root / "b" / "050.png").open("ab") as file:
        file.write(b"\0")
    os.utime(root / "b" / "050.png", ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert data.state(config) == "available"
    assert len(list(cache.iterdir())) == 1


def test_progress_is_told(root: Path, write: Write) -> None:
    write("a", 10)
    write("b", 10)
    told = list(data.preparing(f"folder:{root}"))
    assert [step.stage for step in told] == sorted((step.stage for step in told), reverse=True)
    assert (told[0].stage, told[-1]) == ("reading headers", ("decoding", 20, 20))
    assert list(data.preparing(f"folder:{root}")) == []


def test_ten_thousand_classes(root: Path) -> None:
    root.mkdir()
    for number in range(10_000):
        (root / f"{number:05d}").mkdir()
    with pytest.raises(ValueError, match=r"/00000: holds no images: put some in, or remove it \(and 9,999 more\)$"):
        load(root)
    Image.new("L", (2, 2)).save(root / "00000" / "0.png")
    for number in range(1, 10_000):
        os.link(root / "00000" / "0.png", root / f"{number:05d}" / "0.png")
    dataset = load(root)
    assert len(dataset.classes) == 10_000
    assert data.describe(dataset)["counts"] == {"train": 8100, "validation": 900, "test": 1000}
