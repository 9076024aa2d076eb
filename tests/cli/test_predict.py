"""`jaxcnn predict`: image files, one by one against what the network gives by hand."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcnn import api, data
from jaxcnn.config import Config, LossConfig, ModelConfig
from jaxcnn.runs import Run

COUNT = 5


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Evaluated by two views."""
    config = Config(model=ModelConfig("linear"), epochs=1, views="mirror")
    return api.fit("linear", "synthetic", config, out=tmp_path_factory.mktemp("predict") / "run")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Test images as files, one of them in a folder of its own."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "deeper").mkdir()
    for number, image in enumerate(data.load("synthetic").test.inputs[:COUNT]):
        Image.fromarray(image).save(folder / ("deeper" if number == COUNT - 1 else "") / f"{number}.png")
    (folder / "notes.txt").write_text("no image")
    return folder


def by_hand(run: Run) -> np.ndarray:
    """Softmax, in float64, of the mean of the logits of each image and its mirror image."""
    fn, params, _, _ = api.load(run)
    kept = run.facts["preprocessing"]
    images = data.load("synthetic").test.inputs[:COUNT].astype(np.float64) * kept["scale"]
    x = ((images - kept["mean"]) / kept["std"]).astype(np.float32)
    logits = (np.asarray(fn(params, x), np.float64) + np.asarray(fn(params, x[:, :, ::-1]), np.float64)) / 2
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_a_folder_as_json_lines(command, run: Run, pictures: Path) -> None:
    code, out, err = command("predict", str(run.path), str(pictures), "--json", "--top", "4")
    assert (code, err) == (0, "")
    lines, expected = [json.loads(line) for line in out.splitlines()], by_hand(run)
    names = [str(pictures / f"{number}.png") for number in range(COUNT - 1)]
    assert [line["image"] for line in lines] == [*names, str(pictures / "deeper" / f"{COUNT - 1}.png")]
    for line, row in zip(lines, expected, strict=True):
        order = np.argsort(-row)[:4]
        assert [said["class"] for said in line["predictions"]] == [run.facts["classes"][at] for at in order]
        np.testing.assert_allclose([said["probability"] for said in line["predictions"]], row[order], atol=1e-5)


def test_names_on_standard_input(command, run: Run, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = f"{pictures}/1.png\n\n{pictures}/0.png\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(names))
    code, out, _ = command("predict", str(run.path), "-", "--top", "1")
    row = by_hand(run)[1]
    assert code == 0
    assert out.splitlines()[0] == f"{pictures}/1.png  {run.facts['classes'][row.argmax()]} {row.max():.1%}"
    assert out.splitlines()[1].startswith(f"{pictures}/0.png  ")


def test_what_cannot_be_read_is_told_and_the_rest_is_classified(
    command, run: Run, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"GIF89a")
    names = [str(tmp_path / "broken.png"), f"{pictures}/0.png", "nowhere.png"]
    code, out, err = command("predict", str(run.path), *names, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert {line["image"]: "error" in line for line in lines} == dict(zip(names, (True, False, True), strict=True))
    assert len(err.splitlines()) == 2
    assert "nowhere.png: No such file or directory" in err


def test_where_it_looked_is_drawn(command, run: Run, pictures: Path, tmp_path: Path, digits_run: Run) -> None:
    Image.fromarray(np.full((20, 30), 200, np.uint8)).save(tmp_path / "0.png")
    Image.fromarray(np.full((20, 30), 20, np.uint8)).save(pictures / "deeper" / "0.png")
    files = [str(tmp_path / "0.png"), str(pictures / "deeper" / "0.png")]
    code, out, _ = command("predict", str(digits_run.path), *files, "--explain", str(tmp_path / "heat"), "--json")
    (pictures / "deeper" / "0.png").unlink()
    figures = [json.loads(line)["figure"] for line in out.splitlines()]
    assert code == 0
    assert figures == [str(tmp_path / "heat" / "0.png"), str(tmp_path / "heat" / "0-2.png")], "names that are taken"
    assert all(Image.open(file).width > 100 for file in figures)


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of bytes from 0 to 16."""
    config = Config(model=ModelConfig("small_cnn", width=8), epochs=1)
    return api.fit("small_cnn", "digits", config, out=tmp_path_factory.mktemp("predict") / "digits")


def test_files_are_brought_to_what_the_data_are(digits_run: Run, tmp_path: Path) -> None:
    """The middle square, in grey, and white is what it is in the data."""
    image = np.zeros((8, 24, 3), np.uint8)
    image[:, 8:16] = 255
    Image.fromarray(image).save(tmp_path / "wide.png")
    found = api.classifier(digits_run).read(tmp_path / "wide.png")
    assert found.shape == (8, 8, 1)
    np.testing.assert_allclose(found, 16, atol=0.1)


def test_several_labels_have_probabilities_of_their_own(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1)).astype(np.uint8)
    labels = (x[:, :2, 0, 0] > 127).astype(np.float32)
    dataset = data.from_arrays((x, labels), classes=("upper", "lower"))
    run = api.fit("linear", dataset, Config(loss=LossConfig("multi_label"), epochs=1, batch=8), out=tmp_path)
    classify = api.classifier(run)
    fn, params, preprocessing, _ = api.load(run)
    logits = np.asarray(fn(params, preprocessing(x[:3])), np.float64)
    np.testing.assert_allclose(classify(list(x[:3])), 1 / (1 + np.exp(-logits)), atol=1e-6)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("RUN", "no images: give files, folders"),
        ("RUN EMPTY", "EMPTY holds no images"),
        ("RUN 0.png --top 0", "`top` (=0) must be at least 1"),
        ("nowhere 0.png", "nowhere is not a run"),
    ],
)
def test_what_is_wrong_is_one_line(line: str, message: str, command, run: Run, tmp_path: Path) -> None:
    code, out, err = command("predict", *line.replace("RUN", str(run.path)).replace("EMPTY", str(tmp_path)).split())
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert message.replace("EMPTY", str(tmp_path)) in err


def test_what_is_no_classifier_of_images_is_told(tmp_path: Path) -> None:
    signals = data.from_arrays((np.ones((30, 6, 1), np.float32), np.arange(30) % 2), spatial_rank=1)
    run = api.fit("linear", signals, Config(epochs=1, batch=8), out=tmp_path)
    with pytest.raises(ValueError, match=r"was not trained on images, but on inputs of \(6, 1\)"):
        api.classifier(run)
