"""Group convolutions against loops over elements, and their law: what turns the input turns the map."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import Array
from jax.test_util import check_grads
from references import group as reference
from references.arrays import normal
from references.conv import PAD_MODES
from references.tolerance import TOLERANCE

from jaxcnn import functional as F

LAYERS = {
    "p4 lift": (F.p4_lift_conv, 1, 4),
    "p4": (F.p4_conv, 4, 4),
    "p4m lift": (F.p4m_lift_conv, 1, 8),
    "p4m": (F.p4m_conv, 8, 8),
}
LAYER = pytest.mark.parametrize("layer", LAYERS)


def arrays(layer: str, size: int, *, window: int = 3, seed: int = 0, dtype: str = "float32", integers: bool = False):
    """An input, a kernel and a bias, of few channels."""
    sources = LAYERS[layer][1]
    shapes = (size, size, sources, 2), (window, window, sources, 2, 3), (3,)
    drawn = [normal(seed + i, shape, dtype) for i, shape in enumerate(shapes)]
    x, kernel, bias = [jnp.round(4 * a) for a in drawn] if integers else drawn
    return (x[:, :, 0], kernel[:, :, 0], bias) if sources == 1 else (x, kernel, bias)


def act(x: np.ndarray, element: int) -> np.ndarray:
    """Act on an image (height, width, channels), or on a map, in NumPy: nothing is compiled."""
    if x.ndim == 4:
        preimages = [i for _, i in sorted((product(element, i, x.shape[2]), i) for i in range(x.shape[2]))]
        x = x[:, :, preimages]
    return np.rot90(np.flip(x, 1) if element >= 4 else x, element % 4)


@functools.cache
def product(g: int, h: int, order: int) -> int:
    matrices = reference.elements(order)
    return reference.index(matrices[g] @ matrices[h], order)


def equivariant(layer: str, x: Array, *arrays: Array, tolerance: float = 1e-5, **options) -> list[bool]:
    """Whether the layer commutes with each element, on a square map."""
    convolve, _, order = LAYERS[layer]
    images = np.stack([act(np.asarray(x), h) for h in range(order)])
    turned = np.asarray(convolve(jnp.asarray(images), *arrays, **options))
    scale = max(1.0, float(np.abs(turned).max()))
    return [bool(np.abs(turned[h] - act(turned[0], h)).max() <= tolerance * scale) for h in range(order)]


@st.composite
def geometries(draw):
    size, window, dilation = draw(st.integers(3, 6)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    padding = (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
    if dilation * (window - 1) >= size + sum(padding):
        dilation = 1
    mode = draw(st.sampled_from(sorted(PAD_MODES)))
    return size, window, {"strides": draw(st.integers(1, 3)), "padding": padding, "mode": mode, "dilation": dilation}


@LAYER
@settings(deadline=None, max_examples=4)
@given(geometries(), st.integers(0, 999))
def test_equals_loops(layer: str, case, seed: int) -> None:
    size, window, options = case
    convolve, sources, order = LAYERS[layer]
    with jax.enable_x64(True):
        x, kernel, bias = arrays(layer, size, window=window, seed=seed, dtype="float64")
        pair, mode = (options["padding"],) * 2, options["mode"]
        ours = convolve(
            x, kernel, bias, strides=options["strides"], padding=pair, padding_mode=mode, dilation=options["dilation"]
        )
    x, kernel = (x[:, :, None], kernel[:, :, None]) if sources == 1 else (x, kernel)
    expected = reference.conv(x, kernel, bias, order, **options | {"mode": PAD_MODES[mode]})
    np.testing.assert_allclose(ours, expected, atol=1e-11, rtol=TOLERANCE["float64"]["rtol"])


@pytest.mark.parametrize("order", [4, 8])
def test_the_action_is_its_definition(order: int) -> None:
    y = normal(0, (3, 4, order, 2))
    for h in range(order):
        np.testing.assert_array_equal(F.group_action(y, h), reference.act(np.asarray(y), h, order))
        np.testing.assert_array_equal(
            act(np.asarray(y[:, :, 0]), h), reference.moved(np.asarray(y[:, :, 0]), reference.elements(order)[h])
        )


@pytest.mark.parametrize("order", [4, 8])
def test_actions_compose_as_elements_do(order: int) -> None:
    y = normal(0, (2, 3, 3, order, 1))
    for g in range(order):
        for h in range(order):
            both = F.group_action(y, product(h, g, order))
            np.testing.assert_array_equal(F.group_action(F.group_action(y, g), h), both)


@LAYER
@pytest.mark.parametrize("options", [{}, {"padding_mode": "circular"}, {"strides": 2, "padding": 1}, {"padding": 0}])
def test_integers_turn_to_the_bit(layer: str, options: dict) -> None:
    """Sums of small integers have no rounding, so that nothing but arithmetic is compared."""
    assert all(equivariant(layer, *arrays(layer, 5, integers=True), tolerance=0, **options))


@LAYER
def test_a_quarter_turn_moves_the_group_axis_on_by_one(layer: str) -> None:
    x, kernel, bias = arrays(layer, 5)
    convolve, _, order = LAYERS[layer]
    y, turned = convolve(x, kernel, bias), convolve(jnp.asarray(act(np.asarray(x), 1)), kernel, bias)
    rolled = jnp.roll(jnp.rot90(y).reshape(5, 5, order // 4, 4, 3), 1, axis=-2).reshape(y.shape)
    np.testing.assert_allclose(turned, rolled, rtol=1e-5, atol=1e-5 * float(jnp.abs(y).max()))


def excess(size: int, window: int, strides: int, low: int, high: int, dilation: int) -> int:
    """What the condition of the module's docstring says is 0."""
    return (high - low) - (size + low + high - dilation * (window - 1) - 1) % strides


