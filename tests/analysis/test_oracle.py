"""Claims about random networks against brute force, which shares no code with what claims them."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from references import campaigns
from references.claims import Verdict, examine, interval
from references.enlarged import Wide
from references.known_claims import HIDDEN, KNOWN, Axis, Contract, Facts, M, N, mutations
from references.network_layers import Conv, Pool, TilePool
from references.network_moves import Slice
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
    wides = [Wide(network, axis, reach(trace.outputs, axis, size)) for axis, size in enumerate(network.shape[:2])]
    for number in range(PATIENCE):
        total, trials = Verdict(), 4 * 4**number
        found = truths(network, trials=trials, number=number)
        for i, (facts, truth, folds) in enumerate(zip(trace.outputs, found, network.folds(), strict=True)):
            if not np.isfinite(truth.rolled[0].results).all():  # a minimum of padding alone: nothing can be compared
                break
            larger = [partial(wide.sees, i, trials) for wide in wides]
            verdict = examine(facts, truth, folds=folds, larger=larger)
            total.checked += verdict.checked
            total.wrong += [f"layer {i}, {fault}" for fault in verdict.wrong]
        if not total.wrong:
            break
    return total, len(trace.steps), Counter(trace.unknown)


def reach(outputs: Sequence[Any], axis: int, size: int) -> int:
    """By how many positions the fields of units go beyond the input, as claimed."""
    most = 0
    for facts in outputs:
        claim = facts.axes[axis]
        if claim.field:
            ends = [interval(claim, unit) for unit in (0, 0 if claim.axis is None else facts.shape[claim.axis] - 1)]
            most = max(most, *(math.ceil(-begin) for begin, _ in ends), *(math.ceil(end) - size + 1 for _, end in ends))
    return most


@settings(
    max_examples=15, deadline=None, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=ALL
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
    "of what strides left": (  # two units, of rows -1 and 0, 2 and 3 of five: each sees both
        Network((18, 15, 2), (
            TilePool(window=(2, 1)), Conv(strides=(2, 2), activation="none"),
            Pool("avg", strides=(3, 2), padding=((1, 1), (1, 1))),
            Conv(window=(2, 2), strides=(2, 2), padding=((1, 1), (1, 1)), mode="circular", functional=True),
        ))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROUND_A_CROP)
def test_windows_that_go_round_a_cropped_map(name: str) -> None:
    """Nothing goes on beyond its borders: what a unit sees lies on the map itself."""
    assert judge(ROUND_A_CROP[name])[0].wrong == []


def drawn(number: int) -> Network:
    """One network of many: the first that a seed gives, so that none is a variation of another.

    Hypothesis draws some numbers out of those that our sources hold: of other sources, or in another process that has
    read more of them, a seed gives another network. What is wrong is therefore recorded with the network in full.
    """
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


def doubted(network: Network, claim: Axis) -> list[str]:
    """Of wrong claims next to one about a network's height, those that are refuted, and this one if it is."""
    truth, folds = truths(network, trials=8)[-1], network.folds()[-1]
    silent, padded = Contract("unknown"), claim.axis is not None and bool(truth.padding(1, None).any())
    width = Axis(None, None, None, None, (int(padded),) * 2, 1, silent, silent)
    wide, last = Wide(network, 0, network.shape[0]), len(network.layers) - 1

    def wrong(claim: Axis) -> bool:
        facts = Facts(truth.shape, (claim, width))
        return bool(examine(facts, truth, folds=folds, larger=[partial(wide.sees, last, 8)] * 2).wrong)

    return [what for what, mutant in {"the truth": claim, **mutations(claim)}.items() if wrong(mutant)]


@pytest.mark.parametrize("name", KNOWN)
def test_the_oracle_confirms_what_is_known_and_refutes_all_else(name: str) -> None:
    layers, claim = KNOWN[name]
    assert doubted(Network((N, M, 2), tuple(layers)), claim) == list(mutations(claim))


@pytest.mark.parametrize("name", HIDDEN)
def test_the_oracle_looks_behind_the_borders_of_a_small_map(name: str) -> None:
    network, claim = HIDDEN[name]
    assert doubted(network, claim) == list(mutations(claim))


def test_the_oracle_checks_the_padding_of_networks_as_they_are() -> None:
    """With zeros as the padding's value, a network is the one without that parameter."""
    network = Network((11, 13, 2), (Conv(functional=True), Conv(strides=(2, 1)), Pool("avg", padding=((1, 0), (0, 1)))))
    params = network.weights()
    with jax.enable_x64(True):
        x = jax.numpy.asarray(np.random.default_rng(0).standard_normal(network.shape))
        for one, other in zip(network(params, x), network(params, x, {"h": 0.0, "w": 0.0}), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
