"""The lectures' image kernels, and what they do to simple pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import conv as reference

from jaxcnn import functional as F

BLURS, EDGES = ("box_blur", "gaussian3", "gaussian5"), ("edge4", "edge8", "sobel_x", "sobel_y")


def test_the_lectures_table() -> None:
    assert F.FILTERS["sharpen"].tolist() == [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
    assert F.FILTERS["edge8"].tolist() == [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]
    assert (16 * F.FILTERS["gaussian3"]).tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    assert (256 * F.FILTERS["gaussian5"])[2].tolist() == [6, 24, 36, 24, 6]
    np.testing.assert_array_equal(F.FILTERS["edge4"], F.FILTERS["sharpen"] - F.FILTERS["identity"])
    np.testing.assert_array_equal(F.FILTERS["sobel_x"], F.FILTERS["sobel_y"].T)


@pytest.mark.parametrize("name", sorted(F.FILTERS))
def test_a_constant_picture_shows_a_filters_sum(name: str) -> None:
    y = F.apply_filter(jnp.full((6, 7, 3), 0.5), name)
    np.testing.assert_allclose(y, 0.0 if name in EDGES else 0.5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(F.FILTERS))
@pytest.mark.parametrize("mode", ["zeros", "replicate"])
def test_every_channel_is_filtered_by_itself(name: str, mode: str) -> None:
    x = jax.random.uniform(jax.random.key(0), (2, 5, 6, 3))
    kernel = F.FILTERS[name]
    half = len(kernel) // 2
    place = {"strides": (1, 1), "padding": [(half, half)] * 2, "dilation": (1, 1), "mode": mode}
    channels = [reference.conv(x[..., [c]], kernel[..., None, None], **place) for c in range(3)]
    np.testing.assert_allclose(
        F.apply_filter(x, name, padding_mode=mode), np.concatenate(channels, -1), rtol=1e-5, atol=1e-5
    )


def test_other_kernels_ranks_and_types() -> None:
    x = jnp.arange(5.0, dtype="bfloat16")[:, None]
    y = F.apply_filter(x, jnp.array([-0.5, 0, 0.5]))
    assert y.dtype == x.dtype
    assert y[:, 0].tolist() == [0.5, 1, 1, 1, 0.5]
    assert (F.apply_filter(x[:, None], "identity") == x[:, None]).all()


def test_an_unknown_name_is_answered_by_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'gaussian3'"):
        F.apply_filter(jnp.ones((4, 4, 1)), "gausian3")
    with pytest.raises(TypeError, match="`x` must be floating point"):
        F.apply_filter(jnp.ones((4, 4, 1), "uint8"), "identity")
