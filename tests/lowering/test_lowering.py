"""The lowering rules against XLA's own, in and out of loops."""

import re
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import Array, lax
from references.arrays import normal
from references.tolerance import TOLERANCE

from jaxcnn import lowering

LAYOUTS = {
    1: [("NWC", "WIO", "NWC"), ("NCW", "OIW", "NCW"), ("CWN", "IWO", "WNC")],
    2: [("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW"), ("CHWN", "IHWO", "HWNC"), ("NHWC", "OHWI", "CNHW")],
    3: [("NDHWC", "DHWIO", "NDHWC"), ("NCDHW", "OIDHW", "NCDHW"), ("CDHWN", "IDHWO", "DHWNC")],
}


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    yield
    lowering.disable()


def place(array: Array, letters: str, spec: str) -> Array:
    return jnp.transpose(array, [letters.index(letter) for letter in spec])


@st.composite
def convolutions(draw):
    rank = draw(st.integers(1, 3))
    layout = draw(st.sampled_from(LAYOUTS[rank]))
    spatial = "DHW"[-rank:]
    groups = draw(st.sampled_from([1, 2]))
    sizes = [draw(st.integers(5, 7)) for _ in range(rank)]
    window = [draw(st.integers(1, 3)) for _ in range(rank)]
    seed = draw(st.integers(0, 99))
    x = normal(seed, (2, *sizes, 2 * groups))
    kernel = normal(seed + 1, (*window, 2, 2 * groups))
    options = {
        "window_strides": [draw(st.integers(1, 2)) for _ in range(rank)],
        "padding": [(draw(st.integers(-1, 2)), draw(st.integers(0, 2))) for _ in range(rank)],
        "lhs_dilation": [draw(st.integers(1, 2)) for _ in range(rank)],
        "rhs_dilation": [draw(st.integers(1, 2)) for _ in range(rank)],
        "feature_group_count": groups,
    }
    return place(x, f"N{spatial}C", layout[0]), place(kernel, f"{spatial}IO", layout[1]), layout, options


def value_and_gradients(case):
    x, kernel, layout, options = case

    def energy(x: Array, kernel: Array) -> tuple[Array, Array]:
        y = lax.conv_general_dilated(x, kernel, dimension_numbers=layout, **options)
        return (y * jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)).sum(), y

    (_, y), gradients = jax.jit(jax.value_and_grad(energy, argnums=(0, 1), has_aux=True))(x, kernel)
    return y, *gradients


@settings(deadline=None, max_examples=8)
@given(convolutions())
def test_canonical_equals_xla(case) -> None:
    lowering.disable()
    expected = value_and_gradients(case)
    lowering.enable("canonical")
    for ours, theirs in zip(value_and_gradients(case), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, **TOLERANCE["float32"] | {"atol": 1e-4})


def loop_convolutions(tier: str) -> list[str]:
    """Layouts of the convolutions in the compiled loop body of a gradient step."""
    lowering.enable(tier)

    def step(kernel: Array, _: None) -> tuple[Array, None]:
        def energy(kernel: Array) -> Array:
            y = x
            for _ in range(2):
                y = lax.conv_general_dilated(y, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            return (y**2).mean()

        return kernel - jax.grad(energy)(kernel), None

    x = jnp.ones((2, 8, 8, 4))
    run = jax.jit(lambda kernel: lax.scan(step, kernel, None, length=3)[0])
    hlo = run.lower(jnp.ones((3, 3, 4, 4))).compile().as_text()
    return re.findall(r"dim_labels=(\S+?)[,\s]", hlo)


def test_every_convolution_in_a_loop_is_canonical() -> None:
    stock, ours = loop_convolutions("xla"), loop_convolutions("canonical")
    assert len(ours) == len(stock) > 0
    assert set(ours) == {"b01f_01io->b01f"}
    assert set(stock) != {"b01f_01io->b01f"}, "XLA has learnt it: the canonical rule is no longer needed"


def test_second_derivative_and_vmap() -> None:
    x, kernel = jnp.ones((2, 5, 5, 1)), jax.random.normal(jax.random.key(0), (4, 3, 3, 1, 2))

    def energy(kernel: Array) -> Array:
        return jnp.tanh(
            lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        ).sum()

    def second(kernel: Array) -> Array:
        return jax.grad(lambda k: (jax.grad(energy)(k) ** 2).sum())(kernel)

    lowering.disable()
    expected = jax.jit(jax.vmap(second))(kernel)
    lowering.enable("canonical")
    np.testing.assert_allclose(jax.jit(jax.vmap(second))(kernel), expected, rtol=1e-4, atol=1e-5)


def test_status_follows_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lowering.status().tier == "xla"
    assert lowering.enable().tier == lowering.status().tier == "canonical"
    assert lowering.enable("xla").tier == "xla"
    monkeypatch.setenv("JAXCNN_LOWERING", "canonical")
    assert lowering.enable().tier == "canonical"
    assert lowering.disable().tier == "xla"


def test_unknown_tier_suggests() -> None:
    with pytest.raises(ValueError, match="did you mean 'canonical'"):
        lowering.enable("cannonical")


def test_registration_that_fails_leaves_xla(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AttributeError("moved")

    monkeypatch.setattr("jaxcnn.lowering.switch.registered_rule", refuse)
    with pytest.warns(UserWarning, match="refused the canonical rule"):
        assert lowering.enable().tier == "xla"
    assert jax.jit(lambda x: x + 1)(1) == 2
