"""Causes behind what hides them: interiors used up, operations without a rule, choices by the data, chance."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from references.brute_force import is_used_up, keeps_all
from references.exact_layers import Layer, Layout
from references.exact_networks import Network

from jaxcnn import equivariance as eq
from jaxcnn import functional as F

RNG = np.random.default_rng(0)
KERNELS = [(RNG.standard_normal((3, 2, 2)) / 2).astype(np.float32) for _ in range(4)]
RAMP = np.linspace(0, 1, 12, dtype=np.float32)[:, None]
LINE = RNG.standard_normal((12, 2)).astype(np.float32)
FILTER = jnp.fft.fft(jnp.asarray(RNG.standard_normal((12, 1)), jnp.float32), axis=0)


def conv(x: Any, number: int = 0, **options: Any) -> Any:
    return F.conv(x, jnp.asarray(KERNELS[number]), **{"padding_mode": "circular", **options})


def convs(x: Any) -> Any:
    """Six of them leave nothing of an interior of twelve positions."""
    for n in range(6):
        with jax.named_scope(f"conv{n}"):
            x = conv(x, n % 4)
    return x


def swapped(x: Any) -> Any:
    return jnp.flip(x.reshape(x.shape[0] // 2, 2, -1), 1).reshape(x.shape)


def filtered(x: Any) -> Any:
    """A circular convolution that no rule is known of."""
    return jnp.fft.ifft(jnp.fft.fft(x, axis=0) * FILTER, axis=0).real


def sampled(x: Any) -> Any:
    """The phase of the largest norm of a map of two axes."""
    h, w, c = x.shape
    phases = x.reshape(h // 2, 2, w // 2, 2, c).transpose(1, 3, 0, 2, 4).reshape(4, h // 2, w // 2, c)
    return lax.dynamic_index_in_dim(phases, jnp.argmax((phases**2).sum((1, 2, 3))), keepdims=False)


def named(found: eq.Audit) -> list[tuple[str, str]]:
    return [(layer.name, cause.kind) for layer in found.layers for cause in layer.causes]


def behind(fault: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def network(x: Any) -> Any:
        y = convs(x)
        with jax.named_scope("fault"):
            y = fault(y)
        with jax.named_scope("end"):
            return conv(y, 1)

    return network


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (lambda x: jnp.sort(x, 0), "sort"),
        (lambda x: F.instance_norm(x, spatial_axes=(-2,)), "batch statistics"),
        (lambda x: x + RAMP, "position-dependent constant"),
        (lambda x: x - x[:1], "fixed position"),
    ],
)
def test_a_cause_behind_an_interior_that_is_used_up(fault: Callable[[Any], Any], kind: str) -> None:
    found = eq.audit(behind(fault), LINE, mode="interior", spatial_axes=(0,))
    (first, *others) = named(found)
    assert first[1] == "border"
    assert first[0].startswith("conv")
    assert others == [("fault", kind)], str(found)


def test_windows_behind_an_interior_that_is_used_up_are_no_cause() -> None:
    found = eq.audit(behind(lambda x: jax.nn.relu(x) + x), LINE, mode="interior", spatial_axes=(0,))
    assert [kind for _, kind in named(found)] == ["border"], str(found)


def test_a_cause_behind_an_operation_without_a_rule() -> None:
    found = eq.audit(lambda x: jax.nn.relu(filtered(x)) + RAMP, LINE, spatial_axes=(0,))
    assert [cause for cause in named(found) if cause[0] == "add1"] == [("add1", "position-dependent constant")]
    assert named(found)[0] == ("fft1", "no rule")
    assert found.verdict == "unknown"


def test_groups_of_two_lose_nothing_of_a_map_that_was_repeated() -> None:
    """It moves by two: the contract of what follows is weaker than what is true, and no cause may be made up."""

    def network(x: Any) -> Any:
        x = swapped(conv(jnp.repeat(F.max_pool(x, (3,)), 2, 0)))
        return conv(x, 1, strides=2)

    found = eq.audit(network, RNG.standard_normal((15, 2)).astype(np.float32), spatial_axes=(0,))
    assert named(found) == [("max_pool1", "stride")], str(found)
    assert (found.verdict, found.layers[-1].lattice) == ("exact-lattice", (3,))
    alone = eq.audit(lambda x: swapped(conv(x)), LINE, spatial_axes=(0,))
    assert [kind for _, kind in named(alone)] == ["stride"]


def test_a_stride_behind_a_choice_by_the_data_leaves_a_lattice() -> None:
    found = eq.audit(
        lambda x: conv(F.polyphase_pool(conv(x), spatial_axes=(-2,)), 1, strides=2), LINE, spatial_axes=(0,)
    )
    assert [kind for _, kind in named(found)] == ["stride"]
    assert (found.verdict, found.layers[-1].lattice) == ("exact-lattice", (4,))


@pytest.mark.parametrize("seed", range(2))
def test_choices_apart_on_a_map_that_was_repeated(seed: int) -> None:
    """Two choices may fall alike on one input, and on most."""
    rng = np.random.default_rng(seed)
    kernel = jnp.asarray(rng.standard_normal((3, 3, 2, 2)), jnp.float32) / 3

    def network(x: Any) -> Any:
        x = jnp.repeat(x, 2, 1)
        return sampled(x) + sampled(x + 0.3 * F.conv(x, kernel, padding_mode="circular"))

    found = eq.audit(network, rng.standard_normal((8, 4, 2)).astype(np.float32))
    assert named(found)[-1] == ("add2", "operands move apart"), str(found)


@pytest.mark.parametrize("seed", range(4))
def test_a_branch_by_a_position(seed: int) -> None:
    """Its sign may stay as it is under the shifts that are tried, or under every other one: by chance."""
    x = np.random.default_rng(seed).standard_normal((8, 8, 2)).astype(np.float32)
    found = eq.audit(lambda x: lax.cond(x.reshape(-1)[0] > 0, jnp.tanh, jnp.square, x), x)
    assert [kind for _, kind in named(found)] == ["fixed position"], str(found)


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        (lambda x: x[jnp.asarray([2, 0, 1, 3, 7, 5, 4, 6, 9, 11, 8, 10])], ["position-dependent constant"]),
        (lambda x: jnp.take(x, jnp.argsort(x[:, 0, 0]), axis=0), ["fixed position"]),  # whose values nobody takes
        (lambda x: jax.image.resize(x, (18, 8, 2), "nearest"), ["stride"]),  # made of indices that take no operand
    ],
)
def test_positions_by_a_table(fault: Callable[[Any], Any], kinds: list[str]) -> None:
    x = np.random.default_rng(0).standard_normal((12, 8, 2)).astype(np.float32)
    assert [kind for _, kind in named(eq.audit(fault, x))] == kinds


def test_brute_force() -> None:
    """Of the judge: what is a fault at its place, and when nothing is left of an interior."""
    layout = Layout(1, False)

    def line(*calls: Callable[[Any], Any]) -> Network:
        return Network(layout, (12, 2), tuple(Layer("any", call) for call in calls))

    x = jnp.asarray(LINE)
    repeated = line(lambda x: jnp.repeat(x[::2], 4, 0))
    assert keeps_all(line(lambda x: jnp.repeat(x, 2, 0)), x, 1, swapped)
    assert keeps_all(repeated, x, 1, swapped)
    assert not keeps_all(line(jnp.tanh), x, 1, swapped)
    assert not keeps_all(line(jnp.tanh), x, 1, lambda x: x + 1e-3 * RAMP)
    assert [is_used_up(line(*[conv] * n), x, n - 1) for n in (1, 5, 6)] == [False, False, True]
