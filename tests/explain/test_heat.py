"""Grad-CAM and occlusion, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import explain, models, nn
from jaxcnn import functional as F


def drawn(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


KERNEL, HEAD = drawn(3, 3, 2, 5, seed=1), drawn(5, 4, seed=2)


def averaged(x: jax.Array) -> jax.Array:
    """Maps, their averages, a dense layer: where Grad-CAM is CAM."""
    with jax.named_scope("maps"):
        maps = jax.nn.relu(F.conv(x, KERNEL))
    return maps.mean((1, 2)) @ HEAD


def test_grad_cam_is_class_activation_mapping_behind_an_average() -> None:
    x = drawn(3, 6, 8, 2)
    found = np.asarray(explain.grad_cam(averaged, x, layer="maps/relu", target=[0, 3, 2], resize=False))
    maps = np.maximum(np.asarray(F.conv(x, KERNEL)), 0)
    head = np.asarray(HEAD)
    for image, target in enumerate([0, 3, 2]):
        expected = np.maximum((maps[image] * head[:, target]).sum(-1), 0) / (6 * 8)
        np.testing.assert_allclose(found[image], expected, rtol=1e-4, atol=1e-6)


def test_the_target_is_what_an_image_is_taken_for() -> None:
    x = drawn(3, 6, 8, 2)
    taken = np.asarray(averaged(x)).argmax(-1)
    found = explain.grad_cam(averaged, x, layer="maps/relu")
    np.testing.assert_array_equal(found, explain.grad_cam(averaged, x, layer="maps/relu", target=taken))
    assert found.shape == (3, 6, 8)
    assert bool((found >= 0).all())


def test_grad_cam_behind_a_nonlinear_rest_is_by_finite_differences() -> None:
    """Each map's weight is the slope of the score as the whole map is raised, over its positions."""
    x, second = drawn(1, 6, 6, 2), drawn(3, 3, 5, 3, seed=3)

    def rest(maps):
        return jnp.tanh(F.conv(maps, second.astype(maps.dtype))).sum((1, 2)) ** 2

    def fn(x):
        with jax.named_scope("maps"):
            maps = F.conv(x, KERNEL.astype(x.dtype))
        return rest(maps)

    found = np.asarray(explain.grad_cam(fn, x, layer="maps", target=1, resize=False))[0]
    with jax.enable_x64():
        maps = jnp.asarray(np.asarray(F.conv(x, KERNEL)), "float64")
        step, weights = 1e-5, []
        for k in range(5):
            up, down = (float(rest(maps.at[..., k].add(by))[0, 1]) for by in (step, -step))
            weights.append((up - down) / (2 * step) / 36)
    expected = np.maximum((np.asarray(maps)[0] * weights).sum(-1), 0)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_a_network_shows_its_last_maps_in_the_images_size() -> None:
    module = models.create("resnet9", num_classes=10, input_shape=(32, 32, 3), rngs=0, width=8)
    fn, params = nn.functionalize(module)
    x = drawn(2, 32, 32, 3)
    found = explain.grad_cam(lambda x: fn(params, x), x, target=1)
    coarse = explain.grad_cam(lambda x: fn(params, x), x, target=1, resize=False)
    assert found.shape == (2, 32, 32)
    assert coarse.shape[0] == 2
    assert 1 < coarse.shape[1] < 32


def occluded_by_loops(fn, x: np.ndarray, target: int, window: int, stride: int, value: float) -> np.ndarray:
    """Cover box after box, and average what each position's boxes lose."""

    def logit(image: np.ndarray) -> float:
        return float(fn(jnp.asarray(image[None]))[0, target])

    height, width = x.shape[:2]
    lost, times, before = np.zeros((height, width)), np.zeros((height, width)), logit(x)
    for top in range(0, height, stride):
        for left in range(0, width, stride):
            covered = x.copy()
            covered[top : top + window, left : left + window] = value
            lost[top : top + window, left : left + window] += before - logit(covered)
            times[top : top + window, left : left + window] += 1
    return lost / times


@pytest.mark.parametrize(("window", "stride"), [(3, 3), (4, 2), (2, 1)])
def test_occlusion_is_a_loop_over_boxes(window: int, stride: int) -> None:
    x = drawn(2, 7, 9, 2)
    found = explain.occlusion(averaged, x, window=window, strides=stride, value=0.5, target=[1, 3], probability=False)
    for image, target in enumerate([1, 3]):
        expected = occluded_by_loops(averaged, np.asarray(x[image]), target, window, stride, 0.5)
        np.testing.assert_allclose(found[image], expected, rtol=1e-4, atol=1e-5)


def test_occlusion_shows_an_images_mean_and_measures_probability() -> None:
    x = drawn(2, 6, 6, 2)
    by_default = explain.occlusion(averaged, x, window=3, target=0)
    mean = x.mean((1, 2), keepdims=True)
    told = explain.occlusion(lambda x: averaged(x), x, window=(3, 3), strides=2, value=mean, target=0)
    np.testing.assert_array_equal(by_default, told)

    def log_probability(x):
        return jax.nn.softmax(averaged(x))

    by_hand = explain.occlusion(log_probability, x, window=3, target=0, probability=False)
    np.testing.assert_allclose(by_default, by_hand, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 4}, r"`target` must be from 0 to 3; got \[4\]"),
        ({"target": [0, 1, 2]}, "one for each of the 2 images"),
        ({"layer": "maps"}, "unknown layer 'maps': did you mean 'maps/relu'"),
    ],
)
def test_what_grad_cam_cannot_show(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explain.grad_cam(averaged, drawn(2, 6, 6, 2), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 7}, r"`window` \(=\(7, 7\)\) must fit in the image, \(6, 6\)"),
        ({"window": 2, "strides": 3}, "`strides`"),
        ({"window": 0}, "must be positive integers, one or 2"),
        ({"window": (2, 2, 2)}, "must be positive integers, one or 2"),
    ],
)
def test_what_occlusion_cannot_cover(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explain.occlusion(averaged, drawn(2, 6, 6, 2), **options)


def test_a_layer_without_maps() -> None:
    (vector,) = [name for name, shape in explain.layers(averaged, drawn(1, 6, 6, 2)).items() if shape == (1, 4)]
    with pytest.raises(ValueError, match="must give maps"):
        explain.grad_cam(averaged, drawn(1, 6, 6, 2), layer=vector)
