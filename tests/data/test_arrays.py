"""`from_arrays` and what `check` finds."""

import dataclasses

import numpy as np
import pytest

from jaxcnn import data

GENERATOR = np.random.default_rng(0)
BYTES = GENERATOR.integers(0, 256, (60, 8, 8, 3), np.uint8)
LABELS = np.arange(60) % 3


def test_shares_are_held_out_by_class() -> None:
    dataset = data.from_arrays((BYTES, LABELS), validation=0.2, test=0.25, classes=["a", "b", "c"])
    facts = data.describe(dataset)
    assert facts["class_counts"] == {"train": [12] * 3, "validation": [3] * 3, "test": [5] * 3}
    everything = np.concatenate([split.inputs for split in dataset.splits.values()])
    assert sorted(map(bytes, everything)) == sorted(map(bytes, BYTES))
    np.testing.assert_allclose(dataset.preprocessing.mean, (dataset.train.inputs / 255).mean((0, 1, 2)))


def test_given_splits_are_kept() -> None:
    validation, test = (BYTES[:6], LABELS[:6]), (BYTES[6:12], LABELS[6:12])
    dataset = data.from_arrays((BYTES[12:], LABELS[12:]), validation=validation, test=test)
    np.testing.assert_array_equal(dataset.validation.inputs, BYTES[:6])
    np.testing.assert_array_equal(dataset.test.targets, LABELS[6:12])
    assert len(dataset.train.inputs) == 48
    assert dataset.test.targets.dtype == np.int32


@pytest.mark.parametrize(
    ("shape", "spatial_rank"), [((20, 5), 0), ((20, 30, 2), 1), ((20, 6, 6, 1), 2), ((20, 4, 4, 4, 1), 3)]
)
def test_any_spatial_rank(shape: tuple[int, ...], spatial_rank: int) -> None:
    dataset = data.from_arrays((GENERATOR.normal(size=shape), np.arange(20) % 2), spatial_rank=spatial_rank)
    assert dataset.input_shape == shape[1:]
    assert dataset.train.inputs.dtype == np.float32
    assert dataset.preprocessing.scale == 1


@pytest.mark.parametrize("targets", [GENERATOR.normal(size=60), GENERATOR.integers(0, 2, (60, 8, 8))])
def test_targets_need_not_be_classes(targets: np.ndarray) -> None:
    dataset = data.from_arrays((BYTES, targets))
    assert dataset.classes == ()
    assert data.describe(dataset)["class_counts"] == {}


def test_booleans_are_classes() -> None:
    dataset = data.from_arrays((BYTES, LABELS == 1))
    assert dataset.classes == ("0", "1")
    assert dataset.test.targets.dtype == np.int32


def with_value(array: np.ndarray, index: int, value: float) -> np.ndarray:
    changed = np.array(array)
    changed[index] = value
    return changed


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"train": (BYTES[..., 0], LABELS)}, ValueError, r"\(60, 8, 8\); expected rank 4.*`x\[\.\.\., None\]`"),
        ({"train": (BYTES, LABELS[:-1])}, ValueError, "`train` has 60 inputs, but 59 targets"),
        ({"train": (BYTES[:0], LABELS[:0])}, ValueError, "`train` is empty"),
        ({"test": (BYTES[:0], LABELS[:0])}, ValueError, "`test` is empty"),
        ({"test": (BYTES[:2], LABELS[:1])}, ValueError, "`test` has 2 inputs, but 1 targets"),
        ({"test": (BYTES[:2, :7], LABELS[:2])}, ValueError, r"`test` inputs are of shape \(7, 8, 3\) each, those of"),
        ({"validation": (BYTES[..., :1], LABELS)}, ValueError, r"`validation` inputs are of shape \(8, 8, 1\) each"),
        ({"test": (BYTES / 255, LABELS)}, ValueError, "`test` inputs are float32, those of `train` uint8: convert one"),
        ({"test": (BYTES, LABELS / 1)}, ValueError, "`test` targets are float64, those of `train` int32: convert one"),
        ({"train": (BYTES, LABELS.astype(str))}, TypeError, "`train` targets are <U.*: encode labels as integers"),
        ({"test": (BYTES, LABELS.astype(object))}, TypeError, "`test` targets are object; .*: encode"),
        (
            {"train": (BYTES, LABELS[:, None])},
            ValueError,
            r"targets have shape \(60, 1\); expected \(n,\): squeeze them",
        ),
        ({"classes": ["a", "b", "a"]}, ValueError, "`classes` holds 'a' 2 times"),
        ({"classes": ["a", "b"]}, ValueError, r"`train` target 2 is 2; expected a class in 0\.\.1"),
        ({"train": (BYTES, LABELS - 1)}, ValueError, r"`train` target 0 is -1; expected a class in 0\.\."),
        ({"train": (BYTES, 0 * LABELS - 1)}, ValueError, r"`train` target 0 is -1; expected a class in 0\.\.0"),
        ({"train": (BYTES.astype(np.int32), LABELS)}, TypeError, "int32; expected uint8 or floats"),
        ({"test": (with_value(BYTES / 255, 3, np.nan), LABELS)}, ValueError, "`test` input 3 holds NaN or infinity"),
        ({"train": (with_value(BYTES / 255, 3, np.inf), LABELS)}, ValueError, "`train` input 3 holds NaN or infinity"),
        ({"train": (BYTES, with_value(LABELS * 1.0, 3, np.nan))}, ValueError, "`train` target 3 holds NaN or infinity"),
        ({"validation": 0.0}, ValueError, r"`validation` \(=0.0\) must be a share"),
        ({"test": 1.5}, ValueError, r"`test` \(=1.5\) must be a share"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        data.from_arrays(**{"train": (BYTES, LABELS), **arguments})
    assert "\n" not in str(raised.value)


def test_ragged_images_are_refused() -> None:
    images = [np.zeros((8, 8, 1), np.uint8), np.zeros((7, 8, 1), np.uint8)]
    with pytest.raises(ValueError, match=r"`train` inputs differ in shape: \(7, 8, 1\), \(8, 8, 1\)"):
        data.from_arrays((images, [0, 1]))


def test_the_preprocessing_must_fit_the_inputs() -> None:
    dataset = data.load("synthetic")
    grey = data.Preprocessing(1.0, (0.0,), (1.0,))
    with pytest.raises(ValueError, match=r"`preprocessing` is for 1 channels, `train` inputs are \(32, 32, 3\) each"):
        data.check(dataclasses.replace(dataset, preprocessing=grey))