def check_domain(layer: str, case, seed: int) -> None:
    size, window, options = case
    strides, (low, high), mode, dilation = (options[name] for name in ("strides", "padding", "mode", "dilation"))
    assume(max(low, high) <= dilation * (window - 1))  # each window sees the map
    holds = equivariant(
        layer, *arrays(layer, size, window=window, seed=seed), strides=strides, padding=((low, high),) * 2,
        padding_mode=mode, dilation=dilation,
    )  # fmt: skip
    assert holds[0]
    off = excess(size, window, strides, low, high, dilation)
    if off == 0 or (mode == "circular" and off % size == 0):
        assert all(holds)
    elif mode != "reflect" or off % (size - 1):  # a reflection can be its own mirror image at such differences
        assert not any(holds[1:4])


@LAYER
@settings(deadline=None, max_examples=12)
@given(geometries(), st.integers(0, 999))
def test_exact_if_and_only_if_windows_lie_symmetrically(layer: str, case, seed: int) -> None:
    check_domain(layer, case, seed)


@pytest.mark.campaign
@LAYER
@settings(deadline=None, max_examples=1000)
@given(geometries(), st.integers(0, 999))
def test_exact_if_and_only_if_windows_lie_symmetrically_at_length(layer: str, case, seed: int) -> None:
    check_domain(layer, case, seed)


@pytest.mark.parametrize(
    ("size", "window", "strides", "padding", "exact"),
    [
        (5, 3, 1, "SAME", True), (6, 3, 1, "SAME", True), (6, 2, 1, "SAME", False), (6, 2, 1, "SAME_LOWER", False),
        (6, 2, 1, "VALID", True), (5, 2, 1, 1, True), (5, 3, 2, 1, True), (6, 3, 2, 1, False), (7, 3, 3, 1, True),
        (6, 3, 2, "SAME", False), (5, 3, 2, "SAME", True), (6, 2, 2, "VALID", True), (5, 2, 2, "VALID", False),
        (6, 4, 2, "SAME", True), (6, 3, 2, ((1, 2), (1, 2)), False), (5, 3, 2, ((1, 2), (1, 2)), True),
    ],
)  # fmt: skip
def test_the_domain_by_example(size: int, window: int, strides: int, padding, exact: bool) -> None:
    holds = equivariant("p4m", *arrays("p4m", size, window=window), strides=strides, padding=padding)
    assert holds == [exact or h in (0, 5) for h in range(8)]  # 5 exchanges the axes, and moves no window


def test_unequal_strides_are_outside_the_domain() -> None:
    x, kernel, bias = arrays("p4", 5)
    y = F.p4_conv(x, kernel, bias, strides=(1, 2), padding=1)
    turned = F.p4_conv(F.group_action(x, 1), kernel, bias, strides=(1, 2), padding=1)
    assert turned.shape != F.group_action(y, 1).shape
    np.testing.assert_allclose(
        F.p4_conv(F.group_action(x, 2), kernel, bias, strides=(1, 2), padding=1),
        F.group_action(y, 2),
        rtol=1e-5,
        atol=1e-4,
    )


