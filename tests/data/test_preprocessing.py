import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.data import Preprocessing
from jaxcnn.data import preprocessing as preprocessing_module
from jaxcnn.data.preprocessing import channel_sums, fit_preprocessing

PREPROCESSING = Preprocessing(1 / 255, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), np.uint8)
EXPECTED = (IMAGES / 255.0 - [0.4, 0.5, 0.6]) / [0.2, 0.3, 0.25]


@pytest.mark.parametrize("apply", [PREPROCESSING, jax.jit(PREPROCESSING)], ids=["plain", "jit"])
@pytest.mark.parametrize("make", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16"])
def test_it_standardises_in_float32(apply, make, dtype) -> None:
    result = apply(make(IMAGES.astype(dtype)))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, EXPECTED, rtol=1e-5, atol=1e-5)


def test_json_keeps_it() -> None:
    assert Preprocessing(**json.loads(json.dumps(dataclasses.asdict(PREPROCESSING)))) == PREPROCESSING


@pytest.mark.parametrize("n", [3, 1024, 1100])
def test_sums_are_exact(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocessing_module, "_CHUNK", 12 * 1024)  # 1,024 images of 12 values
    images = np.random.default_rng(n).integers(0, 256, (n, 3, 2, 2), np.uint8)
    wide = images.astype(np.int64)
    sums = channel_sums(images)
    np.testing.assert_array_equal(sums[:, 0], wide.sum((1, 2)))
    np.testing.assert_array_equal(sums[:, 1], (wide**2).sum((1, 2)))


def test_the_fit_gives_mean_0_and_deviation_1() -> None:
    preprocessing = fit_preprocessing(channel_sums(IMAGES), 20, scale=1 / 255)
    fitted = preprocessing(IMAGES).astype(np.float64)
    np.testing.assert_allclose(fitted.mean((0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(fitted.std((0, 1, 2)), 1, rtol=1e-6)


def test_a_constant_channel_keeps_its_scale() -> None:
    images = np.full((4, 2, 2, 1), 51, np.uint8)
    preprocessing = fit_preprocessing(channel_sums(images), 4, scale=1 / 255)
    assert preprocessing.std == (1.0,)
    np.testing.assert_allclose(preprocessing(images), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [((0.5,), (1.0, 1.0), "1 channels and `std` 2"), ((0.5,), (0.0,), r"`std` \(=\(0.0,\)\) must be positive")],
)
def test_bad_constants(mean: tuple[float, ...], std: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocessing(1.0, mean, std)


def test_another_number_of_channels() -> None:
    with pytest.raises(ValueError, match=r"\(6, 5, 4, 1\) do not end in 3 channels"):
        PREPROCESSING(IMAGES[..., :1])
