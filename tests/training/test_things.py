"""Detection and instance segmentation: data, losses, what is read from maps, and how good it is."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import things as reference

from jaxcnn import api, data, models, training
from jaxcnn.config import AugmentConfig, Config, LossConfig, ModelConfig
from jaxcnn.equivariance import assert_equivariant

CLASSES, MOST = 10, 5


@pytest.fixture(scope="module")
def scenes() -> data.Split:
    return data.make_scenes(data.load("digits").train, classes=CLASSES, count=12, size=32, seed=3, most=MOST)


def test_scenes_hold_whole_things_apart(scenes):
    digits = data.load("digits").train
    known = {image.tobytes(): int(label) for image, label in zip(*digits, strict=True)}
    counts = []
    for image, target in zip(*scenes, strict=True):
        assert ((target > 0) == (image[..., 0] > 0)).all()
        found = reference.things(target, CLASSES)
        assert np.unique((target[target > 0] - 1) // CLASSES).tolist() == list(range(len(found)))
        covered = np.zeros_like(image)
        for label, (top, left, bottom, right), _ in found:
            # An image's first and last columns may be empty: one of the frames around the box is a digit's.
            frames = [
                image[i : i + 8, j : j + 8]
                for i in range(max(0, bottom - 8), top + 1)
                for j in range(max(0, right - 8), left + 1)
            ]
            assert label in {known.get(frame.tobytes()) for frame in frames}
            covered[top:bottom, left:right] += 1
        assert covered.max() == 1
        counts.append(len(found))
    assert min(counts) >= 1
    assert max(counts) == MOST


def test_scenes_are_the_same_everywhere():
    dataset = data.load("scenes:digits:48")
    assert dataset.things
    assert dataset.input_shape == (48, 48, 1)
    assert [len(split.inputs) for split in dataset.splits.values()] == [4000, 500, 1000]
    assert int(dataset.train.targets.astype(np.int64).sum()) == 5084021


def test_a_map_of_things_is_read(scenes):
    things = jax.jit(lambda t: training.things_of(t, classes=CLASSES, most=MOST))(jnp.asarray(scenes.targets))
    for i, target in enumerate(scenes.targets):
        found = reference.things(target, CLASSES)
        assert things.there[i].tolist() == [True] * len(found) + [False] * (MOST - len(found))
        assert things.label[i, : len(found)].tolist() == [label for label, _, _ in found]
        assert things.boxes[i, : len(found)].tolist() == [list(box) for _, box, _ in found]
        for number, (label, _, own) in enumerate(found):
            assert (np.asarray(things.which[i] == number) == own).all()
            assert (np.asarray(things.labels[i])[own] == label).all()
    few = training.things_of(jnp.asarray(scenes.targets), classes=CLASSES, most=1)
    assert int(few.which.max()) == 0


@pytest.mark.parametrize(
    ("loss", "loop", "stride"),
    [
        (training.detection_loss, reference.detection_loss, 4),
        (training.detection_loss, reference.detection_loss, 2),
        (training.instance_loss, reference.instance_loss, 1),
    ],
)
def test_losses_are_their_loops(scenes, loss, loop, stride):
    size, targets = 32 // stride, scenes.targets[:3]
    outputs = np.random.default_rng(0).normal(size=(3, size, size, CLASSES + 4)).astype(np.float32)
    value = loss(jnp.asarray(outputs), jnp.asarray(targets), classes=CLASSES, most=MOST)
    np.testing.assert_allclose(value, loop(outputs, targets, CLASSES), rtol=2e-6)


def test_right_boxes_are_found(scenes):
    maps, targets = jnp.asarray(reference.right_boxes(scenes.targets, CLASSES, 4)), jnp.asarray(scenes.targets)
    assert float(training.detection_f1(maps, targets, classes=CLASSES, most=MOST)) == 1
    things = training.things_of(targets, classes=CLASSES, most=MOST)
    precision = training.average_precision(training.detections(maps, stride=4, most=MOST), things, classes=CLASSES)
    assert set(precision[~np.isnan(precision)]) == {1.0}
    # One thing more is said in each image, where there is none.
    free = jnp.argmin(maps[..., :CLASSES].max(-1).reshape(len(maps), -1), axis=1)
    more = maps.reshape(len(maps), -1, CLASSES + 4).at[jnp.arange(len(maps)), free, 0].set(9).reshape(maps.shape)
    counts = things.there.sum(-1)
    expected = float(jnp.mean(2 * counts / (2 * counts + 1)))
    assert float(training.detection_f1(more, targets, classes=CLASSES, most=MOST)) == pytest.approx(expected, rel=1e-6)
    other = jnp.roll(maps[..., :CLASSES], 1, -1)
    wrong = jnp.concatenate([other, maps[..., CLASSES:]], -1)
    assert float(training.detection_f1(wrong, targets, classes=CLASSES, most=MOST)) == 0


def test_average_precision_of_a_row_of_boxes():
    # Of two things the first box hits one, the second nothing, the third the other, the fourth one that is taken.
    targets = jnp.zeros((1, 16, 16), int).at[0, 0:4, 0:4].set(1).at[0, 8:12, 8:12].set(2)
    things = training.things_of(targets, classes=1, most=2)
    boxes = jnp.array([[[0, 0, 4, 4], [4, 4, 8, 8], [8, 8, 12, 12], [0, 0, 4, 4]]], jnp.float32)
    found = training.Detections(jnp.array([[0.9, 0.8, 0.7, 0.6]]), jnp.zeros((1, 4), int), boxes)
    assert training.average_precision(found, things, classes=1).tolist() == [(1 + 2 / 3) / 2]
    late = found._replace(scores=jnp.array([[0.1, 0.8, 0.7, 0.0]]))
    assert training.average_precision(late, things, classes=1).tolist() == [(1 / 2 + 2 / 3) / 2]


def test_right_pixels_are_found(scenes):
    maps, targets = jnp.asarray(reference.right_pixels(scenes.targets, CLASSES)), jnp.asarray(scenes.targets)
    index, label = training.find_instances(maps, most=MOST)
    for i, target in enumerate(scenes.targets):
        found = reference.things(target, CLASSES)
        assert sorted(label[i][label[i] >= 0].tolist()) == sorted(one for one, _, _ in found)
        assert len({tuple(np.unique(np.asarray(index[i])[own])) for _, _, own in found}) == len(found)
    assert float(training.panoptic_quality(maps, targets, classes=CLASSES, most=MOST)) == 1


def test_panoptic_quality_of_a_part_and_a_miss():
    targets = jnp.zeros((16, 16), int).at[2:6, 2:6].set(1).at[10:14, 10:14].set(2)
    maps = reference.right_pixels(np.asarray(targets)[None], 1)[0]
    maps[10:14, 10:14, 0], maps[12, :, 2], maps[10:14, 10:14, 1] = 0, -20, 9  # the second is ground
    maps[11, 11, 2] = -20
    maps[2, 2:6, 0], maps[2, 2:6, 1] = 0, 9  # a row of four of the first
    quality = training.panoptic_quality(jnp.asarray(maps), targets, classes=1, most=2)
    assert float(quality) == pytest.approx(2 * 0.75 / 3, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "stride"), [("detector", {"width": 4}, 4), ("unet", {"depth": 2, "width": 4}, 4)]
)
def test_maps_move_with_the_image(name, options, stride):
    x = jax.random.normal(jax.random.key(0), (64, 64, 1))
    per = {"detector": 4, "unet": 1}[name]
    steps = (
        {"strides": stride, "shifts": 16} if per == 4 else {"shifts": [(stride, 0), (0, stride), (2 * stride, stride)]}
    )
    whole = models.create(name, num_classes=6, input_shape=(32, 32, 1), padding_mode="circular", **options)
    assert_equivariant(lambda x: whole(x), x, **steps)
    padded = models.create(name, num_classes=6, input_shape=(32, 32, 1), **options)
    # The analysis knows the detector's reach; a U-Net's pixels differ by where they lie in cells of 4, so it is told.
    margin = None if per == 4 else 24
    assert_equivariant(lambda x: padded(x), x, mode="interior", margin=margin, **steps)
    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(lambda x: padded(x), x, **steps)


@pytest.mark.parametrize(
    ("model", "loss", "score"),
    [
        (ModelConfig("detector", width=4), "detection", "f1"),
        (ModelConfig("unet", depth=1, width=4), "instances", "panoptic_quality"),
    ],
)
def test_a_run_learns_scenes_and_is_loaded(tmp_path: Path, scenes, model, loss, score):
    part = data.Split(scenes.inputs, scenes.targets)
    fitted = data.load("digits").preprocessing
    dataset = data.Dataset("few", part, part, part, tuple("0123456789"), fitted, things=True)
    config = Config(model=model, loss=LossConfig(loss), epochs=3, batch=4)
    run = api.fit(model.name, dataset, dataclasses.replace(config, model=model), out=tmp_path / "run")
    rows = run.metrics()
    assert rows[-1]["train"]["loss"] < rows[0]["train"]["loss"]
    assert set(rows[-1]["validation"]) == {"loss", score}
    loaded = api.load(run)
    small, large = (loaded.fn(loaded.params, jnp.zeros((size, size, 1))) for size in (32, 64))
    assert large.shape == (2 * small.shape[0], 2 * small.shape[1], CLASSES + 4)
    assert api.evaluate(run, data=dataset)[score] == run.result[score]
    moved = dataclasses.replace(config, augment=AugmentConfig(flip="random"))
    with pytest.raises(ValueError, match="moves images, and not the labels of their pixels"):
        api.fit(model.name, dataset, moved, out=tmp_path / "moved")


def test_what_does_not_fit_is_told(scenes, tmp_path: Path):
    outputs, targets = jnp.zeros((12, 8, 8, 14)), jnp.asarray(scenes.targets)
    with pytest.raises(ValueError, match=r"must be \(\*batch, rows, columns, 7\)"):
        training.detection_loss(outputs, targets, classes=3, most=2)
    with pytest.raises(ValueError, match="a grid of 7x8 cells does not divide maps of 32x32 into squares"):
        training.detection_loss(outputs[:, :7], targets, classes=CLASSES, most=2)
    with pytest.raises(ValueError, match="must be of shape"):
        training.instance_loss(outputs, targets, classes=CLASSES, most=2)
    with pytest.raises(ValueError, match="expected maps of things"):
        training.make_loss(LossConfig("detection"), np.arange(4), 10)
    with pytest.raises(ValueError, match="does not fit scenes, whose targets are maps of things: take detection, inst"):
        api.fit("detector", "scenes:digits", Config(epochs=1), out=tmp_path / "a")
    with pytest.raises(ValueError, match="does not fit digits, whose targets are no maps of things"):
        api.fit("detector", "digits", Config(epochs=1, loss=LossConfig("instances")), out=tmp_path / "b")
    with pytest.raises(ValueError, match="'x' is no side of a canvas"):
        data.load("scenes:digits:x")
    with pytest.raises(ValueError, match="expected scenes:NAME"):
        data.load("scenes:scenes:digits")
    with pytest.raises(ValueError, match="unknown data set 'digit'"):
        data.load("scenes:digit")
    with pytest.raises(ValueError, match="must hold the things, which are 8x8"):
        data.load("scenes:digits:7")
    with pytest.raises(ValueError, match="4 must divide the sizes"):
        models.create("detector", input_shape=(30, 32, 1))
