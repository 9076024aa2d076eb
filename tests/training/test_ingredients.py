"""Pieces of fast recipes: whitening, views, groups of layers, Muon; against NumPy and plain optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.feature_extraction.image import extract_patches_2d

from jaxcnn import api, training
from jaxcnn import functional as F
from jaxcnn.config import Config, OptimConfig
from jaxcnn.training.groups import parse_group
from jaxcnn.training.muon import nearly_orthogonal


def correlated_images(count: int = 60) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(count, 12, 12, 3))
    return (noise + np.roll(noise, 1, 1) + 0.5 * noise.mean(-1, keepdims=True)).astype(np.float32)


def test_whitened_patches_are_uncorrelated() -> None:
    images = correlated_images()
    kernel = training.whitening_kernel(images, (2, 2, 3, 24), epsilon=0.0)
    outputs = np.asarray(F.conv(jnp.asarray(images), jnp.asarray(kernel), padding="VALID"), np.float64).reshape(-1, 24)
    np.testing.assert_allclose(outputs[:, :12].T @ outputs[:, :12] / len(outputs), np.eye(12), atol=1e-4)
    np.testing.assert_allclose(outputs[:, 12:], -outputs[:, :12])


def test_directions_are_those_of_the_largest_variance_first() -> None:
    images = correlated_images()
    patches = np.concatenate([extract_patches_2d(image, (2, 2)).reshape(-1, 12) for image in images])
    values = np.linalg.svd(patches, compute_uv=False) ** 2 / len(patches)
    kernel = training.whitening_kernel(images, (2, 2, 3, 8), epsilon=0.1)
    sizes = np.linalg.norm(kernel.reshape(12, 8)[:, :4], axis=0)
    np.testing.assert_allclose(sizes, 1 / np.sqrt(values[:4] + 0.1), rtol=1e-4)
    wide = training.whitening_kernel(images, (2, 2, 3, 30))
    assert (wide.reshape(12, 30)[:, 24:] == 0).all()
    assert (wide.reshape(12, 30)[:, :24] != 0).all()


@pytest.mark.parametrize("shape", [(2, 2, 1, 8), (3, 3), (20, 2, 3, 8)])
def test_what_cannot_be_whitened(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"whitened|does not fit"):
        training.whitening_kernel(correlated_images(4), shape)


def test_a_run_begins_with_a_whitening_layer(tmp_path) -> None:
    config = Config(epochs=1, whiten="stage1/unit1/conv", freeze=("stage1/unit1/conv/kernel",))
    with pytest.raises(ValueError, match="names no layer"):
        api.fit("small_cnn", "digits", Config(epochs=1, whiten="nothing"), out=tmp_path / "none")
    assert not (tmp_path / "none").exists()
    from jaxcnn import data

    digits = data.load("digits")
    problem = api.problem.pose(config, digits, "small_cnn", None, None)
    (kernel,) = [
        leaf
        for path, leaf in jax.tree.leaves_with_path(problem.params)
        if "".join(map(str, path)) == "['stage1']['unit1']['conv']['kernel']"
    ]
    images = np.asarray(digits.preprocessing(digits.train.inputs))
    np.testing.assert_array_equal(kernel, training.whitening_kernel(images, kernel.shape))


def pixel_network(params, statistics, x, *, training, key):
    return jnp.tanh(x * params).reshape(len(x), -1), statistics


def seen(x: np.ndarray, params: np.ndarray, views: str) -> np.ndarray:
    """Average by hand."""
    moves = {"mirror": [(0, 0, 1.0)], "crops": [(0, 0, 0.5), (-1, -1, 0.25), (1, 1, 0.25)]}[views]
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    total = np.zeros((len(x), params.size))
    for down, right, weight in moves:
        view = wide[:, 1 + down : 1 + down + x.shape[1], 1 + right : 1 + right + x.shape[2]]
        for side in (view, view[:, :, ::-1]):
            total += weight / 2 * np.tanh(side * params).reshape(len(x), -1)
    return total


@pytest.mark.parametrize("views", ["mirror", "crops"])
def test_views_are_averaged_in_evaluation_alone(views: str) -> None:
    x, params = (np.asarray(jax.random.normal(jax.random.key(k), (3, 5, 4, 2))) for k in range(2))
    network = training.with_views(pixel_network, views)
    found, _ = network(params[0], {}, jnp.asarray(x), training=False, key=None)
    np.testing.assert_allclose(found, seen(x, params[0], views), rtol=1e-5, atol=1e-6)
    in_training, _ = network(params[0], {}, jnp.asarray(x), training=True, key=None)
    np.testing.assert_allclose(in_training, pixel_network(params[0], {}, x, training=True, key=None)[0])


def test_a_run_is_measured_by_its_views(tmp_path) -> None:
    run = api.fit("linear", "digits", Config(epochs=1, views="crops"), out=tmp_path / "run")
    assert run.result is not None
    assert run.result["loss"] == pytest.approx(api.evaluate(run)["loss"])
    plain = api.fit("linear", "digits", Config(epochs=1), out=tmp_path / "plain")
    assert run.metrics()[0]["train"] == plain.metrics()[0]["train"]
    assert run.metrics()[0]["validation"] != plain.metrics()[0]["validation"]
    with pytest.raises(ValueError, match="unknown views 'two'"):
        training.with_views(pixel_network, "two")
    with pytest.raises(ValueError, match="needs images"):
        training.with_views(pixel_network, "mirror")(1.0, {}, jnp.ones((2, 3)), training=False, key=None)


PARAMS = {"first": {"kernel": np.ones((2, 2)), "bias": np.ones(2)}, "head": {"kernel": np.full((2, 2), 2.0)}}


def trained(*groups: str, steps: int, name: str = "momentum", **settings) -> dict:
    config = OptimConfig(name, lr=0.1, momentum=0.5, schedule="linear", groups=groups, **settings)
    optimizer = training.make_optimizer(config, steps_per_epoch=2, epochs=4)
    params = jax.tree.map(jnp.asarray, PARAMS)
    state = optimizer.init(params)
    for step in range(steps):
        grads = jax.tree.map(lambda p, step=step: jnp.cos(p + step), params)
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params


def by_hand(p: np.ndarray, steps: int, *, lr: float = 0.1, total: int = 8, decay: float = 0.0) -> np.ndarray:
    velocity = np.zeros_like(p)
    for step in range(steps):
        velocity = 0.5 * velocity + np.cos(p + step) + decay * p
        p = p - lr * max(0.0, 1 - step / total) * velocity
    return p


def test_layers_have_settings_of_their_own() -> None:
    groups = ("first: rate=3", "*/bias: lr=0.2 weight_decay=0.3 epochs=2", "head: name=sgd lr=0")
    found = trained(*groups, steps=6)
    np.testing.assert_allclose(found["first"]["kernel"], by_hand(PARAMS["first"]["kernel"], 6, lr=0.3), rtol=1e-5)
    bias = by_hand(PARAMS["first"]["bias"], 6, lr=0.2, total=4, decay=0.3)
    np.testing.assert_allclose(found["first"]["bias"], bias, rtol=1e-5)
    np.testing.assert_array_equal(found["head"]["kernel"], PARAMS["head"]["kernel"])


def test_a_group_stands_still_after_its_epochs() -> None:
    group = "first: schedule=constant epochs=2"
    jax.tree.map(np.testing.assert_array_equal, trained(group, steps=4)["first"], trained(group, steps=7)["first"])
    assert (trained(group, steps=3)["first"]["kernel"] != trained(group, steps=4)["first"]["kernel"]).all()


def test_groups_without_settings_of_their_own_change_nothing() -> None:
    for settings in ({}, {"clip": 0.01, "weight_decay": 0.1}):
        plain, grouped = trained(steps=5, **settings), trained("head: rate=1", steps=5, **settings)
        jax.tree.map(np.testing.assert_array_equal, plain, grouped)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("head", "must be PATTERN: FIELD=VALUE"),
        (": lr=1", "must be PATTERN: FIELD=VALUE"),
        ("head:", "must be PATTERN: FIELD=VALUE"),
        ("head: lr", "must be PATTERN: FIELD=VALUE"),
        ("head: lr=x", "lr must be a number, got 'x'"),
        ("head: epochs=1.5", "epochs must be a whole number, got '1.5'"),
        ("head: epochs=0", "epochs at least 1"),
        ("head: rate=-1", "rate must not be negative"),
        ("head: rate=nan", "rate must not be negative"),
        ("head: momentun=1", "did you mean 'momentum'"),
        ("head: name=adan", "did you mean 'adam'"),
    ],
)
def test_what_is_no_group(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_group(text)


def test_a_groups_settings_are_checked() -> None:
    for text in ("head: lr=inf", "head: momentum=1", "head: weight_decay=-1", "head: decay=l1", "head: schedule=flat"):
        with pytest.raises(ValueError, match=text.split()[1].split("=")[0]):
            trained(text, steps=0)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
def test_newton_schulz_is_a_polynomial_of_singular_values(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(0).normal(size=shape)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    values = values / np.linalg.norm(matrix)
    for _ in range(3):
        values = 3.4445 * values - 4.775 * values**3 + 2.0315 * values**5
    found = nearly_orthogonal(jnp.asarray(matrix, jnp.float32), steps=3)
    np.testing.assert_allclose(found, left * values @ right, atol=1e-5)


def test_spherical_muon_steps_from_a_sphere() -> None:
    found = trained(steps=2, name="spherical_muon")
    kernel, bias = PARAMS["first"]["kernel"].astype(np.float64), PARAMS["first"]["bias"]
    velocity, slow = np.zeros((2, 2)), np.zeros(2)
    for step in range(2):
        gradient = np.cos(kernel + step)
        velocity = 0.5 * velocity + gradient
        left, values, right = np.linalg.svd(gradient + 0.5 * velocity)
        values = values / np.linalg.norm(values)
        for _ in range(3):
            values = 3.4445 * values - 4.775 * values**3 + 2.0315 * values**5
        lr = 0.1 * (1 - step / 8)
        kernel = kernel * 2**0.5 / np.linalg.norm(kernel) - lr * (left * values @ right)
        slow = 0.5 * slow + np.cos(bias + step)
        bias = bias - lr * (np.cos(bias + step) + 0.5 * slow)
    np.testing.assert_allclose(found["first"]["kernel"], kernel, rtol=1e-4)
    np.testing.assert_allclose(found["first"]["bias"], bias, rtol=1e-5)


def test_a_group_of_no_layer_is_told_before_anything_is_written(tmp_path) -> None:
    config = Config(epochs=1, optim=OptimConfig(groups=("body: rate=2",)))
    with pytest.raises(ValueError, match="'body' names no layer"):
        api.fit("linear", "digits", config, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_of_several_groups_that_name_a_layer_the_last_counts() -> None:
    found, last = trained("first: lr=1", "*/bias: lr=0.2", steps=3), trained("first/bias: lr=0.2", steps=3)
    np.testing.assert_array_equal(found["first"]["bias"], last["first"]["bias"])
    assert (found["first"]["kernel"] != last["first"]["kernel"]).all()


def test_a_run_of_groups_goes_on_where_it_was_stopped(tmp_path) -> None:
    groups = ("*/bias: name=adam lr=0.01 epochs=1", "*/kernel: name=spherical_muon lr=0.1")
    config = Config(epochs=2, chunk=5, optim=OptimConfig("nesterov", groups=groups))
    whole = api.fit("linear", "digits", config, out=tmp_path / "whole")
    asked = iter([False] * 4 + [True])
    *_, halted = api.fit_events("linear", "digits", config, out=tmp_path / "cut", stop=lambda: next(asked))
    assert isinstance(halted, api.Halted)
    again = api.fit("linear", "digits", config, out=tmp_path / "cut")
    assert again.metrics() == whole.metrics()
