import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from jaxcnn import data
from jaxcnn.config import DataConfig
from jaxcnn.data import registry
from jaxcnn.data.source import Source


def test_digits_are_split_by_class(cache: Path) -> None:
    dataset = data.load("digits")
    facts = data.describe(dataset)
    assert facts["counts"] == {"train": 1293, "validation": 144, "test": 360}
    assert all(35 <= count <= 37 for count in facts["class_counts"]["test"])
    assert all(14 <= count <= 15 for count in facts["class_counts"]["validation"])
    assert dataset.input_shape == (8, 8, 1)
    assert dataset.train.inputs.max() == 16
    assert dataset.preprocessing.scale == 1 / 16
    everything = np.concatenate([split.inputs for split in dataset.splits.values()])
    from sklearn.datasets import load_digits

    expected = np.asarray(load_digits(return_X_y=True)[0], np.uint8)
    assert sorted(map(bytes, everything)) == sorted(map(bytes, expected))
    assert data.state("digits") == "prepared"


def test_a_larger_validation_share_leaves_the_test_alone_and_contains_the_smaller() -> None:
    small, large = (data.load(DataConfig("digits", validation=share)) for share in (0.1, 0.3))
    np.testing.assert_array_equal(small.test.inputs, large.test.inputs)
    np.testing.assert_array_equal(small.validation.inputs, large.validation.inputs[:144])
    assert small.preprocessing != large.preprocessing


def test_the_preprocessing_is_fitted_on_the_training_split_alone() -> None:
    dataset = data.load("synthetic")
    scaled = dataset.train.inputs / 255
    np.testing.assert_allclose(dataset.preprocessing.mean, scaled.mean((0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(dataset.preprocessing.std, scaled.std((0, 1, 2)), rtol=1e-9)


def test_the_second_load_builds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first = data.load("digits")

    def fail(folder: Path) -> NoReturn:
        raise AssertionError("built again")

    def unbuildable(argument: str, config: DataConfig) -> Source:
        return Source(fail, [])

    monkeypatch.setitem(registry._RECIPES, "digits", registry._RECIPES["digits"]._replace(find=unbuildable))
    second = data.load("digits")
    np.testing.assert_array_equal(first.train.inputs, second.train.inputs)
    assert isinstance(second.train.inputs, np.memmap)


def test_the_second_load_imports_nothing_slow() -> None:
    data.load("digits")
    code = (
        "import sys; from jaxcnn import data; data.load('digits')\n"
        "sys.exit(any(name in sys.modules for name in ('jax', 'sklearn', 'PIL', 'tensorflow_datasets')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env=os.environ).returncode == 0


def test_prepare_repairs_what_load_would_not_see(cache: Path) -> None:
    folder = data.prepare("digits")
    assert folder == cache / "digits"
    file = folder / "train_inputs.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    data.prepare("digits")
    assert file.read_bytes() == whole


def test_a_changed_source_is_prepared_again(idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig("fashion_mnist", directory=str(idx_folder))
    data.load(config)
    os.utime(idx_folder / "t10k-labels-idx1-ubyte.gz", (1, 1))
    assert data.state(config) == "available"
    data.load(config)
    assert data.state(config) == "prepared"


def test_synthetic_images_are_the_same_everywhere() -> None:
    import hashlib

    dataset = data.load("synthetic:8x6x1")
    assert dataset.input_shape == (8, 6, 1)
    assert hashlib.sha256(dataset.train.inputs.tobytes()).hexdigest()[:16] == "15bf3316952c4a7a"
    assert not np.array_equal(dataset.train.inputs[:500], dataset.test.inputs)


def test_facts_are_json() -> None:
    facts = data.describe(data.load("synthetic"))
    assert json.loads(json.dumps(facts)) == facts
    assert facts["preprocessing"].keys() == {"scale", "mean", "std"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("digit", r"unknown data set 'digit': did you mean 'digits'\?"),
        ("digits:8", "`digits` is shipped"),
        (DataConfig("digits", directory="here"), "`digits` is shipped"),
        (DataConfig("synthetic", directory="here"), "takes no directory"),
        ("fashion_mnist:file", "takes no argument"),
        ("synthetic:8x8", "expected HEIGHTxWIDTHxCHANNELS"),
        ("synthetic:0x8x1", "expected HEIGHTxWIDTHxCHANNELS"),
        (
            DataConfig("digits", size=16),
            "`data.size` is for folder:DIR and tfds:NAME: the images of `digits` are taken",
        ),
        (DataConfig("npz:x.npz", colour="rgb"), "`data.colour` is for folder:DIR and tfds:NAME"),
        (DataConfig("folder:x", size=0), r"`data.size` \(=0\) must be a whole number of pixels"),
        (DataConfig("synthetic", validation=1.0), r"`validation` \(=1.0\)"),
        (DataConfig("synthetic", validation=0.0001), "holds out 0"),
    ],
)
def test_wrong_configs(config: DataConfig | str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data.load(config)


def test_states_of_every_named_set() -> None:
    assert {name: data.state(name) for name in data.available() if name != "fashion_mnist"} == {
        "digits": "available",
        **dict.fromkeys(("mnist", "cifar10", "cifar100"), "missing"),
        **dict.fromkeys(("cifar10_jpeg", "folder", "npz", "tfds", "scenes", "captions"), "yours"),
        "synthetic": "prepared",
    }
    with pytest.raises(ValueError, match="unknown data set 'imagenet'"):
        data.state("imagenet")
