"""Claims about random networks against brute force, which shares no code with what claims them."""

import dataclasses
import json
import math
from collections import Counter
from fractions import Fraction
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from references import campaigns
from references.claims import Verdict, examine
from references.network_layers import Conv, Pool, TilePool
from references.network_moves import Flip, GlobalPool, Pad, Position, Roll, Slice, Upsample
from references.random_networks import Network, example, fitted, networks
from references.shifts import Truth, measure

from jaxcnn import analysis

ALL = list(HealthCheck)
PATIENCE = 4  # measurements before a claim counts as wrong: one that only seems too weak gets more images each time


def truths(network: Network, *, trials: int = 4, number: int = 0) -> list[Truth]:
    """What brute force finds of every layer's result."""
    params = network.weights()

    def padded(x: Any, h: Any, w: Any) -> Any:
        return network(params, x, {"h": h, "w": w})

    return measure(lambda x: network(params, x), network.shape, padded=padded, trials=trials, seed=number)


def judge(network: Network) -> tuple[Verdict, int, Counter[str]]:
    """Compare every claim about every layer; also return how many equations there are, and which have no rule."""
    with jax.enable_x64(network.dtype == "float64"):
        trace = analysis.trace(*example(network), network.input(), spatial_axes=(0, 1))
    for number in range(PATIENCE):
        total = Verdict()
        found = truths(network, trials=4 * 4**number, number=number)
        layers = zip(trace.outputs, found, network.folds(), network.spreads(), strict=True)
        for i, (facts, truth, folds, spread) in enumerate(layers):
            if not np.isfinite(truth.rolled[0].results).all():  # a minimum of padding alone: nothing can be compared
                break
            verdict = examine(facts, truth, folds=folds, spread=spread)
            total.checked += verdict.checked
            total.wrong += [f"layer {i}, {fault}" for fault in verdict.wrong]
        if not total.wrong:
            break
    return total, len(trace.steps), Counter(trace.unknown)


@settings(
    max_examples=40, deadline=None, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=ALL
)
@given(network=networks())
def test_claims_about_random_networks_are_true(network: Network) -> None:
    network = fitted(network)
    verdict, _, _ = judge(network)
    assert verdict.wrong == [], network


