"""`tfds:NAME`: sets of any features, prepared by TFDS."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import registered

from jaxcnn import data
from jaxcnn.config import DataConfig

IMAGE, LABEL = tfds.features.Image, tfds.features.ClassLabel


def png(shape: tuple[int, ...], value: int) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(np.full(shape, value, np.uint8)).save(file, "png")
    file.seek(0)
    return file


def prepare(folder: Path, features: dict[str, Any], splits: dict[str, list[dict]], **info: Any) -> None:
    """Have TFDS write a set `small`."""
    with registered.skip_registration():

        class Small(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")
            BUILDER_CONFIGS: ClassVar = [tfds.core.BuilderConfig(name=name) for name in ("first", "second")]

            def _info(self) -> tfds.core.DatasetInfo:
                return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features), **info)

            def _split_generators(self, dl_manager: object) -> dict:
                return {name: self._generate_examples(examples) for name, examples in splits.items()}

            def _generate_examples(self, examples: list[dict]) -> Iterator[tuple[int, dict]]:
                for number, example in enumerate(examples):  # of files anew for each config
                    copies = {k: io.BytesIO(v.getvalue()) for k, v in example.items() if isinstance(v, io.BytesIO)}
                    yield number, example | copies

    for config in ("first", "second"):
        Small(data_dir=folder, config=config, file_format="array_record").download_and_prepare()


def examples(n: int, *, shape: tuple[int, ...] = (6, 6, 3), start: int = 0) -> list[dict]:
    return [{"picture": png(shape, start + k), "kind": k % 2} for k in range(n)]


FEATURES = {"picture": IMAGE(shape=(None, None, 3)), "kind": LABEL(names=["no", "yes"])}


@pytest.mark.parametrize("shape", [(6, 6, 3), (None, None, 3)])
@pytest.mark.parametrize("name", ["tfds:small/first", "tfds:small/first:1.0.0", "tfds:small/second:1.*.*"])
def test_features_are_found_by_their_type(name: str, shape: tuple, tmp_path: Path) -> None:
    features = {**FEATURES, "picture": IMAGE(shape=shape)}
    prepare(tmp_path, features, {"train": examples(20), "test": examples(4, start=50), "extra": examples(2)})
    dataset = data.load(DataConfig(name, directory=str(tmp_path)))
    assert dataset.classes == ("no", "yes")
    assert data.describe(dataset)["counts"] == {"train": 18, "validation": 2, "test": 4}
    for split in dataset.splits.values():
        assert (split.inputs == split.inputs[:, :1, :1, :1]).all()
        assert (split.inputs[:, 0, 0, 0] % 2 == split.targets).all()
    assert sorted(dataset.test.inputs[:, 0, 0, 0]) == [50, 51, 52, 53]
    assert data.state(DataConfig(name, directory=str(tmp_path))) == "prepared"


def test_own_validation_and_sizes(tmp_path: Path) -> None:
    splits = {"train": examples(20), "validation": examples(4, shape=(9, 7, 3), start=50)}
    prepare(tmp_path, FEATURES, splits)
    config = DataConfig("tfds:small/first", directory=str(tmp_path))
    with pytest.raises(ValueError, match=r"tfds:small/first/1\.0\.0: images differ in size, .*validation example"):
        data.load(config)
    dataset = data.load(DataConfig("tfds:small/first", directory=str(tmp_path), size=4, colour="grey"))
    assert dataset.input_shape == (4, 4, 1)
    assert data.describe(dataset)["counts"] == {"train": 18, "validation": 4, "test": 2}


@pytest.mark.parametrize(
    ("changes", "info", "splits", "message"),
    [
        ({"picture": tfds.features.Text()}, {}, None, "has no feature of type Image; expected one"),
        ({"kind": tfds.features.Text()}, {}, None, "has no feature of type ClassLabel; expected one"),
        ({"other": LABEL(num_classes=2)}, {}, None, "has 2 features of type ClassLabel; expected one"),
        ({"other": LABEL(num_classes=2)}, {"supervised_keys": ("picture", "kind")}, None, ""),
        ({}, {}, {"test": 3}, "has no split `train`, but test"),
        ({}, {}, {"train": -3}, r"has train examples without a class \(label -1\)"),
    ],
)
def test_sets_of_other_features(
    changes: dict, info: dict, splits: dict[str, int] | None, message: str, tmp_path: Path
) -> None:
    features = {**FEATURES, **changes}
    rows = {
        split: [
            {"picture": "x" if "picture" in changes else row["picture"], "kind": "x" if "kind" in changes else
             -1 if n < 0 else row["kind"], **({"other": 0} if "other" in changes else {})}
            for row in examples(abs(n))
        ]
        for split, n in (splits or {"train": 20}).items()
    }  # fmt: skip
    prepare(tmp_path, features, rows, **info)
    config = DataConfig("tfds:small/first", directory=str(tmp_path))
    if message:
        with pytest.raises(ValueError, match=f"tfds:small/first/1.0.0.*{message}") as error:
            data.load(config)
        assert "\n" not in str(error.value)
    else:
        assert data.load(config).classes == ("no", "yes")


def test_what_is_not_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig("tfds:mnist", directory=str(tmp_path))
    assert data.state(config) == "missing"
    with pytest.raises(FileNotFoundError, match=rf"`tfds:mnist` is not prepared in {tmp_path}: prepare it") as error:
        data.load(config)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="`tfds` needs the name of a set: give it as tfds:NAME"):
        data.load("tfds")


@pytest.mark.parametrize("damage", ["dataset_info.json", "features.json"])
def test_damage_is_named_in_one_line(damage: str, tmp_path: Path) -> None:
    prepare(tmp_path, FEATURES, {"train": examples(20)})
    file = tmp_path / "small" / "first" / "1.0.0" / damage
    file.write_text(file.read_text()[:40])
    with pytest.raises(ValueError, match=r"`tfds:small/first` in .* cannot be read") as error:
        data.load(DataConfig("tfds:small/first", directory=str(tmp_path)))
    assert "\n" not in str(error.value)


def test_damaged_records_are_named_in_one_line(tmp_path: Path) -> None:
    prepare(tmp_path, FEATURES, {"train": examples(20)})
    (file,) = (tmp_path / "small" / "first" / "1.0.0").glob("*array_record*")
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"`tfds:small/first/1\.0\.0` cannot be read") as error:
        data.load(DataConfig("tfds:small/first", directory=str(tmp_path)))
    assert "\n" not in str(error.value)
