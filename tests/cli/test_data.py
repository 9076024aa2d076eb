"""`jaxcnn data`: lists, prepares, shows and draws sets of a user's own."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcnn.cli import preparing, sheet
from jaxcnn.data import Preparing

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JAXCNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """20 images of each of two classes, all alike but for their value."""
    for label, start in (("größe", 10), ("small", 150)):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for number in range(20):
            pixels = np.zeros((8, 10, 3), np.uint8)
            pixels[:, :5] = start + number
            Image.fromarray(pixels).save(tmp_path / "pictures" / label / f"{number}.png")
    return tmp_path / "pictures"


def test_list_names_what_is_there(command: Command) -> None:
    listed = json.loads(command("data", "list", "--json")[1])
    assert {name: listed[name]["state"] for name in ("digits", "mnist", "folder", "npz", "tfds")} == {
        "digits": "available", "mnist": "missing", **dict.fromkeys(("folder", "npz", "tfds"), "yours"),
    }  # fmt: skip


def test_a_folder_is_prepared_and_shown(command: Command, pictures: Path, cache: Path) -> None:
    assert command("data", "prepare", f"folder:{pictures}")[:2] == (
        0, f"folder:{pictures} is ready in {next(cache.iterdir())}\n",
    )  # fmt: skip
    code, out, _ = command("data", "show", "--data.name", "folder:pictures", "--data.size", "4", "--data.resize", "pad")
    assert code == 0
    assert "images  to 4 x 4, zeros beside, in colour" in out
    assert "größe" in out
    facts = json.loads(command("data", "show", "folder:pictures", "--json")[1])
    assert facts["counts"] == {"train": 32, "validation": 4, "test": 4}
    assert facts["images"] == {"size": None, "resize": "crop", "colour": "rgb"}


def test_a_sheet_shows_what_is_in_a_set(command: Command, pictures: Path) -> None:
    code, out, err = command("data", "show", "folder:pictures", "--sheet", "sheet.png")
    assert (code, err) == (0, "")
    assert "sheet.png: 20 images, of the training split; by number, as the sheet's font lacks their letters: 0" in out
    sheet = np.asarray(Image.open("sheet.png").convert("RGB"))
    there = {int(value) for value in np.unique(sheet[..., 0][(sheet == sheet[..., :1]).all(axis=2)])}
    assert len(there & set(range(10, 30))) >= 10
    assert len(there & set(range(150, 170))) >= 10


def test_names_that_the_font_cannot_write_are_numbers(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    monkeypatch.setattr(sheet, "contact_sheet", lambda rows, **_: written.append(rows) or Image.new("RGB", (1, 1)))
    inputs, targets = np.zeros((90, 4, 4), np.uint8), np.arange(90) % 3
    np.savez(tmp_path / "named.npz", inputs=inputs, targets=targets, classes=["cat", "собака", "鳥"])
    out = command("data", "show", "npz:named.npz", "--sheet", "s.png")[1]
    assert "lacks their letters: 1 'собака', 2 '鳥'\n" in out
    assert [row.name for row in written[0]] == ["cat", "class 1", "class 2"]
    command("data", "show", "npz:named.npz", "--sheet", "t.png", "--augment.mixup", "1.0")
    told = " ".join(text for row in written[1] for text in row.captions)
    assert "class 1" in told
    assert "cat" in told
    assert "собака" not in told


def test_a_sheet_shows_what_training_sees(command: Command, pictures: Path) -> None:
    flags = ("--augment.flip", "random", "--seed", "3")
    assert "2 images, 9 times each" in command("data", "show", "folder:pictures", "--sheet", "sheet.png", *flags)[1]
    command("data", "show", "folder:pictures", "--sheet", "again.png", *flags)
    assert Path("sheet.png").read_bytes() == Path("again.png").read_bytes()
    sheet = np.asarray(Image.open("sheet.png").convert("L")).astype(int)
    row = sheet[29 + 40]  # through the images of the first class: 100 x 80 pixels, half of each black
    starts = len(row) - 10 * 106 + 106 * np.arange(10)
    left, right = row[starts + 25], row[starts + 75]
    assert left[0] > right[0] == 0  # as stored
    assert (np.minimum(left, right) == 0).all()
    assert 0 < (right > 0).sum() < 9  # some are flipped


def test_epochs_alternate_where_training_does(command: Command, pictures: Path) -> None:
    command("data", "show", "folder:pictures", "--sheet", "sheet.png", "--augment.flip", "alternating")
    sheet = np.asarray(Image.open("sheet.png").convert("L")).astype(int)
    row = sheet[29 + 40]
    starts = len(row) - 10 * 106 + 106 * np.arange(10)
    flipped = row[starts + 75] > 0
    assert not flipped[0]
    assert (flipped[1:-1] != flipped[2:]).all()


def test_mixed_labels_are_told(command: Command, pictures: Path) -> None:
    code, _, err = command("data", "show", "folder:pictures", "--sheet", "s.png", "--augment.mixup", "1.0")
    assert (code, err) == (0, "")
    assert Image.open("s.png").height > 2 * 86 + 60  # lines below the images


@pytest.mark.parametrize("name", ["synthetic:6x6x2", "synthetic:40x20x1"])
def test_sheets_of_other_channels(name: str, command: Command) -> None:
    assert command("data", "show", name, "--sheet", "s.png")[0] == 0


def test_a_sheet_of_many_labels_and_of_floats(command: Command, tmp_path: Path) -> None:
    many = np.arange(60).reshape(20, 3) % 2
    np.savez(tmp_path / "many.npz", inputs=np.random.default_rng(0).normal(size=(20, 8, 8)), targets=many)
    code, out, _ = command("data", "show", "npz:many.npz", "--sheet", "s.png")
    assert code == 0
    assert "16 images, of the training split" in out
    assert np.unique(np.asarray(Image.open("s.png"))).size > 100


def test_many_classes_are_summed_up(command: Command, tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", inputs=np.zeros((600, 2, 2), np.uint8), targets=np.arange(600) % 150)
    code, out, _ = command("data", "show", "npz:m.npz", "--sheet", "s.png")
    assert code == 0
    assert "50 more classes (--json lists all)" in out
    assert Image.open("s.png").height < 21 * 110


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("prepare folder:nowhere", "nowhere is no folder"),
        ("show synthetic --augment.flip random", "--augment shows on a sheet: add --sheet FILE.png"),
        ("prepare synthetic --sheet x.png", "--sheet and --augment are for jaxcnn data show NAME"),
        ("show synthetic --sheet x.jpg", "`--sheet` (='x.jpg') must be the name of a .png file"),
        ("show synthetic --sheet nowhere/x.png", "nowhere is no folder: `--sheet` is written into one that exists"),
        ("show synthetic --sheet pictures.png", "pictures.png exists: give `--sheet` another name"),
        ("show synthetic --data.size 8", "`data.size` is for folder:DIR and tfds:NAME"),
        ("show synthetic --augment.crop 99 --sheet x.png", "(=99) must be from 0 to below the size of the 32x32"),
    ],
)
def test_errors_are_one_line(line: str, message: str, command: Command) -> None:
    Path("pictures.png").write_bytes(b"")
    code, out, err = command("data", *line.split())
    assert (code, out) == (2, "")
    assert err.startswith("jaxcnn: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_what_takes_long_tells_of_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter(range(0, 3000, 3))
    monkeypatch.setattr(preparing.time, "monotonic", lambda: next(clock))
    preparing.show_preparing("folder:x", (Preparing("decoding", 100 * k, 2000) for k in range(20)))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "preparing  folder:x: decoding 0 of 2,000 images"
    assert len(err.splitlines()) == 3
    assert err.splitlines()[-1] == "preparing  folder:x: decoding 1,400 of 2,000 images"
    monkeypatch.setattr(preparing.time, "monotonic", lambda: 0.0)
    preparing.show_preparing("folder:x", (Preparing("decoding", k, 20) for k in range(20)))
    assert capsys.readouterr() == ("", "")