ROUND_A_CROP = {
    "once": (
        Network((15, 15, 2), (
            Pool(strides=(3, 3), mode="reflect"), Slice(start=1, end=2),
            Conv(window=(2, 2), mode="circular", dilation=(2, 2), activation="none", functional=True),
        ))
    ),
    "twice": (
        Network((19, 15, 3), (
            Pool(strides=(3, 2), mode="reflect"), Slice("w", 2, 1),
            Conv(window=(4, 4), mode="circular", dilation=(2, 2), activation="relu", functional=True),
        ), seed=200)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROUND_A_CROP)
def test_windows_that_go_round_a_cropped_map(name: str) -> None:
    """Nothing goes on beyond its borders: what a unit sees lies on the map itself."""
    assert judge(ROUND_A_CROP[name])[0].wrong == []


def drawn(number: int) -> Network:
    """One network of many: the first that a seed gives, so that none is a variation of another."""
    found: list[Network] = []

    @seed(number)
    @settings(max_examples=3, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=ALL)
    @given(network=networks())
    def collect(network: Network) -> None:
        found.append(network)

    collect()
    return fitted(found[-1])


@pytest.mark.campaign
def test_claims_about_two_thousand_networks() -> None:
    """Forty groups of fifty networks; each group's counts are kept, so that a stopped campaign goes on."""
    name, groups, each = "analysis_oracle", 40, 50
    file = campaigns.FOLDER / f"{name}.json"
    done = json.loads(file.read_text())["by_group"] if file.exists() else {}
    for group in range(groups):
        if str(group) not in done:
            done[str(group)] = count(range(group * each, (group + 1) * each))
            write(name, done)
    result = write(name, done)
    assert result["wrong"] == []
    assert result["unknown_share"] <= 0.02


def count(numbers: range) -> dict[str, Any]:
    """Judge networks, and count."""
    counts: dict[str, Any] = {"layers": 0, "equations": 0, "unknown": Counter(), "claims": Counter(), "wrong": []}
    counts["seeds"] = [numbers.start, numbers.stop - 1]
    for number in numbers:
        network = drawn(number)
        try:
            verdict, equations, unknown = judge(network)
        except Exception as error:
            verdict, equations, unknown = Verdict(wrong=[f"{type(error).__name__}: {error}"]), 0, Counter()
        counts["layers"] += len(network.layers)
        counts["equations"] += equations
        counts["unknown"] += unknown
        counts["claims"] += verdict.checked
        counts["wrong"] += [f"{number}, {network}: {fault}" for fault in verdict.wrong[:1]]
    return counts


def write(name: str, done: dict[str, Any]) -> dict[str, Any]:
    """Record the campaign, as far as it has come."""
    claims, unknown = (sum((Counter(c[key]) for c in done.values()), Counter()) for key in ("claims", "unknown"))
    layers, equations = (sum(counts[key] for counts in done.values()) for key in ("layers", "equations"))
    facts = {
        "networks": sum(c["seeds"][1] - c["seeds"][0] + 1 for c in done.values()),
        "layers": layers,
        "equations": equations,
        "unknown": unknown,
        "unknown_share": unknown.total() / max(equations, 1),
        "claims": claims,
        "wrong": [fault for counts in done.values() for fault in counts["wrong"]],
    }
    campaigns.record(name, "pytest -m campaign -n0 tests/analysis/test_oracle.py", **facts, by_group=done)
    return facts


# Facts written by hand, of networks that everybody knows: the oracle agrees with them, and with nothing else.


@dataclasses.dataclass(frozen=True)
class Contract:
    kind: str
    lattice: int = 0
    step: int = 0
    margin: tuple[int, int] | None = None

    @property
    def guarantees(self) -> bool:
        return self.kind in ("equivariant", "invariant", "orbit")


@dataclasses.dataclass(frozen=True)
class Axis:
    axis: int | None
    receptive_field: int | None
    field: tuple[Fraction, Fraction] | None
    jump: Fraction | None
    padding: tuple[int, int]
    units: int
    circular: Contract
    interior: Contract

    @property
    def padded(self) -> tuple[int, ...]:
        return (*range(self.padding[0]), *range(self.units - self.padding[1], self.units))


@dataclasses.dataclass(frozen=True)
class Facts:
    shape: tuple[int, ...]
    axes: tuple[Axis, ...]


BROKEN = Contract("position-dependent")


def equivariant(lattice: int, step: int = 1, margin: tuple[int, int] | None = None) -> Contract:
    return Contract("equivariant", lattice, step, margin)


def axis(field: tuple[Any, int], jump: str | int, padding: tuple[int, int], units: int, *contracts: Contract) -> Axis:
    first, last = map(Fraction, field)
    size = math.floor(last) - math.ceil(first) + 1
    return Axis(0, size, (first, last), Fraction(jump), padding, units, *contracts)


POOLED = Axis(None, 12, (Fraction(0), Fraction(11)), None, (0, 0), 1, Contract("invariant", 1), BROKEN)
N, M = 12, 9
KNOWN = {
    "zero padding": ([Conv()], axis((-1, 1), 1, (1, 1), N, BROKEN, equivariant(1, 1, (1, 1)))),
    "twice": ([Conv(), Conv()], axis((-2, 2), 1, (2, 2), N, BROKEN, equivariant(1, 1, (2, 2)))),
    "valid": ([Conv(padding="VALID")], axis((0, 2), 1, (0, 0), N - 2, BROKEN, equivariant(1, 1, (0, 0)))),
    "circular": ([Conv(mode="circular")], axis((-1, 1), 1, (0, 0), N, equivariant(1), equivariant(1, 1, (1, 1)))),
    "circular, by two": (
        [Conv(mode="circular", strides=(2, 2))],
        axis((0, 2), 2, (0, 0), N // 2, equivariant(2), equivariant(2, 1, (0, 1))),
    ),
    "pool": ([Pool()], axis((0, 1), 2, (0, 0), N // 2, equivariant(2), equivariant(2, 1, (0, 0)))),
    "overlapping pool": (
        [Pool(window=(3, 3), padding=((1, 0), (1, 0)))],
        axis((-1, 1), 2, (1, 0), N // 2, BROKEN, equivariant(2, 1, (1, 0))),
    ),
    "tiles of tiles": (
        [TilePool(), TilePool("avg")], axis((0, 3), 4, (0, 0), N // 4, equivariant(4), equivariant(4, 1, (0, 0))),
    ),
    "dilated": (
        [Conv(dilation=(2, 2), padding="VALID")],
        axis((0, 4), 1, (0, 0), N - 4, BROKEN, equivariant(1, 1, (0, 0))),
    ),
    "rolled": ([Roll("h", 3)], axis((-3, -3), 1, (0, 0), N, equivariant(1), equivariant(1, 1, (3, 0)))),
    "flipped": ([Flip("h")], axis((N - 1, N - 1), -1, (0, 0), N, equivariant(1, -1), equivariant(1, -1, (0, 0)))),
    "repeated": (
        [Upsample("h", 2)], axis(("-1/2", 0), "1/2", (0, 0), 2 * N, equivariant(1, 2), equivariant(1, 2, (0, 0))),
    ),
    "sliced": ([Slice("h", 1, 0, 3)], axis((1, 1), 3, (0, 0), N // 3, equivariant(3), equivariant(3, 1, (0, 0)))),
    "padded": ([Pad(((2, 1), (0, 0)))], axis((-2, -2), 1, (2, 1), N + 3, BROKEN, equivariant(1, 1, (2, 1)))),
    "position": ([Position("h")], axis((0, 0), 1, (0, 0), N, BROKEN, BROKEN)),
    "pooled": ([GlobalPool()], POOLED),
}  # fmt: skip


def with_contract(claim: Axis, which: str, **changes: Any) -> Axis:
    return dataclasses.replace(claim, **{which: dataclasses.replace(getattr(claim, which), **changes)})


def mutations(claim: Axis) -> dict[str, Axis]:
    """Wrong claims next to a right one."""
    low, high = claim.padding
    (first, last), size = claim.field, claim.receptive_field
    made = {
        "wider": dataclasses.replace(claim, receptive_field=size + 2, field=(first - 1, last + 1)),
        "longer": dataclasses.replace(claim, receptive_field=size + 1, field=(first, last + 1)),
        "moved": dataclasses.replace(claim, field=(first + 1, last + 1)),
        "only said wider": dataclasses.replace(claim, receptive_field=size + 1),
        "a constant": dataclasses.replace(claim, receptive_field=0),
        "rolls: invariant": dataclasses.replace(claim, circular=Contract("invariant", 1)),
        "rolls: constant": dataclasses.replace(claim, interior=Contract("invariant", 1, 0, (0, 0))),
    }
    if size > 1:
        made["narrower"] = dataclasses.replace(claim, receptive_field=size - 1, field=(first, last - 1))
    if claim.axis is None:
        made["padded"] = dataclasses.replace(claim, padding=(1, 1))
        made["lattice"] = with_contract(claim, "circular", lattice=2)
        made["rolls: nothing"] = dataclasses.replace(claim, circular=BROKEN)
        del made["wider"], made["rolls: invariant"]  # both are true of it: there is nothing further to see
        del made["longer"]
        return made
    for name, padding in {
        "low padding + 1": (low + 1, high), "low padding - 1": (low - 1, high),
        "high padding + 1": (low, high + 1), "high padding - 1": (low, high - 1),
    }.items():  # fmt: skip
        if min(padding) >= 0:
            made[name] = dataclasses.replace(claim, padding=padding)
    made["jump"] = dataclasses.replace(claim, jump=claim.jump * 2)
    for which in ("circular", "interior"):
        contract = getattr(claim, which)
        margin = {} if which == "circular" else {"margin": (low, high)}
        if contract.kind == "position-dependent":
            made[f"{which}: something"] = with_contract(claim, which, kind="equivariant", lattice=1, step=1, **margin)
            continue
        made[f"{which}: nothing"] = dataclasses.replace(claim, **{which: BROKEN})
        twice = {"lattice": contract.lattice * 2, "step": contract.step * 2}
        made[f"{which}: lattice * 2"] = with_contract(claim, which, **twice)
        made[f"{which}: step + 1"] = with_contract(claim, which, step=contract.step + 1)
        if contract.lattice > 1:
            made[f"{which}: lattice 1"] = with_contract(claim, which, lattice=1)
        if which == "interior":
            below, above = contract.margin
            for name, margin in {
                "low margin + 1": (below + 1, above), "low margin - 1": (below - 1, above),
                "high margin + 1": (below, above + 1), "high margin - 1": (below, above - 1),
            }.items():  # fmt: skip
                if min(margin) >= 0:
                    made[name] = with_contract(claim, which, margin=margin)
    return made


@pytest.mark.parametrize("name", KNOWN)
def test_the_oracle_confirms_what_is_known_and_refutes_all_else(name: str) -> None:
    layers, claim = KNOWN[name]
    network = Network((N, M, 2), tuple(layers))
    truth, folds = truths(network, trials=8)[-1], network.folds()[-1]
    silent, padded = Contract("unknown"), claim.axis is not None and bool(truth.padding(1, None).any())
    width = Axis(None, None, None, None, (int(padded),) * 2, 1, silent, silent)

    def wrong(claim: Axis) -> list[str]:
        return examine(Facts(truth.shape, (claim, width)), truth, folds=folds).wrong

    assert wrong(claim) == []
    believed = [what for what, mutant in mutations(claim).items() if not wrong(mutant)]
    assert believed == []


def test_the_oracle_checks_the_padding_of_networks_as_they_are() -> None:
    """With zeros as the padding's value, a network is the one without that parameter."""
    network = Network((11, 13, 2), (Conv(functional=True), Conv(strides=(2, 1)), Pool("avg", padding=((1, 0), (0, 1)))))
    params = network.weights()
    with jax.enable_x64(True):
        x = jax.numpy.asarray(np.random.default_rng(0).standard_normal(network.shape))
        for one, other in zip(network(params, x), network(params, x, {"h": 0.0, "w": 0.0}), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
