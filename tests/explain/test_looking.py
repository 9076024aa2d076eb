"""What a unit looks for, what is alike, kernels and figures: against closed forms, scikit-learn, NumPy."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from jaxcnn import explain
from jaxcnn import functional as F


def drawn(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def test_a_linear_unit_looks_for_its_weights() -> None:
    weights = drawn(6, 6, 2, 3)
    found = explain.maximize(
        lambda x: jnp.einsum("nhwc,hwck->nk", x, weights), jnp.zeros((2, 6, 6, 2)), channel=1, steps=20, rate=0.1
    )
    wanted = np.asarray(weights[..., 1])
    for image in np.asarray(found.images):
        np.testing.assert_allclose(image, 2.0 * wanted / np.sqrt((wanted**2).mean()), rtol=1e-4)
    assert found.activations.shape == (20, 2)
    np.testing.assert_allclose(np.diff(np.asarray(found.activations), axis=0) > 0, True)


def test_an_images_climb_does_not_depend_on_its_neighbours() -> None:
    kernel = drawn(3, 3, 1, 4)

    def fn(x):
        with jax.named_scope("maps"):
            return jax.nn.tanh(F.conv(x, kernel))

    x = drawn(3, 6, 6, 1, seed=1)
    together = explain.maximize(fn, x, layer="maps/tanh", channel=2, steps=15, decay=0.01, low=-1, high=1)
    alone = explain.maximize(fn, x[1:2], layer="maps/tanh", channel=2, steps=15, decay=0.01, low=-1, high=1)
    np.testing.assert_allclose(together.images[1], alone.images[0], rtol=1e-3, atol=1e-4)
    assert float(jnp.abs(together.images).max()) <= 1
    final = np.asarray(fn(together.images)[..., 2].mean((1, 2)))
    assert (final > np.asarray(together.activations[0])).all()


def test_a_jittered_climb_is_drawn_by_its_key() -> None:
    kernel = drawn(2, 2, 1, 1)

    def fn(x):
        return F.conv(x, kernel, strides=2).mean((1, 2)) ** 3

    x = drawn(1, 8, 8, 1)
    one, same, other = (
        explain.maximize(fn, x, channel=0, steps=10, jitter=2, key=jax.random.key(k)).images for k in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("options", [{"channel": 3}, {"steps": 0}, {"rate": 0.0}, {"decay": 1.0}, {"jitter": -1}])
def test_what_cannot_be_climbed(options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        explain.maximize(lambda x: x.sum((1, 2)), jnp.zeros((1, 4, 4, 3)), **{"channel": 0, **options})


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbours_are_scikit_learns(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxcnn.explain.neighbours.AT_ONCE", 100)  # several parts
    rng = np.random.default_rng(0)
    rows, queries = rng.normal(size=(40, 6)), rng.normal(size=(9, 6))
    found, distances = explain.nearest(rows, queries, count=4, metric=metric)
    expected, there = NearestNeighbors(n_neighbors=4, metric=metric).fit(rows).kneighbors(queries)
    np.testing.assert_array_equal(found, there)
    np.testing.assert_allclose(distances, expected, rtol=1e-6)


def test_close_rows_far_from_zero_are_told_apart() -> None:
    """Squares of 1e12 would swallow a distance of 1e-3."""
    rows = 1e6 + np.array([[0.0, 0.0], [1e-3, 0.0], [5.0, 0.0]])
    _, distances = explain.nearest(rows, rows[:1], count=3)
    np.testing.assert_allclose(distances, [[0, 1e-3, 5]], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("rows", "queries", "options", "message"),
    [
        (np.ones((3, 2)), np.ones((1, 3)), {}, "as many features"),
        (np.ones((3, 2)), np.ones((1, 2)), {"count": 4}, "from 1 to the number of rows, 3"),
        (np.ones((3, 2)), np.ones((1, 2)), {"count": 1, "metric": "manhattan"}, "'euclidean' or 'cosine'"),
        (np.zeros((3, 2)), np.ones((1, 2)), {"count": 1, "metric": "cosine"}, "no row of zeros"),
    ],
)
def test_what_has_no_neighbours(rows: np.ndarray, queries: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explain.nearest(rows, queries, **options)


@pytest.mark.parametrize(("channels", "shape"), [(3, (5, 4, 2, 3)), (1, (5, 4, 2, 1)), (2, (10, 4, 2, 1))])
def test_kernels_as_images(channels: int, shape: tuple[int, ...]) -> None:
    kernel = np.asarray(drawn(4, 2, channels, 5))
    images = explain.filter_images(kernel)
    assert images.shape == shape
    largest = np.abs(kernel).max()
    second = kernel[:, :, 1, 0] if channels == 2 else kernel[..., 1]
    np.testing.assert_allclose(images[1].squeeze(), (0.5 + second / (2 * largest)).squeeze(), rtol=1e-6)
    each = explain.filter_images(kernel, scale="each")
    np.testing.assert_allclose(np.abs(each - 0.5).max((1, 2, 3)), 0.5, rtol=1e-6)
    np.testing.assert_array_equal(explain.filter_images(0 * kernel), 0.5)


def test_what_is_no_kernel() -> None:
    for kernel, options in ((np.ones((3, 3)), {}), (np.full((1, 1, 1, 1), np.nan), {})):
        with pytest.raises(ValueError, match="`kernel`"):
            explain.filter_images(kernel, **options)


def test_figures_are_written(tmp_path: Path) -> None:
    from PIL import Image

    images = np.random.default_rng(0).random((5, 8, 8, 3))
    explain.draw_images(images, tmp_path / "five.png", columns=5)
    explain.draw_images(images, tmp_path / "one.png", columns=1, titles=list("abcde"))
    explain.draw_heat(images, images[..., 0] - 0.5, tmp_path / "heat.png")
    sizes = []
    for name in ("five.png", "one.png", "heat.png"):
        with Image.open(tmp_path / name) as picture:
            sizes.append(picture.size)
    (wide, low), (narrow, high), heat = sizes
    assert wide > 3 * low
    assert high > 3 * narrow
    assert heat[0] > 100
    with pytest.raises(ValueError, match="`heat` must be a map for each image"):
        explain.draw_heat(images, images[:4, ..., 0], tmp_path / "no.png")
    with pytest.raises(ValueError, match="one for each of 5 images, got 2"):
        explain.draw_images(images, tmp_path / "no.png", titles=["a", "b"])
    with pytest.raises(ValueError, match="`images` must be"):
        explain.draw_images(images[:0], tmp_path / "no.png")