@pytest.mark.parametrize("order", [4, 8])
def test_pooling_the_group_leaves_a_map_that_turns(order: int) -> None:
    y = normal(0, (2, 4, 5, order, 3))
    for h in range(order):
        turned = F.group_action(y, h)
        plain = F.group_pool(y)
        expected = jnp.rot90(jnp.flip(plain, -2) if h >= 4 else plain, h % 4, (-3, -2))
        np.testing.assert_array_equal(F.group_pool(turned), expected)
    np.testing.assert_array_equal(F.group_pool(y), np.asarray(y).max(-2))
    np.testing.assert_allclose(F.group_pool(y, "avg"), np.asarray(y).mean(-2), **TOLERANCE["float32"])
    assert F.group_pool(jnp.full((1, 1, 4, 1), 3e4, "float16"), "avg").item() == 30000


@LAYER
def test_gradients(layer: str) -> None:
    with jax.enable_x64(True):
        convolve = LAYERS[layer][0]
        arguments = arrays(layer, 4, dtype="float64")

        def f(*arguments: Array) -> Array:
            return convolve(*map(jnp.asarray, arguments), strides=2, padding=1, padding_mode="reflect")

        check_grads(f, arguments, order=2 if layer == "p4 lift" else 1, modes=("fwd", "rev"))


@LAYER
def test_jit_vmap_and_any_batch_axes(layer: str) -> None:
    x, kernel, bias = arrays(layer, 5)
    convolve = functools.partial(LAYERS[layer][0], strides=2)
    batch = jnp.stack([x, -x, 2 * x, x + 1, 0 * x, x * x]).reshape(3, 2, *x.shape)
    y = convolve(batch, kernel, bias)
    assert y.shape == (3, 2, 3, 3, LAYERS[layer][2], 3)
    np.testing.assert_allclose(y[0, 0], convolve(x, kernel, bias), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(jax.jit(jax.vmap(convolve, (0, None, None)))(batch, kernel, bias), y, atol=1e-4)


@LAYER
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_dtype_stays(layer: str, dtype: str) -> None:
    y = LAYERS[layer][0](*arrays(layer, 4, dtype=dtype))
    assert y.dtype == dtype
    assert F.group_pool(y, "avg").dtype == dtype


def test_the_bias_and_the_activation_are_shared_by_all_elements() -> None:
    x, kernel, bias = arrays("p4", 4)
    expected = jax.nn.relu(F.p4_conv(x, kernel) + bias)
    np.testing.assert_allclose(F.p4_conv(x, kernel, bias, activation="relu"), expected, rtol=1e-5, atol=1e-5)


IMAGE, MAP, KERNEL = jnp.ones((6, 6, 2)), jnp.ones((6, 6, 4, 2)), jnp.ones((3, 3, 4, 2, 5))
BAD = {
    "window": (lambda: F.p4_lift_conv(IMAGE, jnp.ones((3, 2, 2, 5))), ValueError, "its window square"),
    "window of maps": (lambda: F.p4_conv(MAP, jnp.ones((3, 2, 4, 2, 5))), ValueError, r"\(size, size, 4, in_channels"),
    "kernel rank": (
        lambda: F.p4_lift_conv(IMAGE, KERNEL),
        ValueError,
        r"`kernel` \(shape .*\) must be \(size, size, in",
    ),
    "an image": (lambda: F.p4_conv(IMAGE, KERNEL), ValueError, "lift an image first"),
    "channels": (lambda: F.p4_conv(jnp.ones((6, 6, 4, 3)), KERNEL), ValueError, "in_channels"),
    "lifted channels": (lambda: F.p4_lift_conv(IMAGE[..., :1], KERNEL[:, :, 0]), ValueError, "but `x` has 1"),
    "other group": (lambda: F.p4m_conv(MAP, KERNEL), ValueError, "for p4m"),
    "groups": (lambda: F.p4_conv(MAP, KERNEL, groups=2), ValueError, r"`groups` \(=2\) is no option"),
    "bias": (lambda: F.p4_conv(MAP, KERNEL, jnp.ones(20)), ValueError, r"`bias` \(shape \(20,\)\) must be \(5,\)"),
    "integers": (lambda: F.p4_conv(MAP.astype(int), KERNEL), TypeError, "`x` must be floating point"),
    "reduce": (lambda: F.group_pool(MAP, "mean"), ValueError, "unknown `reduce` 'mean'"),
    "no group axis": (lambda: F.group_pool(IMAGE), ValueError, "4 or 8"),
    "element": (lambda: F.group_action(MAP, 4), ValueError, r"`element` \(=4\) must be from 0 to 3"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        call()
