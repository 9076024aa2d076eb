"""The audit: verdicts, causes, and what it does when a contract is not true."""

import dataclasses
import importlib
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcnn import equivariance as eq
from jaxcnn import functional as F

audit_module = importlib.import_module("jaxcnn.equivariance.audit")  # whose name in the package is the function's
RNG = np.random.default_rng(0)
KERNELS = [(RNG.standard_normal((3, 3, 2, 2)) / 3).astype(np.float32) for _ in range(3)]
X = RNG.standard_normal((12, 8, 2)).astype(np.float32)
BIAS = RNG.standard_normal((12, 1, 1)).astype(np.float32)
WIDE = RNG.standard_normal((3, 3, 3, 2)).astype(np.float32)
DENSE = RNG.standard_normal((6 * 4 * 2, 3)).astype(np.float32)
MATRIX = RNG.standard_normal((12, 12)).astype(np.float32)


def conv(x: Any, number: int = 0, **options: Any) -> Any:
    return F.conv(x, jnp.asarray(KERNELS[number]), **{"padding_mode": "circular", **options})


def wrapped(x: Any, *amounts: tuple[int, int]) -> Any:
    return jnp.pad(x, (*amounts, (0, 0)), mode="wrap")


def plain_polyphase(x: Any) -> Any:
    h, w, c = x.shape
    phases = x.reshape(h // 2, 2, w // 2, 2, c).transpose(1, 3, 0, 2, 4).reshape(4, h // 2, w // 2, c)
    return lax.dynamic_index_in_dim(phases, jnp.argmax((phases**2).sum((1, 2, 3))), keepdims=False)


def normalized(x: Any) -> Any:
    """Batch statistics of one image."""
    with jax.named_scope("norm"):
        return (x - x.mean((0, 1))) * lax.rsqrt(x.var((0, 1)) + 1e-3)


# Function, verdict of its result, and the kinds of its causes in order.
CIRCULAR: dict[str, tuple[Callable[[Any], Any], str, list[str]]] = {
    "circular": (lambda x: jax.nn.relu(conv(jax.nn.relu(conv(x)), 1)).mean((0, 1)), "exact", []),
    "even window": (lambda x: F.max_pool(x, (2, 2), strides=1, padding="SAME", padding_mode="circular"), "exact", []),
    "roll": (lambda x: conv(jnp.roll(conv(x), 2, 0), 1), "exact", []),
    "repeated": (lambda x: jnp.repeat(conv(x), 2, 0), "exact", []),
    "softmax over positions": (lambda x: jax.nn.softmax(conv(x), axis=0), "exact", []),
    "a loop": (lambda x: lax.scan(lambda c, i: (conv(c) + i, None), x, jnp.arange(3.0))[0], "exact", []),
    "batch statistics": (normalized, "exact", []),
    "one zero padding": (lambda x: conv(conv(conv(x), 1, padding_mode="zeros"), 2), "exact-interior", ["zero padding"]),
    "reflected": (lambda x: conv(conv(x), 1, padding_mode="reflect"), "exact-interior", ["mirrored padding"]),
    "replicated": (lambda x: conv(conv(x), 1, padding_mode="replicate"), "exact-interior", ["mirrored padding"]),
    "one row too few": (
        lambda x: conv(wrapped(x, (1, 0), (1, 1)), padding="VALID"), "exact-interior", ["incomplete padding"],
    ),
    "valid": (lambda x: conv(conv(x), 1, padding="VALID"), "exact-interior", ["no padding"] * 2),
    "zeros of a transposed convolution": (
        lambda x: F.conv_transpose(x, jnp.asarray(KERNELS[0]), strides=2), "exact-interior", ["zero padding"],
    ),
    "stride": (lambda x: conv(x, strides=2), "exact-lattice", ["stride"]),
    "sliced": (lambda x: conv(conv(x)[::2], 1), "exact-lattice", ["stride"]),
    "tiles": (lambda x: conv(x).reshape(6, 2, 4, 2, 2).max((1, 3)), "exact-lattice", ["stride"]),
    "blur": (lambda x: F.blur_pool(conv(x)), "exact-lattice", ["stride"]),
    "SAME pool after a circular convolution": (
        lambda x: F.max_pool(conv(x), (3, 3), strides=2, padding="SAME"), "exact-interior", ["zero padding", "stride"],
    ),
    "SAME pool of lax": (
        lambda x: lax.reduce_window(conv(x), -np.inf, lax.max, (3, 3, 1), (2, 2, 1), "SAME"),
        "exact-interior", ["zero padding", "stride"],
    ),
    "a rest": (lambda x: conv(x, strides=(5, 1)), "exact-interior", ["remainder", "stride"]),
    "a rest of slices": (lambda x: conv(conv(x)[::5], 1), "broken", ["remainder", "stride"]),
    "cropped": (lambda x: conv(conv(x)[1:-1], 1), "exact-interior", ["crop"]),
    "bias": (lambda x: conv(conv(x) + BIAS, 1), "broken", ["position-dependent constant"]),
    "scale": (lambda x: conv(conv(x) * BIAS, 1), "broken", ["position-dependent constant"]),
    "mask": (
        lambda x: jnp.where(jnp.arange(12)[:, None, None] < 6, x, 0), "exact-interior",
        ["position-dependent constant"],
    ),
    "coordinates": (
        lambda x: jnp.concatenate([conv(x), jnp.broadcast_to(BIAS, (12, 8, 1))], -1), "broken",
        ["position-dependent constant"],
    ),
    "a matrix of positions": (
        lambda x: jnp.einsum("hwc,hk->kwc", conv(x), MATRIX), "broken", ["position-dependent constant"],
    ),
    "cumulative": (lambda x: conv(jnp.cumsum(conv(x), 0), 1), "broken", ["cumulative operation"]),
    "sorted": (lambda x: conv(jnp.sort(conv(x), 0), 1), "exact", ["sort"]),
    "by its first row": (lambda x: conv(x) / (1 + jnp.abs(conv(x)[:1])), "broken", ["fixed position"]),
    "last row": (lambda x: conv(x)[-1], "broken", ["fixed position"]),
    "centre": (lambda x: conv(x)[6, 4], "broken", ["fixed position"]),
    "a convolution of coordinates": (
        lambda x: F.conv(
            jnp.concatenate([x, jnp.broadcast_to(BIAS, (12, 8, 1))], -1), jnp.asarray(WIDE), padding_mode="circular"
        ),
        "broken", ["position-dependent constant"],
    ),
    "written": (lambda x: conv(conv(x).at[0].set(0.0), 1), "unknown", ["fixed position"]),
    "transposed": (lambda x: conv(conv(x).transpose(1, 0, 2), 1), "exact", ["transposed axes"]),
    "mirrored": (lambda x: conv(conv(x)[::-1], 1), "exact", ["mirrored axis"]),
    "its mirror image added": (lambda x: (lambda y: y + y[::-1])(conv(x)), "exact-lattice", ["operands move apart"]),
    "flattened": (
        lambda x: F.flatten(F.max_pool(conv(x), (2, 2))) @ DENSE, "broken", ["stride", "flatten", "flatten"],
    ),
    "polyphase": (lambda x: conv(F.polyphase_pool(conv(x)), 1).mean((0, 1)), "exact", []),
    "two choices": (
        lambda x: F.polyphase_pool(conv(x)) + F.polyphase_pool(conv(x, 1)), "unknown", ["operands move apart"],
    ),
    "no rule": (lambda x: jnp.fft.fft(conv(x), axis=0).real, "unknown", ["no rule"]),
}  # fmt: skip
INTERIOR: dict[str, tuple[Callable[[Any], Any], str, list[str]]] = {
    "zeros": (lambda x: conv(conv(x, padding_mode="zeros"), 1, padding_mode="zeros"), "exact-interior", []),
    "circular": (lambda x: conv(conv(x), 1), "exact-interior", []),
    "stride": (lambda x: conv(x, padding_mode="zeros", strides=2), "exact-interior", ["stride"]),
    "batch statistics": (lambda x: normalized(conv(x)), "broken", ["batch statistics"]),
    "an instance norm": (
        lambda x: F.instance_norm(conv(x), jnp.ones(2), jnp.zeros(2)),
        "broken",
        ["batch statistics"],
    ),
    "mean": (lambda x: conv(x).mean((0, 1)), "broken", ["global reduction"]),
    "sorted": (lambda x: jnp.sort(conv(x), 0), "broken", ["sort"]),
    "bias": (lambda x: conv(x) + BIAS, "broken", ["position-dependent constant"]),
}
FRACTIONAL: dict[str, tuple[Callable[[Any], Any], str, list[str]]] = {
    "linear": (lambda x: conv(conv(x), 1).mean((0, 1)), "exact", []),
    "ReLU": (lambda x: conv(jax.nn.relu(conv(x)), 1), "broken", ["aliasing nonlinearity"]),
    "a square on a finer grid": (lambda x: F.antialiased_activation(conv(x), jnp.square), "exact", []),
    "zeros": (lambda x: conv(x, padding_mode="zeros"), "broken", ["zero padding"]),
    "max pool": (lambda x: F.max_pool(conv(x), (2, 2)), "broken", ["aliasing nonlinearity", "stride"]),
    "blur": (lambda x: F.blur_pool(conv(x)), "broken", ["stride"]),
    "bias": (lambda x: conv(x) + BIAS, "broken", ["position-dependent constant"]),
}


READ_OFF = {"sort", "transposed axes", "mirrored axis", "no rule", "operands move apart", "border"}
"""Causes that the contracts tell, with nothing to change."""


def causes(found: eq.Audit) -> list[str]:
    return [cause.kind for layer in found.layers for cause in layer.causes]


@pytest.mark.parametrize("name", CIRCULAR)
def test_circular(name: str) -> None:
    """As told; and what a change can establish is established: the error is there, and without the cause rounding."""
    fn, verdict, kinds = CIRCULAR[name]
    found = eq.audit(fn, X)
    assert (found.verdict, causes(found), found.refuted) == (verdict, kinds, ()), str(found)
    for cause in (cause for layer in found.layers for cause in layer.causes if cause.kind not in READ_OFF):
        assert cause.restored is not None, cause
        assert cause.restored < 1e-9 < 1e-3 < cause.error, cause


@pytest.mark.parametrize("name", INTERIOR)
def test_interior(name: str) -> None:
    fn, verdict, kinds = INTERIOR[name]
    found = eq.audit(fn, X, mode="interior")
    assert (found.verdict, causes(found), found.refuted) == (verdict, kinds, ()), str(found)


@pytest.mark.parametrize("name", FRACTIONAL)
def test_fractional(name: str) -> None:
    fn, verdict, kinds = FRACTIONAL[name]
    found = eq.audit(fn, X, mode="fractional")
    assert (found.verdict, causes(found)) == (verdict, kinds), str(found)
    for layer in found.layers:
        for cause in layer.causes:
            assert cause.restored is not None
            assert cause.restored < cause.error / 3


def test_what_is_not_finite_is_unknown() -> None:
    found = eq.audit(lambda x: jnp.log(-jnp.abs(x)), X)
    assert (found.verdict, causes(found), found.refuted) == ("unknown", ["not finite"], ())
    assert not found.meets("interior")
    assert eq.audit(lambda x: jnp.where(x > 0, x, -jnp.inf).max((0, 1)), X).verdict == "exact"


def test_a_contract_that_is_not_true_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say of a zero-padded convolution that it is exact, as a wrong rule would."""
    true = audit_module.relations

    def wrong(*arguments: Any) -> Any:
        return tuple(dataclasses.replace(r, verdict="exact", margin=None) for r in true(*arguments))

    monkeypatch.setattr(audit_module, "relations", wrong)
    found = eq.audit(lambda x: conv(x, padding_mode="zeros"), X)
    assert [layer.name for layer in found.refuted] == ["conv1"]
    assert not found.meets("interior")
    assert "refutes" in str(found)


def test_a_wrong_margin_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    true = audit_module.relations

    def wrong(*arguments: Any) -> Any:
        return tuple(dataclasses.replace(r, margin=r.margin and (0, 0)) for r in true(*arguments))

    monkeypatch.setattr(audit_module, "relations", wrong)
    assert eq.audit(lambda x: conv(x, padding_mode="zeros"), X, mode="interior").refuted


def test_ties() -> None:
    """Two phases of norm 5: the plain choice takes the first, whatever the shift; ours does not."""
    x = np.zeros((12, 8, 2), np.float32)
    x[0, 0, 0], x[1, 1, 0], x[3, 3, 0] = 5.0, 3.0, 4.0
    found = eq.audit(plain_polyphase, x)
    assert found.verdict == "broken"
    assert "ties" in causes(found)
    assert not found.refuted
    assert eq.audit(plain_polyphase, X).verdict == "orbit"
    assert eq.audit(F.polyphase_pool, x).verdict == "orbit"


def test_a_choice_among_the_phases_of_a_strided_map() -> None:
    """Shifts by one give another strided map, of which the choice knows nothing: half of the shifts are kept."""
    found = eq.audit(lambda x: plain_polyphase(conv(x)[::2, ::2]), np.random.default_rng(0).standard_normal((16, 8, 2)))
    assert (found.verdict, found.layers[-1].lattice, found.refuted) == ("orbit", (2, 2), ())
    assert (found.meets("exact"), found.meets("lattice")) == (False, True)
    assert "result: orbit on 2Z" in str(found)


def test_what_was_seen_alone_is_not_proven() -> None:
    """A least value for each row that no value is as low as: nothing proves that it plays no part, and it is told."""
    least = -1e3 - jnp.arange(16.0)[:, None, None]
    found = eq.audit(lambda x: jnp.maximum(conv(x), least)[::4], np.random.default_rng(0).standard_normal((16, 8, 2)))
    last = found.layers[-1]
    assert (last.verdict, last.lattice, last.contract[0]) == ("exact-lattice", (4, 1), "position-dependent")
    assert not last.proven
    assert found.layers[0].proven
    assert not found.meets("lattice")
    assert "(seen)" in str(found)


def test_every_second_position_of_a_choice_moves_with_shifts_by_four() -> None:
    """They choose the same phase."""
    found = eq.audit(lambda x: plain_polyphase(conv(x))[::2], np.random.default_rng(0).standard_normal((16, 8, 2)))
    last = found.layers[-1]
    assert (last.verdict, last.lattice, last.contract) == ("exact-lattice", (4, 1), ("equivariant on 4Z", "orbit"))
    assert last.proven
    assert found.meets("lattice")


def test_bits() -> None:
    """A mean is exact in arithmetic, and not in bits: that is floating point's doing."""
    assert eq.audit(lambda x: x.mean((0, 1)), X).verdict == "exact"
    found = eq.audit(lambda x: x.mean((0, 1)), X, tolerance=0)
    assert (found.verdict, causes(found)[-1]) == ("approximate", "floating point")
    assert eq.audit(lambda x: x.max((0, 1)), X, tolerance=0).verdict == "exact"
    ordered = eq.audit(lambda x: F.global_avg_pool(x, order_independent=True), X, tolerance=0)
    assert ordered.layers[-1].kept == 0


def test_other_layouts() -> None:
    """Channels first, one axis, three axes, a batch."""
    kernel = RNG.standard_normal((2, 2, 3, 3)).astype(np.float32)

    def first(x: Any) -> Any:
        return lax.conv(x[None], kernel, (1, 1), "SAME")[0]

    found = eq.audit(first, X.transpose(2, 0, 1), spatial_axes=(-2, -1))
    assert (found.verdict, causes(found)) == ("exact-interior", ["zero padding"])
    line = RNG.standard_normal((3, 2, 2)).astype(np.float32)
    found = eq.audit(lambda x: F.conv(x, jnp.asarray(line), padding_mode="circular"), X[:, 0], spatial_axes=(-2,))
    assert found.verdict == "exact"
    cube = RNG.standard_normal((3, 3, 3, 2, 2)).astype(np.float32)
    batch = RNG.standard_normal((2, 4, 6, 4, 2)).astype(np.float32)
    found = eq.audit(
        lambda x: F.conv(x, jnp.asarray(cube), strides=(2, 1, 1), padding_mode="circular"),
        batch,
        spatial_axes=(1, 2, 3),
    )
    assert (found.verdict, found.layers[0].lattice) == ("exact-lattice", (2, 1, 1))


def test_half_precision() -> None:
    x = jnp.asarray(X, jnp.bfloat16)
    found = eq.audit(lambda x: F.conv(x, jnp.asarray(KERNELS[0], x.dtype), padding_mode="circular").mean((0, 1)), x)
    assert (found.verdict, found.refuted) == ("exact", ())


def test_names_of_layers_and_json() -> None:
    def fn(x: Any) -> Any:
        with jax.named_scope("stem"):
            x = conv(x)
        with jax.named_scope("head"):
            return conv(x, 1, padding_mode="zeros")

    found = eq.audit(fn, X)
    assert [layer.name for layer in found.layers] == ["stem", "head"]
    assert found.first is found.layers[1]
    document = json.loads(found.to_json())
    assert document["layers"][1]["causes"][0]["kind"] == "zero padding"
    assert document["layers"][1]["margin"] == [[2, 2], [2, 2]]
    assert document["verdict"] == "exact-interior"
    assert [found.meets(requirement) for requirement in ("exact", "lattice", "interior")] == [False, False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.ones((4, 4, 1), np.float32)}, "no shift changes it"),
        ({"x": np.full((4, 4, 1), np.nan, np.float32)}, "must be finite"),
        ({"x": np.ones((4, 4, 1), np.int32)}, "floating-point"),
        ({"x": np.ones((1, 1, 4), np.float32)}, "one position"),
        ({"mode": "round"}, "unknown mode 'round'"),
        ({"spatial_axes": (5,)}, "names axis 5"),
        ({"spatial_axes": 1}, "must be a sequence"),
    ],
)
def test_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError if "sequence" in message else ValueError, match=message):
        eq.audit(lambda x: 2 * x, **{"x": X, **arguments})


def test_a_function_that_ignores_its_input() -> None:
    with pytest.raises(ValueError, match="does not depend on `x`"):
        eq.audit(lambda x: jnp.ones(3), X)
