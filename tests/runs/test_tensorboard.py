"""TensorBoard's file: what other programs read of it, and that it can be made anew."""

from pathlib import Path

import pytest

from jaxcnn.runs import tensorboard

ROWS = [
    {"epoch": epoch, "step": 20 * epoch, "lr": 0.1 / epoch, "train": {"loss": 1 / 3 / epoch, "each": [1.0, 2.0]},
     "validation": {"accuracy": 1, "loss": None}, "note": "x", "flag": True}
    for epoch in (1, 2, 3)
]  # fmt: skip
SERIES = [("lr", 20, 0.1), ("train/loss", 20, 1 / 3), ("validation/accuracy", 20, 1.0)]


def test_what_is_added_is_what_is_built_at_once(tmp_path: Path) -> None:
    for row in ROWS:
        tensorboard.add(tmp_path / "", row)
    (tmp_path / "other").mkdir()
    assert tensorboard.rebuild(tmp_path / "other", ROWS)
    added, built = (tensorboard.read(path / tensorboard.FILE) for path in (tmp_path, tmp_path / "other"))
    assert added == built == tensorboard.points(ROWS)
    assert added is not None
    assert [(tag, step) for tag, step, _ in added[:3]] == [(tag, step) for tag, step, _ in SERIES]
    assert [value for *_, value in added[:3]] == pytest.approx([value for *_, value in SERIES], rel=1e-7)
    assert not tensorboard.rebuild(tmp_path, ROWS)


def test_its_frames_are_those_of_tensorboardx(tmp_path: Path) -> None:
    """The library's own writer, which names a time and the host, and writes from a thread of its own."""
    from tensorboardX.record_writer import RecordWriter

    tensorboard.rebuild(tmp_path, ROWS)
    content = (tmp_path / tensorboard.FILE).read_bytes()
    writer = RecordWriter(str(tmp_path / "theirs"))
    at = 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 8], "little")
        writer.write(content[at + 12 : at + 12 + length])
        at += 16 + length
    writer.close()
    assert (tmp_path / "theirs").read_bytes() == content


@pytest.mark.parametrize("change", [lambda old: old[:-5], lambda old: b"x" + old[1:], lambda _: b"", None])
def test_what_is_damaged_is_built_anew(tmp_path: Path, change) -> None:
    tensorboard.rebuild(tmp_path, ROWS)
    path = tmp_path / tensorboard.FILE
    before = path.read_bytes()
    path.unlink() if change is None else path.write_bytes(change(before))
    assert tensorboard.read(path) != tensorboard.points(ROWS)
    assert tensorboard.rebuild(tmp_path, ROWS)
    assert tensorboard.read(path) == tensorboard.points(ROWS)


def test_other_files_in_its_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "events.out.tfevents.1.mine").write_text("mine")
    tensorboard.rebuild(tmp_path, ROWS)
    assert (tmp_path / "tensorboard" / "events.out.tfevents.1.mine").read_text() == "mine"


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**400, float("nan"), float("-inf")])
def test_numbers_that_it_cannot_hold_are_left_out(tmp_path: Path, value: float) -> None:
    rows = [{"epoch": 1, "step": value, "loss": value, "large": 1e300}]
    tensorboard.rebuild(tmp_path, rows)
    assert tensorboard.read(tmp_path / tensorboard.FILE) == [("large", 1, float("inf"))]
