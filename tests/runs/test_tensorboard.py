"""TensorBoard's file: what other programs read of it, and that it can be made anew."""

from pathlib import Path

import numpy as np
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


def test_the_end_of_a_run_is_read_by_others(tmp_path: Path) -> None:
    """HParams, as TensorBoard's own protocol has them, the test result as scalars, and pictures as PNG."""
    import io

    from PIL import Image
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    told = {"optim.lr": 0.1, "seed": 3, "ema": None, "model.name": "linear", "whiten": True}
    result = {"accuracy": 0.75, "step": 40, "epoch": 2, "split": "test", "loss": float("nan")}
    tensorboard.end(tmp_path, told, result, {"filters/conv1": picture})
    values = {value.tag: (step, value) for step, value in events(tmp_path / tensorboard.ENDED)}

    def plugin(tag: str) -> HParamsPluginData:
        return HParamsPluginData.FromString(values[tag][1].metadata.plugin_data.content)

    start = plugin("_hparams_/session_start_info").session_start_info
    assert {name: value.number_value for name, value in start.hparams.items() if value.HasField("number_value")} == {
        "optim.lr": 0.1, "seed": 3.0,
    }  # fmt: skip
    assert start.hparams["model.name"].string_value == "linear"
    assert start.hparams["whiten"].bool_value
    metrics = plugin("_hparams_/experiment").experiment.metric_infos
    assert [metric.name.tag for metric in metrics] == ["test/accuracy"]
    assert (values["test/accuracy"][0], values["test/accuracy"][1].simple_value) == (40, 0.75)
    shown = Image.open(io.BytesIO(values["filters/conv1"][1].image.encoded_image_string))
    assert np.array_equal(np.asarray(shown), picture)


def events(path: Path) -> list:
    from tensorboardX.proto.event_pb2 import Event

    content, found, at = path.read_bytes(), [], 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 8], "little")
        event = Event.FromString(content[at + 12 : at + 12 + length])
        found += [(event.step, value) for value in event.summary.value]
        at += 16 + length
    return found
