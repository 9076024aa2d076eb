"""What is told of a run before it begins."""

from dataclasses import replace

import numpy as np
import pytest

from jaxcnn import api, data
from jaxcnn.api.remarks import remarks
from jaxcnn.config import Config, DataConfig, OptimConfig


def few(train, validation, test, classes=("cat", "dog", "emu", "fox", "gnu")):
    """Return a data set of these labels."""
    splits = {
        name: (np.zeros((len(labels), 4, 4, 1), np.uint8), np.array(labels))
        for name, labels in (("train", train), ("validation", validation), ("test", test))
    }
    return data.from_arrays(**splits, classes=classes)


@pytest.mark.parametrize(("warmup", "told"), [(2.9, 0), (3.0, 1), (5.0, 1)])
def test_a_warm_up_that_swallows_the_schedule_is_told(warmup, told):
    config = Config(epochs=3, optim=OptimConfig(schedule="linear", warmup=warmup))
    assert len(remarks(config, few(range(5), range(5), range(5)))) == told


def test_classes_without_examples_are_named_with_what_that_means():
    every = list(range(5))
    assert remarks(Config(), few([0, 1, 2, 3], every, every)) == (
        "`train` has no example of 'gnu': what is not seen is not learned",
    )
    assert remarks(Config(), few(every, every, [0] * 5)) == (
        "`test` has no example of 'dog', 'emu', 'fox' and 1 more: no result depends on it",
    )


def test_fewer_held_out_images_than_classes_are_no_remark():
    assert remarks(Config(), few(range(5), [0, 1], [4])) == ()


def test_targets_that_are_no_classes_are_left_alone():
    images, truth = np.zeros((40, 4, 4, 1), np.uint8), np.ones((40, 2), np.float32)
    assert remarks(Config(), data.from_arrays((images, truth), classes=["a", "b"])) == ()


def test_a_run_begins_with_them(tmp_path):
    config = Config(epochs=1, optim=OptimConfig(warmup=2.0))
    events = api.fit_events("linear", "synthetic", config, out=tmp_path / "run")
    (note,) = next(events).notes
    events.close()
    assert note.startswith("the warm-up (=2 epochs) is not over when the run (=1 epochs) ends")


def test_a_set_that_is_too_small_to_divide_says_what_to_do(tmp_path):
    file = tmp_path / "few.npz"
    np.savez(file, inputs=np.zeros((4, 4, 4), np.uint8), targets=np.array([0, 1, 0, 1]))
    with pytest.raises(ValueError, match=r"few\.npz: 4 examples are too few to hold out 10% for the test: give more"):
        data.load(DataConfig(f"npz:{file}"))
    with pytest.raises(ValueError, match=r"synthetic: `validation` \(=1e-05\) of .* or a share of 0.\d+ or more$"):
        data.load(DataConfig("synthetic", validation=1e-5))


def test_labels_that_cannot_be_balanced_are_told_before_a_folder_is_made(tmp_path):
    images = np.zeros((40, 4, 4, 1), np.uint8)
    dataset = data.from_arrays((images, np.eye(2, dtype=np.float32)[np.arange(40) % 2]), classes=["a", "b"])
    config = Config(batch=8, data=replace(Config().data, sampling="balanced"))
    with pytest.raises(ValueError, match="to balance takes labels"):
        api.fit("linear", dataset, config, out=tmp_path / "run", loss=lambda y, t: ((y - t) ** 2).mean())
    assert not (tmp_path / "run").exists()
