"""Every kind of problem and of recipe goes through the same loop."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxcnn import api, data
from jaxcnn.config import AugmentConfig, Config, DataConfig, LossConfig, ModelConfig, OptimConfig

RANDOM = np.random.default_rng(0)


def stripes(shape, n=72):
    """Images, signals or volumes whose first axis is striped as their class says, under noise."""
    targets = np.arange(n) % 3
    wide = (np.arange(shape[0]) // (1 + targets[:, None]) % 2) * 150
    inputs = wide.reshape(n, shape[0], *[1] * (len(shape) - 1)) + RANDOM.integers(0, 80, (n, *shape))
    return inputs.astype(np.uint8), targets


def dataset(shape, targets="class"):
    inputs, classes = stripes(shape)
    if targets == "labels":  # whether the stripes are wide, and whether they are narrow: any number of labels may hold
        classes = np.stack([classes > 0, classes < 2, np.arange(len(classes)) % 2 == 0], 1).astype(np.int32)
    elif targets == "pixels":
        classes = (inputs[..., 0] > 100).astype(np.int32) + (inputs[..., 0] > 180)
    return data.from_arrays((inputs, classes), classes=("a", "b", "c"), spatial_rank=len(shape) - 1, test=0.2)


IMAGE, SMALL = (8, 8, 1), ModelConfig("small_cnn", width=4)
CASES = {
    "labels, mixed": (
        IMAGE, "labels", SMALL,
        {"loss": LossConfig("multi_label", label_smoothing=0.1), "augment": AugmentConfig(mixup=0.5, cutmix=0.5)},
    ),
    "a class for every pixel": (IMAGE, "pixels", ModelConfig("unet", width=4, depth=1), {}),
    "volumes, stochastic depth": ((8, 4, 4, 1), "class", ModelConfig("small_resnet", width=4, drop_path=0.5), {}),
    "mixed, focal, with lookahead": (
        IMAGE, "class", SMALL,
        {
            "loss": LossConfig("focal", label_smoothing=0.1),
            "augment": AugmentConfig(flip="alternating", crop=1, cutout=3, mixup=0.2, cutmix=1.0),
            "optim": OptimConfig("nesterov", lr=0.05, lookahead=2, schedule="linear"),
        },
    ),
    "weighted, accumulated, averaged": (
        IMAGE, "class", dataclasses.replace(SMALL, norm="group"),
        {
            "loss": LossConfig(class_weights="balanced"),
            "optim": OptimConfig("muon", lr=1e-3, accumulate=4, weight_decay=0.1),
            "ema": 0.9,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize(("shape", "targets", "model", "changes"), CASES.values(), ids=CASES)
def test_a_recipe_trains_and_is_measured_again(shape, targets, model, changes, tmp_path):
    config = Config(model=model, epochs=1, batch=16, chunk=2, optim=OptimConfig("sgd", lr=0.01))
    config = dataclasses.replace(config, **changes)
    images = dataset(shape, targets)
    run = api.fit(model.name, images, config, out=tmp_path / "run")
    assert np.isfinite(run.result["loss"])
    assert 0 <= run.result["accuracy"] <= 1
    assert api.evaluate(run, data=images)["loss"] == run.result["loss"]
    fn, params, preprocessing, classes = api.load(run)
    outputs = jax.eval_shape(lambda x: fn(params, preprocessing(x)), images.test.inputs)
    assert outputs.shape == (*(images.test.targets.shape if targets == "pixels" else (len(images.test.inputs),)), 3)
    assert classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("targets", "augment", "message"),
    [
        ("pixels", AugmentConfig(flip="random"), "`augment.flip` moves images, and not the labels of their pixels"),
        ("class", AugmentConfig(crop=9), r"augment.crop: `pixels` \(=9\)"),
        ("class", AugmentConfig(cutout=9), r"augment.cutout: `side` \(=9\)"),
        ("class", AugmentConfig(hue=0.1), "augment.colours: "),
        ("class", AugmentConfig(rotate=-1), r"`rotate` \(=-1\) must be from 0 to 180"),
    ],
)
def test_augmentation_that_does_not_fit_is_told_before_anything_is_written(targets, augment, message, tmp_path):
    model = ModelConfig("unet", width=4, depth=1)
    config = Config(model=model if targets == "pixels" else SMALL, batch=16, augment=augment)
    with pytest.raises(ValueError, match=message):
        api.fit(config.model.name, dataset(IMAGE, targets), config, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("targets", "model"), [("labels", "small_cnn"), ("class", "unet"), ("pixels", "small_cnn")])
def test_targets_that_the_loss_does_not_take_are_told_before_anything_is_written(targets, model, tmp_path):
    config = Config(model=ModelConfig(model, width=4, depth=1 if model == "unet" else None), batch=16)
    with pytest.raises(ValueError, match=r"gives outputs of shape .* for targets of shape \("):
        api.fit(model, dataset(IMAGE, targets), config, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_balanced_order_shows_every_class_as_often():
    inputs, classes = stripes(IMAGE)
    classes[20:] = 0
    images = data.from_arrays((inputs, classes), classes=("a", "b", "c"), test=0.2)
    orders = {}
    for sampling in ("shuffled", "balanced"):
        config = Config(model=SMALL, batch=15, data=DataConfig(sampling=sampling))
        problem = api.problem.pose(config, images, "small_cnn", None, None)
        order = api.course.lay_out(config, images, problem, None).order(jax.random.key(0), 0)
        orders[sampling] = np.bincount(images.train.targets[np.asarray(order)], minlength=3).tolist()
    assert orders["balanced"] == [15, 15, 15]
    assert orders["shuffled"][0] > 30


def test_labels_are_learned(tmp_path):
    config = Config(
        epochs=6, batch=16, model=SMALL, loss=LossConfig("multi_label"), optim=OptimConfig("adamw", lr=0.01)
    )
    run = api.fit("small_cnn", dataset(IMAGE, "labels"), config, out=tmp_path / "run")
    assert run.result["accuracy"] > 0.75  # two of the three labels are seen; the third is a coin
