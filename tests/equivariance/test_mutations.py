"""An audit names the layer and the cause of faults planted at random, and raises no alarm where there is none."""

import fcntl
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import campaigns
from references.exact_layers import Layer, Layout
from references.exact_networks import Network
from references.faults import FAULTS
from references.mutations import KINDS, alarms, misnamed, mutation, plant, tied_input, unharmed

NAME, EACH = "audit_mutations", 20
GROUPS = {"mutations": 25, "exact networks": 10}


@pytest.fixture
def quick_compiler() -> Iterator[None]:
    """Most of the time goes into compiling programs that run once: these go without what makes them fast."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.usefixtures("quick_compiler")
@pytest.mark.parametrize("number", range(10))
def test_faults_are_named(number: int) -> None:
    planted = mutation(number, most=3)
    assert misnamed(planted) == [], f"{planted.fault} at layer{planted.place} of {planted.network.kinds}"


@pytest.mark.usefixtures("quick_compiler")
@pytest.mark.parametrize("number", range(4))
def test_exact_networks_raise_no_alarm(number: int) -> None:
    exact, x = unharmed(number, most=3)
    assert alarms(exact, x) == [], exact.kinds


def test_faults_are_of_many_kinds() -> None:
    assert len(KINDS) >= 24
    assert len({cause for kind in FAULTS.values() for cause in kind.causes}) >= 12


def moves(network: Network, x: jax.Array) -> bool:
    """Say whether a network of one layer that keeps the shape rolls its result as its input is rolled."""
    y = network(x)
    for axis in network.layout.spatial:
        for shift in range(1, x.shape[axis]):
            rolled = network(jnp.roll(x, shift, axis))
            if y.shape != x.shape or not np.allclose(rolled, jnp.roll(y, shift, axis), atol=1e-5):
                return False
    return True


@pytest.mark.parametrize("kind", [name for name, fault in FAULTS.items() if fault.mode == "circular"])
def test_faults_are_faults(kind: str) -> None:
    """By brute force, without the audit: no fault's result rolls as its input does."""
    rng, layout = np.random.default_rng(0), Layout(2, False)
    for shape in ((8, 8, 2), (9, 12, 2)):
        call = FAULTS[kind].build(rng, layout, jax.ShapeDtypeStruct(shape, "float32"))
        if call is not None:
            alone = Network(layout, shape, (Layer(kind, call),))
            assert not moves(alone, tied_input(rng, shape) if FAULTS[kind].tied else alone.input(rng))
            return
    pytest.fail("it fits no map")


def test_a_named_fault_must_be_the_right_one_at_the_right_layer() -> None:
    """The judge itself: it finds fault with causes of another kind, at another layer, and with alarms."""
    planted = plant(np.random.default_rng(0), "position bias", most=3)
    elsewhere = Layer("roll", lambda x: jnp.roll(x, 1, planted.network.layout.spatial[0]))
    object.__setattr__(planted.network, "layers", (elsewhere, *planted.network.layers))
    wrong = misnamed(planted)
    assert any("first cause" in fault for fault in wrong)
    assert any("named" in fault for fault in wrong)
    layout = Layout(1, False)
    broken = Network(layout, (8, 1), (Layer("cumsum", lambda x: jnp.cumsum(x, 0)),))
    assert alarms(broken, broken.input(np.random.default_rng(0))) != []


@pytest.mark.campaign
@pytest.mark.parametrize("half", [0, 1])
def test_five_hundred_faults_and_two_hundred_exact_networks(half: int) -> None:
    """Groups of twenty, each kept, so that a stopped campaign goes on; two processes take every other one."""
    for name, group in [(name, n) for name, groups in GROUPS.items() for n in range(half, groups, 2)]:
        key = f"{name} {group}"
        if key not in merged({})["by_group"]:
            count = count_faults if name == "mutations" else count_alarms
            merged({key: count(range(group * EACH, (group + 1) * EACH))})
            jax.clear_caches()
    assert merged({})["wrong"] == []


def count_faults(numbers: range) -> dict[str, Any]:
    counts: dict[str, Any] = {"planted": Counter(), "named": Counter(), "layers": Counter(), "wrong": []}
    for number in numbers:
        planted = mutation(number)
        wrong = told(lambda planted=planted: misnamed(planted))
        counts["planted"][planted.fault] += 1
        counts["named"][planted.fault] += not wrong
        counts["layers"][str(len(planted.network.layers))] += 1
        counts["wrong"] += [f"mutation {number}, {planted.network.kinds}: {fault}" for fault in wrong]
    return counts


def count_alarms(numbers: range) -> dict[str, Any]:
    counts: dict[str, Any] = {"exact": 0, "silent": 0, "layers": Counter(), "wrong": []}
    for number in numbers:
        exact, x = unharmed(number)
        wrong = told(lambda exact=exact, x=x: alarms(exact, x))
        counts["exact"] += 1
        counts["silent"] += not wrong
        counts["layers"][str(len(exact.layers))] += 1
        counts["wrong"] += [f"exact network {number}, {exact.kinds}: {fault}" for fault in wrong]
    return counts


def told(judge: Callable[[], list[str]]) -> list[str]:
    try:
        return judge()
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


def merged(more: dict[str, Any]) -> dict[str, Any]:
    """Add groups to the record, which another process may be writing too; return what it says then."""
    campaigns.FOLDER.mkdir(parents=True, exist_ok=True)
    with (campaigns.FOLDER / f"{NAME}.json").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        done = {**(json.loads(text)["by_group"] if text else {}), **more}

        def total(key: str) -> dict[str, int]:
            return dict(sorted(sum((Counter(group.get(key, {})) for group in done.values()), Counter()).items()))

        planted, named = total("planted"), total("named")
        facts = {
            "faults": sum(planted.values()),
            "faults_named": sum(named.values()),
            "exact_networks": sum(group.get("exact", 0) for group in done.values()),
            "exact_networks_silent": sum(group.get("silent", 0) for group in done.values()),
            "kinds": {kind: {"planted": n, "named": named.get(kind, 0)} for kind, n in planted.items()},
            "networks_by_layers": dict(sorted(total("layers").items(), key=lambda item: int(item[0]))),
            "wrong": [fault for group in done.values() for fault in group["wrong"]],
            "by_group": done,
        }
        if more:
            campaigns.record(NAME, "pytest -m campaign -n2 tests/equivariance/test_mutations.py", **facts)
        return facts
